"""What hostile requests and hostile texts get from any page, generated over all routes, commands and tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import cycle
from typing import Any

import pytest
from console_site import PASSWORD, ConsoleSite
from peewee import IntegrityError
from shop import talked
from test_console_security import requests_of

from stasis_callback.admin.commands import described
from stasis_callback.console import policy
from stasis_callback.store import models
from stasis_callback.store.database.tables import TextField, bound_database

OF_NOBODY = ("doctor",)
"""It waits for an Asterisk."""


def sent_forms() -> Iterator[tuple[str, dict[str, str]]]:
    """Where each form goes that changes something, with fields that are good."""
    for name, command in described().items():
        access = policy.access(name)
        if access is not None and not access.reads:
            yield "/do/" + name.replace(" ", "/"), requests_of(command) | {"secret": "s3cret s3cret"}
    yield "/me", {"password": PASSWORD, "new": "another long password"}
    yield "/second/1", {"decision": "agree"}
    yield "/sign-out", {}


def read_pages() -> Iterator[tuple[str, dict[str, str]]]:
    """The page of each command that reads, with something in each field."""
    for name, command in described().items():
        access = policy.access(name)
        if access is not None and access.reads and name not in OF_NOBODY:
            yield "/do/" + name.replace(" ", "/"), requests_of(command)


def test_no_form_of_another_site_is_carried_out(site: ConsoleSite) -> None:
    """CSRF: without the token of the session, with that of another one, and from elsewhere with the right one."""
    site.shop.account("100")
    boss, other = site.operator("owner"), site.operator("manager")
    own, strange, before = boss.token(), other.token(), site.business()
    forged: list[tuple[str, dict[str, str]]] = [
        ("", {}), (strange, {}), (own, {"Origin": "https://evil.example"}), (own, {"Sec-Fetch-Site": "cross-site"}),
    ]  # fmt: skip
    for number, (path, fields) in enumerate(sent_forms()):
        known = fields | {"key.form": f"forged-{number}", "code": boss.code() if path == "/me" else ""}
        # Each form in one of the ways, each way at many forms: it is one piece of code for all.
        token, headers = forged[number % len(forged)]
        answer = boss.post(path, known | {"form_token": token}, headers=headers)
        assert answer.status_code == 403, (path, token, headers)
    assert site.business() == before
    assert boss.is_in


def test_a_viewer_cannot_have_it_done_by_a_page_that_reads(site: ConsoleSite) -> None:
    """By GET nothing changes, whatever is asked for with it; nor by another method, or at another place."""
    site.shop.account("100")
    viewer, before = site.operator("viewer"), site.business()
    for number, (path, fields) in enumerate(sent_forms()):
        asked = fields | {"run": "1", "form_token": viewer.token(), "key.form": f"x{path}"}
        method = ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")[number % 6]
        answer = viewer.http.request(
            method, site.base + path, params=asked, allow_redirects=False, timeout=30
        )
        assert answer.status_code < 500, (method, path)
        wrong = (path.upper(), path.replace("/do/", "/do//"), path + "/", path.replace("/do/", "/do/%2e/"))[
            number % 4
        ]
        if path.startswith("/do/"):
            assert viewer.post(wrong, asked).status_code in (303, 307, 403, 404, 405), wrong
    assert site.business() == before
    assert viewer.is_in


def test_guesses_are_counted_together_wherever_they_are_made(site: ConsoleSite) -> None:
    """Brute force: by whoever found an open session, at the forms for money, the own password and a second one's."""
    site.shop.account("100")
    boss = site.operator("owner")
    site.shop.clock.passes(11 * 60)
    wrong = {"proof.password": PASSWORD, "proof.code": "000000"}
    guesses: list[Callable[[int], Any]] = [
        lambda n: boss.does(
            "account topup", number="100", amount="1", proof__password=f"guess {n}", proof__code="1"
        ),
        lambda n: boss.post(
            "/me", {"form_token": boss.token(), "password": f"guess {n}", "code": "1", "new": "x" * 12}
        ),
        lambda _: boss.post("/second/1", {"form_token": boss.token(), "decision": "decline"} | wrong),
    ]
    said = [guesses[n % 3](n).text for n in range(12)]
    assert ["Too many wrong attempts" in text for text in said] == [False] * 10 + [True] * 2
    right = {"proof__password": PASSWORD, "proof__code": boss.code()}
    assert "Too many wrong" in boss.does("account topup", number="100", amount="1", **right).text
    boss.http.cookies.clear()
    assert boss.sign_in().status_code == 429


