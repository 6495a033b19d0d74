"""What instances have in common to which people write commands: e-mail addresses, and gateways of messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeVar

from stasis_callback.core.limits import Limit, RequestLimits
from stasis_callback.core.opening import CALL_ME_AT, OPENING_HOURS, TIME_ZONE
from stasis_callback.core.options import WEBHOOKS, CallOptions, option
from stasis_callback.core.periods import OffPeak, parse_off_peak

Credential = Literal["either", "password", "token"]


@dataclass(frozen=True, slots=True)
class WrittenOptions:
    """The settings of every instance that takes commands in writing."""

    credential: Credential = option(
        "either", "Credential required in the command: service password, one-time token, or either."
    )
    opening_hours: str = option("", OPENING_HOURS)
    time_zone: str = option("UTC", TIME_ZONE)
    call_me_at: bool = option(False, CALL_ME_AT)
    replies_per_hour: int = option(
        10, "Maximum number of replies per hour to one sender.", least=1, most=1000
    )
    webhooks: str = option("", WEBHOOKS)

    def __post_init__(self) -> None:
        """Check what types cannot express. Raises InvalidInput."""
        _ = self.hours

    @property
    def hours(self) -> OffPeak | None:
        """When calls are made; None: always. Raises InvalidInput."""
        return parse_off_peak(self.opening_hours, self.time_zone)

    @property
    def reply_limit(self) -> Limit:
        """The limit of replies to one sender."""
        return Limit(self.replies_per_hour, 3600)


W = TypeVar("W", bound=WrittenOptions, covariant=True)


@dataclass(frozen=True, slots=True)
class WrittenConfiguration(Generic[W]):
    """The checked settings, limits and call options of such an instance."""

    settings: W
    limits: RequestLimits
    options: Mapping[str, str]
    """Call options that are set on the instance."""

    ACCESS_CODE: ClassVar[str]
    """Calls use the product's tariff for this access code if it has one, otherwise its standard tariff."""

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
        return {"access_code": self.ACCESS_CODE, **self.options}
