"""On PostgreSQL: everybody locks in one order, so no two transactions ever wait for each other."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import Literal

import pytest
from shop import Shop, talked

from stasis_callback.clock import wait_until
from stasis_callback.core.limits import LIMIT_NAMES, Limit, RequestLimits
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.engine.admission.orders import Order, Orders
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.audit import verify
from stasis_callback.store.calls.legs import Fare
from stasis_callback.store.database.tables import bound_database

pytestmark = pytest.mark.postgres

CALLS = 60
NUMBERS = ("100", "200")


def deadlocks(shop: Shop) -> int:
    """The number of deadlocks that the server has detected in this database."""
    found = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(shop.stores.database.read(lambda: bound_database.execute_sql(found).fetchone()[0]))


def talk(shop: Shop, n: int, payers: list[AccountView]) -> tuple[str, str]:
    """A call of two legs, each paid by another account: the first by one, the second by the other, or crosswise."""
    request_id, (payer_a, payer_b) = f"{n:016x}", (payers if n % 2 else payers[::-1])
    refused = shop.stores.requests.accept(
        CallbackRequest(f"key-{n}", "web", "1", "", str(n)),
        account_id=payer_a.id,
        subscriber_id=None,
        leg_a_number=f"44{n:08d}",
        stored_options={},
        queue_limit=10_000,
        request_id=request_id,
    )
    assert refused == ""
    assert len(shop.stores.requests.claim(1)) == 1
    rate = shop.stores.tariffs.find("standard", "44")
    assert rate is not None
    sides: tuple[tuple[Literal["a", "b"], AccountView], ...] = (("a", payer_a), ("b", payer_b))
    for side, payer in sides:
        assert shop.stores.calls.open_leg(
            f"{request_id}-{side}1", request_id, side, Fare(payer, "447400900123", rate), 100_000
        )
    return f"{request_id}-a1", f"{request_id}-b1"


def one_call(shop: Shop, legs: tuple[str, str], books: list[int]) -> None:
    """Both holds grow together; both legs are answered, and charged: one by one, or together."""

    def grow() -> None:
        shop.stores.calls.lock(*legs, books=books)
        for leg_id in random.Random(legs[0]).sample(legs, 2):
            shop.stores.ledger.change_hold(leg_id, 200_000)

    shop.stores.database.unit(grow)
    for leg_id in legs:
        shop.stores.calls.leg_answered(leg_id, shop.clock.at_us)
    request_id = legs[0].partition("-")[0]
    if int(request_id, 16) % 3:
        ends = {leg_id: replace(talked(15), answer_noted=True) for leg_id in legs}
        settled = shop.stores.calls.settle_all(request_id, ends)
        assert settled is not None
        assert len(settled) == 2
    else:
        for leg_id in legs:
            shop.stores.calls.settle(leg_id, talked(15))


def pay_in(shop: Shop, codes: list[str], books: list[int]) -> None:
    for n, code in enumerate(codes):
        shop.stores.vouchers.redeem(code, NUMBERS[n % 2])
        shop.stores.ledger.top_up(books[n % 2], 10_000, key=f"top-up-{n}")


def change_accounts(shop: Shop, over: threading.Event) -> None:
    for n in count():
        if over.is_set():
            return
        limits = {"simultaneous_calls": 1 + n % 5, "daily_cap_micros": 10**9 + n}
        shop.stores.accounts.change(NUMBERS[n % 2], **limits)  # type: ignore[arg-type]
        shop.stores.accounts.change(NUMBERS[n % 2], credit_limit_micros=n)


def test_whatever_is_done_at_once_nobody_waits_in_a_circle(shop: Shop) -> None:
    payers = [shop.account(number, funds="1000.00") for number in NUMBERS]
    books = [payer.book_id for payer in payers]
    calls = [talk(shop, n, payers) for n in range(CALLS)]
    codes = shop.stores.vouchers.generate(
        "raced", 12, 1_000_000, "USD", length=10, alphabet="ABCDEFGHIJKLMNOP"
    )
    over = threading.Event()
    with ThreadPoolExecutor(6) as threads:
        beside = threads.submit(change_accounts, shop, over)
        try:
            busy = [threads.submit(pay_in, shop, codes, books)]
            busy += [threads.submit(one_call, shop, legs, books) for legs in calls]
            for done in busy:
                done.result(100)
        finally:
            over.set()
        beside.result(30)
    assert shop.stores.calls.open_legs() == []
    assert verify(shop.stores.database, shop.stores.tariffs) == []
    # The server counts a moment later; no deadlock at all, not one that was repaired by trying again.
    wait_until(lambda: deadlocks(shop) > 0, timeout_s=2)
    assert deadlocks(shop) == 0


def test_posts_at_once_wait_for_each_other_in_one_order(shop: Shop) -> None:
    """Of few accounts, sources and numbers, through one instance: all of their counters are shared."""
    for number in NUMBERS:
        shop.account(number, funds="1000.00")
    limits = replace(RequestLimits(), **{name: Limit(10_000, 3600) for name in LIMIT_NAMES})
    orders = Orders(shop.stores, shop.clock, 10_000)

    def post(n: int) -> str:
        answer = orders.admit(
            Order(
                key=f"post-{n}", trigger="web", account=NUMBERS[n % 2], trusted=n % 3 == 0, instance="shop",
                number_a=f"44207123456{n % 5}", number_b="447400900123", source=f"192.0.2.{n % 4}", limits=limits,
            )
        )  # fmt: skip
        return answer.reason

    with ThreadPoolExecutor(8) as threads:
        reasons = set(threads.map(post, range(CALLS * 2)))
    assert reasons <= {"", "in_progress", "repeated"}
    wait_until(lambda: deadlocks(shop) > 0, timeout_s=2)
    assert deadlocks(shop) == 0
    day = "request:web:shop:day:shop"
    assert [(key, count) for key, count, _ in shop.stores.limits.counted(day)] == [(day, CALLS * 2)]
