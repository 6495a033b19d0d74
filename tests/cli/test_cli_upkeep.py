"""Taking back: remove and rename, operations on batches, corrections of shared funds, copies of tariffs."""

from __future__ import annotations

import pytest
from command_line import ACCESS_NUMBER, SUBSCRIBER, CommandLine

from stasis_callback.store.rates.tables import Tariff
from stasis_callback.store.rates.tariffs import Tariffs


def test_what_nothing_depends_on_is_removed(shop: CommandLine) -> None:
    shop.ok("customer", "add", "Typo", "--currency", "USD")
    shop.ok("product", "add", "typo", "--tariff", "retail")
    shop.ok("product", "set", "typo", "--tariff", "retail", "--access-code", "7")
    shop.ok("vendor", "add", "typo", "--currency", "USD")
    shop.ok("--as", "jana", "customer", "remove", "Typo")
    shop.ok("product", "remove", "typo")
    shop.ok("vendor", "remove", "typo")
    shop.ok("access-number", "remove", ACCESS_NUMBER)
    for words in (("customer", "show", "Typo"), ("product", "show", "typo"), ("vendor", "show", "typo")):
        assert "unknown" in shop.refused(*words)
    [removed] = shop.ok("audit", "list", "--operator", "jana", "--json").json
    assert (removed["name"], removed["before"]["name"], removed["after"]) == ("Typo", "Typo", {})


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("customer", "remove", "Acme"), "it has 1 account(s), see `account list --customer`"),
        (("product", "remove", "callback"), "1 account(s) have it"),
        (("vendor", "remove", "carrier"), "it has or had trunks"),
        (("customer", "remove", "nobody"), "unknown customer"),
        (("access-number", "remove", "420999"), "unknown access number"),
        (("customer", "rename", "Acme", "Bolt"), "already exists"),
        (("product", "rename", "callback", " x"), "not a valid name"),
        (("account", "block-batch", ""), "there is no batch"),
    ],
)
def test_what_something_depends_on_stays_and_says_what(
    shop: CommandLine, words: tuple[str, ...], why: str
) -> None:
    shop.ok("customer", "add", "Bolt", "--currency", "USD")
    shop.ok("vendor", "add", "carrier", "--currency", "USD")
    shop.ok("trunk", "add", "t", "--vendor", "carrier", "--tariff", "retail")
    assert why in shop.refused(*words)


def test_a_renamed_customer_keeps_its_funds_and_the_name_is_free(shop: CommandLine, called: str) -> None:
    shop.ok("customer", "topup", "Acme", "7")
    shop.ok("customer", "rename", "Acme", "Acme Ltd")
    assert shop.ok("customer", "show", "Acme Ltd", "--json").json["balance"] == "7.00"
    shop.ok("customer", "add", "Acme", "--currency", "USD")
    shop.ok("customer", "topup", "Acme", "5")
    assert shop.ok("customer", "show", "Acme Ltd", "--json").json["balance"] == "7.00"
    assert {e["account"] for e in shop.ok("ledger", "entries", "--customer", "Acme Ltd", "--json").json} == {
        "Acme Ltd", SUBSCRIBER,
    }  # fmt: skip
    assert "funds of its own" in shop.refused("customer", "remove", "Acme")
    shop.ok("tariff", "rename", "retail", "retail 2026")
    shop.ok("product", "rename", "callback", "call back")
    shop.ok("vendor", "add", "old name", "--currency", "USD")
    shop.ok("vendor", "rename", "old name", "carrier")
    assert [vendor["name"] for vendor in shop.ok("vendor", "list", "--json").json] == ["carrier"]
    account = shop.ok("account", "show", SUBSCRIBER, "--json").json
    assert (account["customer"], account["product"]) == ("Acme Ltd", "call back")
    assert "is consistent" in shop.ok("ledger", "verify").out


