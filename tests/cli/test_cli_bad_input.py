"""Whatever is typed: a sentence that says what is wrong, exit 2, and not a row of the database is different."""

from __future__ import annotations

import pytest
from command_line import ACCESS_NUMBER, SUBSCRIBER, CommandLine

LONG = "x" * 100_000
CONTROL = "a\x1b[2Jb\n"
EASTERN = "٤٢٠٢١٢"  # digits, but not those of E.164
NOT_TEXT = "\udcff"  # what Python makes of a byte that is no UTF-8

NAMES = ["", " ", " padded ", CONTROL, LONG, NOT_TEXT, "Acme"]
AMOUNTS = [
    "",
    "x",
    "1,5",
    "1e3",
    "0x10",
    "1_0",
    "nan",
    "inf",
    "$5",
    "1.0000001",
    "99999999999",
    EASTERN,
    CONTROL,
    LONG,
]
NUMBERS = ["", "x y", "+420", "a/b", "PJSIP/1@trunk", CONTROL, EASTERN, LONG, NOT_TEXT]
WHOLES = ["", "0", "-1", "1.5", "x", "1_0", EASTERN, "9" * 50, CONTROL]
UNKNOWN = ["", "nobody", "' OR 1=1 --", "%", CONTROL, EASTERN, LONG, NOT_TEXT]


def _ids(value: object) -> str:
    return ascii(value)[:24]


@pytest.mark.parametrize("name", NAMES, ids=_ids)
def test_bad_names(shop: CommandLine, name: str) -> None:
    shop.refused("customer", "add", name, "--currency", "USD")
    shop.refused("tariff", "add", "retail" if name == "Acme" else name, "--currency", "USD")
    shop.refused("product", "add", "callback" if name == "Acme" else name, "--tariff", "retail")


@pytest.mark.parametrize("currency", ["", "US", "USDX", "12A", "€", "ＵＳＤ", CONTROL, LONG], ids=_ids)
def test_bad_currencies(shop: CommandLine, currency: str) -> None:
    shop.refused("customer", "add", "Bolt", "--currency", currency)
    shop.refused("tariff", "add", "bolt", "--currency", currency)


@pytest.mark.parametrize("amount", [*AMOUNTS, "0", "-0", "+0.0"], ids=_ids)
def test_bad_amounts_of_a_top_up(shop: CommandLine, amount: str) -> None:
    shop.refused("account", "topup", SUBSCRIBER, amount)


@pytest.mark.parametrize("amount", [*AMOUNTS, "-1"], ids=_ids)
def test_bad_prices_and_limits(shop: CommandLine, amount: str) -> None:
    shop.refused("account", "set", SUBSCRIBER, "--credit-limit", amount)
    shop.refused(
        "account", "add", "1000", "--customer", "Acme", "--product", "callback", "--credit-limit", amount
    )
    if amount:
        shop.refused("rate", "set", "retail", "420", "--connect-fee", amount)
    prices = "1.0000000000001" if amount == "1.0000001" else amount  # they may have twelve decimals
    if prices:  # an empty price is a default
        shop.refused("rate", "add", "retail", "44", "1", "--next-price", prices)
    shop.refused("rate", "add", "retail", "44", "--", prices)
    shop.refused("rate", "set", "retail", "420", "--first-price", prices)


@pytest.mark.parametrize("number", NUMBERS, ids=_ids)
def test_bad_numbers(shop: CommandLine, number: str) -> None:
    shop.refused("account", "add", number, "--customer", "Acme", "--product", "callback")
    shop.refused("account", "set", SUBSCRIBER, "--alias", number, "--alias", "1")
    shop.refused("rate", "add", "retail", number, "0.1")
    if number != "+420":
        shop.refused("rate", "explain", number, "--account", SUBSCRIBER, "--seconds", "1")
    if number == EASTERN:
        return  # digits of all scripts are digits where a number is called, but not in the ids above
    shop.refused("access-number", "add", number)
    if number:  # an empty one takes it back
        shop.refused("account", "set", SUBSCRIBER, "--callback-number", number)


