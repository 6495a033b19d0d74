"""What a command can set, the console can: the same effect, the same refusals. Nothing is listed by hand here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any

import pytest
from console_site import ConsoleSite

from stasis_callback.admin.app import tree
from stasis_callback.admin.commands import Takes, described, run
from stasis_callback.admin.node.reference import commands
from stasis_callback.console import forms, policy

TYPED: dict[Takes, str] = {
    Takes.TEXT: "-5 a=b ü", Takes.MANY: "-one\ntwo=2", Takes.FLAG: "on", Takes.SWITCH: "off", Takes.FILE: "/a/file",
    Takes.OUTPUT: "/a/file", Takes.PLACE: "/a/folder",
}  # fmt: skip

FILES = (Takes.FILE, Takes.OUTPUT, Takes.PLACE)
"""What nobody writes into a form: a file of the machine would be read or written."""


def test_every_parameter_arrives_as_it_is_typed_in_a_shell() -> None:
    """All parameters of all commands, with texts that look like options."""
    raw = {
        tuple(context.command_path.split()[1:]): (command, context) for command, context in commands(tree())
    }
    for command in described().values():
        given = {
            p.name: [TYPED[p.kind] if p.kind is not Takes.CHOICE else p.choices[0]]
            for p in command.parameters
        }
        values = forms.parameters_of(command.parameters, given, reads=False)
        assert not [p for p in command.parameters if p.kind in FILES and p.name in values], command.name
        values |= {p.name: given[p.name] for p in command.parameters if p.kind in FILES}
        assert set(values) == set(given), command.name
        found, context = raw[command.path]
        words = command.words(values)[len(command.path) :]
        options, arguments, _ = found.make_parser(context).parse_args(args=words)
        assert not arguments, command.name
        for parameter in command.parameters:
            expected: Any = {
                Takes.MANY: ["-one", "two=2"], Takes.FLAG: True, Takes.SWITCH: False,
            }.get(parameter.kind, given[parameter.name][0])  # fmt: skip
            got = options[parameter.name]
            got = list(got) if parameter.kind is Takes.MANY else got
            assert got in (expected, str(expected)), (command.name, parameter.name)


def test_every_page_has_a_field_for_every_parameter(site: ConsoleSite) -> None:
    owner = site.operator("owner")
    for name, command in described().items():
        if policy.access(name) is None or not command.parameters:
            continue
        page = owner.get("/do/" + name.replace(" ", "/")).text
        for parameter in command.parameters:
            has_options = forms.takes_options(parameter) and 'name="set.' in page
            if parameter.kind is Takes.PLACE or (parameter.kind is Takes.OUTPUT and parameter.required):
                continue
            assert has_options or f'name="{parameter.name}"' in page, (name, parameter.name)
            assert has_options or unescape(parameter.help)[:20] in unescape(page), (name, parameter.name)


# --- the tables of options ----------------------------------------------------------------------------------------


POOL = (
    "on", "off", "1", "3", "30", "90", "600", "7/77", "GB", "en", "en,es", "442071234567", "s/^0/44/", "house",
    "https://example.com/", "192.0.2.1", "example.com", "a@example.com", "x", "17", "site", "busy",
    "https://example.com", "office", "mon-fri 09:00-17:00",
)  # fmt: skip
"""Texts of which each option takes some."""
KINDS = {
    "access-number": "AccessNumber",
    "web": "WebInstance",
    "email": "EmailInstance",
    "message": "MessageInstance",
}


def candidates(row: Mapping[str, str]) -> Iterator[str]:
    """What an option may take, by the column of its values, or out of the pool."""
    values = row["values"].replace(" to ", " ")
    yield from re.findall(r"[A-Za-z0-9_.]+", values) if values != "text" else ()
    yield from POOL


def stored(site: ConsoleSite, noun: str, thing: str) -> dict[str, str]:
    rows = site.shop.rows()[KINDS[noun]]
    found: dict[str, str] = json.loads(next(row["options"] for row in rows if thing in row.values()))
    return found


@pytest.mark.parametrize("noun", KINDS)
def test_every_option_is_set_with_the_effect_and_the_refusals_of_the_command(
    site: ConsoleSite, noun: str
) -> None:
    shop, boss = site.shop, site.operator("owner")
    shop.account("house")
    shop.account("office")
    shop.stores.web_instances.add("site", {"type": "extended"})
    thing = {"access-number": "420800123456", "web": "forms", "email": "cb@example.com", "message": "sms"}[
        noun
    ]
    extra = ["--type=hosted", "--set=second_number=442071234567", "--set=internal_account=house"]
    words = [noun, "add", *(extra if noun == "web" else []), "--", thing]
    assert run(words, "shell", shop.stores).code == 0
    before = stored(site, noun, thing)
    table = run([noun, "options"], "shell", shop.stores).tables[0]
    rows = [dict(zip(table.headers, row, strict=True)) for row in table.rows]
    instances = getattr(shop.stores, f"{noun}_instances" if noun != "access-number" else "access_numbers")
    chosen: dict[str, str] = {}
    for row in rows:
        for text in candidates(row):
            if text == (before | chosen).get(row["name"], row["default"]):
                continue
            if run([noun, "set", f"--set={row['name']}={text}", "--", thing], "shell", shop.stores).code == 0:
                chosen[row["name"]] = text
                break
    fixed = {row["name"] for row in rows} - chosen.keys()
    assert len(fixed) <= 1, fixed  # the type of a web instance
    by_command = stored(site, noun, thing)
    instances.change(thing, {name: before.get(name, "") for name in chosen})
    assert stored(site, noun, thing) == before

    first = described()[f"{noun} set"].parameters[0].name
    page = boss.get(f"/do/{noun}/set", params={first: thing}).text
    assert {row["name"] for row in rows if f'name="set.{row["name"]}"' not in page} == set()
    fields = {f"set__{name}": text for name, text in chosen.items()}
    answer = boss.does(f"{noun} set", **{first: thing}, **fields)
    assert answer.status_code == 200, re.findall(r'class="wrong"[^<]*', answer.text)
    assert stored(site, noun, thing) == by_command

    for name in list(chosen)[::6]:
        refused = boss.does(f"{noun} set", **{first: thing, f"set__{name}": "\x07§"})
        by_shell = run([noun, "set", f"--set={name}=\x07§", "--", thing], "shell", shop.stores)
        assert (refused.status_code == 400) == (by_shell.code == 2), name
        assert by_shell.complaint.removeprefix("error: ").strip() in unescape(refused.text), name
