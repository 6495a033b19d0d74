"""The settings of an e-mail instance (an address), and the call options that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.instances import names_of, parse_parts
from stasis_callback.core.options import CallOptions, option
from stasis_callback.core.written import WrittenConfiguration, WrittenOptions

Policy = Literal["authenticated", "dkim", "none"]


@dataclass(frozen=True, slots=True)
class EmailOptions(WrittenOptions):
    """The settings of an e-mail instance."""

    policy: Policy = option(
        "authenticated",
        "Sender authentication. authenticated: by our mail server (RFC 8601: DMARC, or aligned DKIM or SPF). dkim: "
        "by the service itself, from the DKIM signature. none: senders can be forged.",
    )
    require_registered: bool = option(
        False, "Accept mails only from addresses registered for the account with `email add-sender`."
    )
    reply: bool = option(True, "Reply to authenticated senders; with policy=none to nobody.")
    reply_outcome: bool = option(
        False, "Reply a second time when the callback is over, with what became of it."
    )

    @property
    def replies(self) -> bool:
        """Whether senders are answered: only those who have proven who they are."""
        return self.reply and self.policy != "none"


_, EMAIL_NAMES = names_of(EmailOptions)
"""The names of all options of an e-mail instance."""


@dataclass(frozen=True, slots=True)
class EmailConfiguration(WrittenConfiguration[EmailOptions]):
    """The checked settings, limits and call options of an e-mail instance."""

    ACCESS_CODE = "EMAILCALLBACK"

    @classmethod
    def parse(cls, stored: Mapping[str, str]) -> EmailConfiguration:
        """From text values, as entered or stored. Raises InvalidInput, which names the invalid option."""
        configuration = cls(*parse_parts(EmailOptions, stored, "email"))
        if configuration.settings.policy == "none" and any(
            name in stored and getattr(configuration.settings, name) for name in ("reply", "reply_outcome")
        ):
            raise InvalidInput(
                "reply=on needs policy=authenticated or dkim: with policy=none replies would go to forged senders"
            )
        CallOptions.parse(configuration.call_options())
        return configuration