@pytest.mark.parametrize("value", WHOLES, ids=_ids)
def test_bad_whole_numbers(shop: CommandLine, value: str) -> None:
    shop.refused("request", "list", "--limit", value)
    shop.refused("xdr", "list", "--limit", value)
    if value != "0":
        shop.refused("rate", "explain", "420212345678", "--account", SUBSCRIBER, "--seconds", value)
    if value:
        shop.refused("rate", "set", "retail", "420", "--first-interval", value)
        shop.refused("rate", "add", "retail", "44", "0.1", "--next-interval", value)


@pytest.mark.parametrize("name", UNKNOWN, ids=_ids)
def test_what_does_not_exist(shop: CommandLine, name: str) -> None:
    shop.refused("customer", "show", name)
    shop.refused("tariff", "show", name)
    shop.refused("product", "show", name)
    shop.refused("product", "set", name, "--tariff", "retail")
    shop.refused("product", "set", "callback", "--tariff", name)
    shop.refused("product", "add", "new", "--tariff", name)
    shop.refused("account", "show", name)
    shop.refused("account", "set", name, "--status", "blocked")
    shop.refused("account", "set", SUBSCRIBER, "--product", name)
    shop.refused("account", "topup", name, "1")
    shop.refused("account", "add", "1000", "--customer", name, "--product", "callback")
    shop.refused("account", "add", "1000", "--customer", "Acme", "--product", name)
    shop.refused("rate", "list", name)
    shop.refused("rate", "add", name, "44", "1")
    shop.refused("rate", "set", name, "420", "--first-price", "1")
    shop.refused("rate", "set", "retail", name, "--first-price", "1")
    shop.refused("rate", "remove", name, "420")
    shop.refused("rate", "remove", "retail", name)
    shop.refused("rate", "explain", "420212345678", "--account", name, "--seconds", "1")
    shop.refused("access-number", "show", name)
    shop.refused("access-number", "set", name, "--enabled")
    shop.refused("request", "show", name)
    shop.refused("request", "list", "--state", name)
    shop.refused("xdr", "list", "--account", name)
    shop.refused("xdr", "list", "--request", name)


@pytest.mark.parametrize(
    "date",
    ["", "tomorrow", "2027", "2027-13-01", "2027-02-30", "20270101", "2027-W01-1", "0000-01-01", "9999-12-31",
     "٢٠٢٧-٠١-٠١", "2027-01-01T00:00", "2027-01-01\n"],
    ids=_ids,
)  # fmt: skip
def test_bad_dates(shop: CommandLine, date: str) -> None:
    shop.refused("account", "set", SUBSCRIBER, "--expires", date)
    shop.refused("account", "add", "1000", "--customer", "Acme", "--product", "callback", "--expires", date)