def test_shared_funds_are_corrected_once_for_a_key(shop: CommandLine) -> None:
    for said in ("adjusted by 3.00", "was already adjusted with key k by 3.00"):
        assert (
            said in shop.ok("customer", "adjust", "Acme", "--by", "3", "--reason", "gift", "--key", "k").out
        )
    assert "insufficient funds" in shop.refused("customer", "adjust", "Acme", "--by", "-4", "--reason", "x")
    assert shop.ok("customer", "show", "Acme", "--json").json["balance"] == "3.00"


def test_a_batch_is_blocked_and_unblocked_as_one(shop: CommandLine) -> None:
    pair = ("--customer", "Acme", "--product", "callback")
    shop.ok("account", "generate", "3", *pair, "--batch", "may", "--out", "may.csv")
    one = shop.ok("account", "list", "--batch", "may", "--json").json[0]["number"]
    shop.ok("account", "close", one)
    assert shop.ok("account", "block-batch", "may").out == "2 accounts of batch may are blocked\n"
    assert len(shop.ok("account", "list", "--status", "blocked", "--json").json) == 2
    shop.ok("account", "unblock-batch", "may")
    assert shop.ok("account", "show", one, "--json").json["status"] == "closed"
    newest = shop.ok("audit", "list", "--noun", "batch", "--json").json[0]
    assert (newest["before"], newest["after"]) == ({"blocked": 2}, {"active": 2})


def test_a_tariff_is_copied_with_what_comes_later(shop: CommandLine) -> None:
    shop.ok("rate", "add", "retail", "44", "0.5", "--from", "2999-01-01")
    shop.ok("tariff", "set", "retail", "--open", "premium")
    assert shop.ok("tariff", "copy", "retail", "retail 2").out == "tariff retail 2 has 2 rates of retail\n"

    def rates(name: str, *words: str) -> list[object]:
        return [(r["prefix"], r["first_price"]) for r in shop.ok("rate", "list", name, *words, "--json").json]

    assert rates("retail 2") == rates("retail") == [("420", "0.12")]
    assert rates("retail 2", "--scheduled") == rates("retail", "--scheduled") == [("44", "0.50")]
    assert shop.ok("tariff", "show", "retail 2", "--json").json["opened"] == ["premium"]
    assert "already exists" in shop.refused("tariff", "copy", "retail", "euros")


def test_a_tariff_is_copied_with_prices_that_it_does_not_charge_now(shop: CommandLine) -> None:
    shop.ok("tariff", "set", "retail", "--off-peak", "01:30-02:30")
    off_peak = ("--off-peak-first-price", "0.06", "--off-peak-next-price", "0.06")
    shop.ok("rate", "add", "retail", "4202", "0.6", *off_peak)
    shop.ok("tariff", "set", "retail", "--off-peak", "none")
    shop.ok("tariff", "copy", "retail", "second")
    for name in ("retail", "second"):
        rates = shop.ok("rate", "list", name, "--json").json
        prices = [(rate["prefix"], rate["first_price"], rate["off_peak_first_price"]) for rate in rates]
        assert prices == [("420", "0.12", None), ("4202", "0.60", "0.06")]


def test_a_vendor_is_shown_with_its_trunks(shop: CommandLine) -> None:
    shop.ok("vendor", "add", "carrier", "--currency", "USD")
    shop.ok("trunk", "add", "t", "--vendor", "carrier", "--tariff", "retail")
    shown = shop.ok("vendor", "show", "carrier", "--json").json
    assert shown == {"name": "carrier", "currency": "USD", "trunks": ["t"], "tariffs": ["retail"]}


