"""What an operator can set on an e-mail instance, which is an address, and what it makes of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.instances import names_of, parse_parts
from stasis_callback.core.limits import Limit, RequestLimits
from stasis_callback.core.options import CallOptions, option

Policy = Literal["authenticated", "dkim", "none"]
Credential = Literal["either", "password", "token"]

ACCESS_CODE = "EMAILCALLBACK"
"""Calls are rated by the product's tariff for this access code, where it has one, and by its usual one otherwise."""


@dataclass(frozen=True, slots=True)
class EmailSettings:
    """The settings of an e-mail instance."""

    policy: Policy = option(
        "authenticated",
        "authenticated: our own mail server found the sender's domain proven (RFC 8601: DMARC, or aligned DKIM or "
        "SPF). dkim: we verify the signature ourselves. none: anybody can write in anybody's name.",
    )
    require_registered: bool = option(
        False, "Only from an address that is registered for the account: `email add-sender`."
    )
    credential: Credential = option(
        "either", "What proves the account: its service password, a one-time token, or either."
    )
    reply: bool = option(False, "Answer with the outcome; never where the sender is not proven.")
    replies_per_hour: int = option(10, "Answers to one sender; more are not sent.", least=1, most=1000)

    def __post_init__(self) -> None:
        """Check what goes together. Raises InvalidInput."""
        if self.reply and self.policy == "none":
            raise InvalidInput(
                "reply=on needs a policy: with none, the answer would go to whoever somebody else wrote as the sender"
            )

    @property
    def reply_limit(self) -> Limit:
        """How many answers one sender gets."""
        return Limit(self.replies_per_hour, 3600)


_, EMAIL_NAMES = names_of(EmailSettings)
"""Everything that can be set on an e-mail instance."""


@dataclass(frozen=True, slots=True)
class EmailConfiguration:
    """An e-mail instance's settings, limits and the options of its calls, all checked."""

    settings: EmailSettings
    limits: RequestLimits
    options: Mapping[str, str]
    """Options of the call that are set here."""

    @classmethod
    def parse(cls, stored: Mapping[str, str]) -> EmailConfiguration:
        """From texts as entered or stored. Raises InvalidInput that names what is wrong."""
        configuration = cls(*parse_parts(EmailSettings, stored, "email"))
        CallOptions.parse(configuration.call_options())
        return configuration

    @property
    def language(self) -> str:
        """The language of answers: the first."""
        return CallOptions.parse(self.options).language_list[0]

    def call_options(self) -> dict[str, str]:
        """The options a request is queued with."""
        return {"access_code": ACCESS_CODE, **self.options}