def test_a_session_that_was_planted_or_left_is_none_afterwards(site: ConsoleSite) -> None:
    """Session fixation: whoever signs in again gets a new one, and the old one ends, whoever has it."""
    jana = site.operator("owner", "jana")
    before = jana.http.cookies["console"]
    page = jana.get("/sign-in")
    assert page.headers["location"] == "/"
    token = jana.token()
    fields = {"form_token": token, "name": "jana", "password": PASSWORD, "code": jana.code()}
    assert jana.post("/sign-in", fields).status_code == 303
    assert jana.http.cookies["console"] != before
    jana.http.cookies.clear()
    jana.http.cookies["console"] = before
    assert not jana.is_in
    assert jana.get(f"/?console={before}").status_code == 303  # in no address


HOSTILE = "x\r\nX-Bad: 1\r\nSet-Cookie: bad=1"


def test_no_text_becomes_a_header_of_any_answer(site: ConsoleSite) -> None:
    """Header injection: by each field of each page, as a page and as a file, and by a host of somebody else."""
    owner = site.operator("owner")
    extras = cycle(({}, {"format": "--csv"}, {"format": HOSTILE}, {"lang": HOSTILE}))
    for path, fields in [
        *read_pages(),
        ("/find", {"q": ""}),
        ("/reports", {"by": "", "from": ""}),
        ("/", {"lang": ""}),
    ]:
        extra = next(extras)
        answer = owner.get(path, params=dict.fromkeys(fields, HOSTILE) | {"run": "1"} | extra)
        assert answer.status_code < 500, path
        assert "x-bad" not in {name.lower() for name in answer.headers}
        assert "bad=1" not in answer.headers.get("set-cookie", "")
        assert "\r" not in answer.headers.get("location", "")
    answer = owner.get("/", headers={"Host": "evil.example"})
    assert "evil.example" not in answer.text + str(answer.headers)


def test_every_answer_of_every_route_refuses_to_be_framed(site: ConsoleSite) -> None:
    """Clickjacking: also errors, redirects and downloads."""
    owner = site.operator("owner")
    for route in site.console.app.routes:
        path = re.sub(r"\{.*\}", "1", route.path)  # type: ignore[attr-defined]
        for method in ("GET", "POST", "PUT"):
            answer = owner.http.request(
                method, site.base + path, allow_redirects=False, timeout=30, stream=True
            )
            headers: Mapping[str, str] = answer.headers
            answer.close()
            assert headers["x-frame-options"] == "DENY", (method, path)
            assert "frame-ancestors 'none'" in headers["content-security-policy"], (method, path)


# --- texts of strangers in every table ----------------------------------------------------------------------------


STRANGE = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&{{7*7}}"
PARSED = {
    "options", "number_form", "answers", "profile", "before", "after", "content", "command", "answer", "trunks",
    "off_peak", "number_rules", "opened", "limit_requests", "limit_logins", "addresses", "scopes",
}  # fmt: skip
"""Columns that hold a document or a rule: the product has checked what was typed, and stores its own form of it."""
KEYS = {
    "password_hash",
    "code_key",
    "token_hash",
    "key_hash",
    "code_hash",
    "seal",
    "head",
    "number_salt",
    "number_hash",
}
OF_THE_CONSOLE = {"console_session", "console_user", "console_form", "allowance", "draft"}


