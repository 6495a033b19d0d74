"""Finding: filters, pages, days in the operator's time zone, CSV and JSON; statements of a month."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest
from command_line import SUBSCRIBER, CommandLine

from stasis_callback.admin.days import day_start_us, local_time, since_us, until_us
from stasis_callback.admin.tables import column_widths
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.periods import time_zone
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.words import Refusal
from stasis_callback.store.calls.legs import Fare, LegEnd
from stasis_callback.store.rates.trunks import Carrier

PRAGUE = time_zone("Europe/Prague")


@pytest.fixture
def prague(shop: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setenv("STASIS_CALLBACK_TIME_ZONE", "Europe/Prague")
    return shop


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_accounts_are_found_by_what_they_have(shop: CommandLine) -> None:
    shop.ok("customer", "add", "Bolt", "--currency", "USD")
    shop.ok("account", "add", "1000", "--customer", "Bolt", "--product", "callback", "--alias", "Desk_7")
    shop.ok("account", "add", "1001", "--customer", "Bolt", "--product", "callback")
    shop.ok("account", "set", "1001", "--status", "blocked")
    shop.ok(
        "account",
        "generate",
        "2",
        "--customer",
        "Acme",
        "--product",
        "callback",
        "--batch",
        "may",
        "--out",
        "x.csv",
    )

    def found(*words: str) -> list[str]:
        return [account["number"] for account in shop.ok("account", "list", *words, "--json").json]

    assert found("--customer", "Bolt") == ["1001", "1000"]  # newest first
    assert found("--customer", "Bolt", "--status", "active") == ["1000"]
    assert len(found("--batch", "may", "--product", "callback")) == 2
    assert found("--text", "desk_") == ["1000"]
    assert found("--text", "k%7") == []
    assert "unknown customer" in shop.refused("account", "list", "--customer", "Nobody")
    assert "is empty" in shop.refused("account", "list", "--batch", "")
    assert "active, blocked, closed" in shop.refused("account", "list", "--status", "asleep")


@pytest.mark.parametrize(
    "written", ["+420212345678", "00420212345678", "+420 212 345 678", "420 212 345 678"]
)
def test_an_account_is_found_by_its_number_as_people_write_it(
    shop: CommandLine, called: str, written: str
) -> None:
    assert [row["number"] for row in shop.ok("account", "list", "--text", written, "--json").json] == [
        SUBSCRIBER
    ]
    assert shop.ok("account", "show", written, "--json").json["number"] == SUBSCRIBER
    words = ("report", "calls", "--by", "account", "--from", "2023-11-14", "--to", "2023-11-14")
    (line,) = shop.ok(*words, "--account", written, "--json").json
    assert line["account"] == SUBSCRIBER


def test_a_part_of_a_number_with_spaces_is_found_and_other_ids_are_not(shop: CommandLine) -> None:
    shop.ok("account", "add", "42", "--customer", "Acme", "--product", "callback")
    assert len(shop.ok("account", "list", "--text", "420 212", "--json").json) == 1
    assert "unknown account '0042'" in shop.refused("account", "show", "0042")


def test_pages_say_that_there_is_more(shop: CommandLine) -> None:
    for number in ("1000", "1001", "1002"):
        shop.ok("account", "add", number, "--customer", "Acme", "--product", "callback")
    first = shop("account", "list", "--limit", "3", "--csv")
    assert (first.code, first.err) == (0, "there are more: --after=1000\n")
    assert [row["number"] for row in rows(first.out)] == ["1002", "1001", "1000"]
    last = shop.ok("account", "list", "--limit", "3", "--after", "1000", "--csv")
    assert [row["number"] for row in rows(last.out)] == [SUBSCRIBER]


def test_callbacks_are_found_by_account_number_and_outcome(shop: CommandLine, called: str) -> None:
    for words in (
        ("--account", SUBSCRIBER), ("--ani", "42021"), ("--number", "+420 212"), ("--state", "done"),
        ("--outcome", "no_answer"), ("--trigger", "ani"), ("--since", "today"), ("--since", "yesterday"),
    ):  # fmt: skip
        assert [row["id"] for row in shop.ok("request", "list", *words, "--json").json] == [called], words
    for words in (
        ("--ani", "44"),
        ("--number", "44"),
        ("--outcome", "busy"),
        ("--trigger", "web"),
        ("--until", "yesterday"),
    ):
        assert shop.ok("request", "list", *words, "--json").json == [], words
    assert "an outcome" in shop.refused("request", "list", "--outcome", "bsy")
    assert "beginning of a phone number" in shop.refused("request", "list", "--ani", "x")


def test_a_list_of_requests_says_who_asked_whom_is_called_and_what_for(
    shop: CommandLine,
) -> None:
    with shop.stores() as stores:
        stores.requests.refuse(
            CallbackRequest("k1", "web", "420777888999", "", "442071234567", instance="site"),
            Refusal.DESTINATION_NOT_IN_TARIFF,
        )
    words = ("request", "add", "--account", SUBSCRIBER, "--from", "420212345999", "--to", "420777111222")
    queued = shop.ok(*words).out.split()[1]
    header, below, *lines = shop.ok("request", "list").out.splitlines()
    assert header.split() == ["id", "created", "at", "account", "ani", "number", "state", "outcome"]
    assert below.split() == ["destination"]
    first, second, refused, caller = (line.split() for line in lines[:4])
    assert (first[0], first[2:]) == (queued, [SUBSCRIBER, "420212345999", "queued"])
    assert second[1:] == ["420212345999", "420777111222"]
    assert refused[2:] == ["-", "420777888999", "refused", "destination_"]
    assert caller[1:] == ["420777888999", "442071234567", "not_in_"]
    (row, _) = rows(shop.ok("request", "list", "--csv").out)
    assert (row["account"], row["number"], row["destination"], row["state"], row["outcome"]) == (
        SUBSCRIBER, "420212345999", "420777111222", "queued", "",
    )  # fmt: skip


def test_call_records_are_found_by_customer_number_and_day(prague: CommandLine, called: str) -> None:
    # Both legs ended at 22:14:21 UTC: on the 14th in Prague too.
    day = ("--since", "2023-11-14", "--until", "2023-11-14")
    for words in (day, ("--customer", "Acme"), ("--number", "4202"), ("--request", called)):
        found = prague.ok("xdr", "list", *words, "--json").json
        assert [xdr["leg_id"] for xdr in found] == [f"{called}-b1", f"{called}-a1"], words
    assert prague.ok("xdr", "list", "--until", "2023-11-13", "--json").json == []
    assert prague.ok("xdr", "list", "--since", "2023-11-14T23:14:22", "--json").json == []
    assert len(prague.ok("xdr", "list", "--since", "2023-11-14T23:14:21", "--json").json) == 2
    [answered] = rows(prague.ok("xdr", "list", "--outcome", "answered", "--csv").out)
    assert (answered["ended_at"], answered["amount"], answered["currency"]) == (
        "2023-11-14 23:14:21",
        "0.122",
        "USD",
    )
    assert "is not before" in prague.refused("xdr", "list", "--since", "2023-11-15", "--until", "2023-11-13")
    assert "unknown trunk" in prague.refused("xdr", "list", "--trunk", "nowhere")


def test_call_records_are_found_by_account_trunk_and_outcome(shop: CommandLine, queued: str) -> None:
    shop.ok("vendor", "add", "carrier", "--currency", "USD")
    shop.ok("tariff", "add", "cost", "--currency", "USD")
    shop.ok("rate", "add", "cost", "420", "0.01")
    shop.ok("trunk", "add", "first", "--vendor", "carrier", "--tariff", "cost")
    with shop.stores() as stores:
        account = stores.accounts.named(SUBSCRIBER)
        sold = stores.tariffs.match(account.tariff_id, "420777111222")
        bought = stores.tariffs.match(stores.tariffs.named("cost").id, "420777111222")
        assert sold
        assert bought
        stores.nodes.enter()
        stores.requests.claim(10)
        start_us = Clock().now_us() - 20 * US_PER_S
        carrier = Carrier(stores.trunks.named("first"), bought)
        for side, outcome, answered_us, by in (
            ("a", Outcome.BUSY, None, None), ("b", Outcome.ANSWERED, start_us, carrier),
        ):  # fmt: skip
            leg_id, fare = f"{queued}-{side}1", Fare(account, "420777111222", sold, by)
            assert stores.calls.open_leg(leg_id, queued, side, fare, 200_000)  # type: ignore[arg-type]
            stores.calls.settle(leg_id, LegEnd(answered_us, start_us + 5 * US_PER_S, outcome, 16, "events"))

    def found(*words: str) -> list[tuple[str, str]]:
        return [(x["leg_id"][-2:], x["trunk"]) for x in shop.ok("xdr", "list", *words, "--json").json]

    assert found("--trunk", "first") == found("--outcome", "answered") == [("b1", "first")]
    assert found("--outcome", "busy") == [("a1", "")]
    assert sorted(found("--account", SUBSCRIBER)) == [("a1", ""), ("b1", "first")]
    shop.ok("trunk", "disable", "first")
    shop.ok("trunk", "remove", "first")
    assert found("--trunk", "first") == [("b1", "first")]
    (line,) = shop.ok("report", "calls", "--by", "trunk", "--trunk", "first", "--json").json
    assert (line["trunk"], line["attempts"]) == ("first", 1)


def test_entries_of_one_account_and_of_all(shop: CommandLine, called: str) -> None:
    shop.ok("customer", "topup", "Acme", "7")
    shop.ok("account", "add", "sub", "--customer", "Acme", "--product", "callback", "--kind", "subordinate")
    entries = shop.ok("ledger", "entries", "--json").json
    assert [(e["account"], e["kind"], e["amount"]) for e in entries] == [
        ("Acme", "topup", "7.00"), (SUBSCRIBER, "settle", "-0.122"), (SUBSCRIBER, "topup", "10.00"),
    ]  # fmt: skip
    assert shop.ok("ledger", "entries", "--customer", "Acme", "--json").json == entries
    assert [e["account"] for e in shop.ok("ledger", "entries", "--account", "sub", "--json").json] == ["Acme"]
    assert len(shop.ok("ledger", "entries", "--kind", "settle", "--since", "today", "--json").json) == 1


def test_a_statement_of_a_month(shop: CommandLine, called: str) -> None:
    [book] = shop.ok("account", "statement", SUBSCRIBER, "--json").json["books"]
    assert (book["opening"], book["closing"]) == ("0.00", "9.878")
    assert [(line["what"], line["number"], line["charged_s"], line["balance"]) for line in book["lines"]] == [
        ("top-up", "", None, "10.00"), ("called back", SUBSCRIBER, 61, "9.878"),
    ]  # fmt: skip
    text = shop.ok("account", "statement", SUBSCRIBER).out
    assert "0.00 USD at the beginning" in text
    assert text.rstrip().endswith("9.878 USD at the end")
    [top_up, call] = rows(shop.ok("customer", "statement", "Acme", "--csv").out)
    assert (top_up["account"], call["amount"]) == (SUBSCRIBER, "-0.122")
    past = shop.ok("account", "statement", SUBSCRIBER, "--month", "2019-01", "--json").json["books"]
    assert [(one["opening"], one["lines"], one["closing"]) for one in past] == [("0.00", [], "0.00")]
    shop.ok("account", "statement", SUBSCRIBER, "--html", "s.html")
    page = (shop.folder / "s.html").read_text()
    assert "<td>called back</td>" in page
    assert "already exists" in shop.refused("account", "statement", SUBSCRIBER, "--html", "s.html")
    assert "is not a month" in shop.refused("account", "statement", SUBSCRIBER, "--month", "2026-13")


def test_numbers_that_are_not_to_be_called_are_listed_newest_first(shop: CommandLine) -> None:
    shop.ok("opt-out", "add", "+44 20 7123 4567", "--note", "wrote on Monday")
    shop.ok("opt-out", "add", "420777111222")
    listed = shop.ok("opt-out", "list", "--json").json
    assert [(row["number"], row["note"]) for row in listed] == [
        ("420777111222", ""), ("442071234567", "wrote on Monday"),
    ]  # fmt: skip
    shop.ok("opt-out", "remove", "420777111222")
    assert [row["number"] for row in rows(shop.ok("opt-out", "list", "--csv").out)] == ["442071234567"]


def test_names_of_strangers_are_no_formulas(shop: CommandLine) -> None:
    shop.ok("customer", "add", "=1+1", "--currency", "USD")
    shop.ok("account", "add", "1000", "--customer", "=1+1", "--product", "callback", "--credit-limit", "5")
    shop.ok("account", "adjust", "1000", "--by", "-1", "--reason", "test")
    account = rows(shop.ok("account", "list", "--csv").out)[0]
    assert (account["customer"], account["balance"]) == ("'=1+1", "-1.00")


def test_the_days_of_a_summer_time_night() -> None:
    # On 2026-03-29 the clock goes from 02:00 to 03:00: a day of 23 hours.
    begin, end = since_us("2026-03-29", PRAGUE), until_us("2026-03-29", PRAGUE)
    assert (end - begin) // 3_600_000_000 == 23
    assert local_time(begin, PRAGUE) == "2026-03-29 00:00:00"
    assert since_us("2026-03-29T18:00", PRAGUE) == since_us("2026-03-29T16:00Z", PRAGUE)
    assert day_start_us(date(2026, 3, 30), PRAGUE) == end


def test_a_day_of_expiry_is_the_operators(prague: CommandLine) -> None:
    prague.ok("account", "set", SUBSCRIBER, "--expires", "2998-12-31")
    shown = prague.ok("account", "show", SUBSCRIBER)
    assert "2998-12-31" in shown.out
    assert "2999" not in shown.out
    account = prague.ok("account", "show", SUBSCRIBER, "--json").json
    assert (account["expires_on"], account["expires_at"]) == ("2998-12-31", "2998-12-31T23:00:00.000Z")


def test_a_key_with_spaces_is_no_other_key(shop: CommandLine) -> None:
    shop.ok("account", "topup", SUBSCRIBER, "1", "--key", "k1")
    for words in (
        ("account", "topup", SUBSCRIBER, "1"), ("customer", "topup", "Acme", "1"),
        ("account", "adjust", SUBSCRIBER, "--by", "1", "--reason", "x"),
        ("request", "add", "--account", SUBSCRIBER, "--from", SUBSCRIBER),
    ):  # fmt: skip
        for key in (" k1", "k1 "):
            assert "spaces around it" in shop.refused(*words, "--key", key)


def test_columns_give_way_where_they_are_widest() -> None:
    assert column_widths([("a", "b c"), ("aa", "bb cc dd")], 80) == [2, 8]
    assert column_widths([("a", "b c"), ("aaaa", "bb cc dd ee")], 12) == [4, 6]
    assert column_widths([("x" * 50, "y" * 50)], 22) == []


@pytest.mark.parametrize("written", ["4202", "+420 2", "004202", "011 420 2"])
def test_the_beginning_of_a_number_is_read_as_people_write_it(
    shop: CommandLine, called: str, written: str
) -> None:
    assert shop.ok("xdr", "list", "--number", written, "--json").json
    assert shop.ok("request", "list", "--number", written, "--json").json
    assert shop.ok("request", "list", "--ani", written, "--json").json
    assert not shop.ok("xdr", "list", "--number", "0049", "--json").json
