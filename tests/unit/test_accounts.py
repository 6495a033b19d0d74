"""Customers, products and accounts: opened, found and changed; refused without a trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from shop import NOON_US, Shop

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import AMOUNT_LIMIT_MICROS
from stasis_callback.store.accounts.accounts import Accounts


def test_a_new_account_is_empty_active_and_never_expires(shop: Shop) -> None:
    account = shop.account(
        "420212345678", funds="0", callback_number="420777", aliases=["1001", "home@example"]
    )
    assert (account.customer, account.product, account.currency) == ("people", "callback", "USD")
    assert (account.balance_micros, account.held_micros, account.available_micros) == (0, 0, 0)
    assert (account.status, account.expires_at_us, account.callback_number) == ("active", None, "420777")
    assert shop.stores.accounts.aliases(account.id) == ["1001", "home@example"]


def test_an_account_is_found_by_its_id_and_by_its_aliases(shop: Shop) -> None:
    account, other = shop.account("100", aliases=["1001", "1002"]), shop.account("200")
    for name in ("100", "1001", "1002"):
        assert shop.stores.accounts.find(name) == shop.stores.accounts.named(name) == account
    assert shop.stores.accounts.find("200") == other
    assert shop.stores.accounts.all() == [account, other]
    for stranger in ("", "10", "1003", "100 ", "1' OR '1'='1"):
        assert shop.stores.accounts.find(stranger) is None
        with pytest.raises(InvalidInput, match="unknown account"):
            shop.stores.accounts.named(stranger)


def test_what_can_be_held_is_balance_less_holds_plus_credit(shop: Shop) -> None:
    account = shop.account(funds="10.00", credit_limit_micros=5_000_000)
    shop.leg("leg-1", account, shop.request(account), hold="3.00")
    assert shop.stores.accounts.get(account.id).available_micros == 12_000_000
    assert shop.stores.ledger.available_micros(account.book_id) == 12_000_000


def test_everything_about_an_account_can_be_changed(shop: Shop) -> None:
    shop.stores.tariffs.add("cheap", "USD")
    shop.stores.accounts.add_product("basic", "cheap")
    account = shop.account("100", aliases=["1001"])
    changed = shop.stores.accounts.change(
        "100",
        status="blocked",
        product="basic",
        callback_number="420777",
        expires_at_us=NOON_US,
        credit_limit_micros=7,
        aliases=["1002"],
    )
    assert (changed.status, changed.product, changed.callback_number) == ("blocked", "basic", "420777")
    assert (changed.expires_at_us, changed.credit_limit_micros) == (NOON_US, 7)
    assert changed.balance_micros == account.balance_micros
    assert shop.stores.accounts.aliases(account.id) == ["1002"]
    assert shop.stores.accounts.change("100") == changed
    back = shop.stores.accounts.change(
        "100", status="active", callback_number="", never_expires=True, aliases=[]
    )
    assert (back.status, back.callback_number, back.expires_at_us) == ("active", "", None)
    assert shop.stores.accounts.aliases(account.id) == []


@pytest.mark.parametrize("status", ["active", "blocked", "closed"])
def test_an_account_can_have_each_status(shop: Shop, status: str) -> None:
    shop.account("100")
    assert shop.stores.accounts.change("100", status=status).status == status


def test_a_credit_limit_goes_down_only_as_far_as_it_is_not_used(shop: Shop) -> None:
    account = shop.account(funds="0", credit_limit_micros=5_000_000)
    shop.leg("leg-1", account, shop.request(account), hold="3.00")
    assert shop.stores.accounts.change("100", credit_limit_micros=3_000_000).available_micros == 0
    with pytest.raises(InvalidInput, match="top it up first"):
        shop.stores.accounts.change("100", credit_limit_micros=2_999_999)


def new(number: str = "300", **values: Any) -> Callable[[Accounts], object]:
    return lambda accounts: accounts.add(number, **({"customer": "people", "product": "callback"} | values))


def change(number: str = "100", **values: Any) -> Callable[[Accounts], object]:
    return lambda accounts: accounts.change(number, **({"status": "blocked"} | values))


# Each of these fails at one of its values; the others are good and must not be kept.
REFUSED: list[tuple[str, str, Callable[[Accounts], object]]] = [
    ("customer taken",    "already exists",          lambda a: a.add_customer("people", "USD")),
    ("customer nameless", "is not a valid name",           lambda a: a.add_customer("", "USD")),
    ("customer bell",     "is not a valid name",           lambda a: a.add_customer("a\x07", "USD")),
    ("customer line end", "is not a valid name",           lambda a: a.add_customer("a\n", "USD")),
    ("customer space",    "is not a valid name",           lambda a: a.add_customer(" a", "USD")),
    ("customer long",     "is not a valid name",           lambda a: a.add_customer("a" * 65, "USD")),
    ("customer currency", "is not a currency",       lambda a: a.add_customer("new", "dollar")),
    ("product taken",     "already exists",          lambda a: a.add_product("callback", "standard")),
    ("product tariff",    "unknown tariff",      lambda a: a.add_product("new", "none")),
    ("customer line",     "is a line of reports",          lambda a: a.add_customer("(others)", "USD")),
    ("product nameless",  "is not a valid name",           lambda a: a.add_product("", "standard")),
    ("product unknown",   "unknown product",     lambda a: a.set_product("none", "standard")),
    ("product currency",  "the product's accounts",  lambda a: a.set_product("callback", "euros")),
    ("id taken",          "is already an account or an",     new("100")),
    ("id an alias",       "is already an account or an",     new("1001")),
    ("id empty",          "is not a valid account id",    new("")),
    ("id long",           "is not a valid account id",    new("1" * 65)),
    ("id space",          "is not a valid account id",    new("1 2")),
    ("id NUL",            "is not a valid account id",    new("1\x00")),
    ("id other digits",   "is not a valid account id",    new("١٢٣")),
    ("no customer",       "unknown customer",    new(customer="none")),
    ("no product",        "unknown product",     new(product="none")),
    ("other currency",    "use the same currency",         new(product="in euros")),
    ("callback number",   "is not a phone number",   new(callback_number="+420")),
    ("credit limit",      "invalid credit limit: the amount must be",  new(credit_limit_micros=-1)),
    ("second alias",      "is already an account or an",     new(aliases=["3001", "100"])),
    ("alias twice",       "is already an account or an",     new(aliases=["3001", "3001"])),
    ("alias bad",         "is not a valid account id",    new(aliases=["3001", "&"])),
    ("alias itself",      "is already an account or an",     new(aliases=["300"])),
    ("nobody",            "unknown account",     change("999")),
    ("status",            "is not a status",         change(status="open")),
    ("change product",    "unknown product",     change(product="none")),
    ("change currency",   "the account has another currency",      change(product="in euros")),
    ("change number",     "is not a phone number",   change(callback_number="12")),
    ("change alias",      "is already an account or an",     change(aliases=["1002", "200"])),
    ("change credit",     "invalid credit limit: the amount must be",  change(credit_limit_micros=-1)),
    ("change too much",   "invalid credit limit: the amount",  change(credit_limit_micros=AMOUNT_LIMIT_MICROS + 1)),
]  # fmt: skip


@pytest.mark.parametrize(("why", "attempt"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_is_refused_in_words_and_changes_nothing(
    shop: Shop, why: str, attempt: Callable[[Accounts], object]
) -> None:
    shop.stores.tariffs.add("euros", "EUR")
    shop.stores.accounts.add_product("in euros", "euros")
    shop.account("100", aliases=["1001"])
    shop.account("200")
    before = shop.rows()
    with pytest.raises(InvalidInput, match=why):
        attempt(shop.stores.accounts)
    assert shop.rows() == before


def test_customers_and_products_are_listed_by_name(shop: Shop) -> None:
    shop.stores.accounts.add_customer("a company", "EUR")
    shop.stores.tariffs.add("cheap", "USD")
    shop.stores.accounts.set_product("callback", "cheap")
    listed = [(c["name"], c["currency"], c["balance_micros"]) for c in shop.stores.accounts.customers()]
    assert listed == [("a company", "EUR", None), ("people", "USD", None)]
    assert shop.stores.accounts.products() == [
        {
            "name": "callback",
            "tariff": "cheap",
            "currency": "USD",
            "access_codes": {},
            "low_balance_micros": None,
            "low_balance_webhook": "",
            "low_balance_mail": "",
        }
    ]