def test_what_is_retired_goes_on_and_is_used_for_nothing_new(shop: CommandLine, called: str) -> None:
    shop.ok("vendor", "add", "carrier", "--currency", "USD")
    shop.ok("trunk", "add", "t", "--vendor", "carrier", "--tariff", "retail")
    pair = ("--customer", "Acme", "--product", "callback")
    for noun, name in (
        ("customer", "Acme"),
        ("product", "callback"),
        ("tariff", "retail"),
        ("vendor", "carrier"),
    ):
        assert "is retired" in shop.ok("--as", "jana", noun, "retire", name).out
        listed = [row["name"] for row in shop.ok(noun, "list", "--json").json]
        assert name not in listed
        assert [row["name"] for row in shop.ok(noun, "list", "--retired", "--json").json] == [name]
    assert "customer 'Acme' is retired" in shop.refused("account", "add", "1000", *pair)
    assert "tariff 'retail' is retired" in shop.refused("product", "add", "new", "--tariff", "retail")
    assert "vendor 'carrier' is retired" in shop.refused(
        "trunk", "add", "u", "--vendor", "carrier", "--tariff", "retail"
    )
    # The subscriber of it all calls on, and is told the same.
    assert "would be called back" in shop.ok("access-number", "test", ACCESS_NUMBER, "--ani", SUBSCRIBER).out
    shop.ok("account", "topup", SUBSCRIBER, "1")
    shop.ok("rate", "set", "retail", "420", "--first-price", "0.2")
    shop.ok("customer", "retire", "Acme", "--undo")
    assert "product 'callback' is retired" in shop.refused("account", "add", "1000", *pair)
    shop.ok("product", "retire", "callback", "--undo")
    shop.ok("account", "add", "1000", *pair)
    changes = shop.ok("audit", "list", "--operator", "jana", "--json").json
    assert {(c["noun"], c["after"]["retired"]) for c in changes} == {
        ("customer", True), ("product", True), ("tariff", True), ("vendor", True),
    }  # fmt: skip
    assert "unknown tariff" in shop.refused("tariff", "retire", "nothing")
    assert "`customer retire` keeps it from new use" in shop.refused("customer", "remove", "Acme")


def test_a_batch_is_closed_as_one(shop: CommandLine) -> None:
    pair = ("--customer", "Acme", "--product", "callback")
    shop.ok("account", "generate", "3", *pair, "--batch", "may", "--out", "may.csv")
    one = shop.ok("account", "list", "--batch", "may", "--json").json[0]["number"]
    shop.ok("account", "block", one)
    shop.ok("account", "close-batch", "may")
    assert len(shop.ok("account", "list", "--status", "closed", "--json").json) == 3


def test_a_tariff_is_removed_and_its_name_is_free(shop: CommandLine, called: str) -> None:
    shop.ok("tariff", "add", "typo", "--currency", "EUR")
    shop.ok("rate", "add", "typo", "44", "1")
    assert shop.ok("--as", "jana", "tariff", "remove", "typo").out == "tariff typo removed\n"
    assert "unknown tariff" in shop.refused("tariff", "show", "typo")
    assert "unknown tariff" in shop.refused("tariff", "remove", "typo")
    assert "typo" not in shop.ok("tariff", "list").out + shop("tariff", "list", "--retired").out
    [removed] = shop.ok("audit", "list", "--operator", "jana", "--json").json
    assert (removed["noun"], removed["before"]["currency"], removed["after"]) == ("tariff", "EUR", {})
    shop.ok("tariff", "add", "typo", "--currency", "USD")
    assert shop.ok("rate", "list", "typo", "--json").json == []


def test_a_tariff_that_something_depends_on_stays(shop: CommandLine, called: str) -> None:
    shop.ok("tariff", "copy", "retail", "codes")
    shop.ok("product", "set", "callback", "--tariff", "codes", "--access-code", "7")
    shop.ok("vendor", "add", "carrier", "--currency", "USD")
    shop.ok("tariff", "copy", "retail", "cost")
    shop.ok("trunk", "add", "t", "--vendor", "carrier", "--tariff", "cost")
    assert "products have it, see `tariff show retail`" in shop.refused("tariff", "remove", "retail")
    assert "products have it" in shop.refused("tariff", "remove", "codes")
    assert "trunks have it" in shop.refused("tariff", "remove", "cost")
    shop.ok("product", "set", "callback", "--tariff", "codes")
    assert "calls were charged by it; `tariff retire`" in shop.refused("tariff", "remove", "retail")
    shop.ok("trunk", "remove", "t")
    shop.ok("tariff", "remove", "cost")
    assert "is consistent" in shop.ok("ledger", "verify").out


