"""Opening hours, and times that are chosen, by the clock of a zone."""

from __future__ import annotations

from datetime import datetime

import pytest

from stasis_callback.core.email import EmailOptions
from stasis_callback.core.opening import appointment, chosen_us, is_open, on_the_clock, opens_us
from stasis_callback.core.periods import parse_off_peak, time_zone

ZONE = "Europe/Prague"
HOURS = parse_off_peak("mon-fri 09:00-17:00", ZONE)


def at_us(text: str, zone: str = ZONE) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=time_zone(zone)).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("now",               "text",                      "means"),
    [
        ("2027-01-29T16:00", "16:30",                  "2027-01-29 16:30"),
        ("2027-01-29T16:00", "16:00",                  "2027-01-30 16:00"),
        ("2027-01-29T16:00", "09:00",                  "2027-01-30 09:00"),
        ("2027-01-29T16:00", "2027-01-29T17:00+00:00", "2027-01-29 18:00"),
        ("2027-01-29T16:00", "2027-01-29T14:00+00:00", None),
        ("2027-01-29T16:00", "2027-02-03T14:00+00:00", None),
        ("2027-01-29T16:00", "2027-01-29T17:00",       None),
        ("2027-01-29T16:00", "25:00",                  None),
        ("2027-01-29T16:00", "soon",                   None),
        ("2027-03-27T23:00", "03:30",                  "2027-03-28 03:30"),  # the clocks go forward that night
    ],
)  # fmt: skip
def test_a_time_is_the_next_one_that_the_clock_shows(now: str, text: str, means: str | None) -> None:
    found = chosen_us(text, ZONE, at_us(now))
    assert (None if found is None else on_the_clock(found, ZONE)) == (means and f"{means} ({ZONE})")


@pytest.mark.parametrize(
    ("wanted",                     "takes", "delay_s", "trouble",   "opens"),
    [
        ("",                       False,   0,         "",          None),
        ("16:30",                  True,    1800,      "",          None),
        ("2027-01-29T16:30+01:00", True,    1800,      "",          None),
        ("16:30",                  False,   0,         "no_times",  None),
        ("2027-01-29T15:59+01:00", True,    0,         "bad_time",  None),
        ("2027-01-30T16:01+01:00", True,    0,         "bad_time",  None),
        ("half past four",         True,    0,         "bad_time",  None),
        ("17:00",                  True,    0,         "closed",    "2027-02-01 09:00 (Europe/Prague)"),
    ],
)  # fmt: skip
def test_a_callback_is_made_at_once_at_a_time_or_not(
    wanted: str, takes: bool, delay_s: int, trouble: str, opens: str | None
) -> None:
    opening = EmailOptions(opening_hours="mon-fri 09:00-17:00", time_zone=ZONE, call_me_at=takes)
    found = appointment(opening, wanted, at_us("2027-01-29T16:00"))
    assert (found.delay_s, found.trouble) == (delay_s, trouble)
    assert (None if found.opens_us is None else on_the_clock(found.opens_us, ZONE)) == opens


def test_closed_over_the_weekend() -> None:
    assert HOURS is not None
    friday, saturday = at_us("2027-01-29T16:59"), at_us("2027-01-30T12:00")
    assert is_open(HOURS, friday)
    assert not is_open(HOURS, at_us("2027-01-29T17:00"))
    assert is_open(None, saturday)
    opens = opens_us(HOURS, saturday)
    assert opens is not None
    assert on_the_clock(opens, ZONE) == "2027-02-01 09:00 (Europe/Prague)"
    never = parse_off_peak("2020-01-01 09:00-17:00", ZONE)
    assert never is not None
    assert opens_us(never, saturday) is None