def deface(site: ConsoleSite) -> set[str]:
    """Put the strange text into every column of text that the database lets it into; which ones."""
    done = set()
    database = bound_database.obj
    for table in ("transfer", "xdr", "audit_entry", "rate", "tariff_revision"):
        for event in ("update", "delete"):
            site.shop.sql(f"DROP TRIGGER IF EXISTS {table}_no_{event}")
    for model in models.ALL:
        table = model._meta.table_name
        for column in (f for f in model._meta.sorted_fields if isinstance(f, TextField)):
            if column.column_name in PARSED | KEYS or table in OF_THE_CONSOLE:
                continue
            # Not a word of a few, an id that others refer to, or one of a kind: that is nobody's own text.
            with suppress(IntegrityError), site.shop.stores.database.transaction():
                changed = database.execute_sql(f"UPDATE {table} SET {column.column_name} = ?", (STRANGE,))
                done |= {f"{table}.{column.column_name}"} if changed.rowcount else set()
    return done


@pytest.mark.sqlite
def test_what_anybody_has_chosen_is_text_on_every_page(site: ConsoleSite) -> None:
    """Stored XSS: names of callers, subjects and senders of mails, user agents, notes: every text of every table."""
    shop, owner = site.shop, site.operator("owner")
    account = shop.account("100")
    fill_with_one_of_each(site, owner)
    leg = shop.request(account)
    assert shop.leg("leg-1", account, leg, hold="1.00")
    shop.stores.calls.settle("leg-1", talked(30))
    defaced = deface(site)
    assert {"request.ani", "xdr.number", "transfer.note", "email_sender.address", "opt_out.note", "customer.name",
            "account.callback_number", "request.reference", "audit_entry.name"} <= defaced, defaced  # fmt: skip
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/", {}),
        ("/second", {}),
        ("/reports", {}),
        ("/find", {"q": STRANGE}),
    ]
    asked += [(f"/noun/{noun}", {}) for _, nouns in policy.GROUPS for noun in nouns]
    asked += [(f"/reports?by={by}", {}) for by in ("trunk", "prefix", "customer", "account")]
    for path, fields in read_pages():
        asked += [(path, fields | {"run": "1"}), (path, dict.fromkeys(fields, STRANGE))]
    shown = 0
    for path, fields in asked:
        answer = owner.http.get(site.base + path, params=fields, timeout=30)
        if answer.headers["content-type"].startswith("text/html") and "attachment" not in str(answer.headers):
            shown += "&lt;script&gt;alert(1)" in answer.text
            assert answer.status_code in (200, 400, 404), (path, answer.text[:300])
            assert "<script>alert" not in answer.text, path
            assert "<img src=x" not in answer.text, path
            assert "'\"&49" not in answer.text, path  # no template of a template
    assert shown > 30


def fill_with_one_of_each(site: ConsoleSite, owner: Any) -> None:
    """A thing of each noun, so that there is something in most tables."""
    for command, fields in (
        ("vendor add", {"name": "carrier", "currency": "USD"}),
        ("access-number add", {"number": "420800123456"}), ("web add", {"name": "site", "kind": "extended"}),
        ("email add", {"address": "callback@example.com"}),
        ("opt-out add", {"number": "442071234567", "note": "asked"}),
        ("email add-sender", {"account": "100", "sender": "a@example.com"}),
        ("api-key add", {"name": "crm", "scopes": "status"}),
        ("account set", {"number": "100", "callback_number": "442071234567", "alias": "442071234568"}),
        ("account adjust", {"number": "100", "amount": "1", "reason": "mistake"}),
    ):  # fmt: skip
        answer = owner.does(command, **fields)
        assert answer.status_code == 200, (command, re.findall(r'class="wrong"[^<]*', answer.text))
    site.shop.sql("UPDATE request SET reference = 'theirs'")
