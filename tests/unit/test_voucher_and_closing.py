"""A voucher that is redeemed while its account is being closed: either it is paid in and the account stays open, or
the account is closed and the voucher is as good as before. On SQLite a transaction is the only one that writes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from lock_rig import until, waiting
from shop import Shop

from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.accounts.codes import READABLE

pytestmark = pytest.mark.postgres


def test_nothing_is_paid_in_behind_an_account_that_is_being_closed(shop: Shop) -> None:
    account = shop.account("100", funds="0")
    (code,) = shop.stores.vouchers.generate("spring", 1, 5_000_000, "USD", length=12, alphabet=READABLE)
    stores = shop.stores
    with psycopg.connect(shop.url) as row, psycopg.connect(shop.url, autocommit=True) as looks:
        row.execute("SELECT 1 FROM voucher FOR UPDATE")  # the voucher is held up where it is taken
        with ThreadPoolExecutor(2) as pool:
            redeeming = pool.submit(stores.vouchers.redeem, code, "100")
            until(lambda: waiting(looks) == 1)
            closing = pool.submit(stores.accounts.close, "100", write_off=False, operator="jana")
            until(lambda: closing.done() or waiting(looks) == 2)
            row.rollback()
            assert redeeming.result().state == "redeemed"
            with pytest.raises(InvalidInput, match=r"has a balance of 5\.00 USD"):
                closing.result()
    assert (stores.accounts.get(account.id).status, shop.money(account)) == ("active", (500, 0))


def test_who_comes_while_the_account_is_being_closed_keeps_the_voucher(shop: Shop) -> None:
    account = shop.account("100", funds="0")
    (code,) = shop.stores.vouchers.generate("spring", 1, 5_000_000, "USD", length=12, alphabet=READABLE)
    stores = shop.stores
    with psycopg.connect(shop.url, autocommit=True) as looks, ThreadPoolExecutor(1) as pool:
        with stores.database.transaction():
            stores.accounts.close("100", write_off=False, operator="jana")
            redeeming = pool.submit(stores.vouchers.redeem, code, "100")
            until(lambda: waiting(looks) == 1)
        with pytest.raises(InvalidInput, match="unknown or closed"):
            redeeming.result()
    assert shop.money(account) == (0, 0)
    assert [voucher.state for voucher in stores.vouchers.of_batch("spring")] == ["new"]
