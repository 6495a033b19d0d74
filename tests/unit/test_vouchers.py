"""Vouchers: each code can be redeemed once; the database does not contain the codes."""

from __future__ import annotations

import pytest
from shop import NOON_US, Shop

from stasis_callback.clock import US_PER_S
from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.accounts.codes import READABLE, random_codes
from stasis_callback.store.audit import verify

NO_SUCH = "this voucher code is unknown, used, blocked or expired"


def make(shop: Shop, count: int = 3, batch: str = "spring", expires_at_us: int | None = None) -> list[str]:
    return shop.stores.vouchers.generate(
        batch, count, 5_000_000, "USD", length=12, alphabet=READABLE, expires_at_us=expires_at_us
    )


def test_a_voucher_is_redeemed_once(shop: Shop) -> None:
    account, codes = shop.account("100", funds="0"), make(shop)
    redeemed = shop.stores.vouchers.redeem(codes[0], "100")
    assert (redeemed.state, redeemed.redeemed_by, redeemed.amount_micros) == ("redeemed", "100", 5_000_000)
    assert shop.money(account) == (500, 0)
    before = shop.rows()
    with pytest.raises(InvalidInput, match=NO_SUCH):
        shop.stores.vouchers.redeem(codes[0], "100")
    assert shop.rows() == before
    assert verify(shop.stores.database, shop.stores.tariffs) == []


def test_a_code_may_be_written_as_people_write_it(shop: Shop) -> None:
    shop.account("100")
    code = make(shop)[0]
    shop.stores.vouchers.redeem(f" {code[:4].lower()}-{code[4:8]} {code[8:]} ", "100")


def test_the_database_does_not_know_the_codes(shop: Shop) -> None:
    codes = make(shop, 20)
    kept = str(shop.rows()["Voucher"])
    assert len(set(codes)) == 20
    assert not any(code in kept for code in codes)


@pytest.mark.parametrize("why", ["unknown", "blocked", "expired"])
def test_what_cannot_be_used_gets_the_same_words(shop: Shop, why: str) -> None:
    shop.account("100")
    code = make(shop, expires_at_us=NOON_US + 60 * US_PER_S)[0]
    if why == "unknown":
        code = "A" * 12
    elif why == "blocked":
        assert shop.stores.vouchers.block("spring", blocked=True) == 3
    else:
        shop.clock.passes(60)
    before = shop.rows()
    with pytest.raises(InvalidInput, match=NO_SUCH):
        shop.stores.vouchers.redeem(code, "100")
    assert shop.rows() == before
    if why == "blocked":
        shop.stores.vouchers.block("spring", blocked=False)
        shop.stores.vouchers.redeem(code, "100")


def test_another_currency_and_a_closed_account_take_none(shop: Shop) -> None:
    shop.stores.tariffs.add("euros", "EUR")
    shop.stores.accounts.add_customer("abroad", "EUR")
    shop.stores.accounts.add_product("eurocall", "euros")
    shop.stores.accounts.add("200", customer="abroad", product="eurocall")
    shop.account("300", funds="0")
    shop.stores.accounts.close("300", write_off=False, operator="")
    code = make(shop)[0]
    before = shop.rows()
    for account, words in (
        ("200", "in USD, but the account has another currency"),
        ("300", "unknown or closed"),
        ("999", "unknown or closed"),
    ):
        with pytest.raises(InvalidInput, match=words):
            shop.stores.vouchers.redeem(code, account)
    assert shop.rows() == before


def test_batches_are_counted_by_what_became_of_them(shop: Shop) -> None:
    shop.account("100")
    shop.stores.vouchers.redeem(make(shop)[0], "100")
    make(shop, 2, "lost")
    shop.stores.vouchers.block("lost", blocked=True)
    each = {"amount_micros": 5_000_000, "currency": "USD"}
    assert shop.stores.vouchers.batches() == [
        each | {"batch": "lost", "new": 0, "redeemed": 0, "blocked": 2},
        each | {"batch": "spring", "new": 2, "redeemed": 1, "blocked": 0},
    ]
    with pytest.raises(InvalidInput, match="batch 'spring' already exists"):
        make(shop)
    with pytest.raises(InvalidInput, match="unknown batch"):
        shop.stores.vouchers.block("none", blocked=True)


@pytest.mark.parametrize(
    ("count", "length", "alphabet", "why"),
    [
        (1,   3,  "0123456789", "too easy to guess"),   # 1000 codes for one
        (11,  5,  "0123456789", "too easy to guess"),
        (1,   33, "0123456789", "write 1 to 32"),
        (1,   12, "0",          "2 to 64 letters or digits"),
        (1,   12, "00000",      "2 to 64 letters or digits"),
        (1,   12, "ab c",       "2 to 64 letters or digits"),
        (1,   12, "éà",         "2 to 64 letters or digits"),
    ],
)  # fmt: skip
def test_codes_that_could_be_guessed_are_not_made(count: int, length: int, alphabet: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        random_codes(count, length, alphabet)


def test_codes_are_new_and_all_different() -> None:
    taken = frozenset(random_codes(50, 8, "0123456789"))
    codes = random_codes(1000, 8, "0123456789", taken)
    assert len(set(codes)) == 1000
    assert not taken & set(codes)
