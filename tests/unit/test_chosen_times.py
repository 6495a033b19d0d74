"""A time of day that is chosen, in the nights in which clocks are put back or forward, and in any zone on any day."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stasis_callback.core.email import EmailOptions
from stasis_callback.core.opening import appointment, chosen_us
from stasis_callback.core.options import CallOptions

US_PER_S = 1_000_000
PRAGUE = "Europe/Prague"
ZONES = sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC")
HOURS = st.integers(0, 23)
MINUTES = st.integers(0, 59)


def moment_us(text: str, zone: str) -> int:
    """A moment by the clocks of a zone; `*` behind it: when they show it for the second time."""
    wall = datetime.fromisoformat(text.rstrip("*")).replace(tzinfo=ZoneInfo(zone), fold=text.endswith("*"))
    return int(wall.timestamp()) * US_PER_S


@pytest.mark.parametrize(
    ("zone",               "now",                 "text",  "means"),
    [
        (PRAGUE,               "2027-10-29T17:31",    "17:00", "2027-10-30T17:00"),
        (PRAGUE,               "2027-10-30T17:31",    "17:00", "2027-10-31T17:00"),   # 24 hours and 29 minutes ahead
        (PRAGUE,               "2027-10-30T17:31",    "17:31", "2027-10-31T17:31"),   # 25 hours
        (PRAGUE,               "2027-10-30T23:00",    "02:30", "2027-10-31T02:30"),
        (PRAGUE,               "2027-10-31T02:45",    "02:30", "2027-10-31T02:30*"),  # 45 minutes
        (PRAGUE,               "2027-10-31T02:30",    "02:30", "2027-10-31T02:30*"),
        (PRAGUE,               "2027-10-31T02:45",    "02:50", "2027-10-31T02:50"),
        (PRAGUE,               "2027-10-31T02:15*",   "02:30", "2027-10-31T02:30*"),
        (PRAGUE,               "2027-10-31T02:45*",   "02:30", "2027-11-01T02:30"),
        (PRAGUE,               "2027-03-27T23:00",    "02:30", "2027-03-28T03:00"),   # skipped
        (PRAGUE,               "2027-03-27T23:00",    "02:00", "2027-03-28T03:00"),
        (PRAGUE,               "2027-03-27T23:00",    "03:00", "2027-03-28T03:00"),
        (PRAGUE,               "2027-03-28T01:59:59", "02:59", "2027-03-28T03:00"),
        (PRAGUE,               "2027-03-28T03:00",    "02:30", "2027-03-29T02:30"),
        (PRAGUE,               "2027-03-27T17:31",    "17:00", "2027-03-28T17:00"),
        ("Antarctica/Troll",   "2027-10-30T17:31",    "17:30", "2027-10-31T17:30"),   # by two hours
        ("Australia/Lord_Howe","2027-04-04T01:50",    "01:45", "2027-04-04T01:45*"),  # by half an hour
        ("America/St_Johns",   "2010-11-07T00:00:30", "23:30", "2010-11-06T23:30*"),  # back to the day before
        ("Africa/Cairo",       "2027-10-28T23:50",    "23:30", "2027-10-28T23:30*"),  # at midnight
        ("Asia/Beirut",        "2027-03-27T23:30",    "00:15", "2027-03-28T01:00"),   # a day without its midnight
        ("Pacific/Apia",       "2011-12-29T18:00",    "17:00", "2011-12-31T00:00"),   # a whole day was skipped
    ],
)  # fmt: skip
def test_clocks_that_are_put_back_or_forward(zone: str, now: str, text: str, means: str) -> None:
    assert chosen_us(text, zone, moment_us(now, zone)) == moment_us(means, zone)


def shown(at_us: int, zone: str) -> datetime:
    """What the clocks of a zone show."""
    return datetime.fromtimestamp(at_us // US_PER_S, ZoneInfo(zone)).replace(tzinfo=None)


def is_shown_between(after_us: int, before_us: int, text: str, zone: str) -> bool:
    """Whether the clocks show a time of day at the full minute, after one moment and before another."""
    first = after_us // US_PER_S + 1
    minutes = range(first + -first % 60, before_us // US_PER_S, 60)
    return any(shown(at_s * US_PER_S, zone).strftime("%H:%M:%S") == f"{text}:00" for at_s in minutes)


@given(
    zone=st.sampled_from(ZONES), now_s=st.integers(1_000_000_000, 4_000_000_000), hour=HOURS, minute=MINUTES
)
@example(zone=PRAGUE, now_s=moment_us("2027-10-30T17:31", PRAGUE) // US_PER_S, hour=17, minute=0)
@example(zone=PRAGUE, now_s=moment_us("2027-10-31T02:45", PRAGUE) // US_PER_S, hour=2, minute=30)
@example(zone=PRAGUE, now_s=moment_us("2027-03-27T23:00", PRAGUE) // US_PER_S, hour=2, minute=30)
def test_it_is_the_next_time_that_the_clocks_show_it(zone: str, now_s: int, hour: int, minute: int) -> None:
    check(zone, now_s, hour, minute)


def changes(zone: str, year: int) -> list[int]:
    """When the clocks of a zone are put back or forward in a year, in epoch seconds."""
    tz, found = ZoneInfo(zone), []
    begin = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    for day_s in range(begin, begin + 366 * 86_400, 86_400):
        low, high = day_s, day_s + 86_400
        before = datetime.fromtimestamp(low, tz).utcoffset()
        if datetime.fromtimestamp(high, tz).utcoffset() == before:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            same = datetime.fromtimestamp(middle, tz).utcoffset() == before
            low, high = (middle, high) if same else (low, middle)
        found.append(high)
    return found


CHANGING = [zone for zone in ZONES if changes(zone, 2027)]


@given(
    zone=st.sampled_from(CHANGING),
    which=st.integers(0, 3),
    from_s=st.integers(-90_000, 90_000),
    hour=HOURS,
    minute=MINUTES,
)
def test_it_is_so_around_each_change_of_the_clocks(
    zone: str, which: int, from_s: int, hour: int, minute: int
) -> None:
    """Within a day of a change in 2027."""
    moments = changes(zone, 2027)
    check(zone, moments[which % len(moments)] + from_s, hour, minute)


def check(zone: str, now_s: int, hour: int, minute: int) -> None:
    """What is chosen is the next time, and accepted."""
    text, now_us = f"{hour:02}:{minute:02}", now_s * US_PER_S + 123_456
    at_us = chosen_us(text, zone, now_us)
    assert at_us is not None
    assert at_us > now_us
    before, wall = shown(at_us - US_PER_S, zone), shown(at_us, zone)
    # By the clocks less than a day; so it may be more by how much they are put back, three hours at most.
    assert before - shown(now_us, zone) < timedelta(days=1)
    assert at_us - now_us <= 27 * 3600 * US_PER_S
    if wall.time() != time(hour, minute):  # skipped in this very moment
        assert any(before < datetime.combine(day, time(hour, minute)) < wall for day in (before, wall))
    assert not is_shown_between(now_us, at_us, text, zone)
    when = appointment(EmailOptions(call_me_at=True, time_zone=zone), text, now_us)
    assert when.trouble == ""
    assert CallOptions.parse({"callback_delay_s": str(when.delay_s)}).callback_delay_s == when.delay_s
