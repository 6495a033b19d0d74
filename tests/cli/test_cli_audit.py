"""Who did it: every change is noted with the operator's own name, before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import ACCESS_NUMBER, SUBSCRIBER, CommandLine

from stasis_callback.admin import context
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.core.limits import Limit


def log(shop: CommandLine, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shop.ok("audit", "list", *words, "--json").json
    return found


def test_a_change_has_its_operator_and_what_was_before(shop: CommandLine) -> None:
    shop.ok("--as", "Jana", "account", "block", "420777111222")  # an alias
    newest = log(shop, "--noun", "account")[0]
    assert (newest["operator"], newest["name"]) == ("Jana", SUBSCRIBER)
    assert (newest["before"], newest["after"]) == ({"status": "active"}, {"status": "blocked"})
    assert "status: active -> blocked" in " ".join(shop.ok("audit", "list", "--operator", "Jana").out.split())
    assert log(shop, "--operator", "nobody") == []
    shop.ok("account", "add", "1000", "--customer", "Acme", "--product", "callback")
    assert [entry["name"] for entry in log(shop, "--noun", "account", "--name", "1000")] == ["1000"]
    assert [entry["id"] for entry in log(shop, "--since", "today", "--limit", "1000")] == [
        entry["id"] for entry in log(shop, "--limit", "1000")
    ]


@pytest.mark.parametrize(
    ("given", "none", "field", "said"),
    [
        (("account", "set", SUBSCRIBER, "--daily-cap", "50"), "none", "daily_cap", "50.00"),
        (("trunk", "set", "t", "--calls-limit", "7"), "0", "calls_limit", "7"),
    ],
)
def test_a_field_that_is_filled_or_emptied_is_changed_and_not_added(
    shop: CommandLine, given: tuple[str, ...], none: str, field: str, said: str
) -> None:
    shop.ok("vendor", "add", "carrier", "--currency", "USD")
    shop.ok("trunk", "add", "t", "--vendor", "carrier", "--tariff", "retail")
    shop.ok(*given)
    filled = log(shop)[0]
    assert (filled["before"], filled["after"].keys()) == ({field: None}, {field})
    assert filled["change"].startswith(f"{field}: nothing -> {said}")
    shop.ok(*given[:-1], none)
    emptied = log(shop)[0]
    assert (emptied["before"], emptied["after"]) == (filled["after"], {field: None})
    assert emptied["change"].startswith(f"{field}: {said}")
    assert emptied["change"].endswith(" -> nothing")


def test_of_a_copied_tariff_the_terms_are_noted(shop: CommandLine) -> None:
    shop.ok(
        "tariff", "set", "retail", "--minimum", "0.5", "--open", "premium", "--time-zone", "Europe/Prague"
    )
    shop.ok("--as", "jana", "tariff", "copy", "retail", "second")
    change, added = log(shop, "--name", "second")
    terms = {"currency": "USD", "minimum": "0.50", "opened": ["premium"], "time_zone": "Europe/Prague"}
    assert (added["before"], added["after"]) == ({}, terms)
    assert (change["after"]["change"], change["after"]["note"]) == ("copy", "of retail")


def test_what_is_added_and_removed_says_so(shop: CommandLine) -> None:
    shop.ok("customer", "add", "Bolt", "--currency", "USD")
    added = log(shop)[0]
    assert (added["before"], added["change"][:7]) == ({}, "added: ")
    assert None not in added["after"].values()
    shop.ok("customer", "remove", "Bolt")
    assert (log(shop)[0]["after"], log(shop)[0]["change"][:9]) == ({}, "removed: ")


CHANGES: list[tuple[str, ...]] = [
    ("customer", "add", "Bolt", "--currency", "USD"),
    ("customer", "set", "Acme", "--credit-limit", "5"),
    ("tariff", "add", "cost", "--currency", "USD"),
    ("tariff", "set", "retail", "--open", "premium"),
    ("rate", "add", "retail", "44", "1"),
    ("rate", "set", "retail", "420", "--first-price", "2"),
    ("rate", "remove", "retail", "44"),
    ("product", "add", "other", "--tariff", "retail"),
    ("product", "set", "callback", "--tariff", "cost"),
    ("account", "add", "1000", "--customer", "Acme", "--product", "callback"),
    ("account", "set", "1000", "--daily-cap", "3"),
    ("account", "close", "1000"),
    ("account", "generate", "2", "--customer", "Acme", "--product", "callback", "--batch", "may", "--out", "a.csv"),
    ("voucher", "generate", "may", "--count", "2", "--amount", "1", "--currency", "USD", "--out", "v.csv"),
    ("voucher", "block", "may"),
    ("voucher", "unblock", "may"),
    ("vendor", "add", "carrier", "--currency", "USD"),
    ("trunk", "add", "t", "--vendor", "carrier", "--tariff", "cost"),
    ("trunk", "set", "t", "--preference", "7"),
    ("route", "add", "420", "t"),
    ("route", "remove", "420", "t"),
    ("trunk", "enable", "t", "--unchecked"),
    ("trunk", "disable", "t"),
    ("trunk", "remove", "t"),
    ("report", "recount"),
    ("access-number", "add", "420800", "--set", "welcome=on"),
    ("access-number", "set", ACCESS_NUMBER, "--disabled"),
    ("web", "add", "site", "--type", "simple", "--set", "second_number=442071234567"),
    ("web", "set", "site", "--disabled"),
    ("api-key", "add", "crm", "--scope", "status"),
    ("api-key", "revoke", "crm"),
    ("web", "remove", "site"),
    ("opt-out", "add", "+44 20 7123 4567", "--note", "wrote on Monday"),
    ("opt-out", "remove", "442071234567"),
    ("never-call", "add", "44207"),
    ("never-call", "remove", "44207"),
    ("fraud", "set-aside", "number:442071234567", "--note", "seen in the news"),
    ("fraud", "release", "number:442071234567"),
    ("message", "add", "sms"),
    ("message", "set", "sms", "--disabled"),
    ("message", "remove", "sms"),
    ("email", "add", "callback@example.com"),
    ("email", "set", "callback@example.com", "--disabled"),
    ("email", "add-sender", SUBSCRIBER, "a@example.com"),
    ("email", "remove-sender", SUBSCRIBER, "a@example.com"),
    ("email", "remove", "callback@example.com"),
    ("email", "token", SUBSCRIBER),
    ("email", "withdraw-tokens", SUBSCRIBER),
    ("api-key", "set", "crm", "--addresses", "192.0.2.0/24"),
]  # fmt: skip


def test_every_change_is_noted_once(shop: CommandLine) -> None:
    before = len(log(shop, "--limit", "1000"))
    for words in CHANGES:
        result = shop("--as", "Jana", *words)
        assert result.code == 0, result
        newest, *rest = log(shop, "--limit", "1000")
        assert (len(rest), newest["operator"]) == (before, "Jana"), (words, newest)
        assert newest["before"] != newest["after"], words
        before += 1


def test_a_reversal_is_noted_beside_the_ledger(shop: CommandLine) -> None:
    shop.ok("account", "topup", SUBSCRIBER, "5")
    number = str(shop.ok("ledger", "entries", "--account", SUBSCRIBER, "--json").json[0]["transfer"])
    shop.ok("--as", "Jana", "ledger", "reverse", number, "--reason", "typed twice")
    newest = log(shop)[0]
    assert (newest["operator"], newest["noun"], newest["name"]) == ("Jana", "transfer", number)
    assert newest["after"]["reason"] == "typed twice"
    shop.refused("ledger", "reverse", number, "--reason", "again")
    assert log(shop)[0] == newest


def test_what_is_refused_or_changes_nothing_is_not_noted(shop: CommandLine) -> None:
    before = log(shop, "--limit", "1000")
    shop.refused("account", "set", SUBSCRIBER, "--status", "asleep")
    shop.ok("account", "unblock", SUBSCRIBER)
    assert log(shop, "--limit", "1000") == before
    assert "name of the operator" in shop.refused("--as", "a\nb", "account", "block", SUBSCRIBER)


def test_a_new_password_is_noted_and_not_told(shop: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    for password in ("11112222", "33334444"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(password))
        shop.ok("account", "set", SUBSCRIBER, "--service-password")
    newest = log(shop)[0]
    assert newest["before"].keys() == newest["after"].keys() == {"has_service_password"}
    assert "3333" not in str(newest)


def test_a_lockout_that_is_ended_is_noted(shop: CommandLine) -> None:
    with shop.stores() as stores:
        stores.throttles.failed(f"login:{SUBSCRIBER}", limit=1, lock_s=900)
        for door in ("web", "voucher"):
            stores.limits.take(f"login:{door}:account:{SUBSCRIBER}", Limit(5, 900))
    shop.ok("--as", "Jana", "access-number", "unlock", SUBSCRIBER)
    newest = log(shop, "--noun", "lockout")[0]
    assert (newest["operator"], newest["name"]) == ("Jana", SUBSCRIBER)
    assert (newest["before"], newest["after"]) == ({"wrong PINs": "locked out"}, {"wrong PINs": None})
    shop.ok("--as", "Jana", "web", "unlock", "--account", SUBSCRIBER)
    newest = log(shop, "--noun", "lockout")[0]
    assert sorted(newest["before"]) == [f"{door}:account:{SUBSCRIBER}" for door in ("voucher", "web")]
    shop.ok("web", "unlock", "--account", SUBSCRIBER)  # nothing to forget, nothing to note
    assert len(log(shop, "--noun", "lockout")) == 2


def test_the_log_can_only_grow(shop: CommandLine) -> None:
    for statement in ("DELETE FROM audit_entry", "UPDATE audit_entry SET operator = 'x'"):
        with pytest.raises(Exception, match="append-only") as refused:
            shop.sql(statement)
        assert not isinstance(refused.value, StoreUnavailable)


def test_the_operator_is_who_called_sudo_or_logged_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SUDO_USER", "jana")
    assert context.operator() == "jana"
    monkeypatch.delenv("SUDO_USER")
    login = tmp_path / "loginuid"
    login.write_text("0")
    assert context._logged_in(login) == "root"
    login.write_text("4294967295")  # nobody logged in: a service, a container
    assert context._logged_in(login) == ""
    assert context._logged_in(tmp_path / "missing") == ""


def test_the_prices_of_a_rate_are_noted_before_and_after(shop: CommandLine) -> None:
    def noted(*words: str) -> tuple[dict[str, Any], dict[str, Any]]:
        shop.ok(*words)
        newest = log(shop, "--noun", "tariff", "--name", "retail")[0]
        return newest["before"], newest["after"]

    before, after = noted("rate", "set", "retail", "420", "--first-price", "0.15", "--from", "2999-01-01")
    assert before == {"revision": 1, "first_price": "0.12"}
    assert after == {
        "revision": 2, "change": "set", "rates": 1, "prefix": "420", "first_price": "0.15",
        "from": "2999-01-01T00:00:00.000Z",
    }  # fmt: skip
    assert "first_price: 0.12 -> 0.15" in " ".join(shop.ok("audit", "list").out.split())
    before, after = noted("rate", "add", "retail", "44", "0.03111356")
    assert "first_price" not in before
    assert (after["prefix"], after["first_price"], after["next_interval_s"]) == ("44", "0.03111356", 1)
    before, after = noted("rate", "remove", "retail", "44")
    assert (before["first_price"], after["prefix"], "first_price" in after) == ("0.03111356", "44", False)


def test_of_a_list_of_rates_the_audit_log_has_the_counts(shop: CommandLine) -> None:
    Path("list.csv").write_text("prefix,first_price\n420,0.2\n44,0.3\n49,0.4\n")
    shop.ok("rate", "import", "retail", "list.csv", "--note", "of May")
    newest = log(shop)[0]
    assert (newest["name"], newest["before"]) == ("retail", {"revision": 1})
    assert newest["after"] == {
        "revision": 2, "change": "import", "rates": 3, "note": "of May", "added": 2, "changed": 1,
    }  # fmt: skip
    shop.ok("rate", "rollback", "retail", "1")
    assert log(shop)[0]["after"]["removed"] == 2


def test_the_terms_of_a_tariff_are_noted_as_they_are_shown(shop: CommandLine) -> None:
    """Under the names of `tariff show`, and only those that differ."""
    shown = shop.ok("tariff", "show", "retail", "--json").json
    shop.ok("tariff", "set", "retail", "--surcharge", "12.5", "--minimum", "0.05", "--open", "premium")
    newest = log(shop)[0]
    assert newest["before"] == {"revision": 1, "surcharge_percent": "0", "minimum": "0.00"}
    assert newest["after"] == {
        "revision": 2, "change": "terms", "surcharge_percent": "12.5", "minimum": "0.05", "opened": ["premium"],
    }  # fmt: skip
    assert (newest["before"].keys() | newest["after"].keys()) - {"revision", "change"} <= shown.keys()
