"""Vendors, trunks and routes from the shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import SUBSCRIBER, CommandLine, levels, point_at

from stasis_callback.clock import Clock
from stasis_callback.core.trunk_state import TrunkState
from stasis_callback.store.stores import open_stores
from stasis_callback.testing.fake import FakeAsterisk


@pytest.fixture
def carried(shop: CommandLine) -> CommandLine:
    """A vendor with two trunks to the subscriber's country."""
    shop.ok("vendor", "add", "carrier", "--currency", "USD")
    for name, price in (("first", "0.01"), ("second", "0.02")):
        shop.ok("tariff", "add", f"cost-{name}", "--currency", "USD")
        shop.ok("rate", "add", f"cost-{name}", "420", price)
        shop.ok("trunk", "add", name, "--vendor", "carrier", "--tariff", f"cost-{name}")
        shop.ok("trunk", "enable", name, "--unchecked")
    return shop


def explained(shop: CommandLine) -> str:
    return shop.ok("route", "explain", SUBSCRIBER, "--account", SUBSCRIBER).out


def test_the_first_trunk_takes_over_from_the_settings_when_it_is_enabled(shop: CommandLine) -> None:
    assert "all calls use trunk trunk of the settings" in explained(shop)
    shop.ok("vendor", "add", "carrier", "--currency", "USD")
    added = shop.ok("trunk", "add", "first", "--vendor", "carrier", "--tariff", "retail").out
    assert "it is disabled, run `stasis-callback trunk enable first`" in added
    assert "no trunk has been enabled: all calls use trunk trunk of the settings" in explained(shop)
    enabled = shop.ok("trunk", "enable", "first", "--unchecked").out
    assert "from now on calls use the trunks in `trunk list`" in enabled
    assert "of the settings" not in explained(shop)
    assert shop.ok("vendor", "list", "--json").json == [{"name": "carrier", "currency": "USD", "trunks": 1}]


def test_a_trunk_is_enabled_only_if_asterisk_has_its_endpoint(
    carried: CommandLine, fake: FakeAsterisk
) -> None:
    carried.ok("trunk", "disable", "first")
    assert "Asterisk has no PJSIP endpoint first" in carried.refused("trunk", "enable", "first")
    assert carried.ok("trunk", "show", "first", "--json").json["enabled"] is False
    fake.pjsip["endpoint", "first"] = {}
    assert carried.ok("trunk", "enable", "first").out == "trunk first is enabled\n"
    assert "unknown trunk 'third'" in carried.refused("trunk", "enable", "third", "--unchecked")


