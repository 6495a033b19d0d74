"""`fraud` and `never-call`: what is set aside and why, and what would be."""

from __future__ import annotations

import pytest
from command_line import SUBSCRIBER, CommandLine

from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.words import Refusal

FRIEND = "442071234567"


def test_set_aside_shown_and_released(shop: CommandLine) -> None:
    shop.ok("fraud", "set-aside", f"number:{FRIEND}", "--note", "seen in the news", "--hours", "3")
    (listed,) = shop.ok("fraud", "list", "--json").json
    assert (listed["subject"], listed["reason"], listed["note"]) == (
        f"number:{FRIEND}",
        "operator",
        "seen in the news",
    )
    assert "already" in shop.refused("fraud", "set-aside", f"number:{FRIEND}", "--note", "again")
    shop.ok("fraud", "release", f"number:{FRIEND}")
    assert shop.ok("fraud", "list", "--json").json == []
    assert [one["subject"] for one in shop.ok("fraud", "list", "--all", "--json").json] == [
        f"number:{FRIEND}"
    ]
    assert "not set aside" in shop.refused("fraud", "release", f"number:{FRIEND}")
    shop.ok("fraud", "set-aside", "total", "--note", "until released")
    assert shop.ok("fraud", "list", "--json").json[0].get("until") is None


def test_what_cannot_be_set_aside(shop: CommandLine) -> None:
    assert "cannot be set aside" in shop.refused("fraud", "set-aside", "phone:1", "--note", "x")
    assert "--note is empty" in shop.refused("fraud", "set-aside", "total", "--note", " ")
    assert "cannot be set aside" in shop.refused("fraud", "release", "number:")


def test_a_subject_is_set_aside_as_it_will_match(shop: CommandLine) -> None:
    shop.ok("account", "set", SUBSCRIBER, "--alias", "420700700700")
    settings = shop.folder / "stasis-callback.toml"
    settings.write_text(settings.read_text().replace("[fraud]", '[fraud]\nprefixes = "4420=0"'))
    written = {
        f"number:+{FRIEND}": f"number:{FRIEND}",
        "number:00442071234568": "number:442071234568",
        "number:44 2071234569": "number:442071234569",
        f"caller:+{SUBSCRIBER}": f"caller:{SUBSCRIBER}",
        "country:gb": "country:GB",
        "range:Premium": "range:premium",
        "range:+44 20": "range:4420",
        "account:420700700700": f"account:{SUBSCRIBER}",
        "source:2001:DB8::1": "source:2001:db8::/64",
    }
    for text, meant in written.items():
        assert f"{meant} is set aside" in shop.ok("fraud", "set-aside", text, "--note", "x").out
    listed = {one["subject"] for one in shop.ok("fraud", "list", "--json").json}
    assert listed == set(written.values())
    simulated = "fraud", "simulate", SUBSCRIBER, "--account", SUBSCRIBER, "--destination", FRIEND, "--json"
    held_back = {row["subject"] for row in shop.ok(*simulated).json if "set aside" in row["decision"]}
    assert held_back == {f"number:{FRIEND}", "country:GB", "range:4420", f"account:{SUBSCRIBER}"}
    settings.write_text(settings.read_text().replace('prefixes = "4420=0"', ""))
    for text in (*written, "range:4420"):
        if text != "range:+44 20":  # not a prefix of the settings any more: it is released as it is listed
            shop.ok("fraud", "release", text)
    assert shop.ok("fraud", "list", "--json").json == []


def test_what_would_match_no_call_is_not_set_aside(shop: CommandLine) -> None:
    for text in (
        "number:abc",
        "caller:Jana",
        "country:XX",
        "country:",
        "range:foo",
        "range:4420",
        "account:nosuch",
    ):
        shop.refused("fraud", "set-aside", text, "--note", "x")
    assert "fraud.prefixes" in shop.refused("fraud", "set-aside", "range:252", "--note", "x")
    assert "the two letters of a country" in shop.refused(
        "fraud", "set-aside", "country:England", "--note", "x"
    )
    assert shop.ok("fraud", "list", "--json").json == []


