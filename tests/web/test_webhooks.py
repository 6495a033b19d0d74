"""Webhooks: every step, in order, signed, until it is taken."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from structlog.testing import capture_logs
from web_site import SECRET, Site

from stasis_callback.clock import US_PER_S, wait_until
from stasis_callback.store.requests import Again
from stasis_callback.web.signing import Signer
from stasis_callback.web.webhooks import ATTEMPTS


class Receiver(ThreadingHTTPServer):
    """Takes webhooks; answers what `answers` says, the last of it for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers = [200]
        self.taken: list[tuple[dict[str, str], bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server: Any = self.server
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.taken.append((dict(self.headers), body))
                status = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in list(self.taken)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def until(condition: Any) -> None:
    assert wait_until(condition, timeout_s=10)


def test_every_step_is_told_in_order_and_signed(site: Site, receiver: Receiver) -> None:
    site.usual(webhook_url=receiver.url)
    site.send()
    (row,) = site.callbacks()
    site.stores.requests.claim(1)
    site.stores.requests.retry(site.stores.requests.get(row["id"]), Again(0), outcome="busy")
    site.stores.requests.claim(1)
    site.stores.requests.answered(site.stores.requests.get(row["id"]))
    account = site.stores.accounts.named("6192345678")
    leg_id = f"{row['id']}-b1"
    site.shop.leg(leg_id, account, site.stores.requests.get(row["id"]), hold="1.00")
    site.stores.calls.leg_answered(leg_id, site.shop.clock.at_us)
    site.stores.calls.leg_answered(leg_id, site.shop.clock.at_us)
    from shop import talked

    site.stores.calls.settle(leg_id, talked(30))
    site.stores.calls.settle(leg_id, talked(30))
    site.stores.requests.finish(row["id"], "completed")
    steps = "queued calling_first retrying calling_first first_answered calling_second connected second_ended ended"
    until(lambda: len(receiver.taken) == 9)
    assert receiver.types == [f"callback.{step}" for step in steps.split()]

    secret = Signer(SECRET).webhook_secret("calls")
    for headers, body in receiver.taken:
        parts = dict(part.split("=", 1) for part in headers["Stasis-Callback-Signature"].split(","))
        expected = hmac.new(secret.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(expected, parts["v1"])
        assert int(parts["t"]) == site.shop.clock.at_us // US_PER_S
    last = json.loads(receiver.taken[-1][1])["callback"]
    assert (last["step"], last["reason"], last["talk_s"], last["over"]) == ("ended", "completed", 30, True)
    first = json.loads(receiver.taken[0][1])
    assert (first["callback"]["step"], first["callback"]["over"], len(first["callback"]["steps"])) == (
        "queued",
        False,
        1,
    )
    assert "status_url" not in first["callback"], "the link is for who asked, and for nobody's logs"


def test_what_is_not_taken_is_told_again_later_and_again(site: Site, receiver: Receiver) -> None:
    site.usual(webhook_url=receiver.url)
    receiver.answers = [500, 302, 200]
    with capture_logs() as log:
        site.send()
        until(lambda: len(receiver.taken) == 1)
        until(lambda: len([line for line in log if line["event"] == "webhook.not_taken"]) == 1)
        assert not wait_until(lambda: len(receiver.taken) > 1, timeout_s=1.5), "it is not hurried"
        site.shop.clock.passes(5)
        until(lambda: len(receiver.taken) == 2)
        until(lambda: len([line for line in log if line["event"] == "webhook.not_taken"]) == 2)
        site.shop.clock.passes(10)
        until(lambda: len(receiver.taken) == 3)
    until(lambda: site.stores.events.undelivered() == 0)
    assert len({body for _, body in receiver.taken}) == 1, "the same event has the same id"
    assert [line["error"] for line in log if line["event"] == "webhook.not_taken"] == [
        "status 500",
        "status 302",
    ]


def test_a_later_step_waits_for_the_one_before_it(site: Site, receiver: Receiver) -> None:
    site.usual(webhook_url=receiver.url)
    receiver.answers = [500, 200]
    site.send()
    until(lambda: len(receiver.taken) == 1)
    site.stores.requests.claim(1)
    assert not wait_until(lambda: len(receiver.taken) > 1, timeout_s=1.5)
    site.shop.clock.passes(6)
    until(lambda: len(receiver.taken) == 3)
    assert receiver.types == ["callback.queued", "callback.queued", "callback.calling_first"]


def test_a_receiver_that_is_gone_is_given_up_in_the_end(site: Site) -> None:
    site.usual(webhook_url="http://127.0.0.1:1/nobody")
    with capture_logs() as log:
        site.send()

        def given_up() -> bool:
            site.shop.clock.passes(600)
            return site.stores.events.undelivered() == 0

        assert wait_until(given_up, timeout_s=60, every_s=0.2)
    tries = [line for line in log if line["event"] == "webhook.not_taken"]
    assert (len(tries), tries[-1]["given_up"]) == (ATTEMPTS, True)


def test_without_an_address_nothing_is_told(site: Site) -> None:
    site.usual()
    site.send()
    until(lambda: site.stores.events.undelivered() == 0)
    assert [row["delivery"] for row in site.shop.rows()["RequestEvent"]] == ["unwanted"]


def test_what_was_not_told_before_a_restart_is_told_after_it(site: Site, receiver: Receiver) -> None:
    site.usual(webhook_url=receiver.url)
    site.server.webhooks.stop()
    site.send()
    assert receiver.taken == []
    from web_site import Site as Again

    again = Again(site.shop)
    again.server.start()
    try:
        until(lambda: receiver.types == ["callback.queued"])
    finally:
        again.http.close()
        again.server.stop()
