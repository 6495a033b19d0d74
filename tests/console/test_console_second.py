"""What one operator cannot do alone: it is proposed, tried, agreed to, carried out, and says what came out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from console_site import PASSWORD, ConsoleSite, Operator, open_console

from stasis_callback.admin.commands import described, run
from stasis_callback.admin.days import local_time, operators_zone
from stasis_callback.console import policy
from stasis_callback.store.accounts.opening import AT_ONCE, BatchOpening

LIMIT = 100


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConsoleSite]:
    with open_console(tmp_path, monkeypatch, second_operator_above=LIMIT) as made:
        yield made


def newest(site: ConsoleSite) -> Any:
    return site.shop.stores.proposals.newest()[0]


def says(who: Operator, decision: str, proposal: int) -> Any:
    return who.post(f"/second/{proposal}", {"decision": decision, "form_token": who.token()})


def booked(site: ConsoleSite, amount: str) -> None:
    """What somebody books on the machine, where one is enough."""
    done = run(
        ["account", "adjust", "--reason=gift", f"--by={amount}", "--", "100"], "root", site.shop.stores
    )
    assert done.code == 0, done.complaint


def shown(who: Operator) -> str:
    """The page as text."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", who.get("/second").text)).split())


def proposed(who: Operator, command: str, **fields: str) -> Any:
    answer = who.does(command, **fields)
    assert answer.headers.get("location") == "/second", answer.text
    return newest(who.site)


# --- proposing ----------------------------------------------------------------------------------------------------


def test_a_large_adjustment_is_booked_when_another_agrees_once_in_both_names(site: ConsoleSite) -> None:
    account = site.shop.account("100")
    anna, bob, helper = (
        site.operator(role, name)
        for role, name in (("manager", "anna"), ("manager", "bob"), ("support", "eva"))
    )
    assert "Done" in anna.does("account adjust", number="100", amount="-1", reason="mistake").text
    first = proposed(anna, "account adjust", number="100", amount="500", reason="gift")
    second = proposed(anna, "account adjust", number="100", amount="150", reason="gift")
    assert [says(who, "agree", first.id).status_code for who in (anna, helper)] == [409, 403]
    assert site.shop.money(account) == (900, 0)
    assert [says(bob, "agree", first.id).status_code for _ in range(2)] == [200, 409]
    assert site.shop.money(account) == (50_900, 0)
    says(bob, "decline", second.id)
    assert site.shop.money(account) == (50_900, 0)
    assert any(row["operator"] == "anna, agreed by bob" for row in site.shop.rows()["Transfer"])


REFUSED = (
    ("account adjust", {"number": "999", "amount": "500", "reason": "gift"}, "999"),
    ("account adjust", {"number": "100", "amount": "500"}, "reason"),
    ("account adjust", {"number": "100", "amount": "500", "reason": " "}, "reason"),
    ("account adjust", {"number": "100", "amount": "100.000001", "reason": "gift"}, "100.000001"),
    ("account adjust", {"number": "100", "amount": "-500", "reason": "gift"}, "insufficient funds"),
    ("account topup", {"number": "100", "amount": "1e9"}, "1e9"),
    ("account set", {"number": "100", "credit_limit": "500", "service_password": "on", "secret": "1234"}, "secret"),
    ("customer adjust", {"name": "nobody", "amount": "500", "reason": "gift"}, "nobody"),
    ("account add", {"number": "100", "customer": "people", "product": "callback", "opening_balance": "500"}, "100"),
    ("voucher generate", {"batch": "may", "count": "100001", "amount": "1", "currency": "USD"}, "100001"),
    ("voucher generate", {"batch": "may", "count": "200", "amount": "1", "currency": "USDollar"}, "currency"),
    ("ledger reverse", {"transfer": "9999999", "reason": "gift"}, "9999999"),
)  # fmt: skip


@pytest.mark.parametrize(("command", "fields", "words"), REFUSED)
def test_what_would_be_refused_is_refused_when_it_is_proposed(
    site: ConsoleSite, command: str, fields: dict[str, str], words: str
) -> None:
    """In the words of the command, and with nothing left of the try."""
    site.shop.account("100")
    anna = site.operator("manager", "anna")
    before = site.business()
    answer = anna.does(command, **fields)
    assert answer.status_code == 400
    alert = re.search(r'class="wrong" role="alert"[^>]*>([^<]*)', answer.text)
    assert alert
    assert words in unescape(alert[1])
    assert site.business() == before


ONLY_TRIED = (
    ("account topup", {"number": "100", "amount": "101"}),
    ("account adjust", {"number": "100", "amount": "101", "reason": "gift"}),
    ("customer topup", {"name": "people", "amount": "101"}),
    ("customer adjust", {"name": "people", "amount": "101", "reason": "gift"}),
    ("customer set", {"name": "people", "credit_limit": "100000000"}),
    ("account set", {"number": "100", "credit_limit": "100000000"}),
    ("account add", {"number": "200", "customer": "people", "product": "callback", "opening_balance": "101"}),
    ("account add", {"number": "200", "customer": "people", "product": "callback", "opening_balance": "60",
                     "credit_limit": "60"}),
    ("account generate", {"count": "101", "customer": "people", "product": "callback", "batch": "may",
                          "opening_balance": "1"}),
    ("voucher generate", {"batch": "may", "count": "101", "amount": "1", "currency": "USD"}),
)  # fmt: skip


