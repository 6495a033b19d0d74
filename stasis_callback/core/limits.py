"""Rate limits: a maximum number of times within a window that begins with the first one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from stasis_callback.core.errors import InvalidInput

COUNT_LIMIT, PERIOD_LIMIT_S = 1_000_000, 604_800

_TEXT = re.compile(r"([0-9]{1,7})/([0-9]{1,6})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` times within `period_s` seconds of the first."""

    count: int
    period_s: int

    def __str__(self) -> str:
        return f"{self.count}/{self.period_s}"

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Parse a limit, for example `10/3600`: ten times an hour. Raises InvalidInput."""
        match = _TEXT.fullmatch(text)
        count, period_s = (int(part) for part in match.groups()) if match else (0, 0)
        if not (1 <= count <= COUNT_LIMIT and 1 <= period_s <= PERIOD_LIMIT_S):
            raise InvalidInput(
                f"{text!r} is not a limit: write times/seconds, like 10/3600, up to {COUNT_LIMIT}/{PERIOD_LIMIT_S}"
            )
        return cls(count, period_s)


def _limit(default: str, meaning: str) -> Any:
    return field(default=Limit.parse(default), metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The rate limits of an instance. Further requests are refused until the window has passed."""

    limit_source: Limit = _limit("60/3600", "Requests from one source: an IP address, an e-mail sender.")
    limit_account: Limit = _limit("30/3600", "Callbacks for one account.")
    limit_number: Limit = _limit(
        "10/3600", "Callbacks to one number, from all sources: protects its owner from nuisance calls."
    )
    limit_instance: Limit = _limit("1000/3600", "Total callbacks through this instance.")
    limit_day: Limit = _limit("5000/86400", "The same for a longer time, usually a day.")
    limit_logins: Limit = _limit(
        "5/900",
        "Failed logins for one account id; further logins are then refused until the time has passed.",
    )
    limit_source_logins: Limit = _limit(
        "20/900", "Failed logins from one source; further logins are then refused until the time has passed."
    )

    @classmethod
    def parse(cls, stored: Mapping[str, str]) -> RequestLimits:
        """Limits from text values; missing ones get defaults. Raises InvalidInput, which names the limit."""
        values = {}
        for name, text in stored.items():
            if name not in LIMIT_NAMES:
                raise InvalidInput(f"unknown limit {name!r}: use one of {', '.join(sorted(LIMIT_NAMES))}")
            try:
                values[name] = Limit.parse(text)
            except InvalidInput as error:
                raise InvalidInput(f"{name}: {error}") from None
        return cls(**values)


LIMIT_NAMES = frozenset(f.name for f in fields(RequestLimits))


def describe_limits() -> list[tuple[str, str, str]]:
    """Name, default and meaning of all limits."""
    return [(f.name, str(f.default), f.metadata["meaning"]) for f in fields(RequestLimits)]
