"""What an operator does from day to day, command by command."""

from __future__ import annotations

import pytest
from command_line import ACCESS_NUMBER, SUBSCRIBER, CommandLine


def test_a_customer_is_listed_and_shown_with_their_accounts(shop: CommandLine) -> None:
    (listed,) = shop.ok("customer", "list", "--json").json
    assert (listed["name"], listed["currency"], listed["balance"]) == ("Acme", "USD", None)
    assert shop.ok("customer", "show", "Acme", "--json").json["accounts"] == [SUBSCRIBER]
    assert SUBSCRIBER in shop.ok("customer", "show", "Acme").out


def test_a_tariff_shows_its_currency_rates_and_products(shop: CommandLine) -> None:
    assert [t["name"] for t in shop.ok("tariff", "list", "--json").json] == ["euros", "retail"]
    shown = shop.ok("tariff", "show", "retail", "--json").json
    assert {
        "name": "retail",
        "currency": "USD",
        "rates": 1,
        "products": ["callback"],
    }.items() <= shown.items()


def test_a_product_says_who_is_told_of_a_low_balance(shop: CommandLine) -> None:
    shop.ok("web", "add", "crm", "--type", "extended")
    shop.ok("email", "add", "callback@calls.example", "--set", "policy=dkim")
    said = shop.ok("product", "set", "callback", "--low-balance", "2").out
    assert "nobody is told below 2.00 USD yet" in said
    told = shop.ok(
        "product", "set", "callback", "--low-balance-webhook", "crm",
        "--low-balance-mail", "Callback@calls.example",
    ).out  # fmt: skip
    assert told == "product callback tells crm and callback@calls.example when funds fall below 2.00 USD\n"
    shown = shop.ok("product", "show", "callback", "--json").json
    assert (shown["low_balance"], shown["low_balance_webhook"]) == ("2.00", "crm")
    noted = shop.ok("audit", "list", "--noun", "product", "--json").json[0]
    assert noted["after"] == {
        "low_balance_webhook": "crm",
        "low_balance_mail": "callback@calls.example",
    }
    shop.ok("product", "set", "callback", "--low-balance-mail", "none")
    assert "tells of no low balance" in shop.ok("product", "set", "callback", "--low-balance", "none").out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "nothing to change"),
        (("--low-balance", "-1"), "more than 0"),
        (("--low-balance", "much"), "amount"),
        (("--low-balance-webhook", "nobody"), "unknown web instance"),
        (("--low-balance-mail", "nobody@calls.example"), "unknown email instance"),
        (("--access-code", "X", "--low-balance", "1"), "goes with --tariff"),
    ],
)
def test_what_cannot_be_set_on_a_product_is_refused(
    shop: CommandLine, words: tuple[str, ...], why: str
) -> None:
    assert why in shop.refused("product", "set", "callback", *words)


def test_a_product_gets_another_tariff_of_its_currency(shop: CommandLine) -> None:
    shop.ok("tariff", "add", "wholesale", "--currency", "usd")
    shop.ok("product", "set", "callback", "--tariff", "wholesale")
    assert shop.ok("product", "show", "callback", "--json").json == {
        "name": "callback",
        "tariff": "wholesale",
        "currency": "USD",
        "access_codes": {},
        "low_balance": None,
        "low_balance_micros": None,
        "low_balance_webhook": "",
        "low_balance_mail": "",
        "accounts": [SUBSCRIBER],
    }
    assert "eurocall" in shop.ok("product", "list").out


def test_an_account_is_found_by_its_alias_and_shows_all_amounts_both_ways(shop: CommandLine) -> None:
    account = shop.ok("account", "show", "420777111222", "--json").json
    assert account["number"] == SUBSCRIBER
    assert (account["balance"], account["balance_micros"]) == ("10.00", 10_000_000)
    assert (account["available"], account["held"], account["credit_limit"]) == ("10.00", "0.00", "0.00")
    assert account["expires_at"] is None
    table = shop.ok("account", "list").out
    assert SUBSCRIBER in table
    assert "10.00" in table


def test_an_account_is_changed_in_one_go(shop: CommandLine) -> None:
    shop.ok(
        "account", "set", SUBSCRIBER, "--status", "blocked", "--callback-number", "420999", "--credit-limit", "2.5",
        "--expires", "2998-12-31", "--alias", "a@b.example", "--alias", "420111",
    )  # fmt: skip
    account = shop.ok("account", "show", "420111", "--json").json
    assert account["status"] == "blocked"
    assert account["callback_number"] == "420999"
    assert account["credit_limit"] == "2.50"
    assert account["aliases"] == ["420111", "a@b.example"]
    assert account["expires_at"] == "2999-01-01T00:00:00.000Z"  # the end of the last day


def test_what_was_set_on_an_account_can_be_taken_back(shop: CommandLine) -> None:
    shop.ok("account", "set", SUBSCRIBER, "--callback-number", "420999", "--expires", "2998-12-31")
    shop.ok("account", "set", SUBSCRIBER, "--callback-number", "", "--expires", "never", "--alias", "")
    account = shop.ok("account", "show", SUBSCRIBER, "--json").json
    assert (account["callback_number"], account["expires_at"], account["aliases"]) == ("", None, [])


def test_an_account_can_be_opened_with_everything_at_once(shop: CommandLine) -> None:
    shop.ok(
        "account", "add", "vip.1", "--customer", "Acme", "--product", "callback", "--credit-limit", "100",
        "--callback-number", "420123", "--expires", "2998-12-31",
    )  # fmt: skip
    assert shop.ok("account", "show", "vip.1", "--json").json["available"] == "100.00"


