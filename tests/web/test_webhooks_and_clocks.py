"""Webhooks when the clock was ahead for a moment: nothing waits until then, and nothing is given up because of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from shop import NOON_US
from structlog.testing import capture_logs
from web_site import ACCOUNT, SECOND_E164, Site

from stasis_callback.clock import US_PER_S, wait_until
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.monitoring.metrics import Metrics
from stasis_callback.web.webhooks import (
    FAILURES_FIRST,
    LONGEST_PAUSE_S,
    OF_ONE_RECEIVER,
    OLDEST_S,
    Receiver,
    Webhooks,
)
from stasis_callback.workers import Workers

HOUR_S, DAY_S = 3600, 86_400
LONGEST_PAUSE_US = int(LONGEST_PAUSE_S * US_PER_S)


class Counterpart(ThreadingHTTPServer):
    """A receiver of webhooks that answers with `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        self.status = 200
        self.taken: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server: Any = self.server
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.taken += [told["type"]] if server.status == 200 else []
                self.send_response(server.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is closed resets its connections; nobody is told on standard error."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


@pytest.fixture
def counterpart() -> Iterator[Counterpart]:
    with Counterpart() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def telling(site: Site) -> Iterator[Webhooks]:
    """Webhooks that find what is stored so far."""
    metrics = Metrics(site.stores, Workers(), lambda: True, site.shop.clock)
    webhooks = Webhooks(site.stores, site.server.app.signer, site.shop.clock, metrics)
    webhooks.start()
    try:
        yield webhooks
    finally:
        webhooks.stop()


def orders(site: Site, count: int) -> None:
    """Queue callbacks of the instance, each with a step to tell."""
    account = site.stores.accounts.change(ACCOUNT, simultaneous_calls=1000)
    for key in (f"44{n:06d}" for n in range(count)):
        request = CallbackRequest(key, "web", "x", "", SECOND_E164, "calls")
        assert site.stores.requests.accept(
            request, account_id=account.id, subscriber_id=None, leg_a_number=key, stored_options={},
            queue_limit=9999,
        ) == ""  # fmt: skip


def until(condition: Any) -> None:
    assert wait_until(condition, timeout_s=30, every_s=0.05)


def deliveries(site: Site) -> set[str]:
    return {row["delivery"] for row in site.shop.rows()["RequestEvent"]}


def test_what_a_clock_a_day_ahead_has_noted_is_told_at_once(site: Site, counterpart: Counterpart) -> None:
    site.usual(webhook_url=counterpart.url)
    site.server.webhooks.stop()
    site.shop.clock.passes(DAY_S)
    site.send()
    site.shop.clock.passes(-DAY_S)
    site.stores.requests.claim(1)
    (row,) = site.callbacks()
    site.stores.requests.cancel(row["id"])
    with telling(site):
        until(lambda: site.stores.events.undelivered() == 0)
    assert counterpart.taken == ["callback.queued", "callback.cancelled"]


def test_a_clock_ahead_for_a_moment_gives_up_nothing_of_a_receiver_that_is_away(
    site: Site, counterpart: Counterpart
) -> None:
    site.usual(webhook_url=counterpart.url)
    site.server.webhooks.stop()
    orders(site, 10)
    counterpart.status = 503
    with capture_logs() as log, telling(site):

        def failed() -> int:
            return len([line for line in log if line["event"] == "webhook.not_taken"])

        until(lambda: failed() == OF_ONE_RECEIVER)
        site.shop.clock.passes(OLDEST_S + HOUR_S)
        until(lambda: failed() > OF_ONE_RECEIVER)
        assert deliveries(site) == {"due"}
        site.shop.clock.passes(-OLDEST_S - HOUR_S)
        counterpart.status = 200

        def all_told() -> bool:
            site.shop.clock.passes(1)
            return site.stores.events.undelivered() == 0

        until(all_told)
        assert site.shop.clock.at_us < NOON_US + HOUR_S * US_PER_S
    assert deliveries(site) == {"sent"}
    assert counterpart.taken == ["callback.queued"] * 10


def test_a_receiver_that_is_away_is_given_up_when_it_has_failed_often_enough() -> None:
    """At each of the last deliveries the step must have been too old."""
    receiver, at_us = Receiver(), 1_800_000_000 * US_PER_S
    for n in range(FAILURES_FIRST):
        assert receiver.too_old_before_us() is None
        for _ in range(OF_ONE_RECEIVER):  # at the same time
            receiver.told("status 503", at_us + n * LONGEST_PAUSE_US)
    assert receiver.too_old_before_us() == at_us - OLDEST_S * US_PER_S
    receiver.told("status 503", at_us + 30 * DAY_S * US_PER_S)  # a clock that is ahead for a moment
    assert receiver.too_old_before_us() == at_us + LONGEST_PAUSE_US - OLDEST_S * US_PER_S
    receiver.told("", at_us)
    assert receiver.too_old_before_us() is None