def test_without_asterisk_a_trunk_is_enabled_only_on_purpose(
    carried: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_at(monkeypatch, "http://127.0.0.1:9", "user", "secret", tmp_path / "cel.csv")
    assert "start it, or use --unchecked" in carried.refused("trunk", "enable", "first")
    carried.ok("trunk", "enable", "first", "--unchecked")


def test_what_happens_when_no_trunk_is_left_is_said(carried: CommandLine, fake: FakeAsterisk) -> None:
    assert "no trunk is enabled" not in carried.ok("trunk", "disable", "first").out
    assert (
        "no trunk is enabled: no calls are made until one is" in carried.ok("trunk", "disable", "second").out
    )
    assert levels(carried("doctor", "--json").json, "no trunk is enabled: no calls can be made") == [
        "problem"
    ]
    assert "no trunk is enabled" in carried.ok("trunk", "remove", "first").out
    assert "calls use trunk trunk of the settings" in carried.ok("trunk", "remove", "second").out
    assert "there are no trunks in the database: all calls use trunk trunk" in explained(carried)
    assert levels(carried("doctor", "--json").json, "no trunk is enabled") == []


def test_a_trunk_is_removed_and_may_come_back(carried: CommandLine) -> None:
    carried.ok("route", "add", "420", "first")
    carried.ok("trunk", "set", "first", "--calls-limit", "3", "--answers", "404=carrier")
    assert "run `stasis-callback trunk disable first` first" in carried.refused("trunk", "remove", "first")
    carried.ok("trunk", "disable", "first")
    carried.ok("trunk", "remove", "first")
    assert [t["name"] for t in carried.ok("trunk", "list", "--json").json] == ["second"]
    assert "unknown trunk 'first'" in carried.refused("trunk", "remove", "first")
    assert "unknown trunk 'first'" in carried.refused("route", "add", "420", "first")
    carried.ok("trunk", "add", "first", "--vendor", "carrier", "--tariff", "cost-first")
    again = carried.ok("trunk", "show", "first", "--json").json
    assert (again["enabled"], again["calls_limit"], again["answers"], again["routes"]) == (
        False,
        None,
        "",
        {},
    )


def test_how_a_trunk_does_is_shown_as_its_node_said_last(carried: CommandLine) -> None:
    carried.ok("trunk", "set", "first", "--answers", "480=carrier; 404=busy", "--no-progress-s", "9")
    shown = carried.ok("trunk", "show", "first", "--json").json
    assert (shown["answers"], shown["no_progress_s"], shown["state"]) == ("404=busy;480=carrier", 9, "")
    resting = TrunkState("first", 5, "503", 1, rests_until_us=1 << 52)
    refused = TrunkState("second", 1, "403", 1, refusal="403", refused_at_us=Clock().now_us())
    node = open_stores(carried.url, "alpha", Clock())
    node.nodes.enter()
    node.nodes.beat([resting, refused])
    node.database.close()  # it has the lock of its name, and lives
    rows = {row["name"]: row["state"] for row in carried.ok("trunk", "list", "--json").json}
    found = carried("doctor", "--json").json
    node.nodes._lock.release()
    assert "passed over until 2112-" in rows["first"]
    assert "5 failure(s) in a row, the last: 503" in rows["first"]
    assert rows["second"] == "1 failure(s) in a row, the last: 403"
    assert levels(found, "trunk first is passed over until") == ["warning"]
    assert levels(found, "the carrier of trunk second refused us (403)") == ["warning"]
    assert carried.ok("trunk", "show", "first", "--json").json["state"] == ""  # that node has ended


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
        "answers": "",
        "no_progress_s": 5,
        "routes": {},
        "numbers": "e164",
        "called_in": "",
        "caller_in": "",
        "caller_out": "",
        "identity": "pai",
        "called_from": "uri",
        "attestation": "",
        "state": "",
    }
    carried.ok("trunk", "set", "first", "--calls-limit", "0")
    carried.ok("trunk", "enable", "first", "--unchecked")
    assert [t["calls_limit"] for t in carried.ok("trunk", "list", "--json").json] == [None, None]
    assert "second" in carried.ok("trunk", "list").out


def test_trunk_test_tells_what_each_stage_makes_of_a_missed_call(carried: CommandLine) -> None:
    carried.ok(
        "trunk", "set", "first", "--numbers", "national:CZ", "--called-in", "s/^99//", "--identity", "from"
    )
    told = carried(
        *("trunk", "test", "first", "--incoming", "sip:99800123456;npdi@10.0.0.1", "--privacy", "id"),
        *("--from", "sip:anonymous@anonymous.invalid", "--pai", "<sip:x@y>", "--pai", "<tel:+420212345678>"),
    )
    assert told.out.splitlines()[:9] == [
        "the request's address has 99800123456",
        "called_in makes 800123456 of it",
        "national:CZ makes 420800123456 of it",
        "From has anonymous",
        "that is a withheld number",
        "P-Asserted-Identity has x",
        "not a phone number",
        "P-Asserted-Identity has +420212345678",
        "national:CZ makes 420212345678 of it",
    ]
    assert "so 420212345678 calls 420800123456" in told.out
    result = carried("trunk", "test", "first", "--incoming", "sip:1@x", "--json")
    assert result.code == 1
    assert result.json["reason"] == "unknown_access_number"
    assert (result.json["caller"], result.json["called"]) == ("anonymous", "1")