def test_simulate_says_what_would_be_decided_and_why(shop: CommandLine) -> None:
    asked = (
        "fraud",
        "simulate",
        SUBSCRIBER,
        "--account",
        SUBSCRIBER,
        "--destination",
        FRIEND,
        "--caller",
        SUBSCRIBER,
    )
    rows = shop.ok(*asked, "--json").json
    assert {
        (row["leg"], row["subject"], row["period"]): row["decision"] for row in rows if "period" in row
    } == {
        ("A", f"account:{SUBSCRIBER}", "day"): "allowed",
        ("A", f"number:{SUBSCRIBER}", "day"): "allowed",
        ("A", f"number:{SUBSCRIBER}", "hour"): "allowed",
        ("A", f"caller:{SUBSCRIBER}", "day"): "allowed",
        ("B", f"account:{SUBSCRIBER}", "day"): "allowed",
        ("B", f"number:{FRIEND}", "day"): "allowed",
        ("B", f"caller:{SUBSCRIBER}", "day"): "allowed",
    }
    shop.ok("fraud", "set-aside", f"account:{SUBSCRIBER}", "--note", "stolen")
    shop.ok("fraud", "set-aside", "country:GB", "--note", "a wave of fraud")
    shop.ok("never-call", "add", "4420712")
    said = {row["decision"] for row in shop.ok(*asked, "--json").json if row["decision"] != "allowed"}
    assert said >= {
        "refused: set aside, stolen",
        "refused: set aside, a wave of fraud",
        "refused: on the list of numbers that are never called",
    }
    said = {row["decision"] for row in shop.ok(*asked[:5], "--destination", "112", "--json").json}
    assert "refused: " + Refusal.EMERGENCY_NUMBER.sentence in said


def test_the_never_call_list(shop: CommandLine) -> None:
    shop.ok("never-call", "add", "+44 20 712", "--note", "asked us")
    assert [(one["number"], one["note"]) for one in shop.ok("never-call", "list", "--json").json] == [
        ("4420712", "asked us")
    ]
    with shop.stores() as stores:
        account = stores.accounts.named(SUBSCRIBER)
        refused = stores.requests.accept(
            CallbackRequest("k", "ani", SUBSCRIBER, "1", FRIEND),
            account_id=account.id,
            subscriber_id=account.id,
            leg_a_number=SUBSCRIBER,
            stored_options={},
            queue_limit=9,
        )
    assert refused == Refusal.NEVER_CALLED
    shop.ok("never-call", "remove", "4420712")
    assert "not on the list" in shop.refused("never-call", "remove", "4420712")
    for text in ("44", "4" * 16, "x", "0207 123", "+0044207", "0044", ""):
        shop.refused("never-call", "add", text)


def test_a_number_that_is_never_called_is_read_as_everywhere_else(shop: CommandLine) -> None:
    assert f"{FRIEND} and what begins" in shop.ok("never-call", "add", f"00{FRIEND}").out
    assert f"{FRIEND} is not called" in shop.ok("opt-out", "add", f"00{FRIEND}").out
    asked = "fraud", "simulate", SUBSCRIBER, "--account", SUBSCRIBER, "--destination", FRIEND, "--json"
    refused = "refused: on the list of numbers that are never called"
    assert refused in {row["decision"] for row in shop.ok(*asked).json}
    shop.ok("never-call", "remove", f"00{FRIEND}")
    with shop.stores() as stores:
        stores.never_call.add("0044207")  # of a version that did not read it
    shop.ok("never-call", "remove", "0044207")
    assert shop.ok("never-call", "list", "--json").json == []


def test_simulate_shows_the_budget_of_a_prefix_and_that_of_the_kind(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STASIS_CALLBACK_FRAUD__PREFIXES", "44=2000/10000/1000")
    asked = (
        "fraud",
        "simulate",
        SUBSCRIBER,
        "--account",
        SUBSCRIBER,
        "--destination",
        "449012345678",
        "--json",
    )
    subjects = {row["subject"] for row in shop.ok(*asked).json}
    assert {"range:44", "range:premium"} <= subjects


def test_replay_needs_days_in_order_and_budgets_that_exist(shop: CommandLine) -> None:
    assert shop.ok("fraud", "replay", "--json").json == []
    assert "is no budget" in shop.refused("fraud", "replay", "--set", "nobody=1/2/3")
    assert "calls/minutes/amount" in shop.refused("fraud", "replay", "--set", "account=1")
    assert "not before" in shop.refused("fraud", "replay", "--since", "today", "--until", "yesterday")


def test_budgets_in_the_settings_are_checked(shop: CommandLine) -> None:
    settings = shop.folder / "stasis-callback.toml"
    before = settings.read_text()
    for line, what in (
        ('caller = "5"', "calls/minutes/amount"),
        ('prefixes = "x=1"', "prefix with its budget"),
    ):
        settings.write_text(before.replace("[fraud]", f"[fraud]\n{line}"))
        assert what in shop.refused("fraud", "list")
