"""Off-peak periods: times of day and days of the week in a tariff's time zone, with daylight saving time.

Example: `mon-fri 19:00-07:00; sat; sun`. Alternatives are separated by `;`; each has days, a time span, or both. A
span that passes midnight belongs to the day on which it begins. Modelled on PortaBilling's off-peak periods.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stasis_callback.core.errors import InvalidInput

US_PER_S = 1_000_000
PERIODS_LIMIT = 20

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(_DAYS)
_TIME = r"([01][0-9]|2[0-4]):([0-5][0-9])"
_PERIOD = re.compile(
    rf"(?P<days>(?:{_DAY})(?:-(?:{_DAY}))?(?:,(?:{_DAY})(?:-(?:{_DAY}))?)*)?(?:^| |$)(?P<span>{_TIME}-{_TIME})?"
)
_HOW = "write, for example, mon-fri 19:00-07:00; sat; sun"


@dataclass(frozen=True, slots=True)
class Period:
    """A span in minutes of the local day, on some weekdays (0 is Monday). `until_minute` is above 1440 if it passes
    midnight.
    """

    weekdays: frozenset[int]
    from_minute: int
    until_minute: int


@dataclass(frozen=True, slots=True)
class OffPeak:
    """The off-peak periods of a tariff and their time zone."""

    periods: tuple[Period, ...]
    zone: str

    def spans(self, from_us: int, until_us: int) -> list[tuple[int, int]]:
        """The off-peak spans that overlap `from_us..until_us`, sorted and disjoint, in epoch microseconds."""
        zone = time_zone(self.zone)
        # A period of the previous day may extend into the first day.
        first = datetime.fromtimestamp(from_us // US_PER_S, zone).date() - timedelta(days=1)
        last = datetime.fromtimestamp(until_us // US_PER_S, zone).date()
        merged: list[tuple[int, int]] = []
        for number in range(first.toordinal(), last.toordinal() + 1):
            for begin, end in _spans_of_day(self, number):
                if merged and begin <= merged[-1][1]:
                    merged[-1] = (merged[-1][0], max(merged[-1][1], end))
                else:
                    merged.append((begin, end))
        return [(begin, end) for begin, end in merged if end > from_us and begin <= until_us]


@lru_cache(maxsize=4096)
def _spans_of_day(off_peak: OffPeak, ordinal: int) -> tuple[tuple[int, int], ...]:
    """The spans that begin on one local day, sorted by start."""
    day, zone = date.fromordinal(ordinal), time_zone(off_peak.zone)
    spans = [
        (_utc_us(day, period.from_minute, zone), _utc_us(day, period.until_minute, zone))
        for period in off_peak.periods
        if day.weekday() in period.weekdays
    ]
    # When the clock goes forward, a span may become empty.
    return tuple(sorted((begin, end) for begin, end in spans if begin < end))


def _utc_us(day: date, minute: int, zone: ZoneInfo) -> int:
    """When the local clock shows this minute of the day; the first time, if it does so twice."""
    wall = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minute)
    return int(wall.replace(tzinfo=zone).astimezone(UTC).timestamp()) * US_PER_S


@lru_cache(maxsize=256)
def parse_off_peak(text: str, zone: str) -> OffPeak | None:
    """Parse periods; None for an empty text. Raises InvalidInput, which names the invalid part."""
    time_zone(zone)
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if len(parts) > PERIODS_LIMIT:
        raise InvalidInput(f"too many off-peak periods ({len(parts)}): at most {PERIODS_LIMIT} are allowed")
    return OffPeak(tuple(_period(part) for part in parts), zone) if parts else None


def _period(text: str) -> Period:
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise InvalidInput(f"{text!r} is not a period: {_HOW}")
    weekdays = frozenset(_weekdays(match["days"])) if match["days"] else frozenset(range(7))
    if not match["span"]:
        return Period(weekdays, 0, 24 * 60)
    hour, minute, until_hour, until_minute = (int(part) for part in re.findall("[0-9]+", match["span"]))
    begin, end = hour * 60 + minute, until_hour * 60 + until_minute
    if begin >= 24 * 60 or end > 24 * 60 or begin == end:
        raise InvalidInput(
            f"{text!r} is not a period: times must be between 00:00 and 24:00 and differ; {_HOW}"
        )
    return Period(weekdays, begin, end if end > begin else end + 24 * 60)


def _weekdays(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        yield from range(begin, end + 1) if begin <= end else (*range(begin, 7), *range(end + 1))


@lru_cache(maxsize=256)
def time_zone(name: str) -> ZoneInfo:
    """The time zone with a name like `Europe/Prague`. Raises InvalidInput if it does not exist."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(f"{name!r} is not a time zone: write, for example, UTC or Europe/Prague") from None
