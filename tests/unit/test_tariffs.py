"""Tariffs: the longest prefix wins, versions stay, imports are all or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from shop import UK_RATE, Shop

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.rating import Rate
from stasis_callback.store.tariffs import ImportDiff, NewRate


def priced(prefix: str, price: int = 1, **values: Any) -> NewRate:
    return NewRate(Rate(prefix, first_price_micros=price, next_price_micros=price, **values), f"to {prefix}")


@pytest.fixture
def world_tariff(shop: Shop) -> int:
    """The world without 4420 (London costs more) and 447 (mobiles are forbidden but for 44777)."""
    shop.stores.tariffs.put_rates(
        "standard",
        [
            priced("1"),
            priced("4420", 2),
            priced("447", forbidden=True),
            priced("44777", 3),
            priced("123456789012345", 4),
        ],
    )
    return shop.account().tariff_id


@pytest.mark.parametrize(
    ("number",              "prefix"),
    [
        ("441611234567",        "44"),
        ("442071234567",        "4420"),
        ("447012345678",        None),        # forbidden, though 44 is not
        ("447771234567",        "44777"),
        ("12125551234",         "1"),
        ("123456789012345",     "123456789012345"),
        ("1234567890123456789", "123456789012345"),
        ("12345678901234",      "1"),
        ("44",                  "44"),
        ("4",                   None),
        ("420212345678",        None),        # not in the tariff: never dialled
        ("",                    None),
        ("0044",                None),
        ("+44",                 None),
        ("44' OR '1'='1",       "44"),
    ],
)  # fmt: skip
def test_the_longest_prefix_wins(shop: Shop, world_tariff: int, number: str, prefix: str | None) -> None:
    found = shop.stores.tariffs.match(world_tariff, number)
    assert (found.rate.prefix if found else None) == prefix


def test_another_tariff_has_nothing_to_say(shop: Shop, world_tariff: int) -> None:
    shop.stores.tariffs.add("empty", "USD")
    assert shop.stores.tariffs.match(world_tariff + 1, "442071234567") is None


def test_a_new_price_counts_for_new_calls_only(shop: Shop) -> None:
    tariff = shop.account().tariff_id
    old = shop.stores.tariffs.match(tariff, "442071234567")
    shop.clock.passes(60)
    shop.stores.tariffs.put_rates("standard", [priced("44", 5)])
    new = shop.stores.tariffs.match(tariff, "442071234567")
    assert old is not None
    assert new is not None
    assert (old.rate, new.rate.next_price_micros) == (UK_RATE, 5)
    assert shop.stores.tariffs.version(old.id) == old
    assert shop.stores.tariffs.version(new.id) == new
    assert shop.stores.tariffs.rates("standard") == [new]


def test_an_import_says_what_is_different(shop: Shop) -> None:
    put = shop.stores.tariffs.put_rates
    new = [NewRate(UK_RATE), priced("1"), priced("420")]
    assert put("standard", new) == ImportDiff(added=("1", "420"), changed=(), same=1)
    assert put("standard", new) == ImportDiff(added=(), changed=(), same=3)
    newer = [NewRate(UK_RATE, "now with a name"), priced("1", 9), priced("49")]
    assert put("standard", newer) == ImportDiff(added=("49",), changed=("44", "1"), same=0)
    assert [view.rate.prefix for view in shop.stores.tariffs.rates("standard")] == ["1", "420", "44", "49"]
    assert shop.stores.tariffs.all() == [{"name": "standard", "currency": "USD", "rates": 4}]


def test_a_dry_run_says_the_same_and_changes_nothing(shop: Shop) -> None:
    before = shop.rows()
    diff = shop.stores.tariffs.put_rates("standard", [priced("44"), priced("1")], dry_run=True)
    assert diff == ImportDiff(added=("1",), changed=("44",), same=0)
    assert shop.rows() == before


def test_a_large_import_reports_each_rate_and_is_complete(shop: Shop) -> None:
    done: list[int] = []
    shop.stores.tariffs.put_rates(
        "standard", [priced(str(n)) for n in range(1000, 2501)], progress=done.append
    )
    assert done == list(range(1, 1502))
    shop.stores.tariffs.put_rates("standard", [priced(str(n), 2) for n in range(1000, 2501)])
    rates = shop.stores.tariffs.rates("standard")
    assert len(rates) == 1502
    assert {view.rate.next_price_micros for view in rates if view.rate != UK_RATE} == {2}


def test_an_import_that_fails_half_way_leaves_everything_as_it_was(shop: Shop) -> None:
    def cancelled(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    before = shop.rows()
    with pytest.raises(KeyboardInterrupt):
        shop.stores.tariffs.put_rates(
            "standard", [priced("44"), priced("1"), priced("2")], progress=cancelled
        )
    with pytest.raises(InvalidInput, match="prefix 1 stands twice"):
        shop.stores.tariffs.put_rates("standard", [priced("44"), priced("1"), priced("1")])
    with pytest.raises(InvalidInput, match="there is no tariff 'none'"):
        shop.stores.tariffs.put_rates("none", [priced("1")])
    assert shop.rows() == before


def test_a_rate_taken_out_is_gone_for_new_calls_and_kept_for_old_ones(shop: Shop) -> None:
    tariff = shop.account().tariff_id
    old = shop.stores.tariffs.match(tariff, "442071234567")
    assert old is not None
    shop.stores.tariffs.remove_rate("standard", "44")
    assert shop.stores.tariffs.match(tariff, "442071234567") is None
    assert shop.stores.tariffs.version(old.id).rate == UK_RATE
    with pytest.raises(InvalidInput, match="has no rate for prefix '44'"):
        shop.stores.tariffs.remove_rate("standard", "44")
    shop.stores.tariffs.put_rates("standard", [NewRate(UK_RATE)])
    assert shop.stores.tariffs.match(tariff, "442071234567") is not None


def test_bad_tariffs_are_refused(shop: Shop) -> None:
    before = shop.rows()
    for name, currency, why in [
        ("standard", "USD",    "exists already"),
        ("",         "USD",    "is not a name"),
        ("new",      "dollar", "is not a currency"),
    ]:  # fmt: skip
        with pytest.raises(InvalidInput, match=why):
            shop.stores.tariffs.add(name, currency)
    for ask in (shop.stores.tariffs.currency, shop.stores.tariffs.rates):
        with pytest.raises(InvalidInput, match="there is no tariff"):
            ask("none")
    assert shop.stores.tariffs.currency("standard") == "USD"
    assert shop.rows() == before
