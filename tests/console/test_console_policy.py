"""Who may do what: what needs proof and what support may, generated over all commands."""

from __future__ import annotations

import pytest
from console_site import PASSWORD, ConsoleSite
from test_console_security import requests_of

from stasis_callback.admin.commands import Command, described
from stasis_callback.console import policy
from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.operators.operators import Role

EXAMPLES = {
    ("never-call add", "number"): "420212345678", ("never-call remove", "number"): "420212345678",
    ("fraud set-aside", "subject"): "account:100", ("fraud release", "subject"): "account:100",
}  # fmt: skip


def changing() -> list[Command]:
    """The commands of the console that change something."""
    return [
        command
        for name, command in described().items()
        if (access := policy.access(name)) is not None and not access.reads
    ]


def test_every_command_asks_for_proof_but_the_daily_ones(site: ConsoleSite) -> None:
    """Sent by an owner whose proof is old: none is carried out, whatever its parameters are called."""
    site.shop.account("100")
    boss = site.operator("owner")
    site.shop.clock.passes(11 * 60)
    before = site.business()
    for command in changing():
        if command.name not in policy.DAILY:
            answer = boss.does(command.name, **requests_of(command), secret="s3cret s3cret")
            assert answer.status_code == 403, command.name
            assert 'name="proof.code"' in answer.text, command.name
    assert site.business() == before


def test_a_daily_command_asks_for_proof_with_every_other_field() -> None:
    for name, fields in policy.DAILY.items():
        access = policy.access(name)
        assert access is not None
        daily = {field: [EXAMPLES.get((name, field), "1")] for field in fields}
        assert not access.needs_proof(daily), name
        for parameter in access.command.parameters:
            assert access.needs_proof(daily | {parameter.name: ["1"]}) == (
                parameter.name not in fields or (name, parameter.name) in EXAMPLES
            ), (name, parameter.name)


def test_daily_work_has_no_field_about_money_and_support_gets_none() -> None:
    money = ("AMOUNT", "PRICE", "PERCENT", "NAME=VALUE", "TARIFF", "PRODUCT")
    for table in (policy.DAILY, policy.SUPPORT):
        for name, fields in table.items():
            given = {p.metavar for p in described()[name].parameters if p.name in fields}
            assert not given & set(money), name


def test_support_gives_no_field_that_is_not_named(site: ConsoleSite) -> None:
    """So a field that is added to a command is for managers."""
    for command in changing():
        access = policy.access(command.name)
        assert access is not None
        given = {p.name for p in access.fields_for(Role.SUPPORT)} if access.open_to(Role.SUPPORT) else set()
        assert given <= policy.SUPPORT.get(command.name, frozenset()), command.name
    account = site.shop.account("100")
    helper = site.operator("support")
    fields = {"account": "100", "number_a": "442071234567", "number_b": "442071234568"}
    options = {
        "access_code": "7",
        "margin_guard": "off",
        "talk_limit_s": "86400",
        "caller_id_a": "420601000000",
    }
    for name, text in options.items():
        assert helper.does("request add", **fields, options=f"{name}={text}").status_code == 403
    given_one_by_one = {f"set__{name}": text for name, text in options.items()}
    assert "Done" in helper.does("request add", **fields, **given_one_by_one).text
    page = helper.get("/do/request/add").text
    assert "margin_guard" not in page
    assert 'name="options"' not in page
    assert 'name="options"' in site.operator("manager").get("/do/request/add").text
    assert site.shop.rows()["Request"]
    assert all(
        "86400" not in str(row) and "margin_guard" not in str(row) for row in site.shop.rows()["Request"]
    )
    before = site.business()
    for refused, values in (
        ("account set", {"number": "100", "language": "en", "days_after_last_use": "1"}),
        ("account set", {"number": "100", "language": "en", "simultaneous_calls": "9"}),
        ("call hangup", {"every": "on"}),
    ):
        assert helper.does(refused, **values).status_code == 403  # and not without the field
    assert site.business() == before
    assert account.number == "100"


WIDE = (
    ("fraud set-aside", "subject", "total"), ("fraud set-aside", "subject", " total"),
    ("fraud set-aside", "subject", "country:CZ"), ("fraud set-aside", "subject", "range:premium"),
    ("fraud set-aside", "subject", "range:420"), ("fraud set-aside", "subject", "source:192.0.2.1"),
    ("fraud set-aside", "subject", "link:1"), ("fraud release", "subject", "total"),
    ("never-call add", "number", "420"), ("never-call add", "number", "+420"), ("never-call add", "number", "00420"),
    ("never-call add", "number", "44207123"), ("never-call add", "number", "4420712345"),
    ("never-call add", "number", "112"), ("never-call add", "number", "1212"), ("never-call remove", "number", "420"),
    ("never-call add", "number", "4916"), ("never-call add", "number", "49151"), ("never-call add", "number", "8613"),
)  # fmt: skip


@pytest.mark.parametrize(("command", "field", "text"), WIDE)
def test_what_stops_many_is_for_managers_who_prove_who_they_are(
    site: ConsoleSite, command: str, field: str, text: str
) -> None:
    helper, boss = site.operator("support"), site.operator("manager")
    before, note = site.business(), {} if command.endswith(("release", "remove")) else {"note": "test"}
    refused = helper.does(command, **{field: text}, **note)
    assert refused.status_code == 403
    assert "Only managers" in refused.text
    site.shop.clock.passes(11 * 60)
    asked = boss.does(command, **{field: text}, **note)
    assert asked.status_code == 403
    assert 'name="proof.code"' in asked.text
    assert site.business() == before


def test_support_sets_one_aside_and_lets_it_go_on(site: ConsoleSite) -> None:
    site.shop.account("100")
    helper = site.operator("support")
    site.shop.clock.passes(11 * 60)
    assert "Done" in helper.does("fraud set-aside", subject="account:100", note="test").text
    assert "Done" in helper.does("never-call add", number="420212345678").text
    proof = {"proof__password": PASSWORD, "proof__code": helper.code()}
    assert helper.does("fraud release", subject="account:100").status_code == 403  # that lets somebody go on
    assert "Done" in helper.does("fraud release", subject="account:100", **proof).text
    assert "Done" in helper.does("never-call remove", number="420212345678").text


def test_whoever_may_stop_something_may_undo_it() -> None:
    for stops, goes_on in (
        ("account block", "account unblock"), ("opt-out add", "opt-out remove"), ("fraud set-aside", "fraud release"),
        ("never-call add", "never-call remove"), ("email remove-sender", "email add-sender"),
    ):  # fmt: skip
        for role in Role:
            first, second = policy.access(stops), policy.access(goes_on)
            assert first is not None
            assert second is not None
            assert first.open_to(role) == second.open_to(role), stops


def test_no_two_operators_have_names_that_differ_in_case_only(site: ConsoleSite) -> None:
    """In the audit log one would be taken for the other."""
    boss = site.operator("owner")
    operators = site.shop.stores.operators
    operators.add("Manager", "manager", PASSWORD)
    for name in ("manager", "MANAGER", "Manager"):
        with pytest.raises(InvalidInput, match="operator 'Manager' already exists"):
            operators.add(name, "manager", PASSWORD)
        refused = boss.does("console user add", name=name, role="manager", secret=PASSWORD)
        assert refused.status_code == 400
        assert "already exists" in refused.text
    assert [one.name for one in operators.all()] == ["Manager", "owner"]
