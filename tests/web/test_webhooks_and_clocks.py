"""Webhooks when the clock was ahead for a moment: nothing waits until then, and nothing is given up because of it."""

from __future__ import annotations

from typing import Any

from shop import NOON_US
from structlog.testing import capture_logs
from web_site import Site
from webhook_rig import Receiver, orders, telling

from stasis_callback.clock import US_PER_S, wait_until
from stasis_callback.web import webhooks
from stasis_callback.web.webhooks import (
    FAILURES_FIRST,
    LONGEST_PAUSE_S,
    OF_ONE_RECEIVER,
    OLDEST_S,
)

HOUR_S, DAY_S = 3600, 86_400
LONGEST_PAUSE_US = int(LONGEST_PAUSE_S * US_PER_S)


def until(condition: Any) -> None:
    assert wait_until(condition, timeout_s=30, every_s=0.05)


def deliveries(site: Site) -> set[str]:
    return {row["delivery"] for row in site.shop.rows()["RequestEvent"]}


def test_what_a_clock_a_day_ahead_has_noted_is_told_at_once(site: Site, receiver: Receiver) -> None:
    site.usual(webhook_url=receiver.url)
    site.server.webhooks.stop()
    site.shop.clock.passes(DAY_S)
    site.send()
    site.shop.clock.passes(-DAY_S)
    site.stores.requests.claim(1)
    (row,) = site.callbacks()
    site.stores.requests.cancel(row["id"])
    with telling(site):
        until(lambda: site.stores.events.undelivered() == 0)
    assert receiver.accepted == ["callback.queued", "callback.cancelled"]


def test_a_clock_ahead_for_a_moment_gives_up_nothing_of_a_receiver_that_is_away(
    site: Site, receiver: Receiver
) -> None:
    site.usual(webhook_url=receiver.url)
    site.server.webhooks.stop()
    orders(site, "calls", 10)
    receiver.answers = [503]
    with capture_logs() as log, telling(site):

        def failed() -> int:
            return len([line for line in log if line["event"] == "webhook.not_taken"])

        until(lambda: failed() == OF_ONE_RECEIVER)
        site.shop.clock.passes(OLDEST_S + HOUR_S)
        until(lambda: failed() > OF_ONE_RECEIVER)
        assert deliveries(site) == {"due"}
        site.shop.clock.passes(-OLDEST_S - HOUR_S)
        receiver.answers = [200]

        def all_told() -> bool:
            site.shop.clock.passes(1)
            return site.stores.events.undelivered() == 0

        until(all_told)
        assert site.shop.clock.at_us < NOON_US + HOUR_S * US_PER_S
    assert deliveries(site) == {"sent"}
    assert receiver.accepted == ["callback.queued"] * 10


def test_a_receiver_that_is_away_is_given_up_when_it_has_failed_often_enough() -> None:
    """At each of the last deliveries the step must have been too old."""
    receiver, at_us = webhooks.Receiver(), 1_800_000_000 * US_PER_S
    for n in range(FAILURES_FIRST):
        assert receiver.too_old_before_us() is None
        for _ in range(OF_ONE_RECEIVER):  # at the same time
            receiver.told("status 503", at_us + n * LONGEST_PAUSE_US)
    assert receiver.too_old_before_us() == at_us - OLDEST_S * US_PER_S
    receiver.told("status 503", at_us + 30 * DAY_S * US_PER_S)  # a clock that is ahead for a moment
    assert receiver.too_old_before_us() == at_us + LONGEST_PAUSE_US - OLDEST_S * US_PER_S
    receiver.told("", at_us)
    assert receiver.too_old_before_us() is None