@pytest.mark.parametrize(("command", "fields"), ONLY_TRIED)
def test_all_that_gives_credit_waits_and_is_then_done(
    site: ConsoleSite, command: str, fields: dict[str, str]
) -> None:
    site.shop.account("100")
    anna, bob = site.operator("manager", "anna"), site.operator("manager", "bob")
    before = site.business()
    waiting = proposed(anna, command, **fields)
    changed = {name for name, rows in site.business().items() if rows != before[name]}
    assert changed == {"ConsoleProposal", "AuditEntry"}
    assert "/" not in " ".join(waiting.command)  # no place of this machine
    answer = says(bob, "agree", waiting.id)
    assert answer.status_code == 200, answer.text
    assert newest(site).state == "done", newest(site)
    changed = {name for name, rows in site.business().items() if rows != before[name]}
    assert changed > {"ConsoleProposal", "AuditEntry"}
    if command.endswith(
        "generate"
    ):  # who agreed gets the file: all of them are in it, not the one that was tried
        assert len(answer.text.split()) >= 101
        assert "attachment" in answer.headers["content-disposition"]


def test_a_transfer_is_reversed_by_two_if_it_was_large(site: ConsoleSite) -> None:
    account = site.shop.account("100")
    booked(site, "500")
    anna, bob = site.operator("manager", "anna"), site.operator("manager", "bob")
    transfer = max(row["id"] for row in site.shop.rows()["Transfer"])
    waiting = proposed(anna, "ledger reverse", transfer=str(transfer), reason="mistake")
    assert site.shop.money(account) == (51_000, 0)
    assert says(bob, "agree", waiting.id).status_code == 200
    assert site.shop.money(account) == (1000, 0)


PRICES = {"tariff", "rate"}
"""Nouns of which amounts are prices."""
GIVES_NONE = {
    ("account add", "daily_cap"): "a limit of what is spent",
    ("account set", "daily_cap"): "a limit of what is spent",
    ("customer set", "daily_cap"): "a limit of what is spent",
    ("web link", "money"): "a limit of what is spent",
    ("product set", "low_balance"): "when a notice is sent",
}


def test_every_amount_of_a_command_that_changes_something_is_credit_or_said_to_be_none() -> None:
    """A command with an amount that is added is found here."""
    for name, command in described().items():
        access = policy.access(name)
        if access is None or access.reads or command.noun in PRICES:
            continue
        amounts = {p.name for p in command.parameters if "AMOUNT" in p.metavar}
        rule = policy.SECOND_OPERATOR.get(name, policy.Credit())
        none = {field for known, field in GIVES_NONE if known == name}
        assert amounts == {*rule.amounts, *none}, name
        known = {p.name for p in command.parameters}
        assert known >= {field for field in (*rule.amounts, rule.times, rule.transfer) if field}, name


def test_a_batch_of_little_things_counts_as_all_of_them(site: ConsoleSite) -> None:
    anna = site.operator("manager", "anna")
    fields = {"amount": "1", "currency": "USD"}
    few = anna.does("voucher generate", batch="few", count="100", **fields)
    assert "attachment" in few.headers["content-disposition"]
    assert anna.does("voucher generate", batch="many", count="101", **fields).headers["location"] == "/second"


# --- deciding -----------------------------------------------------------------------------------------------------


def test_what_fails_after_agreement_says_why_and_can_be_agreed_to_again(site: ConsoleSite) -> None:
    account = site.shop.account("100")
    anna, bob = site.operator("manager", "anna"), site.operator("manager", "bob")
    booked(site, "500")
    waiting = proposed(anna, "account adjust", number="100", amount="-400", reason="mistake")
    booked(site, "-500")
    failed = says(bob, "agree", waiting.id)
    assert failed.status_code == 400
    assert newest(site).state == "failed"
    assert "failed: " in shown(bob)
    assert newest(site).said in shown(bob)
    assert "Agree again" in bob.get("/second").text
    assert says(anna, "agree", waiting.id).status_code == 409
    booked(site, "500")
    assert says(bob, "agree", waiting.id).status_code == 200
    assert newest(site).state == "done"
    assert site.shop.money(account) == (11_000, 0)


def test_what_has_failed_can_be_withdrawn(site: ConsoleSite) -> None:
    site.shop.account("100")
    booked(site, "200")
    anna, bob = site.operator("manager", "anna"), site.operator("manager", "bob")
    waiting = proposed(anna, "account adjust", number="100", amount="-150", reason="mistake")
    booked(site, "-200")
    assert says(bob, "agree", waiting.id).status_code == 400
    assert "Withdraw" in anna.get("/second").text
    assert says(anna, "decline", waiting.id).status_code == 303
    assert newest(site).state == "withdrawn"
    assert says(bob, "agree", waiting.id).status_code == 409


