"""Retention: what is over goes, a few rows at a time; what is open, owed or still recognised by stays."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from shop import Shop, talked
from structlog.testing import capture_logs
from test_drafts import MANY, killed_while_putting
from test_tariffs import priced

from stasis_callback.clock import wait_until
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.limits import Limit
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.retention import KINDS, checked_days
from stasis_callback.core.words import Ending, Refusal
from stasis_callback.store.audit import verify
from stasis_callback.store.calls.tables import RequestEvent
from stasis_callback.store.database.pace import ROWS_AT_ONCE
from stasis_callback.store.database.statements import insert_rows
from stasis_callback.store.retention import ALL_KINDS, Retention

DEFAULTS = {name: kept.days for name, kept in KINDS.items()}
DAY_S = 86_400


def purge(shop: Shop, *kinds: str, **days: int) -> dict[str, int]:
    """What was removed of each kind that lost something; a dry run has said the same before."""
    retention = Retention(shop.stores.database, shop.clock, DEFAULTS | days)
    before = shop.rows()
    counted = [(purged.kind, purged.rows) for purged in retention.count(kinds or ALL_KINDS)]
    assert shop.rows() == before
    removed = [(purged.kind, purged.rows) for purged in retention.purge(kinds or ALL_KINDS)]
    assert removed == counted
    return {kind: rows for kind, rows in removed if rows}


def web_order(shop: Shop, number: str = "100") -> str:
    """A web callback that waits; its id."""
    account = shop.stores.accounts.find(number) or shop.account(number)
    request = CallbackRequest(f"web-{len(shop.rows()['Request'])}", "web", "x", "", "y", "shop")
    refusal = shop.stores.requests.accept(
        request, account_id=account.id, subscriber_id=None, leg_a_number=f"44{number}", stored_options={},
        queue_limit=100,
    )  # fmt: skip
    assert refusal == ""
    queued = shop.stores.requests.with_key(request.key)
    assert queued is not None
    return queued.id


def told(shop: Shop) -> None:
    """Every step so far has been delivered."""
    shop.sql("UPDATE request_event SET delivery = 'sent'")


def test_steps_go_when_the_callback_is_over_and_they_were_delivered(shop: Shop) -> None:
    over, untold, open_one = web_order(shop, "100"), web_order(shop, "200"), web_order(shop, "300")
    for request_id in (over, untold):
        shop.stores.requests.cancel(request_id)
    told(shop)
    shop.sql(
        f"UPDATE request_event SET delivery = 'due' WHERE request_id = '{untold}' AND step = 'cancelled'"
    )
    shop.clock.passes(90 * DAY_S)
    assert purge(shop) == {}
    shop.clock.passes(1)
    assert purge(shop) == {"steps": 3}
    left = [(row["request"], row["step"]) for row in shop.rows()["RequestEvent"]]
    assert sorted(left) == sorted([(untold, "cancelled"), (open_one, "queued")])


def refused(shop: Shop) -> None:
    shop.stores.requests.refuse(CallbackRequest("mail-1", "email", "x", ""), Refusal.WRONG_LOGIN)


def answered(shop: Shop) -> None:
    shop.stores.idempotency.begin("key", "hash")
    shop.stores.idempotency.answer("key", "{}")


def wrong_login(shop: Shop) -> None:
    shop.stores.throttles.failed("ani:1", limit=5, lock_s=900)


def reply(shop: Shop) -> None:
    shop.stores.replies.put("mail-1", "ann@example.com", "text")
    (due,) = shop.stores.replies.claim_due(1)
    shop.stores.replies.close(due.id, "sent")


def token(shop: Shop) -> None:
    shop.account("100")
    shop.stores.email_senders.give_out("100", 1, days=7)


def window(shop: Shop) -> None:
    shop.stores.limits.take("web:x", Limit(3, 60))


@pytest.mark.parametrize(
    ("kind",         "table",         "make",       "kept_s"),
    [
        ("refused",      "Request",       refused,      90 * DAY_S),
        ("idempotency",  "Idempotency",   answered,     1 * DAY_S),
        ("logins",       "Throttle",      wrong_login,  30 * DAY_S),
        ("replies",      "EmailReply",    reply,        30 * DAY_S),
        ("tokens",       "EmailToken",    token,        37 * DAY_S),   # from its end on
        ("windows",      "Allowance",     window,       59),
    ],
)  # fmt: skip
def test_each_kind_goes_after_its_days(
    shop: Shop, kind: str, table: str, make: Callable[[Shop], None], kept_s: int
) -> None:
    make(shop)
    shop.clock.passes(kept_s)
    assert purge(shop) == {}
    assert len(shop.rows()[table]) == 1
    shop.clock.passes(1)
    assert purge(shop) == {kind: 1}
    assert shop.rows()[table] == []


def test_a_lock_that_is_on_stays(shop: Shop) -> None:
    shop.stores.throttles.failed("ani:1", limit=1, lock_s=60 * DAY_S)
    shop.clock.passes(45 * DAY_S)
    assert purge(shop) == {}
    assert shop.stores.throttles.locked("ani:1")


def test_what_is_kept_for_ever_is_not_even_looked_for(shop: Shop) -> None:
    refused(shop)
    shop.clock.passes(3650 * DAY_S)
    assert purge(shop, refused=0) == {}
    assert purge(shop, "steps") == {}
    assert purge(shop, "refused") == {"refused": 1}


def test_prices_go_when_others_replaced_them_and_no_call_was_charged_by_them(shop: Shop) -> None:
    account, tariffs = shop.account(), shop.stores.tariffs
    shop.leg("leg-1", account, shop.request(account), hold="1.00")  # by the first price of 44
    shop.stores.calls.settle("leg-1", talked(10))
    for price in (2, 3, 4):
        shop.clock.passes(DAY_S)
        tariffs.put_rates("standard", [priced("44", price), priced("1", price)])
    shop.clock.passes(3 * DAY_S)
    in_force = tariffs.rates("standard")
    assert "rates" not in purge(shop), "by default prices are kept for ever"
    assert purge(shop, rates=2) == {"rates": 4}
    prices = [(row["prefix"], row["next_price_micros"]) for row in shop.rows()["RateRow"]]
    assert sorted(prices) == [("1", 4), ("44", 4), ("44", 600_000)]
    assert tariffs.rates("standard") == in_force
    assert verify(shop.stores.database, shop.stores.tariffs) == []


def test_a_price_that_is_in_force_cannot_be_removed_by_anybody(shop: Shop) -> None:
    shop.stores.tariffs.put_rates("standard", [priced("1")])
    with pytest.raises(Exception, match="append-only"):
        shop.sql("DELETE FROM rate WHERE prefix = '1'")
    shop.clock.passes(1)
    shop.stores.tariffs.put_rates("standard", [priced("1", 2)])
    shop.sql("DELETE FROM rate WHERE prefix = '1' AND next_price_micros = 1")
    with pytest.raises(Exception, match="append-only"):
        shop.sql("DELETE FROM rate WHERE prefix = '1'")


def test_rows_go_a_few_hundred_at_a_time_and_whoever_stops_it_leaves_the_rest(shop: Shop) -> None:
    request_id = web_order(shop)
    shop.stores.requests.cancel(request_id)
    columns = ("request_id", "step", "at_us", "delivery", "attempts", "due_at_us", "instance")
    row = (request_id, "ended", shop.clock.now_us(), "sent", 1, 0, "shop")
    with shop.stores.database.transaction():
        insert_rows(RequestEvent, columns, [row] * (3 * ROWS_AT_ONCE))
    told(shop)
    shop.clock.passes(91 * DAY_S)
    turns = iter([True, True, False])
    retention = Retention(shop.stores.database, shop.clock, DEFAULTS)
    (purged,) = retention.purge(["steps"], goes_on=lambda: next(turns, False))
    assert purged.rows == 2 * ROWS_AT_ONCE
    assert len(shop.rows()["RequestEvent"]) == ROWS_AT_ONCE + 2
    assert purge(shop) == {"steps": ROWS_AT_ONCE + 2}


def test_the_least_that_recognising_a_repeated_request_needs_cannot_be_undercut() -> None:
    assert checked_days("refused", 0) == 0
    assert checked_days("refused", 30) == 30
    for name, days in (("refused", 29), ("replies", 7), ("rates", 1), ("steps", 40_000)):
        with pytest.raises(InvalidInput, match=f"too short for {name}"):
            checked_days(name, days)


def test_the_worker_removes_by_itself(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stasis_callback.store.retention.EVERY_S", 0.01)
    window(shop)
    shop.clock.passes(61)
    worker = Retention(shop.stores.database, shop.clock, DEFAULTS).worker()
    worker.start()
    try:
        assert wait_until(lambda: shop.rows()["Allowance"] == [], timeout_s=20)
    finally:
        assert worker.stop()


def test_nothing_is_removed_by_a_clock_that_was_set_since_the_last_look(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stasis_callback.store.retention.EVERY_S", 0.5)
    looked, look = threading.Event(), shop.clock.wall_ahead_s

    def seen() -> float:
        ahead_s = look()
        looked.set()
        return ahead_s

    monkeypatch.setattr(shop.clock, "wall_ahead_s", seen)
    window(shop)
    worker = Retention(shop.stores.database, shop.clock, DEFAULTS).worker()
    with capture_logs() as log:
        worker.start()
        try:
            assert looked.wait(20)
            shop.clock.passes(100_000)
            assert wait_until(lambda: shop.rows()["Allowance"] == [], timeout_s=20)
        finally:
            assert worker.stop()
    assert [line["event"] for line in log] == ["retention.waits", "retention.removed"]


def test_numbers_of_old_calls_are_made_unreadable_and_the_books_stay_as_they_are(shop: Shop) -> None:
    account = shop.account("420212345678")
    request = shop.request(account)
    shop.leg("leg-1", account, request, hold="1.00")
    shop.stores.calls.settle("leg-1", talked(10))
    shop.stores.requests.answered(request)
    shop.stores.requests.finish(request.id, Ending.COMPLETED)
    refused(shop)
    shop.sql("UPDATE request SET ani = '420777777777' WHERE state = 'refused'")
    money = shop.money(account)
    shop.clock.passes(100 * DAY_S)
    assert purge(shop, "numbers", numbers=0) == {}
    assert purge(shop, "numbers", numbers=101) == {}
    assert purge(shop, "numbers", numbers=99) == {"numbers": 2}
    rows = shop.rows()
    assert {row["number"] for row in (*rows["Xdr"], *rows["LegRow"])} == {"44207xxxxxxx"}
    assert sorted(row["ani"] for row in rows["Request"]) == ["42021xxxxxxx", "42077xxxxxxx"]
    assert purge(shop, "numbers", numbers=99) == {}
    assert shop.money(account) == money
    assert shop.stores.calls.last_destination(account.id) is None
    assert verify(shop.stores.database, shop.stores.tariffs, whole=True) == []


def test_a_change_that_was_left_behind_is_cleared_away(shop: Shop) -> None:
    before = shop.rows()
    killed_while_putting(shop, MANY, "draft-written")
    assert purge(shop, "drafts") == {}, "its process may yet live"
    shop.clock.passes(60)
    assert purge(shop, "drafts") == {"drafts": len(MANY)}
    assert shop.rows() == before


def test_what_was_set_aside_is_forgotten_with_the_numbers_and_what_is_stays(shop: Shop) -> None:
    fraud = shop.stores.fraud
    fraud.set_aside("number:442071234567", "over", "Jana", shop.clock.at_us + 1)
    fraud.set_aside("number:442071234568", "for ever", "Jana", None)
    shop.clock.passes(2 * DAY_S)
    assert purge(shop, numbers=1)["numbers"] == 1
    assert [one.subject for one in fraud.listed(active=False)] == ["number:442071234568"]