@pytest.mark.parametrize(
    "option",
    ["", "=", "welcome", "welcome=maybe", "nonsense=1", "nonsense=", "ring_timeout_a_s=4", "ring_timeout_a_s=x",
     "ring_timeout_a_s=1.5", "callback_delay_s=nan", "callback_delay_s=-1", "callback_delay_s=1e9",
     "reject_cause=teapot", "caller_id_a=+420", "ani_rules=s/^0/", "ani_rules=s/(.*)*/x/", f"dial_rules={LONG}",
     "caller_id_b=PJSIP/1", "ring_timeout_a_s=" + "9" * 5000],
    ids=_ids,
)  # fmt: skip
def test_bad_options_of_an_access_number(shop: CommandLine, option: str) -> None:
    shop.refused("access-number", "add", "420800", "--set", option)
    shop.refused("access-number", "set", ACCESS_NUMBER, "--set", "welcome=on", "--set", option)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["account", "add", SUBSCRIBER, "--customer", "Acme", "--product", "callback"], "already"),
        (
            ["account", "add", "420777111222", "--customer", "Acme", "--product", "callback"],
            "already an account or an alias",
        ),
        (["account", "add", "1000", "--customer", "Acme", "--product", "eurocall"], "use the same currency"),
        (
            ["account", "add", "1000", "--customer", "Acme", "--product", "callback", "--alias", SUBSCRIBER],
            "already",
        ),
        (["account", "set", SUBSCRIBER, "--product", "eurocall"], "EUR"),
        (["account", "set", SUBSCRIBER, "--status", "asleep"], "active, blocked, closed"),
        (["account", "set", SUBSCRIBER, "--status", "closed"], "account close"),
        (["account", "set", SUBSCRIBER], "nothing to change"),
        (["account", "topup", SUBSCRIBER, "1", "--key", "first"], "already used"),
        (["account", "topup", SUBSCRIBER, "1", "--key", ""], "empty"),
        (["account", "topup", SUBSCRIBER, "1", "--key", CONTROL], "printable"),
        (["account", "topup", SUBSCRIBER, "1", "--note", LONG], "printable"),
        (["account", "topup", SUBSCRIBER, "-5"], "-5"),
        (["product", "set", "callback", "--tariff", "euros"], "EUR"),
        (["access-number", "add", ACCESS_NUMBER], "already exists"),
        (["access-number", "set", ACCESS_NUMBER], "nothing to change"),
        (["access-number", "add", "420800", "--set", "welcome=on", "--set", "welcome=off"], "twice"),
        (["rate", "add", "retail", "420", "1"], "already"),
        (["rate", "add", "retail", "44", "1", "--first-interval", "3601"], "1 to 3600"),
        (["rate", "add", "retail", "44", "1", "--description", CONTROL], "printable"),
        (["rate", "set", "retail", "420"], "nothing to change"),
        (["rate", "set", "retail", "44", "--first-price", "1"], "no rate"),
        (["account"], "Missing command"),
        (["account", "explode"], "explode"),
        (["nonsense"], "nonsense"),
        ([CONTROL], "No such command"),
        (["account", "topup"], "NUMBER"),
        (["account", "list", "surplus"], "surplus"),
        (["account", "list", "--what"], "--what"),
        (["--config", "missing.toml", "account", "list"], "missing.toml"),
    ],
    ids=_ids,
)
def test_what_cannot_be(shop: CommandLine, words: list[str], why: str) -> None:
    assert why in shop.refused(*words)


def test_a_change_that_fails_half_way_leaves_nothing_behind(shop: CommandLine) -> None:
    shop.refused(
        "account",
        "set",
        SUBSCRIBER,
        "--status",
        "blocked",
        "--credit-limit",
        "5",
        "--alias",
        "1",
        "--alias",
        "a b",
    )
    assert shop.ok("account", "show", SUBSCRIBER, "--json").json["status"] == "active"


def test_a_credit_limit_below_what_was_used_is_refused(shop: CommandLine) -> None:
    shop.ok("account", "add", "1000", "--customer", "Acme", "--product", "callback")
    assert shop.ok("account", "set", "1000", "--credit-limit", "0").code == 0


def test_a_negative_number_says_where_it_belongs(shop: CommandLine) -> None:
    for noun, name in (("account", SUBSCRIBER), ("customer", "Acme")):
        told = shop.refused(noun, "adjust", name, "-5", "--reason", "x")
        assert "a negative amount is written with its option, for example --by=-5" in told
        assert "behind --" in shop.refused(noun, "topup", name, "-5.50")
        assert "option" not in shop.refused(noun, "topup", "--", name, "-5.50")
        for by in (("--by", "-0.5"), ("--by=-0.5",)):
            shop.ok(noun, "adjust", name, *by, "--reason", "x") if noun == "account" else None
    assert shop.ok("account", "show", SUBSCRIBER, "--json").json["balance"] == "9.00"