def test_what_was_cut_off_while_it_was_carried_out_is_done_once_by_agreeing_again(site: ConsoleSite) -> None:
    """The process died between the booking and the note of it."""
    account = site.shop.account("100")
    anna, bob = site.operator("manager", "anna"), site.operator("manager", "bob")
    waiting = proposed(anna, "account topup", number="100", amount="500")
    proposals = site.shop.stores.proposals
    with proposals.alone(waiting.id):
        proposals.decide(waiting.id, "bob", agreed=True)
        assert run(waiting.command, "anna, agreed by bob", site.shop.stores).code == 0
        refused = says(bob, "agree", waiting.id)
        assert (refused.status_code, "is being carried out" in refused.text) == (409, True)
        assert says(anna, "decline", waiting.id).status_code == 409
        assert "Agree again" not in shown(bob)
    assert "Agree again" in shown(bob)
    assert says(bob, "agree", waiting.id).status_code == 200
    assert newest(site).state == "done"
    assert site.shop.money(account) == (51_000, 0)


def test_a_batch_that_was_cut_off_half_way_is_not_booked_once_more(site: ConsoleSite) -> None:
    """Its file is gone with the process: what is there already says what to do."""
    anna, bob = site.operator("manager", "anna"), site.operator("manager", "bob")
    fields = {"customer": "people", "product": "callback", "batch": "may", "opening_balance": "10"}
    waiting = proposed(anna, "account generate", count="40", **fields)
    stores, numbers = site.shop.stores, [f"77{n:04}" for n in range(2 * AT_ONCE)]
    begun = BatchOpening(
        stores.database, stores.accounts, stores.ledger, site.shop.clock, "people", "callback", "may", 10_000_000, "x"
    )  # fmt: skip

    def dies(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    with stores.proposals.alone(waiting.id):
        stores.proposals.decide(waiting.id, "bob", agreed=True)
        with pytest.raises(KeyboardInterrupt):
            begun.open_all(numbers, dies)
    before = site.shop.rows()["Transfer"]
    assert len(before) == AT_ONCE
    assert says(bob, "agree", waiting.id).status_code == 400
    assert "choose another name" in newest(site).said
    assert "close-batch may --write-off" in newest(site).said
    assert site.shop.rows()["Transfer"] == before
    assert bob.does("account close-batch", batch="may", write_off="on").status_code == 200
    assert says(anna, "decline", waiting.id).status_code == 303


def test_nothing_is_decided_by_a_form_that_does_not_say_what(site: ConsoleSite) -> None:
    site.shop.account("100")
    anna, bob = site.operator("manager", "anna"), site.operator("manager", "bob")
    waiting = proposed(anna, "account topup", number="100", amount="500")
    for fields in ({}, {"decision": ""}, {"decision": "AGREE"}, {"decision": "declined"}):
        answer = bob.post(f"/second/{waiting.id}", fields | {"form_token": bob.token()})
        assert answer.status_code == 400
        assert "Nothing was changed" in answer.text
    assert newest(site).state == "waiting"


def test_the_page_and_the_audit_log_tell_who_did_what_and_when(site: ConsoleSite) -> None:
    site.shop.account("100")
    anna, bob = site.operator("manager", "anna"), site.operator("manager", "bob")
    one = proposed(anna, "account topup", number="100", amount="500")
    site.shop.clock.passes(61)
    says(bob, "agree", one.id)
    two = proposed(anna, "account topup", number="100", amount="600")
    says(anna, "decline", two.id)
    three = proposed(anna, "account topup", number="100", amount="700")
    says(bob, "decline", three.id)
    page = shown(site.operator("viewer"))
    for one in site.shop.stores.proposals.newest():
        assert f"Proposed by anna · {local_time(one.proposed_at_us, operators_zone())}" in page
        assert local_time(one.decided_at_us or 0, operators_zone()) in page
    assert "Agreed by bob" in page
    assert "carried out: account 100 topped up by 500.00 USD" in page
    assert "Withdrawn by anna" in page
    assert "Declined by bob" in page
    log = [
        (entry.name, entry.operator, entry.after["state"])
        for entry in site.shop.stores.trail.newest(noun="console-proposal")[::-1]
    ]
    names = sorted({name for name, _, _ in log}, key=int)
    assert log == [
        (names[0], "anna", "waiting"), (names[0], "bob", "agreed"), (names[0], "bob", "done"),
        (names[1], "anna", "waiting"), (names[1], "anna", "withdrawn"),
        (names[2], "anna", "waiting"), (names[2], "bob", "declined"),
    ]  # fmt: skip
    assert anna.get("/do/audit/list?noun=console-proposal").status_code == 200


def test_agreeing_asks_who_it_is(site: ConsoleSite) -> None:
    site.shop.account("100")
    anna, bob = site.operator("manager", "anna"), site.operator("manager", "bob")
    waiting = proposed(anna, "account topup", number="100", amount="500")
    site.shop.clock.passes(11 * 60)
    assert says(bob, "agree", waiting.id).status_code == 403
    proof = {"proof.password": PASSWORD, "proof.code": bob.code()}
    fields = proof | {"decision": "agree", "form_token": bob.token()}
    assert bob.post(f"/second/{waiting.id}", fields).status_code == 200