def test_one_key_tops_up_once(shop: CommandLine) -> None:
    first = shop.ok("account", "topup", SUBSCRIBER, "5.25", "--key", "bank-77", "--json").json
    second = shop.ok("account", "topup", SUBSCRIBER, "5.25", "--key", "bank-77", "--json").json
    assert (first["done"], second["done"]) == (True, False)
    assert first["balance"] == second["balance"] == "15.25"
    assert "already" in shop.ok("account", "topup", SUBSCRIBER, "5.25", "--key", "bank-77").out


def test_top_ups_without_a_key_are_different_payments(shop: CommandLine) -> None:
    shop.ok("account", "topup", SUBSCRIBER, "1", "--note", "cash")
    assert "12.00 USD" in shop.ok("account", "topup", SUBSCRIBER, "1").out


def test_an_access_number_keeps_what_differs_from_the_defaults(shop: CommandLine) -> None:
    shop("access-number", "add", "420800", "--set", "ani_rules=s/^0/44/", "--set", "welcome=on")
    shop.ok(
        "access-number", "set", "420800", "--set", "welcome=", "--set", "ring_timeout_a_s=20", "--disabled"
    )
    [listed, _] = shop.ok("access-number", "list", "--json").json
    assert listed == {
        "number": "420800",
        "enabled": False,
        "options": {"ani_rules": "s/^0/44/", "ring_timeout_a_s": "20"},
    }
    shown = shop.ok("access-number", "show", "420800", "--json").json
    assert shown["options"]["ring_timeout_a_s"] == 20
    assert shown["options"]["ring_timeout_b_s"] == 45


def test_an_access_number_shows_which_options_are_defaults(shop: CommandLine) -> None:
    shop.ok("access-number", "set", ACCESS_NUMBER, "--set", "callback_delay_s=2.5", "--enabled")
    lines = shop.ok("access-number", "show", ACCESS_NUMBER).out.splitlines()
    assert lines[0] == f"{ACCESS_NUMBER} (enabled)"
    assert next(line for line in lines if line.startswith("callback_delay_s")).split()[1:3] == ["2.5", "here"]
    assert next(line for line in lines if line.startswith("retry_interval_s")).split()[1:3] == [
        "30.0",
        "default",
    ]
    assert ACCESS_NUMBER in shop.ok("access-number", "list").out


def test_the_options_are_explained(shop: CommandLine) -> None:
    options = {option["name"]: option for option in shop.ok("access-number", "options", "--json").json}
    assert options["ring_timeout_a_s"] == {
        "name": "ring_timeout_a_s",
        "default": "30",
        "values": "5 to 120",
        "meaning": "Maximum ringing time of leg A.",
    }
    assert "Maximum ringing time of" in shop.ok("access-number", "options").out


def test_a_callback_is_listed_and_shown_with_its_legs(shop: CommandLine, called: str) -> None:
    [listed] = shop.ok("request", "list", "--json").json
    assert (listed["id"], listed["state"], listed["account"]) == (called, "done", SUBSCRIBER)
    assert listed["created_at"].endswith("Z")
    shown = shop.ok("request", "show", called, "--json").json
    assert [xdr["side"] for xdr in shown["xdrs"]] == ["a", "b"]
    assert shown["open_legs"] == []
    people = shop.ok("request", "show", called).out
    assert f"{called}-a1" in people
    assert f"{called}-b1" in people


def test_callbacks_are_filtered_by_state(shop: CommandLine, called: str) -> None:
    assert called in shop.ok("request", "list", "--state", "done").out
    assert shop.ok("request", "list", "--state", "queued", "--json").json == []
    assert shop("request", "list", "--state", "queued").err == "none\n"


def test_call_records_say_what_each_leg_cost(shop: CommandLine, called: str) -> None:
    leg_b, leg_a = shop.ok("xdr", "list", "--account", SUBSCRIBER, "--request", called, "--json").json
    assert (leg_a["charged_s"], leg_a["amount"], leg_a["amount_micros"]) == (61, "0.122", 122_000)
    assert (leg_b["amount"], leg_b["outcome"], leg_b["answered_at"]) == ("0.00", "no_answer", None)
    assert leg_a["ended_at"] == "2023-11-14T22:14:21.000Z"
    head, *_, line_b, line_a = shop.ok("xdr", "list").out.splitlines()
    assert head.split("  ")[0] == "leg id"
    ended = ["2023-11-14", "22:14"]
    assert line_a.split() == [f"{called}-a1", SUBSCRIBER, "answered", *ended, "61", "0.122"]
    assert line_b.split() == [f"{called}-b1", SUBSCRIBER, "no_answer", *ended, "0", "0.00"]


def test_a_ledger_in_order_verifies(shop: CommandLine, called: str) -> None:
    assert "is consistent" in shop.ok("ledger", "verify").out
    assert shop.ok("ledger", "verify", "--json").json == {"ok": True, "findings": []}


def test_a_balance_that_was_tampered_with_is_found(shop: CommandLine) -> None:
    shop.sql("UPDATE book SET balance_micros = 99000000 WHERE name IN ('account:420212345678')")
    result = shop("ledger", "verify")
    assert result.code == 1
    assert "the balance is 99.00, its entries sum to 10.00" in result.out
    assert shop("ledger", "verify", "--json").json["ok"] is False


@pytest.mark.parametrize(
    "noun", ["customer", "tariff", "product", "account", "access-number", "request", "xdr"]
)
def test_every_list_is_json_for_programs_and_plain_columns_for_pipes(
    shop: CommandLine, called: str, noun: str
) -> None:
    assert shop.ok(noun, "list", "--json").json
    table = shop.ok(noun, "list").out
    assert "…" not in table
    assert "\x1b" not in table
