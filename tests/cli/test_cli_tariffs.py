"""Tariffs: every term has an option, is shown, and changes what a call costs."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from command_line import CommandLine

from stasis_callback.core.rating import Terms

SATURDAY = "2998-01-06T12:00Z"

# Of 90 s to Czechia at 0.12 a minute, or 0.06 off-peak, with a connect fee of 0.01: 0.19 without any terms.
EVERY_TERM: dict[str, tuple[list[str], object, str, str]] = {
    # field:           options,                                      stored,        shown,      costs
    "grace_s":         (["--grace", "90"],                           90,            "90",       "0.00"),
    "free_s":          (["--free", "30"],                            30,            "30",       "0.13"),
    "disconnect_fee_micros":  (["--disconnect-fee", "0.5"],          500_000,       "0.50",     "0.69"),
    "disconnect_fee_after_s": (["--disconnect-fee-after", "60"],     60,            "60",       "0.19"),
    "surcharge_bp":    (["--surcharge", "12.5"],                     1250,          "12.5",    "0.21375"),
    "minimum_micros":  (["--minimum", "0.2"],                        200_000,       "0.20",     "0.20"),
    "maximum_micros":  (["--maximum", "0.1"],                        100_000,       "0.10",     "0.10"),
    "rounding_micros": (["--rounding-unit", "0.05"],                 50_000,        "0.05",     "0.20"),
    "rounding":        (["--rounding", "down"],                      "down",        "down",     "0.19"),
    "off_peak":        (["--off-peak", "Sat 10:00-20:00"],           "Sat 10:00-20:00", "Sat 10:00-20:00", "0.10"),
    "off_peak_by":     (["--off-peak-by", "answer"],                 "answer",      "answer",   "0.19"),
    "time_zone":       (["--time-zone", "Europe/Prague"],            "Europe/Prague", "Europe/Prague", "0.19"),
    "opened":          (["--open", "premium"],                       "premium",     "premium",  "0.19"),
}  # fmt: skip


def cost(shop: CommandLine, at: str = SATURDAY, seconds: int = 90) -> str:
    explained = shop.ok(
        "rate",
        "explain",
        "420212345678",
        "--tariff",
        "retail",
        "--seconds",
        str(seconds),
        "--at",
        at,
        "--json",
    ).json
    amount: str = explained["amount"]
    return amount


def explain(shop: CommandLine, seconds: int = 90) -> str:
    words = ("420212345678", "--tariff", "retail", "--seconds", str(seconds), "--at", SATURDAY)
    return shop.ok("rate", "explain", *words).out


@pytest.fixture
def priced(shop: CommandLine) -> CommandLine:
    """The rate for Czechia costs half off-peak, if the tariff has off-peak hours."""
    shop.ok("tariff", "set", "retail", "--off-peak", "sun")
    shop.ok(
        "rate", "set", "retail", "420", "--connect-fee", "0.01", "--off-peak-first-price", "0.06",
        "--off-peak-next-price", "0.06",
    )  # fmt: skip
    shop.ok("tariff", "set", "retail", "--off-peak", "none")
    return shop


def test_every_term_has_an_option() -> None:
    assert set(EVERY_TERM) == {field.name for field in fields(Terms)}


@pytest.mark.parametrize("name", EVERY_TERM)
def test_a_term_is_set_shown_and_charged(priced: CommandLine, name: str) -> None:
    options, stored, shown, costs = EVERY_TERM[name]
    before = priced.ok("tariff", "show", "retail", "--json").json
    assert cost(priced) == "0.19"
    priced.ok("tariff", "set", "retail", *options, "--note", "spring")
    with priced.stores() as stores:
        assert stores.tariffs.terms("retail") == replace(Terms(), **{name: stored})  # type: ignore[arg-type]
    after = priced.ok("tariff", "show", "retail", "--json").json
    changed = {key for key in before if before[key] != after[key] and not key.endswith("_micros")}
    assert len(changed) == 1
    value: Any = after[changed.pop()]
    assert (
        value if isinstance(value, str) else ", ".join(value) if isinstance(value, list) else str(value)
    ) == shown
    assert shown in priced.ok("tariff", "show", "retail").out
    assert cost(priced) == costs
    assert priced.ok("rate", "history", "retail", "--json").json[0]["note"] == "spring"
    assert priced.ok("tariff", "set", "retail", *options).out == "tariff retail: nothing changed\n"


def test_terms_are_changed_one_by_one_and_taken_back(shop: CommandLine) -> None:
    assert shop.ok("tariff", "set", "retail", "--grace", "5", "--surcharge", "10%").out == (
        "tariff retail: grace s 0 -> 5; surcharge percent 0 -> 10\n"
    )
    assert shop.ok("tariff", "set", "retail", "--grace", "0", "--minimum", "0.3").out == (
        "tariff retail: grace s 5 -> 0; minimum 0.00 -> 0.30\n"
    )
    with shop.stores() as stores:
        assert stores.tariffs.terms("retail") == Terms(surcharge_bp=1000, minimum_micros=300_000)


def test_the_zone_of_the_hours_counts(priced: CommandLine) -> None:
    out = priced.ok("tariff", "set", "retail", "--off-peak", "19:00-07:00", "--time-zone", "Asia/Tokyo").out
    assert out == "tariff retail: off peak none -> 19:00-07:00; time zone UTC -> Asia/Tokyo\n"
    assert (cost(priced, "2998-01-06T10:00Z"), cost(priced, "2998-01-06T22:00Z")) == ("0.10", "0.19")


def test_the_whole_call_costs_what_it_costs_at_its_answer(priced: CommandLine) -> None:
    priced.ok("tariff", "set", "retail", "--off-peak", "19:00-07:00")
    assert cost(priced, "2998-01-06T06:59:00Z") == "0.13"
    priced.ok("tariff", "set", "retail", "--off-peak-by", "answer")
    assert (cost(priced, "2998-01-06T06:59:00Z"), cost(priced, "2998-01-06T07:00Z")) == ("0.10", "0.19")
    assert "off-peak is 19:00-07:00, by the time of the answer\n" in explain(priced)


def test_fees_and_limits_are_explained_and_simulated(priced: CommandLine) -> None:
    priced.ok("tariff", "set", "retail", "--disconnect-fee", "0.5", "--disconnect-fee-after", "120")
    assert "disconnect fee" not in explain(priced, seconds=120)
    assert "disconnect fee, after 120 s: 0.50\n" in explain(priced, seconds=121)

    def talk_s(funds: str) -> object:
        words = ("--from", "420212345678", "--to", "420212345678", "--ring", "0", "--at", SATURDAY)
        return priced.ok("rate", "simulate", "--tariff", "retail", "--funds", funds, *words, "--json").json[
            "talk_s"
        ]

    # Both legs cost 0.004 for a second and 0.02 at once; from the 121st second on 1.00 more.
    assert [talk_s(funds) for funds in ("0.50", "1.50", "1.51")] == [120, 120, 122]
    priced.ok("tariff", "set", "retail", "--maximum", "0.30")
    assert "maximum charge: 0.30, takes off 0.452\n" in explain(priced, seconds=121)
    assert [talk_s(funds) for funds in ("0.59", "0.60")] == [120, 7200]


def test_holidays_are_off_peak(priced: CommandLine) -> None:
    priced.ok("tariff", "set", "retail", "--off-peak", "sun; 01-06,2998-01-08")
    days = ("2998-01-05", "2998-01-06", "2998-01-08", "2999-01-06", "2999-01-08")
    assert [cost(priced, f"{day}T12:00Z") for day in days] == ["0.19", "0.10", "0.10", "0.10", "0.19"]


def test_the_costs_of_a_trunk_have_terms_too(shop: CommandLine) -> None:
    shop.ok("vendor", "add", "carrier", "--currency", "USD")
    shop.ok("tariff", "add", "costs", "--currency", "USD")
    shop.ok("trunk", "add", "first", "--vendor", "carrier", "--tariff", "costs")
    shop.ok("tariff", "set", "costs", "--rounding-unit", "0.0001", "--rounding", "nearest")
    shown = shop.ok("tariff", "show", "costs", "--json").json
    assert (shown["trunks"], shown["products"], shown["rounding_unit"]) == (["first"], [], "0.0001")


def test_off_peak_periods_that_never_come_are_refused_or_warned_of(shop: CommandLine) -> None:
    for empty in (";", " ; ; "):
        assert "has no period" in shop.refused("tariff", "set", "retail", "--off-peak", empty)
    words = (
        "tariff",
        "set",
        "retail",
        "--off-peak",
        "sun; 2001-12-24..2001-12-26,2002-01-01,01-01,2998-01-01",
    )
    warned = shop(*words)
    assert (warned.code, warned.err.count("\n")) == (0, 1)
    assert warned.err.endswith("never come again: 2001-12-24..2001-12-26, 2002-01-01\n")
    shop.ok("tariff", "set", "retail", "--free", "5")


def test_off_peak_prices_need_off_peak_hours(shop: CommandLine) -> None:
    add = ("rate", "add", "retail", "44", "0.2", "--off-peak-first-price", "0.1")
    path = shop.folder / "rates.csv"
    path.write_text("prefix,first_price,off_peak_next_price\n1,0.2,0.2\n44,0.2,0.1\n")
    for refused in (
        add,
        ("rate", "set", "retail", "420", "--off-peak-next-price", "0.1"),
        ("rate", "import", "retail", str(path)),
        ("rate", "import", "retail", str(path), "--dry-run"),
    ):
        assert "set them first with `tariff set retail --off-peak PERIODS`" in shop.refused(*refused)
    told = shop.ok("tariff", "set", "retail", "--off-peak", "sat; sun").out
    assert "note: no rate of retail has an off-peak price yet" in told
    shop.ok(*add)
    shop.ok("rate", "import", "retail", path)
    told = shop.ok("tariff", "set", "retail", "--off-peak", "none").out
    assert told.splitlines()[1:] == [
        "note: 1 rate(s) of retail have off-peak prices that are no longer charged"
    ]
    assert "note" not in shop.ok("tariff", "set", "retail", "--off-peak", "sun").out


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([],                                "nothing to change"),
        (["--grace", "-1"],                 "not a whole number"),
        (["--free", "3601"],                "not a whole number"),
        (["--surcharge", "ten"],            "surcharge: 'ten' is not an amount"),
        (["--surcharge", "1.234"],          "more than two decimals"),
        (["--surcharge", "-1"],             "surcharge must be 0 to 1000 percent"),
        (["--minimum", "1,5"],              "minimum: '1,5' is not an amount"),
        (["--minimum", "-1"],               "minimum charge must be 0 to"),
        (["--rounding-unit", "0"],          "rounding unit must be 0.000001 to 1000.00"),
        (["--rounding-unit", "cent"],       "rounding unit: 'cent' is not an amount"),
        (["--disconnect-fee", "x"],         "disconnect fee: 'x' is not an amount"),
        (["--disconnect-fee-after", "x"],   "not a whole number"),
        (["--maximum", "1", "--minimum", "2"], "maximum charge of 1.00 is less than the minimum of 2.00"),
        (["--off-peak-by", "moon"],         "write interval or answer"),
        (["--off-peak", "02-30"],           "'02-30' is not a date"),
        (["--rounding", "sideways"],        "write up, nearest or down"),
        (["--off-peak", "evenings"],        "'evenings' is not a period: write, for example,"),
        (["--off-peak", "sat 10:00-10:00"], "must be between 00:00 and 24:00 and differ"),
        (["--time-zone", "Prague"],         "'Prague' is not a time zone"),
        (["--open", "moon"],                "use one or more of"),
        (["--grace", "5", "--note", "a\tb"], "note"),
    ],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(shop: CommandLine, options: list[str], why: str) -> None:
    assert why in shop.refused("tariff", "set", "retail", *options)
    assert "unknown tariff 'none'" in shop.refused("tariff", "set", "none", "--grace", "5")
