"""Days and times as the operator writes and reads them: in the time zone of the settings."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import typer

from stasis_callback.admin.context import settings
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.periods import last_day as last_day
from stasis_callback.core.periods import local_time as local_time
from stasis_callback.core.periods import time_zone

FIRST_YEAR, LAST_YEAR = 2000, 2999
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}(:[0-9]{2})?(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?)"
)
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])", re.ASCII)


def operators_zone() -> ZoneInfo:
    """The operator's time zone. Raises InvalidInput for invalid settings."""
    return time_zone(settings().time_zone)


def day_start_us(day: date, zone: ZoneInfo) -> int:
    """When a day begins."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * US_PER_S


def today(zone: ZoneInfo) -> date:
    """The operator's day."""
    return datetime.fromtimestamp(Clock().now_us() // US_PER_S, zone).date()


def parse_day(text: str, zone: ZoneInfo) -> date:
    """A day: `2026-11-30`, `today` or `yesterday`. Raises InvalidInput."""
    if text in ("today", "yesterday"):
        return today(zone) - timedelta(days=text == "yesterday")
    try:
        day = date.fromisoformat(text if _DAY.fullmatch(text) else "")
    except ValueError:
        day = date.min
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise InvalidInput(f"{text[:40]!r} is not a date: write, for example, 2026-11-30")
    return day


def _parse_day_of(text: str, zone: ZoneInfo) -> date:
    """The same where a time may be given too."""
    try:
        return parse_day(text, zone)
    except InvalidInput:
        raise InvalidInput(
            f"{text[:40]!r} is not a day or time: write, for example, 2027-01-31, 2027-01-31T18:00 or "
            "2027-01-31T18:00+01:00"
        ) from None


def since_us(text: str, zone: ZoneInfo | None = None) -> int:
    """The beginning of a day, or a time, in microseconds; without a zone the operator's. Raises InvalidInput."""
    zone = zone or operators_zone()
    at_us = _instant_us(text, zone)
    return day_start_us(_parse_day_of(text, zone), zone) if at_us is None else at_us


def until_us(text: str, zone: ZoneInfo | None = None) -> int:
    """The end of a day (exclusive), or a time, in microseconds, likewise. Raises InvalidInput."""
    zone = zone or operators_zone()
    at_us = _instant_us(text, zone)
    return day_start_us(_parse_day_of(text, zone) + timedelta(days=1), zone) if at_us is None else at_us


def has_passed(until_us: int | None) -> bool:
    """Whether an end that somebody gives is over already; None is no end."""
    return until_us is not None and until_us <= Clock().now_us()


def require_to_come(until_us: int | None, text: str | None) -> None:
    """Raises InvalidInput if the end of what is made, written as `text`, is over: it could never be used."""
    if has_passed(until_us):
        raise InvalidInput(f"--expires {text} has passed: write a day or time that is still to come")


def warn_if_passed(until_us: int | None, what: str) -> None:
    """Warn that what was changed cannot be used any more, which may be on purpose."""
    if has_passed(until_us):
        typer.echo(f"warning: {what} has expired with that: the time has passed", err=True)


def month_us(text: str, zone: ZoneInfo) -> tuple[int, int]:
    """The beginning and the end (exclusive) of a month such as `2026-11`. Raises InvalidInput."""
    match = _MONTH.fullmatch(text)
    if match is None or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        raise InvalidInput(f"{text[:40]!r} is not a month: write, for example, 2026-11")
    first = date(int(match[1]), int(match[2]), 1)
    return day_start_us(first, zone), day_start_us((first + timedelta(days=31)).replace(day=1), zone)


def _instant_us(text: str, zone: ZoneInfo) -> int | None:
    """A time of day; None for what is no such text."""
    if not _TIME.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    # A float has no room for the microseconds of far years.
    return int(moment.replace(microsecond=0).timestamp()) * US_PER_S + moment.microsecond
