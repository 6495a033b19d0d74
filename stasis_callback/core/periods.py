"""Off-peak periods: times of day, days of the week and dates in a tariff's time zone, with daylight saving time.

Example: `mon-fri 19:00-07:00; sat; sun; 12-25,2027-03-29`. Alternatives are separated by `;`; each has days, a
time span, or both. Days are weekdays, dates (of every year without one) or ranges: `mon-fri`, `12-24..01-01`. A span
that passes midnight belongs to the day on which it begins. Modelled on PortaBilling's off-peak periods.

What counts is what the clock on the wall shows in the tariff's time zone, also in the nights in which it is changed.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stasis_callback.core.errors import InvalidInput

US_PER_S = 1_000_000
MINUTE_US = 60 * US_PER_S
DAY_US = 24 * 60 * MINUTE_US
PERIODS_LIMIT = 20

_EPOCH = date(1970, 1, 1)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(_DAYS)
_TIME = r"([01][0-9]|2[0-4]):([0-5][0-9])"
_DATE = r"(?:[0-9]{4}-)?[0-9]{2}-[0-9]{2}"
_SOME_DAYS = rf"(?:{_DAY})(?:-(?:{_DAY}))?|{_DATE}(?:\.\.{_DATE})?"
_PERIOD = re.compile(
    rf"(?P<days>(?:{_SOME_DAYS})(?:,(?:{_SOME_DAYS}))*)?(?:^| |$)(?P<span>{_TIME}-{_TIME})?", re.ASCII
)
_HOW = "write, for example, mon-fri 19:00-07:00; sat; sun"


@dataclass(frozen=True, slots=True)
class Dates:
    """The days from one date to another, as text: `2027-12-24`, or `12-24` of every year, also across its end."""

    first: str
    last: str

    def include(self, day: str) -> bool:
        """Whether a day (`2027-12-24`) is one of them."""
        shown = day[-len(self.first) :]
        if self.first <= self.last:
            return self.first <= shown <= self.last
        return shown >= self.first or shown <= self.last


@dataclass(frozen=True, slots=True)
class Period:
    """A span in minutes of the local day, on some weekdays (0 is Monday) and dates. `until_minute` is above 1440 if
    it passes midnight.
    """

    weekdays: frozenset[int]
    dates: tuple[Dates, ...]
    from_minute: int
    until_minute: int

    def begins_on(self, day: date) -> bool:
        """Whether there is such a span on a local day."""
        return day.weekday() in self.weekdays or any(dates.include(day.isoformat()) for dates in self.dates)


@dataclass(frozen=True, slots=True)
class OffPeak:
    """The off-peak periods of a tariff and their time zone."""

    periods: tuple[Period, ...]
    zone: str

    def spans(self, from_us: int, until_us: int) -> list[tuple[int, int]]:
        """The off-peak spans that overlap `from_us..until_us`, sorted and disjoint, in epoch microseconds."""
        merged: list[tuple[int, int]] = []
        for number in range(from_us // DAY_US, until_us // DAY_US + 1):
            for begin, end in _spans_of_day(self, number):
                if merged and begin <= merged[-1][1]:
                    merged[-1] = (merged[-1][0], max(merged[-1][1], end))
                else:
                    merged.append((begin, end))
        return [(begin, end) for begin, end in merged if end > from_us and begin <= until_us]


@lru_cache(maxsize=4096)
def _spans_of_day(off_peak: OffPeak, number: int) -> tuple[tuple[int, int], ...]:
    """The spans within one day of UTC (the first is 1970-01-01), sorted by start.

    A moment is off-peak if the local clock shows a time of a period. While the offset from UTC stays the same, local
    times are plain arithmetic; so each part of the day with one offset is looked at alone. What the local clock skips
    is then in no part, and what it shows twice is in two.
    """
    spans = []
    for from_us, until_us, offset_us in _parts_of_day(off_peak.zone, number):
        # A period of the previous local day may extend into this part.
        for local_day in range((from_us + offset_us) // DAY_US - 1, (until_us + offset_us - 1) // DAY_US + 1):
            midnight_us, day = local_day * DAY_US - offset_us, _EPOCH + timedelta(local_day)
            for period in off_peak.periods:
                begin_us = max(midnight_us + period.from_minute * MINUTE_US, from_us)
                end_us = min(midnight_us + period.until_minute * MINUTE_US, until_us)
                if begin_us < end_us and period.begins_on(day):
                    spans.append((begin_us, end_us))
    return tuple(sorted(spans))


def _parts_of_day(zone: str, number: int) -> list[tuple[int, int, int]]:
    """One day of UTC in parts of the same offset: begin, end and offset. No zone has changed twice within a day."""
    begin_us, end_us = number * DAY_US, (number + 1) * DAY_US
    before_us, after_us = _offset_us(zone, begin_us), _offset_us(zone, end_us - US_PER_S)
    if before_us == after_us:
        return [(begin_us, end_us, before_us)]
    seconds = range(begin_us, end_us, US_PER_S)
    change_us = seconds[bisect_left(seconds, True, key=lambda at_us: _offset_us(zone, at_us) != before_us)]
    return [(begin_us, change_us, before_us), (change_us, end_us, after_us)]


def _offset_us(zone: str, at_us: int) -> int:
    """How far the local clock is ahead of UTC."""
    offset = datetime.fromtimestamp(at_us // US_PER_S, time_zone(zone)).utcoffset() or timedelta()
    return offset // timedelta(microseconds=1)


@lru_cache(maxsize=256)
def parse_off_peak(text: str, zone: str) -> OffPeak | None:
    """Parse periods; None for an empty text. Raises InvalidInput, which names the invalid part."""
    time_zone(zone)
    parts = [part.strip() for part in text.lower().split(";") if part.strip()]
    if len(parts) > PERIODS_LIMIT:
        raise InvalidInput(f"too many off-peak periods ({len(parts)}): at most {PERIODS_LIMIT} are allowed")
    return OffPeak(tuple(_period(part) for part in parts), zone) if parts else None


def dates_over(off_peak: OffPeak, today: date) -> list[str]:
    """The dates of a year that had passed before `today`, which never come again."""
    dates = [
        some for period in off_peak.periods for some in period.dates if len(some.first) == len("2028-02-29")
    ]
    over = [some for some in dates if some.last < today.isoformat()]
    return [some.first if some.first == some.last else f"{some.first}..{some.last}" for some in over]


def _period(text: str) -> Period:
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise InvalidInput(f"{text!r} is not a period: {_HOW}")
    days = match["days"].split(",") if match["days"] else ["mon-sun"]
    weekdays = frozenset(day for some in days if some[0].isalpha() for day in _weekdays(some))
    dates = tuple(_dates(some) for some in days if some[0].isdigit())
    if not match["span"]:
        return Period(weekdays, dates, 0, 24 * 60)
    hour, minute, until_hour, until_minute = (int(part) for part in re.findall("[0-9]+", match["span"]))
    begin, end = hour * 60 + minute, until_hour * 60 + until_minute
    if begin >= 24 * 60 or end > 24 * 60 or begin == end:
        raise InvalidInput(
            f"{text!r} is not a period: times must be between 00:00 and 24:00 and differ; {_HOW}"
        )
    return Period(weekdays, dates, begin, end if end > begin else end + 24 * 60)


def _weekdays(text: str) -> Iterator[int]:
    first, _, last = text.partition("-")
    begin, end = _DAYS.index(first), _DAYS.index(last or first)
    yield from range(begin, end + 1) if begin <= end else (*range(begin, 7), *range(end + 1))


def _dates(text: str) -> Dates:
    first, _, last = text.partition("..")
    last = last or first
    for one in (first, last):
        try:
            date.fromisoformat(one if len(one) == len("2028-02-29") else f"2028-{one}")
        except ValueError:
            raise InvalidInput(f"{one!r} is not a date: write, for example, 12-25 or 2027-12-25") from None
    if len(first) != len(last):
        raise InvalidInput(f"{text!r} has one date with a year and one without: write both alike")
    if first > last and len(first) == len("2028-02-29"):
        raise InvalidInput(f"{text!r} ends before it begins: write the earlier date first")
    return Dates(first, last)


@lru_cache(maxsize=256)
def time_zone(name: str) -> ZoneInfo:
    """The time zone with a name like `Europe/Prague`. Raises InvalidInput if it does not exist."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(f"{name!r} is not a time zone: write, for example, UTC or Europe/Prague") from None


def local_time(at_us: int, zone: ZoneInfo) -> str:
    """A time by the clocks of a zone, to the second: `2026-11-23 22:04:05`."""
    return datetime.fromtimestamp(at_us // 1_000_000, zone).strftime("%Y-%m-%d %H:%M:%S")


def last_day(until_us: int | None, zone: ZoneInfo) -> str:
    """The last day of a time that ends at `until_us` (exclusive); "" for one that does not end."""
    return (
        ""
        if until_us is None
        else datetime.fromtimestamp((until_us - 1) // 1_000_000, zone).date().isoformat()
    )
