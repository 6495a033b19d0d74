"""When a callback that was asked for is made: at once or at a time that was chosen, within the opening hours."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

from stasis_callback.core.periods import DAY_US, US_PER_S, OffPeak, time_zone

OPENING_HOURS = (
    "When calls are made, for example mon-fri 09:00-17:00; empty: always. Written like off-peak periods."
)
TIME_ZONE = "Time zone of the opening hours and of times that are chosen."
CALL_ME_AT = "Let the user choose a time within the next 24 hours."
"""What the options of an instance mean that have to do with it."""

LATEST_US = DAY_US
"""How far ahead a time in ISO 8601 may be chosen."""
SEARCHED_US = 60 * DAY_US
_CLOCK_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)


class Opening(Protocol):
    """The settings of an instance that have to do with it."""

    @property
    def hours(self) -> OffPeak | None: ...

    @property
    def time_zone(self) -> str: ...

    @property
    def call_me_at(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Appointment:
    """When a callback is made: `delay_s` from now, or never, for `trouble`."""

    delay_s: int = 0
    trouble: Literal["", "bad_time", "no_times", "closed"] = ""
    """`bad_time`: not within the next 24 hours; `no_times`: none can be chosen here; `closed`: no calls then."""
    opens_us: int | None = None
    """Of what is `closed`: when calls are made again; None if not within two months."""


def appointment(opening: Opening, wanted: str, now_us: int) -> Appointment:
    """When a callback is made for which a time was chosen, or none ("": at once)."""
    if wanted and not opening.call_me_at:
        return Appointment(trouble="no_times")
    at_us = chosen_us(wanted, opening.time_zone, now_us) if wanted else now_us
    if at_us is None:
        return Appointment(trouble="bad_time")
    hours = opening.hours
    if hours is None or is_open(hours, at_us):
        return Appointment(-(-(at_us - now_us) // US_PER_S))
    return Appointment(trouble="closed", opens_us=opens_us(hours, at_us))


def is_open(hours: OffPeak | None, at_us: int) -> bool:
    """Whether calls are made at a moment."""
    return hours is None or any(begin <= at_us < end for begin, end in hours.spans(at_us, at_us))


def opens_us(hours: OffPeak, after_us: int) -> int | None:
    """When calls are made again; None if that is not within two months."""
    for from_us in range(after_us, after_us + SEARCHED_US, 7 * DAY_US):
        for begin_us, end_us in hours.spans(from_us, from_us + 7 * DAY_US):
            if end_us > after_us:
                return max(begin_us, after_us)
    return None


def chosen_us(text: str, zone: str, now_us: int) -> int | None:
    """The moment of `17:30`, the next time that clocks in `zone` show it, or of a time in ISO 8601 with its zone.

    None if it is neither, or if a time in ISO 8601 has passed or is more than a day ahead. The clocks show each time
    within a day, or a little later: by what they are put back meanwhile. They show it again when they are put back
    past it; a time that they skip is the moment in which they do.
    """
    match = _CLOCK_TIME.fullmatch(text)
    if match:
        return _next_shown_us(int(match[1]), int(match[2]), time_zone(zone), now_us)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    at_us = _epoch_us(moment)
    return at_us if now_us < at_us <= now_us + LATEST_US else None


def on_the_clock(at_us: int, zone: str) -> str:
    """A moment as the clock in a zone shows it: `2027-03-28 17:30 (Europe/Prague)`."""
    return f"{datetime.fromtimestamp(at_us // US_PER_S, time_zone(zone)):%Y-%m-%d %H:%M} ({zone})"


def _next_shown_us(hour: int, minute: int, zone: ZoneInfo, now_us: int) -> int:
    """The next moment after `now_us` in which clocks show a time of day, or skip it."""
    today = datetime.fromtimestamp(now_us // US_PER_S, zone).date()
    # Clocks that are put back at midnight show times of the day before.
    walls = (datetime.combine(today + timedelta(days), time(hour, minute)) for days in (-1, 0, 1))
    return min(at_us for wall in walls for at_us in _shown_us(wall, zone) if at_us > now_us)


def _shown_us(wall: datetime, zone: ZoneInfo) -> tuple[int, ...]:
    """The moments in which clocks show `wall` (without a zone): two when they are put back past it, else one."""
    first_us, second_us = (_epoch_us(wall.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if first_us <= second_us:
        return first_us, second_us
    # Skipped: the clocks are put forward between the two, which are by the offsets after and before that.
    seconds = range(second_us // US_PER_S, first_us // US_PER_S + 1)
    skipped = bisect_left(seconds, True, key=lambda at_s: _wall(at_s, zone) > wall)
    return (seconds[skipped] * US_PER_S,)


def _wall(at_s: int, zone: ZoneInfo) -> datetime:
    """What the clocks of a zone show."""
    return datetime.fromtimestamp(at_s, zone).replace(tzinfo=None)


def _epoch_us(moment: datetime) -> int:
    return int(moment.timestamp()) * US_PER_S
