"""Amounts as people write and read them."""

from __future__ import annotations

import pytest

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import divide_up, format_amount, parse_amount, parse_currency, require_payable


@pytest.mark.parametrize(
    ("text", "micros", "shown"),
    [
        ("0",                  0, "0.00"),
        ("1",          1_000_000, "1.00"),
        ("12.5",      12_500_000, "12.50"),
        ("+3.10",      3_100_000, "3.10"),
        ("-3.10",     -3_100_000, "-3.10"),
        ("0.000001",           1, "0.000001"),
        ("-0.000001",         -1, "-0.000001"),
        ("0.0150",        15_000, "0.015"),
        ("007",        7_000_000, "7.00"),
        (" 2.00\n",    2_000_000, "2.00"),
        ("1000000000",    10**15, "1000000000.00"),
    ],
)  # fmt: skip
def test_an_amount_is_read_and_shown(text: str, micros: int, shown: str) -> None:
    assert parse_amount(text) == micros
    assert format_amount(micros) == shown


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ".", "1.", ".5", "1,50", "1.0000001", "1e3", "$5", "5 USD", "--1", "+-1", "1 000", "1_000", "0x10",
        "nan", "inf", "1.2.3", "1\x00", "1\n2", "١٢", "１", "²", "9" * 40,
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"is not an amount: write, for example, 12\.50"):
        parse_amount(text)


@pytest.mark.parametrize("text", ["1000000000.000001", "-1000000001", "9999999999"])
def test_an_amount_that_must_be_a_typing_error_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"too large: the limit is 1000000000$"):
        parse_amount(text)


def test_the_currency_stands_behind_the_amount() -> None:
    assert format_amount(1_230_000, "EUR") == "1.23 EUR"


@pytest.mark.parametrize(("text", "code"), [("USD", "USD"), ("eur", "EUR"), (" Czk ", "CZK"), ("zwg", "ZWG")])
def test_a_currency_is_one_of_iso_4217(text: str, code: str) -> None:
    assert parse_currency(text) == code


@pytest.mark.parametrize("text", ["", "US", "USDT", "U$D", "123", "ÄÖÜ", "U\x00D", "ZZZ", "XXX", "XAU"])
def test_another_currency_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a currency code of ISO 4217"):
        parse_currency(text)


@pytest.mark.parametrize(
    ("amount", "by", "result"),
    [
        (0, 60, 0),
        (1, 60, 1),
        (60, 60, 1),
        (61, 60, 2),
        (-1, 60, 0),
        (-61, 60, -1),
        (10**18, 7, 142857142857142858),
    ],
)
def test_division_rounds_up(amount: int, by: int, result: int) -> None:
    assert divide_up(amount, by) == result


@pytest.mark.parametrize(
    ("amount", "currency", "payable"),
    [
        ("1000", "JPY", True),
        ("1000.00", "JPY", True),
        ("1000.50", "JPY", False),
        ("0.01", "USD", True),
        ("0.001", "USD", False),
        ("-3.20", "USD", True),
        ("0.001", "KWD", True),
        ("0.0001", "KWD", False),
        ("0.01", "XAU", True),
    ],
)
def test_amounts_that_a_currency_can_have(amount: str, currency: str, payable: bool) -> None:
    micros = parse_amount(amount)
    if payable:
        require_payable(currency, None, micros)
    else:
        with pytest.raises(InvalidInput, match=f"cannot be an amount of {currency}, which has"):
            require_payable(currency, 0, micros)


@pytest.mark.parametrize(
    ("micros", "currency", "shown"),
    [
        (1_500_000_000, "JPY", "1500 JPY"),
        (1_500_500_000, "JPY", "1500.5 JPY"),
        (-1_500_000, "KWD", "-1.500 KWD"),
        (1_500_000, "USD", "1.50 USD"),
        (0, "JPY", "0 JPY"),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency(micros: int, currency: str, shown: str) -> None:
    assert format_amount(micros, currency) == shown
