"""Many callers, one account: no more is granted than there is, no caller fails, nothing is charged twice."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

from shop import SetClock, Shop, open_shop, talked

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.audit import verify
from stasis_callback.store.calls.legs import Fare
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.stores import open_stores

PROCESSES = 8
TRIES = 60


def take_holds(number: int, url: str, account: AccountView, request: RequestView, start: Barrier) -> int:
    """In a separate process: hold ten micros until it is refused."""
    stores = open_stores(url, f"node{number}", SetClock())
    stores.nodes.me.incarnation = request.incarnation  # as one of many threads of the node that has the call
    rate = stores.tariffs.match(account.tariff_id, "44207")
    assert rate is not None
    start.wait(60)
    granted = [
        stores.calls.open_leg(f"{number}-{n}", request.id, "b", Fare(account, "44207", rate), 10)
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


def test_a_daily_cap_is_not_passed_by_calls_at_once(shop: Shop) -> None:
    account = shop.account(funds="100.00")
    shop.stores.accounts.change(account.number, daily_cap_micros=3_500_000)
    request = shop.request(account)
    granted = at_once(30, lambda n: shop.leg(f"leg-{n}", account, request, hold="0.50"))
    assert granted.count(True) == 7
    assert shop.money(account) == (10_000, 350)


def test_of_thirty_requests_at_once_as_many_are_accepted_as_the_account_may_have(shop: Shop) -> None:
    account = shop.account()
    shop.stores.accounts.change(account.number, simultaneous_calls=3)

    def ask(number: int) -> bool:
        refused = shop.stores.requests.accept(
            CallbackRequest(f"key-{number}", "ani", f"44{number:04d}", "800"),
            account_id=account.id,
            subscriber_id=account.id,
            leg_a_number=f"44{number:04d}",
            stored_options={},
            queue_limit=100,
        )
        assert refused in ("", "in_progress")
        return not refused

    assert at_once(30, ask).count(True) == 3


def redeem(number: int, url: str, codes: list[str], start: Barrier) -> int:
    """In a process of its own: redeems every code, as all the others do; how many it got."""
    stores = open_stores(url, f"node{number}", SetClock())
    start.wait(60)
    got = 0
    for code in codes:
        try:
            stores.vouchers.redeem(code, "100")
        except InvalidInput:
            continue
        got += 1
    stores.database.close()
    return got


def test_a_voucher_that_eight_processes_redeem_at_once_pays_once(tmp_path: Path) -> None:
    with open_shop(tmp_path) as shop:
        account = shop.account("100", funds="0")
        codes = shop.stores.vouchers.generate(
            "raced", 12, 1_000_000, "USD", length=10, alphabet="ABCDEFGHIJKLMNOP"
        )
        with multiprocessing.get_context("spawn").Manager() as manager:
            start = manager.Barrier(PROCESSES)
            with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
                tries = [(n, shop.url, codes, start) for n in range(PROCESSES)]
                got = pool.starmap(redeem, tries, chunksize=1)
        assert sum(got) == 12
        assert shop.money(account) == (1200, 0)
        assert verify(shop.stores.database, shop.stores.tariffs) == []


def test_two_subordinate_accounts_share_funds_without_overdraft(shop: Shop) -> None:
    accounts = [shop.account(number, funds="0", kind="subordinate") for number in ("100", "200")]
    shop.stores.ledger.top_up(accounts[0].book_id, 5_000_000, key="customer")
    requests = [shop.request(account) for account in accounts]
    granted = at_once(20, lambda n: shop.leg(f"leg-{n}", accounts[n % 2], requests[n % 2], hold="1.00"))
    assert granted.count(True) == 5
    assert shop.money(accounts[0]) == (500, 500)


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