def test_trunk_test_tells_what_goes_out(carried: CommandLine) -> None:
    carried.ok(
        "trunk",
        "set",
        "first",
        "--numbers",
        "+e164",
        "--caller-out",
        "s/^.420//",
        "--number-rules",
        "s/^/77/",
    )
    result = carried("trunk", "test", "first", "--outgoing", "442071234567", "--caller-id", SUBSCRIBER)
    assert result.code == 1
    assert result.out.splitlines() == [
        "442071234567 is called",
        "+e164 makes +442071234567 of it",
        "called_out makes 77+442071234567 of it",
        "this leaves nothing that can be dialled",
        "420212345678 is the caller id",
        "+e164 makes +420212345678 of it",
        "caller_out makes 212345678 of it",
        "shown as 212345678",
    ]
    carried.ok("trunk", "set", "first", "--number-rules", "")
    withheld = ("trunk", "test", "first", "--outgoing", "442071234567", "--caller-id", "withheld", "--json")
    assert carried.ok(*withheld).json["dialled"] == "+442071234567"


def test_a_number_that_is_never_called_is_not_dialled_in_a_test_either(carried: CommandLine) -> None:
    for number, reason in (
        ("112", "emergency_number"),
        ("44999", "emergency_number"),
        ("420800123456", "own_number"),
    ):
        result = carried("trunk", "test", "first", "--outgoing", number)
        assert result.code == 1
        assert result.out.startswith(f"{number} would be refused: {reason}, it is an ")
        assert "dialled as" not in result.out
        told = carried("trunk", "test", "first", "--outgoing", number, "--json").json
        assert (told["reason"], told["dialled"]) == (reason, "")
    told = carried.ok("trunk", "test", "first", "--outgoing", "442071234567", "--json").json
    assert told["reason"] == ""


def test_the_trunk_of_the_settings_can_be_tested_too(shop: CommandLine) -> None:
    assert shop.ok("trunk", "test", "trunk", "--outgoing", "442071234567", "--json").json["shown"] == ""


def test_setting_a_form_warns_of_access_numbers_that_it_does_not_reach(carried: CommandLine) -> None:
    assert "country code" in carried("access-number", "add", "800123456").err
    result = carried("trunk", "set", "first", "--numbers", "national:CZ")
    assert result.code == 0
    assert "800123456 is not in E.164: this trunk reaches 420800123456" in result.err
    carried.ok("trunk", "set", "second", "--numbers", "+e164")


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
    carried("access-number", "add", "8001", "--set", "min_margin_percent=90")
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
        (("route", "explain", "+420", "--account", SUBSCRIBER),            "phone number"),
        (("route", "explain", "33123456", "--account", SUBSCRIBER),        "has no rate for 33123456"),
        (("route", "explain", SUBSCRIBER, "--account", "nobody"),          "nobody"),
        (("route", "explain", SUBSCRIBER, "--account", SUBSCRIBER, "--access-number", "1"), "not a phone number"),
        (("route", "remove", "44", "first"),                               "no route for prefix '44'"),
        (("route", "add", "44", "third"),                                  "unknown trunk 'third'"),
        (("trunk", "set", "first", "--tariff", "euros"),                   "bills in USD"),
        (("trunk", "set", "first", "--answers", "404=next"),               "write STATUS=MEANING"),
        (("trunk", "set", "first", "--no-progress-s", "0"),                "between 1 and 60"),
        (("vendor", "add", "carrier", "--currency", "USD"),                "already exists"),
        (("trunk", "set", "first", "--numbers", "national:XX"),            "write e164, +e164, or national:"),
        (("trunk", "set", "first", "--identity", "rpid"),                  "write one of pai, from"),
        (("trunk", "set", "first", "--called-from", "via"),                "write one of uri, to"),
        (("trunk", "set", "first", "--caller-out", "s/x"),                 "not a translation rule"),
        (("trunk", "test", "third", "--outgoing", "442071234567"),         "unknown trunk 'third'"),
        (("trunk", "test", "first"),                                       "with --incoming"),
        (("trunk", "test", "first", "--incoming", "a", "--outgoing", "1"), "with --incoming"),
        (("trunk", "test", "first", "--outgoing", "+44"),                  "is not a phone number"),
        (("trunk", "test", "first", "--outgoing", "442071234567", "--caller-id", "me"), "is not a phone number"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(carried: CommandLine, words: tuple[str, ...], why: str) -> None:
    result = carried(*words)
    assert result.code == 2
    assert why in result.err
