"""Many callers, one account: no more is granted than there is, no caller fails, nothing is charged twice."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

from shop import SetClock, Shop, open_shop, talked

from stasis_callback.engine.stores import open_stores
from stasis_callback.store.accounts import AccountView
from stasis_callback.store.audit import verify
from stasis_callback.store.requests import RequestView

PROCESSES = 8
TRIES = 60


def take_holds(number: int, url: str, account: AccountView, request: RequestView, start: Barrier) -> int:
    """In a process of its own: holds ten micros as often as it is let."""
    stores = open_stores(url, f"node{number}", SetClock())
    rate = stores.tariffs.match(account.tariff_id, "44207")
    assert rate is not None
    start.wait(60)
    granted = [
        stores.calls.open_leg(f"{number}-{n}", request.id, "b", "44207", account.id, rate, 10)
        for n in range(TRIES)
    ]
    stores.database.close()
    return sum(granted)


def settle_all(number: int, url: str, legs: list[str], start: Barrier) -> int:
    """In a process of its own: reports the end of every leg, as all the others do."""
    stores = open_stores(url, f"node{number}", SetClock())
    start.wait(60)
    charged = sum(stores.calls.settle(leg, talked(1)).amount_micros for leg in legs)
    stores.database.close()
    return charged


def test_eight_processes_are_granted_exactly_the_funds_and_charge_each_leg_once(tmp_path: Path) -> None:
    with open_shop(tmp_path) as shop:
        account = shop.account(funds="0.001")
        request = shop.request(account)
        with multiprocessing.get_context("spawn").Manager() as manager:
            start = manager.Barrier(PROCESSES)
            with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
                granted = pool.starmap(
                    take_holds,
                    [(n, shop.url, account, request, start) for n in range(PROCESSES)],
                    chunksize=1,
                )
                legs = [leg.id for leg in shop.stores.calls.open_legs()]
                assert sum(granted) == len(legs) == 100
                assert shop.stores.accounts.get(account.id).held_micros == 1000
                ends = [(n, shop.url, legs, start) for n in range(PROCESSES)]
                charged = pool.starmap(settle_all, ends, chunksize=1)
        # Each process is told the same; the money moved once: ten micros of each leg, the rest is the house's.
        assert set(charged) == {100 * 10_000}
        now = shop.stores.accounts.get(account.id)
        assert (now.balance_micros - account.balance_micros, now.held_micros) == (-1000, 0)
        assert verify(shop.stores.database, shop.stores.tariffs) == []


def at_once(count: int, action: Callable[[int], bool]) -> list[bool]:
    """What `action` gives in threads that start together. An error in one fails the test (warnings are errors)."""
    gate, results = threading.Barrier(count), list[bool]()

    def run(number: int) -> None:
        gate.wait(10)
        results.append(action(number))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == count
    return results


def test_thirty_calls_at_once_on_credit_for_one(shop: Shop) -> None:
    account = shop.account(funds="0", credit_limit_micros=3_000_000)
    request = shop.request(account)
    granted = at_once(30, lambda n: shop.leg(f"leg-{n}", account, request, hold="3.00"))
    assert granted.count(True) == 1
    assert shop.money(account) == (0, 300)
    assert verify(shop.stores.database, shop.stores.tariffs) == []


def test_holds_that_grow_at_once_share_what_is_left(shop: Shop) -> None:
    account = shop.account(funds="10.00")
    request = shop.request(account)
    for n in range(10):
        shop.leg(f"leg-{n}", account, request, hold="0.50")
    grown = at_once(10, lambda n: shop.stores.ledger.change_hold(f"leg-{n}", 1_500_000))
    assert grown.count(True) == 5
    assert shop.money(account) == (1000, 1000)


def test_the_end_of_a_leg_reported_by_twenty_threads_is_charged_once(shop: Shop) -> None:
    account = shop.account(funds="10.00")
    shop.leg("leg-1", account, shop.request(account), hold="3.00")
    at_once(20, lambda _: shop.stores.calls.settle("leg-1", talked(60)).amount_micros == 600_000)
    assert shop.money(account) == (940, 0)
    assert len(shop.stores.calls.xdrs()) == 1


def test_top_ups_and_calls_at_once_lose_no_cent(shop: Shop) -> None:
    account = shop.account(funds="10.00")
    request = shop.request(account)

    def one(number: int) -> bool:
        shop.stores.ledger.top_up(account.book_id, 100_000, key=f"key-{number // 2}")  # every key twice
        shop.leg(f"leg-{number}", account, request, hold="0.10")
        shop.stores.calls.settle(f"leg-{number}", talked(number % 15))
        return True

    at_once(20, one)
    charged = sum(min(number % 15, 10) for number in range(20))
    assert shop.money(account) == (1000 + 10 * 10 - charged, 0)
    assert verify(shop.stores.database, shop.stores.tariffs) == []