def test_a_trunk_is_renamed_with_its_endpoint(shop: CommandLine) -> None:
    shop.ok("vendor", "add", "carrier", "--currency", "USD")
    for name in ("old", "other", "gone"):
        shop.ok("trunk", "add", name, "--vendor", "carrier", "--tariff", "retail", "--preference", "7")
    shop.ok("trunk", "remove", "gone")
    shop.ok("route", "add", "44", "old")
    shop.ok("trunk", "enable", "old", "--unchecked")
    assert "does not say whether it has PJSIP endpoint new" in shop.refused("trunk", "rename", "old", "new")
    assert "already exists" in shop.refused("trunk", "rename", "old", "other", "--unchecked")
    assert "call records keep the name" in shop.refused("trunk", "rename", "other", "gone")
    assert "not a valid name of a PJSIP endpoint" in shop.refused("trunk", "rename", "other", "a b")
    assert "unknown trunk 'gone'" in shop.refused("trunk", "rename", "gone", "back")
    shop.ok("--as", "jana", "trunk", "rename", "old", "new", "--unchecked")
    shown = shop.ok("trunk", "show", "new", "--json").json
    assert (shown["preference"], shown["routes"], shown["enabled"]) == (7, {"44": 7}, True)
    [noted] = shop.ok("audit", "list", "--operator", "jana", "--json").json
    assert (noted["noun"], noted["before"], noted["after"]) == ("trunk", {"name": "old"}, {"name": "new"})


def test_a_copied_tariff_ends_what_ends_and_is_not_there_before_it_is_complete(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.ok("rate", "remove", "retail", "420", "--from", "2999-01-01")
    with monkeypatch.context() as patch, shop.stores() as stores:
        patch.setattr(Tariffs, "_insert_terms", fail)
        with pytest.raises(RuntimeError):
            stores.tariffs.copy("retail", "second")
    assert "second" not in shop.ok("tariff", "list").out
    assert "unknown tariff" in shop.refused("rate", "list", "second")
    shop.ok("tariff", "copy", "retail", "second")
    assert shop.ok("rate", "list", "second", "--at", "2999-06-01", "--json").json == []
    assert [rate["prefix"] for rate in shop.ok("rate", "list", "second", "--json").json] == ["420"]


@pytest.mark.parametrize("hidden", [" copy: second", " removed: 3"])
def test_nobody_finds_a_tariff_that_was_removed_or_is_being_copied(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    shop.ok("tariff", "add", "gone", "--currency", "USD")
    shop.ok("tariff", "remove", "gone")
    with monkeypatch.context() as patch, shop.stores() as stores:
        patch.setattr(Tariffs, "_insert_terms", fail)
        patch.setattr(Tariffs, "_forget_copy", fail)
        with pytest.raises(RuntimeError):
            stores.tariffs.copy("retail", "second")
        stored = stores.database.read(lambda: [row.name for row in Tariff.select()])
    assert hidden in stored
    for words in (
        ("tariff", "show", hidden),
        ("tariff", "set", hidden, "--grace", "5"),
        ("tariff", "retire", hidden),
        ("tariff", "rename", hidden, "found"),
        ("tariff", "remove", hidden),
        ("tariff", "copy", hidden, "found"),
        ("rate", "list", hidden),
        ("rate", "history", hidden),
        ("rate", "add", hidden, "44", "0.5"),
        ("product", "add", "evil", "--tariff", hidden),
        ("product", "set", "callback", "--tariff", hidden),
    ):
        assert f"unknown tariff {hidden!r}" in shop.refused(*words), words


def fail(*_: object) -> None:
    raise RuntimeError("the power was cut")
