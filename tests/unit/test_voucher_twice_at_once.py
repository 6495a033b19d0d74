"""A voucher code that comes twice at once for one account: whoever is second is told that it was redeemed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from shop import Shop

from stasis_callback.core.limits import Limit
from stasis_callback.engine.redeeming import Redemption, redeem
from stasis_callback.store.accounts.codes import READABLE

TWICE = Limit(2, 900)

pytestmark = pytest.mark.postgres  # on SQLite the second one cannot begin before the first is over


def test_a_code_that_comes_twice_at_once_is_wrong_for_neither(shop: Shop) -> None:
    account = shop.account("100", funds="0")
    (code,) = shop.stores.vouchers.generate("spring", 1, 5_000_000, "USD", length=12, alphabet=READABLE)
    both = Barrier(2)

    def ask() -> Redemption:
        return redeem(shop.stores, account, code, TWICE, within=lambda: both.wait(10) >= 0)

    with ThreadPoolExecutor(2) as pool:
        found = [asked.result() for asked in [pool.submit(ask), pool.submit(ask)]]
    assert [one.reason for one in found] == ["", ""]
    assert sorted(one.repeated for one in found) == [False, True]
    assert [one.account.balance_micros for one in found] == [5_000_000] * 2
    assert shop.money(account) == (500, 0)
    wrong = [redeem(shop.stores, account, "WRONG", TWICE).reason for _ in range(3)]
    assert wrong == ["bad_voucher", "bad_voucher", "locked_out"], "neither was counted"
