"""A time is chosen before the clocks go back: in a form, by a program, in a message."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from test_messages import COMMAND, sends, usual
from test_public_forms import JSON
from web_site import FIRST, PASSWORD, SECOND_E164, Site

from stasis_callback.clock import US_PER_S

PRAGUE = ZoneInfo("Europe/Prague")
EVENING = datetime(2027, 10, 30, 17, 31, tzinfo=PRAGUE)
IN_THE_NIGHT = datetime(2027, 10, 31, 2, 45, tzinfo=PRAGUE)
nights = pytest.mark.parametrize(
    ("now", "chosen", "delay_s"),
    [(EVENING, "17:00", 24 * 3600 + 29 * 60), (IN_THE_NIGHT, "02:30", 45 * 60)],
    ids=["a day of 25 hours", "an hour that comes twice"],
)


def set_to(site: Site, now: datetime) -> None:
    """Its clock shows a time."""
    site.shop.clock.at_us = int(now.timestamp()) * US_PER_S


def waits_s(site: Site) -> float:
    """How long the callback waits."""
    (row,) = site.callbacks()
    return (row["due_at_us"] - site.shop.clock.at_us) / US_PER_S  # type: ignore[no-any-return]


@nights
def test_in_a_form(site: Site, now: datetime, chosen: str, delay_s: int) -> None:
    set_to(site, now)
    site.usual(call_me_at="on", time_zone="Europe/Prague")
    page = site.send(call_at=chosen)
    assert page.status_code == 303
    assert f"2027-10-31 {chosen} (Europe/Prague)" in site.get(page.headers["Location"]).text
    assert waits_s(site) == delay_s
    site.shop.clock.passes(delay_s)
    assert len(site.stores.requests.claim(1)) == 1


@nights
def test_by_a_program(site: Site, now: datetime, chosen: str, delay_s: int) -> None:
    set_to(site, now)
    site.usual(call_me_at="on", time_zone="Europe/Prague")
    assert site.send(headers=JSON, call_at=chosen).status_code == 201
    assert waits_s(site) == delay_s
    body = {
        "instance": "calls", "account": "6192345678", "password": PASSWORD, "first_number": FIRST,
        "second_number": "+" + SECOND_E164, "call_at": chosen,
    }  # fmt: skip
    again = site.api("POST", "/callbacks", site.key(), json=body)
    assert again.status_code == 409  # it waits already


@nights
def test_in_a_message(site: Site, now: datetime, chosen: str, delay_s: int) -> None:
    set_to(site, now)
    usual(site, call_me_at="on", time_zone="Europe/Prague")
    answer = sends(site, f"{COMMAND} AT {chosen}").json()
    assert answer["result"] == "accepted"
    assert f"at 2027-10-31 {chosen} (Europe/Prague)" in answer["reply"]
    assert waits_s(site) == delay_s
