"""Commands read numbers as everybody else does."""

from __future__ import annotations

from command_line import SUBSCRIBER, CommandLine

WRITTEN = "+44 (0)20 7123 4567"
DIGITS = "442071234567"


def test_every_command_reads_numbers_as_people_write_them(shop: CommandLine) -> None:
    shop.ok("rate", "add", "retail", "44", "0.1")
    shop.ok("account", "topup", SUBSCRIBER, "10")
    shop.ok("request", "add", "--account", SUBSCRIBER, "--from", "+420 212 345 678", "--to", WRITTEN)
    shop.ok("access-number", "add", "+420 800 999 000")
    assert "420800999000" in shop.ok("access-number", "show", "00420 800 999 000").out
    assert DIGITS in shop.ok("rate", "explain", WRITTEN, "--account", SUBSCRIBER, "--seconds", "1").out


def test_an_access_number_without_its_country_code_is_warned_of(shop: CommandLine) -> None:
    assert "country code" in shop("access-number", "add", "800123456").err
    assert shop("access-number", "add", "420800123457").err == ""


def test_amounts_of_a_top_up_have_the_decimals_of_the_currency(shop: CommandLine) -> None:
    shop.ok("customer", "add", "Nippon", "--currency", "JPY")
    assert "1000 JPY" in shop.ok("customer", "topup", "Nippon", "1000").out
