"""Vendors, trunks and routes from the shell."""

from __future__ import annotations

import pytest
from command_line import SUBSCRIBER, CommandLine


@pytest.fixture
def carried(shop: CommandLine) -> CommandLine:
    """A vendor with two trunks to the subscriber's country."""
    shop.ok("vendor", "add", "carrier", "--currency", "USD")
    for name, price in (("first", "0.01"), ("second", "0.02")):
        shop.ok("tariff", "add", f"cost-{name}", "--currency", "USD")
        shop.ok("rate", "add", f"cost-{name}", "420", price)
        shop.ok("trunk", "add", name, "--vendor", "carrier", "--tariff", f"cost-{name}")
    return shop


def test_the_first_trunk_takes_over_from_the_settings(shop: CommandLine) -> None:
    assert "of the settings" in shop.ok("route", "explain", SUBSCRIBER, "--account", SUBSCRIBER).out
    shop.ok("vendor", "add", "carrier", "--currency", "USD")
    added = shop.ok("trunk", "add", "first", "--vendor", "carrier", "--tariff", "retail").out
    assert "from now on calls use the trunks in `trunk list`" in added
    assert shop.ok("vendor", "list", "--json").json == [{"name": "carrier", "currency": "USD", "trunks": 1}]


def test_a_trunk_is_shown_changed_and_switched_off(carried: CommandLine) -> None:
    carried.ok(
        "trunk", "set", "first", "--calls-limit", "30", "--calls-per-s", "5", "--number-rules", "s/^/+/"
    )
    carried.ok("trunk", "disable", "first")
    assert carried.ok("trunk", "show", "first", "--json").json == {
        "name": "first",
        "vendor": "carrier",
        "tariff": "cost-first",
        "currency": "USD",
        "enabled": False,
        "preference": 50,
        "calls_limit": 30,
        "calls_per_s": 5,
        "number_rules": "s/^/+/",
        "routes": {},
    }
    carried.ok("trunk", "set", "first", "--calls-limit", "0")
    carried.ok("trunk", "enable", "first")
    assert [t["calls_limit"] for t in carried.ok("trunk", "list", "--json").json] == [None, None]
    assert "second" in carried.ok("trunk", "list").out


def test_explain_says_in_which_order_trunks_are_tried_and_why_others_are_not(carried: CommandLine) -> None:
    carried.ok("route", "add", "420", "second", "--preference", "80")
    carried.ok("route", "add", "44", "first")
    rows = carried.ok("route", "explain", SUBSCRIBER, "--account", SUBSCRIBER, "--json").json
    assert [(r["order"], r["trunk"], r["preference"], r["why_not"]) for r in rows] == [
        (1, "second", 80, ""),
        (None, "first", None, "no_route"),
    ]
    assert rows[0]["cost"] == "0.06"
    carried.ok("route", "remove", "44", "first")
    assert "a call of 180 seconds" in carried.ok("route", "explain", SUBSCRIBER, "--account", SUBSCRIBER).out
    assert carried.ok("route", "list", "--json").json == [
        {"prefix": "420", "trunk": "second", "preference": 80}
    ]


def test_explain_goes_by_the_options_of_an_access_number(carried: CommandLine) -> None:
    carried.ok("access-number", "add", "8001", "--set", "min_margin_percent=90")
    words = ("route", "explain", SUBSCRIBER, "--account", SUBSCRIBER, "--json")
    assert [row["why_not"] for row in carried.ok(*words).json] == ["", ""]
    with_margin = carried.ok(*words, "--access-number", "8001").json
    assert [(row["trunk"], row["order"], row["why_not"]) for row in with_margin] == [
        ("first", 1, ""),
        ("second", None, "below_cost"),
    ]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("route", "explain", "+420", "--account", SUBSCRIBER),            "not a possible phone number"),
        (("route", "explain", "33123456", "--account", SUBSCRIBER),        "has no rate for 33123456"),
        (("route", "explain", SUBSCRIBER, "--account", "nobody"),          "nobody"),
        (("route", "explain", SUBSCRIBER, "--account", SUBSCRIBER, "--access-number", "1"), "access number '1'"),
        (("route", "remove", "44", "first"),                               "no route for prefix '44'"),
        (("route", "add", "44", "third"),                                  "unknown trunk 'third'"),
        (("trunk", "set", "first", "--tariff", "euros"),                   "bills in USD"),
        (("vendor", "add", "carrier", "--currency", "USD"),                "already exists"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(carried: CommandLine, words: tuple[str, ...], why: str) -> None:
    result = carried(*words)
    assert result.code == 2
    assert why in result.err
