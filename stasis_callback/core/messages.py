"""The settings of a message instance (a gateway of messages), and the call options that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stasis_callback.core.instances import names_of, parse_parts
from stasis_callback.core.options import CallOptions, option
from stasis_callback.core.written import WrittenConfiguration, WrittenOptions

Format = Literal["standard", "twilio"]


@dataclass(frozen=True, slots=True)
class MessageOptions(WrittenOptions):
    """The settings of a message instance."""

    format: Format = option(
        "standard",
        "What the gateway sends. standard: our own JSON, signed by Standard Webhooks. twilio: the form posts of "
        "Twilio, signed with `web.twilio_auth_token`.",
    )
    secret_number: int = option(
        1,
        "standard: which of its signing secrets is in force; with another number the one before is refused.",
        least=1,
        most=1_000_000,
    )
    reply: bool = option(True, "Give the gateway a reply for senders that belong to an account.")


_, MESSAGE_NAMES = names_of(MessageOptions)
"""The names of all options of a message instance."""


@dataclass(frozen=True, slots=True)
class MessageConfiguration(WrittenConfiguration[MessageOptions]):
    """The checked settings, limits and call options of a message instance."""

    ACCESS_CODE = "MESSAGECALLBACK"

    @classmethod
    def parse(cls, stored: Mapping[str, str]) -> MessageConfiguration:
        """From text values, as entered or stored. Raises InvalidInput, which names the invalid option."""
        configuration = cls(*parse_parts(MessageOptions, stored, "message"))
        CallOptions.parse(configuration.call_options())
        return configuration
