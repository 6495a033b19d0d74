"""Webhooks: every step, in order, signed, until it is taken."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs
from web_site import ACCOUNT, SECRET, Site
from webhook_rig import Receiver, orders, telling

from stasis_callback.clock import US_PER_S, wait_until
from stasis_callback.core.fraud import Alarms, Cause, Measure, OverBudget, Spent
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.words import Ending
from stasis_callback.store.calls.requests import Again
from stasis_callback.web.posting import Poster
from stasis_callback.web.signing import Signer, webhook_headers
from stasis_callback.web.webhooks import (
    AGAIN,
    LONGEST_PAUSE_S,
    OF_ONE_RECEIVER,
    OLDEST_S,
)


def until(condition: Any) -> None:
    assert wait_until(condition, timeout_s=30)


def in_time(site: Site, condition: Callable[[], bool]) -> None:
    """Time passes until it holds: a try that failed may be noted only after the receiver has answered."""

    def holds() -> bool:
        site.shop.clock.passes(6)
        return condition()

    until(holds)


@pytest.mark.parametrize(
    ("show_cost", "cost"), [("off", None), ("on", {"amount": "0.30", "currency": "USD"})]
)
def test_every_step_is_told_in_order_and_signed(
    site: Site, receiver: Receiver, show_cost: str, cost: object
) -> None:
    site.usual(webhook_url=receiver.url, show_cost=show_cost)
    site.send()
    (row,) = site.callbacks()
    site.stores.requests.claim(1)
    site.stores.requests.retry(site.stores.requests.get(row["id"]), Again(0), outcome=Ending.BUSY)
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
    site.stores.requests.finish(row["id"], Ending.COMPLETED)
    steps = "queued calling_first retrying calling_first first_answered calling_second connected second_ended ended"
    until(lambda: len(receiver.taken) == 9)
    assert receiver.types == [f"callback.{step}" for step in steps.split()]

    secret = Signer(SECRET).webhook_secret("calls")
    for headers, body in receiver.taken:
        at_s = site.shop.clock.at_us // US_PER_S
        assert headers["webhook-id"] == json.loads(body)["id"]
        expected = webhook_headers(secret, headers["webhook-id"], at_s, body)
        assert {name: headers[name] for name in expected} == expected
    last = json.loads(receiver.taken[-1][1])["callback"]
    assert (last["step"], last["reason"], last["talk_s"], last["over"]) == ("ended", "completed", 30, True)
    assert last["cost"] == cost
    first = json.loads(receiver.taken[0][1])
    assert (first["callback"]["step"], first["callback"]["over"], len(first["callback"]["steps"])) == (
        "queued",
        False,
        1,
    )
    assert "status_url" not in first["callback"], "the link is for who asked, and for nobody's logs"


def test_a_low_balance_is_told_once_and_not_when_it_is_over(site: Site, receiver: Receiver) -> None:
    site.usual(webhook_url=receiver.url)
    account = site.stores.accounts.named(ACCOUNT)
    site.stores.accounts.set_low_balance("callback", micros=9_000_000, webhook="calls")
    receiver.answers = [500, 200]
    from shop import talked

    for leg_id in ("low-b1", "low-b2"):
        site.shop.leg(leg_id, account, site.shop.request(account), hold="2.00")
        site.stores.calls.settle(leg_id, talked(120))
        site.shop.sql("UPDATE request SET state = 'done'")
        if leg_id == "low-b1":
            until(lambda: len(receiver.taken) == 1)
            in_time(site, lambda: len(receiver.taken) == 2 and not site.stores.webhook_notices.waiting())
            site.stores.ledger.top_up(account.book_id, 5_000_000, key="enough")
            receiver.answers = [503]
            site.stores.accounts.set_low_balance("callback", micros=13_000_000)
    until(lambda: len(receiver.taken) == 3)
    site.stores.ledger.top_up(account.book_id, 5_000_000, key="more")
    in_time(site, lambda: not site.stores.webhook_notices.waiting())
    assert [row["delivery"] for row in site.shop.rows()["Notice"]] == ["sent", "unwanted"]
    assert len(receiver.taken) == 3
    (first, body), (second, same), _ = receiver.taken
    assert (first["webhook-id"], body) == (second["webhook-id"], same)
    told = json.loads(body)
    assert (told["id"], told["type"]) == (first["webhook-id"], "account.low_balance")
    assert told["account"] == {
        "id": ACCOUNT, "balance": "8.80", "credit_limit": "0.00", "threshold": "9.00", "currency": "USD",
    }  # fmt: skip
    at_s = int(first["webhook-timestamp"])
    secret = Signer(SECRET).webhook_secret("calls")
    expected = webhook_headers(secret, first["webhook-id"], at_s, body)
    assert first["webhook-signature"] == expected["webhook-signature"]


def test_what_is_set_aside_is_told(site: Site, receiver: Receiver) -> None:
    site.usual(webhook_url=receiver.url)
    fraud = site.stores.fraud
    fraud.alarms = Alarms("calls")
    counter = next(counter for counter in fraud.budgets.counters(Cause(ACCOUNT, "1", "a")))
    fraud.note_over(OverBudget(counter, Measure.CALLS, Spent(600, 0, 0)))
    in_time(site, lambda: not site.stores.webhook_notices.waiting())
    (_, body), *_ = receiver.taken
    told = json.loads(body)
    assert told["type"] == "fraud.set_aside"
    assert told["set_aside"].pop("until")[-1] == "Z"
    assert told["set_aside"] == {
        "subject": f"account:{ACCOUNT}",
        "reason": "calls",
        "note": "600 of 600 calls in a day (account)",
    }


def test_signatures_are_those_of_standard_webhooks() -> None:
    """A value that libraries for it test themselves with."""
    headers = webhook_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_missed_calls_and_mails_are_told_by_the_instance_they_name(site: Site, receiver: Receiver) -> None:
    site.usual(webhook_url=receiver.url)
    site.instance("other", webhook_url="http://127.0.0.1:1/nobody")
    account = site.stores.accounts.named(ACCOUNT)
    for request in (
        CallbackRequest("k1", "ani", "420212345678", "420800123456", webhooks="calls"),
        CallbackRequest(
            "k2", "email", "420212345679", "", "420777000111", "cb@example.com", webhooks="calls"
        ),
        CallbackRequest("k3", "ani", "420212345670", "420800123456"),
    ):
        site.stores.requests.accept(
            request,
            account_id=account.id,
            subscriber_id=None,
            leg_a_number=request.ani,
            stored_options={},
            queue_limit=10,
        )
    until(lambda: len(receiver.taken) == 2)
    until(lambda: site.stores.events.undelivered() == 0)
    told = [json.loads(body)["callback"] for _, body in receiver.taken]
    seen = sorted((callback["trigger"], callback["instance"], callback["first_number"]) for callback in told)
    assert seen == [("ani", "", "420212345678"), ("email", "cb@example.com", "420212345679")]


def test_what_was_given_up_is_sent_again_on_demand(site: Site, receiver: Receiver) -> None:
    site.usual(webhook_url=receiver.url)
    site.send()
    until(lambda: site.stores.events.undelivered() == 0)
    (row,) = site.callbacks()
    site.stores.requests.claim(1)
    until(lambda: len(receiver.taken) == 2 and site.stores.events.undelivered() == 0)
    site.shop.sql("UPDATE request_event SET delivery = 'failed' WHERE step = 'queued'")
    assert site.stores.events.send_again(instance="other") == 0
    assert site.stores.events.send_again(instance="calls") == 1
    until(lambda: len(receiver.taken) == 3 and site.stores.events.undelivered() == 0)
    assert site.stores.events.send_again(request_id=row["id"], delivered=True) == 2
    until(lambda: len(receiver.taken) == 5)
    assert receiver.types[2:] == ["callback.queued", "callback.queued", "callback.calling_first"]
    ids = [headers["webhook-id"] for headers, _ in receiver.taken]
    assert ids[0] == ids[2] == ids[3], "the same event has the same id"


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


def not_taken(log: list[Any]) -> list[Any]:
    return [line for line in log if line["event"] == "webhook.not_taken"]


def test_a_receiver_that_is_gone_is_given_up_in_the_end(site: Site) -> None:
    site.usual(webhook_url="http://127.0.0.1:1/nobody")
    is_given_up(site)


@pytest.mark.parametrize("location", ["http://[bad", "http://a..b/", "\xff\xfe"])
def test_a_receiver_that_answers_nonsense_is_given_up_in_the_end(
    site: Site, receiver: Receiver, location: str
) -> None:
    site.usual(webhook_url=receiver.url)
    receiver.answers, receiver.location = [302], location
    is_given_up(site)


def is_given_up(site: Site) -> None:
    with capture_logs() as log:
        site.send()
        for tries in range(1, AGAIN.attempts + 1):
            until(lambda tries=tries: len(not_taken(log)) == tries)
            site.shop.clock.passes(AGAIN.pause_s(tries) or 0)
        until(lambda: site.stores.events.undelivered() == 0)
    assert [line["given_up"] for line in not_taken(log)] == [False] * (AGAIN.attempts - 1) + [True]


def test_what_waits_behind_a_receiver_that_fails_for_hours_is_given_up_untried(site: Site) -> None:
    site.usual(webhook_url="http://127.0.0.1:1/nobody")
    site.server.webhooks.stop()
    callbacks = orders(site, "calls", 30)
    with capture_logs() as log, telling(site):
        until(lambda: not_taken(log))
        site.shop.clock.passes(OLDEST_S)

        def given_up() -> bool:
            site.shop.clock.passes(LONGEST_PAUSE_S)
            return site.stores.events.undelivered() == 0

        assert wait_until(given_up, timeout_s=20, every_s=0.2)
        until(lambda: [line for line in log if line["event"] == "webhook.given_up"])
    assert len(not_taken(log)) < len(callbacks)


class Silent:
    """Takes connections and says nothing, or a byte now and then. `ended` has those whose sender went away."""

    def __init__(self, drips: bytes = b"") -> None:
        self._drips = drips
        self.taken = 0
        self.ended = threading.Semaphore(0)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=500)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.taken += 1
            threading.Thread(target=self._hold, args=(connection,), daemon=True).start()

    def _hold(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(0.1)
            drips = iter(self._drips)
            while True:
                try:
                    if not connection.recv(65_536):
                        break
                except TimeoutError:
                    connection.sendall(bytes([next(drips)]) if self._drips else b"")
        self.ended.release()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    one = Silent()
    yield one
    one.close()


def test_a_receiver_that_says_nothing_keeps_no_other_waiting(
    site: Site, receiver: Receiver, silent: Silent
) -> None:
    """A hundred callbacks of one instance wait for an answer that never comes; those of another are told at once."""
    site.account()
    site.instance("dead", webhook_url=silent.url)
    site.instance("good", webhook_url=receiver.url)
    site.server.webhooks.stop()
    orders(site, "dead", 100)
    orders(site, "good", 30)
    with capture_logs() as log, telling(site):
        until(lambda: len(receiver.taken) == 30)
        assert silent.taken <= OF_ONE_RECEIVER
        assert not_taken(log) == [], "not even one of the others has been given up yet"


def test_a_receiver_that_drips_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte every 100 ms, for ever: each read succeeds, the answer never ends."""
    monkeypatch.setattr("stasis_callback.web.posting.DEADLINE_S", 1.0)
    dripping = Silent(b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 10_000)
    try:
        assert Poster().post(dripping.url, {}, b"{}") != ""
        assert dripping.ended.acquire(timeout=30)
    finally:
        dripping.close()


