"""The settings of an e-mail instance (an address), and the call options that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.instances import names_of, parse_parts
from stasis_callback.core.limits import Limit, RequestLimits
from stasis_callback.core.options import WEBHOOKS, CallOptions, option

Policy = Literal["authenticated", "dkim", "none"]
Credential = Literal["either", "password", "token"]

ACCESS_CODE = "EMAILCALLBACK"
"""Calls use the product's tariff for this access code if it has one, otherwise its standard tariff."""


@dataclass(frozen=True, slots=True)
class EmailOptions:
    """The settings of an e-mail instance."""

    policy: Policy = option(
        "authenticated",
        "Sender authentication. authenticated: by our mail server (RFC 8601: DMARC, or aligned DKIM or SPF). dkim: "
        "by the service itself, from the DKIM signature. none: senders can be forged.",
    )
    require_registered: bool = option(
        False, "Accept mails only from addresses registered for the account with `email add-sender`."
    )
    credential: Credential = option(
        "either", "Credential required in the mail: service password, one-time token, or either."
    )
    reply: bool = option(True, "Reply to authenticated senders; with policy=none to nobody.")
    reply_outcome: bool = option(
        False, "Reply a second time when the callback is over, with what became of it."
    )
    replies_per_hour: int = option(
        10, "Maximum number of replies per hour to one sender.", least=1, most=1000
    )

    webhooks: str = option("", WEBHOOKS)

    @property
    def replies(self) -> bool:
        """Whether senders are answered: only those who have proven who they are."""
        return self.reply and self.policy != "none"

    @property
    def reply_limit(self) -> Limit:
        """The limit of replies to one sender."""
        return Limit(self.replies_per_hour, 3600)


_, EMAIL_NAMES = names_of(EmailOptions)
"""The names of all options of an e-mail instance."""


@dataclass(frozen=True, slots=True)
class EmailConfiguration:
    """The checked settings, limits and call options of an e-mail instance."""

    settings: EmailOptions
    limits: RequestLimits
    options: Mapping[str, str]
    """Call options that are set on the instance."""

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

    @property
    def region(self) -> str:
        """The country of numbers without a country code; "" for none."""
        return CallOptions.parse(self.options).region

    @property
    def language(self) -> str:
        """The language of replies: the first of the option `languages`."""
        return CallOptions.parse(self.options).language_list[0]

    def call_options(self) -> dict[str, str]:
        """The call options with which a request is queued."""
        return {"access_code": ACCESS_CODE, **self.options}
