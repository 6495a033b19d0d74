"""A time is chosen in a mail before the clocks go back."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from mail_site import MailSite, mail
from test_receiving import COMMAND

from stasis_callback.clock import US_PER_S

PRAGUE = ZoneInfo("Europe/Prague")


@pytest.mark.parametrize(
    ("now", "chosen", "delay_s"),
    [
        (datetime(2027, 10, 30, 17, 31, tzinfo=PRAGUE), "17:00", 24 * 3600 + 29 * 60),
        (datetime(2027, 10, 31, 2, 45, tzinfo=PRAGUE), "02:30", 45 * 60),
    ],
    ids=["a day of 25 hours", "an hour that comes twice"],
)
def test_a_time_in_the_night_in_which_clocks_go_back(
    site: MailSite, now: datetime, chosen: str, delay_s: int
) -> None:
    site.shop.clock.at_us = int(now.timestamp()) * US_PER_S
    site.usual(call_me_at="on", time_zone="Europe/Prague")
    site.taken(mail(body=f"{COMMAND} AT {chosen}"))
    (callback,) = site.callbacks()
    assert callback["due_at_us"] == site.shop.clock.at_us + delay_s * US_PER_S
    assert f"2027-10-31 {chosen} (Euro" in site.replies()[0]["content"]