def test_an_address_that_no_host_has_is_a_failed_delivery() -> None:
    """Where it is not refused as it is entered."""
    for url in ("http://hooks..example.com/", f"http://{'a' * 64}.example.com/", "http://[::1]x/"):
        assert Poster().post(url, {}, b"{}") != ""


def test_what_a_receiver_says_after_its_status_is_not_read(receiver: Receiver) -> None:
    """An endless body: the delivery is over, and so is the connection."""
    endless = Silent(b"HTTP/1.1 204 No Content\r\n\r\n" + b"x" * 10_000)
    try:
        assert Poster().post(endless.url, {}, b"{}") == ""
        assert endless.ended.acquire(timeout=30)
    finally:
        endless.close()


def test_two_processes_tell_each_step_once_and_in_order(site: Site, receiver: Receiver) -> None:
    site.usual(webhook_url=receiver.url)
    site.server.webhooks.stop()
    keys = orders(site, "calls", 20)
    for request in site.stores.requests.claim(20):
        site.stores.requests.cancel(request.id)
    with telling(site), telling(site):
        until(lambda: site.stores.events.undelivered() == 0)
    told: dict[str, list[str]] = {}
    for _, body in receiver.taken:
        content = json.loads(body)
        told.setdefault(content["callback"]["id"], []).append(content["type"])
    assert len(told) == len(keys)
    assert set(map(tuple, told.values())) == {
        ("callback.queued", "callback.calling_first", "callback.cancelling")
    }


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
