"""What locks several rows takes them in one order, so that nobody is the victim of a deadlock."""

from __future__ import annotations

import threading
from collections.abc import Callable

from shop import Shop, talked

LEGS, CHANGES = 60, 60


def test_charges_beside_changes_of_the_account_wait_in_one_order(shop: Shop) -> None:
    """`Database.unit` would hide a deadlock by running its victim again: so what was run again is counted."""
    account = shop.account(funds="10.00")
    request = shop.request(account)
    for n in range(LEGS):
        assert shop.leg(f"leg{n}", account, request, hold="0.05")
    accounts, calls = shop.stores.accounts, shop.stores.calls
    before = shop.stores.database.repeats

    def charge(first: int) -> None:
        for n in range(first, LEGS, 4):
            assert calls.settle(f"leg{n}", talked(1)).amount_micros > 0

    def limits(first: int) -> None:
        for n in range(first, CHANGES, 2):
            accounts.change(account.number, credit_limit_micros=n * 1_000_000)

    def states(first: int) -> None:
        for n in range(first, CHANGES, 2):
            accounts.change(account.number, status="blocked" if n % 4 else "active")

    failed = at_once(
        *[(charge, n) for n in range(4)], *[(work, n) for work in (limits, states) for n in (0, 1)]
    )
    assert failed == []
    assert shop.stores.database.repeats == before
    assert shop.money(account)[1] == 0


def at_once(*work: tuple[Callable[[int], None], int]) -> list[str]:
    """Do all of it in threads that start together; what went wrong."""
    gate, failed = threading.Barrier(len(work)), list[str]()

    def run(part: Callable[[int], None], number: int) -> None:
        gate.wait(30)
        try:
            part(number)
        except Exception as error:  # noqa: BLE001  whatever it is, the test names it
            failed.append(repr(error))

    threads = [threading.Thread(target=run, args=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return failed
