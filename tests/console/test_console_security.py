"""Who gets into the console, and what nobody can do there whatever they send."""

from __future__ import annotations

import re
from contextlib import closing
from html import unescape
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from console_site import PASSWORD, ROLES, ConsoleSite, hidden
from hypothesis import given, settings
from hypothesis import strategies as st

from stasis_callback.admin.commands import Command, Parameter, Takes, described
from stasis_callback.clock import US_PER_S
from stasis_callback.console import coming_back, policy
from stasis_callback.console.visits import SOURCE_LOGINS
from stasis_callback.store.operators.operators import Role

# --- signing in ---------------------------------------------------------------------------------------------------


def test_only_name_password_and_a_fresh_code_together_open_it(site: ConsoleSite) -> None:
    jana = site.operator("owner", "jana")
    used = jana.http.cookies["console"]
    jana.http.cookies.clear()
    assert jana.get("/").headers["location"] == "/sign-in"
    assert jana.sign_in(password="wrong horse battery").status_code == 403
    assert jana.sign_in(code="000000").status_code == 403
    code = jana.code()
    assert jana.sign_in(code=code).status_code == 303
    assert jana.is_in
    assert jana.http.cookies["console"] != used
    jana.http.cookies.clear()
    assert jana.sign_in(code=code).status_code == 403  # it was used
    jana.name = "nobody"
    assert "wrong" in jana.sign_in().text


def test_whoever_signs_in_comes_to_the_page_that_they_asked_for(site: ConsoleSite) -> None:
    site.shop.account("100")
    jana = site.operator("owner", "jana")
    for page in (
        "/reports?by=trunk&from=2026-11-01",
        "/do/account/show?number=100",
        "/noun/access-number",
        "/me",
    ):
        jana.http.cookies.clear()
        sign_in = jana.get(page).headers["location"]
        form = jana.get(sign_in).text
        action = unescape(re.findall('action="([^"]*)"', form)[0])
        fields = {"form_token": hidden(form, "form_token"), "name": "jana", "password": PASSWORD}
        wrong = jana.post(action, fields | {"code": "000000"})
        assert wrong.status_code == 403
        assert unescape(re.findall('action="([^"]*)"', wrong.text)[0]) == action
        done = jana.post(action, fields | {"code": jana.code()})
        assert (done.status_code, done.headers["location"]) == (303, page)
        assert jana.get(page).status_code == 200
        assert jana.get(sign_in).headers["location"] == page  # who is in already
    jana.http.cookies.clear()
    assert jana.get("/").headers["location"] == "/sign-in"


ELSEWHERE = (
    "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "\\evil.example",
    "http://evil.example", "https:evil.example", "javascript:alert(1)", "evil.example", "/\t/evil.example",
    "\t//evil.example", "/\r\nSet-Cookie: a=b", "/reports\n", "/do/\0", "/..//evil.example", "/.//evil.example",
    "/do/..//evil.example", "/reports?a=b\r\nX: y", "/reports?\\", "/@evil.example", "/\u2028/evil.example",
    "/%2f%2fevil.example", "/sign-in?to=//evil.example", "/sign-out", "/live", "/nothing", " /me",
    f"/reports?{'a' * 5000}", "",
)  # fmt: skip


def test_nobody_is_led_to_another_site_by_signing_in(site: ConsoleSite) -> None:
    """An open redirect: a link to the right console leads to a wrong one, which asks for the password again."""
    jana = site.operator("owner", "jana")
    for wanted in ELSEWHERE:
        assert jana.get("/sign-in", params={"to": wanted}).headers["location"] == "/", wanted
    jana.http.cookies.clear()
    for wanted in ELSEWHERE:
        form = jana.get("/sign-in", params={"to": wanted}).text
        assert '<form method="post" action="/sign-in">' in form, wanted
    for wanted in ELSEWHERE[:3]:
        jana.http.cookies.clear()
        form = jana.get("/sign-in").text
        fields = {"form_token": hidden(form, "form_token"), "name": "jana", "password": PASSWORD}
        done = jana.post("/sign-in", fields | {"code": jana.code(), "to": wanted}, params={"to": wanted})
        assert done.headers["location"] == "/"


@settings(max_examples=300)
@given(st.text(st.sampled_from("/\\.:@?#%&=-az09 \t\r\n\0do")))
def test_an_address_of_this_console_is_of_no_other_host(text: str) -> None:
    for wanted in (text, f"/{text}", f"/do/{text}"):
        if coming_back.is_own_page(wanted):
            found = urlsplit(urljoin("http://console.example/sign-in", wanted))
            assert (found.scheme, found.netloc) == ("http", "console.example")
            assert wanted.startswith("/")
            assert wanted[1:2] not in ("/", "\\")
            assert wanted.isascii()
            assert wanted.isprintable()


def test_a_token_that_was_there_before_signing_in_is_worth_nothing(site: ConsoleSite) -> None:
    """Session fixation: somebody puts a token of theirs into the victim's browser."""
    jana = site.operator("owner", "jana")
    jana.http.cookies.clear()
    jana.get("/sign-in")
    planted = jana.http.cookies["console"]
    jana.sign_in()
    assert jana.http.cookies["console"] != planted
    jana.http.cookies.clear()
    jana.http.cookies["console"] = planted
    assert not jana.is_in


def test_guessing_ends_soon_and_right_words_then_do_not_help(site: ConsoleSite) -> None:
    jana = site.operator("owner", "jana")
    jana.http.cookies.clear()
    answers = [
        jana.sign_in(password=f"guess number {n} of many", code="123456").status_code for n in range(12)
    ]
    assert answers == [403] * 10 + [429] * 2
    assert jana.sign_in().status_code == 429
    site.shop.clock.passes(901)
    assert jana.sign_in().status_code == 303


def test_one_address_cannot_try_many_names(site: ConsoleSite) -> None:
    jana = site.operator("owner", "jana")
    jana.http.cookies.clear()
    for _ in range(18):
        assert site.shop.stores.limits.take("console:from:127.0.0.1", SOURCE_LOGINS)
    for name in ("anna", "peter"):
        jana.name = name
        assert jana.sign_in(code="123456").status_code == 403
    jana.name = "jana"
    assert jana.sign_in().status_code == 429


def test_a_session_ends_when_it_is_not_used_and_after_a_day_in_any_case(site: ConsoleSite) -> None:
    jana = site.operator("owner", "jana")
    for _ in range(23):
        site.shop.clock.passes(29 * 60)
        assert jana.is_in
    site.shop.clock.passes(31 * 60)
    assert not jana.is_in
    jana.sign_in()
    for _ in range(24):
        site.shop.clock.passes(29 * 60)
        jana.is_in  # noqa: B018 - it looks
    site.shop.clock.passes(29 * 60)
    assert not jana.is_in
    site.console.visits.close_old()
    assert site.shop.rows()["ConsoleSession"] == []


def test_a_session_outlives_a_restart_and_only_its_hash_is_stored(site: ConsoleSite) -> None:
    from console_site import ConsoleSite as Again

    jana = site.operator("owner", "jana")
    assert jana.http.cookies["console"] not in str(site.shop.rows())
    again = Again(site.shop)
    again.start()
    try:
        jana.site = again
        assert jana.is_in
    finally:
        again.stop()


def test_who_is_changed_or_signs_out_is_out_everywhere(site: ConsoleSite) -> None:
    boss, jana = site.operator("owner"), site.operator("manager", "jana")
    assert "Done" in boss.does("console user set", name="jana", role="viewer").text
    assert not jana.is_in
    jana.sign_in()
    assert jana.post("/sign-out", {"form_token": jana.token()}).status_code == 303
    assert not jana.is_in
    jana.sign_in()
    assert "Done" in boss.does("console user remove", name="jana").text
    assert not jana.is_in


def test_an_operator_changes_their_own_password(site: ConsoleSite) -> None:
    jana = site.operator("viewer", "jana")
    new = {"password": PASSWORD, "new": "another long password"}
    assert jana.post("/me", {"form_token": jana.token(), "code": "000000"} | new).status_code == 403
    short = {"form_token": jana.token(), "code": jana.code()} | new | {"new": "short"}
    assert "at least 12" in jana.post("/me", short).text
    assert jana.post("/me", {"form_token": jana.token(), "code": jana.code()} | new).status_code == 303
    assert not jana.is_in
    assert jana.sign_in().status_code == 403
    assert jana.sign_in(password="another long password").status_code == 303
    assert site.shop.stores.trail.newest(noun="console-user")[0].operator == "jana"


def test_a_password_of_an_operator_is_called_so(site: ConsoleSite) -> None:
    jana = site.operator("owner", "jana")
    changed = {
        "form_token": jana.token(),
        "password": PASSWORD,
        "new": "long but not äscii",
        "code": jana.code(),
    }
    refused = jana.post("/me", changed).text
    added = jana.does("console user add", name="eve", role="viewer", secret="long but not äscii").text
    for page in (refused, added):
        assert "invalid password: use at most 64 printable ASCII characters" in page
        assert "service password" not in page


# --- forms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Referer": "https://evil.example/page"},
    ],
)
def test_a_form_of_another_site_is_refused_even_with_the_right_token(
    site: ConsoleSite, headers: dict[str, str]
) -> None:
    boss, before = site.operator("owner"), site.business()
    page = boss.get("/do/customer/add")
    fields = {name: hidden(page.text, name) for name in ("form_token", "key.form")}
    fields |= {"name": "Bolt", "currency": "USD"}
    assert boss.post("/do/customer/add", fields, headers=headers).status_code == 403
    for token in ("", "wrong", site.operator("viewer").token()):
        assert boss.post("/do/customer/add", fields | {"form_token": token}).status_code == 403
    assert site.business() == before
    own = {"Origin": site.base, "Sec-Fetch-Site": "same-origin"}
    assert boss.post("/do/customer/add", fields, headers=own).status_code == 200


def test_signing_in_by_a_form_of_another_site_is_refused(site: ConsoleSite) -> None:
    jana = site.operator("owner", "jana")
    jana.http.cookies.clear()
    fields = {"name": "jana", "password": PASSWORD, "code": jana.code()}
    assert jana.post("/sign-in", fields).status_code == 403
    jana.get("/sign-in")
    assert jana.post("/sign-in", fields | {"form_token": "x"}).status_code == 403
    assert not jana.is_in


def test_a_form_that_comes_twice_is_carried_out_once(site: ConsoleSite) -> None:
    site.shop.account("100")
    boss = site.operator("manager")
    page = boss.get("/do/account/topup?number=100")
    fields = {name: hidden(page.text, name) for name in ("form_token", "key.form")}
    fields |= {"number": "100", "amount": "5"}
    assert [boss.post("/do/account/topup", fields).status_code for _ in range(2)] == [200, 409]
    assert site.shop.money(site.shop.stores.accounts.named("100")) == (1500, 0)


def test_money_and_keys_ask_again_who_it_is(site: ConsoleSite) -> None:
    site.shop.account("100")
    boss = site.operator("owner")
    site.shop.clock.passes(11 * 60)
    before = site.business()
    for command, fields in (
        ("account topup", {"number": "100", "amount": "5"}),
        ("account set", {"number": "100", "credit_limit": "50"}),
        ("account set", {"number": "100", "alias": "420601123456"}),
        ("product set", {"name": "callback", "tariff": "standard"}),
        ("tariff set", {"name": "standard", "opened": "premium"}),
        ("rate set", {"tariff": "standard", "prefix": "44", "next_interval": "30"}),
        ("rate remove", {"tariff": "standard", "prefix": "44"}),
        ("access-number set", {"number": "420800123456", "options": "margin_guard=off"}),
        ("api-key add", {"name": "crm", "scopes": "status"}),
        ("console user add", {"name": "eve", "role": "owner", "secret": "a long password"}),
    ):
        assert boss.does(command, **fields).status_code == 403, command
    wrong = {"proof__password": PASSWORD, "proof__code": "000000"}
    assert boss.does("account topup", number="100", amount="5", **wrong).status_code == 403
    assert site.business() == before
    assert boss.does("account set", number="100", language="en").status_code == 200  # no money
    proved = {"proof__password": PASSWORD, "proof__code": boss.code()}
    assert "Done" in boss.does("account topup", number="100", amount="5", **proved).text
    assert "Done" in boss.does("account topup", number="100", amount="5").text


# --- what each role may -------------------------------------------------------------------------------------------


def value(command: Command, parameter: Parameter) -> str:
    """Something that a parameter takes, most of the time."""
    if parameter.choices:
        return parameter.choices[0]
    if parameter.kind in (Takes.FLAG, Takes.SWITCH):
        return "on"
    known = {
        "NUMBER": "100", "AMOUNT": "1.5", "PRICE": "0.1", "CODE": "USD", "PREFIX": "44", "ID": "100", "N": "1",
        "CUSTOMER": "people", "TARIFF": "standard", "PRODUCT": "callback", "ACCOUNT": "100", "COUNT": "1",
        "ADDRESS": "callback@example.com", "SENDER": "a@example.com", "REASON": "test", "SCOPE": "status",
        "RULES": "s/^0/44/", "SECONDS": "60", "REVISION": "1", "OLD": "1", "NEW": "fresh", "TRANSFER": "1",
        "BATCH": "may", "CALLER_NUMBER": "420601123456", "ID|NUMBER": "100",
    }  # fmt: skip
    if parameter.name in ("tariff", "customer", "product"):
        return {"tariff": "standard", "customer": "people", "product": "callback"}[parameter.name]
    if parameter.metavar == "NAME" and command.path[-1] not in ("add",):
        return {"customer": "people", "tariff": "standard", "product": "callback"}.get(command.noun, "thing")
    return known.get(parameter.metavar, "thing")


def requests_of(command: Command) -> dict[str, str]:
    required = {p.name: value(command, p) for p in command.parameters if p.required}
    return required or {p.name: value(command, p) for p in command.parameters[:2]}


def test_a_viewer_can_change_nothing_by_any_request(site: ConsoleSite) -> None:
    """Every route by every method, and every command read and sent, as its form would be if there were one."""
    site.shop.account("100")
    viewer = site.operator("viewer")
    token, before = viewer.token(), site.business()
    for route in site.console.app.routes:
        path = re.sub(r"\{.*\}", "1", route.path)  # type: ignore[attr-defined]
        for method in (
            ("GET", "POST", "PUT", "PATCH", "DELETE") if path not in ("/live", "/me", "/sign-out") else ()
        ):
            answer = viewer.http.request(
                method,
                site.base + path,
                data={"form_token": token, "decision": "agree"},
                allow_redirects=False,
            )
            assert answer.status_code < 500, (method, path)
    for name, command in described().items():
        if name == "doctor":  # it waits for an Asterisk; what it reads has tests of its own
            continue
        path, fields = "/do/" + name.replace(" ", "/"), requests_of(command)
        sent = viewer.post(
            path, fields | {"form_token": token, "key.form": f"key-{name}", "secret": "s3cret s3cret"}
        )
        assert sent.status_code in (403, 404), name
        assert viewer.get(path, params=fields | {"run": "1"}).status_code in (200, 400, 403, 404), name
    after = site.business()
    assert [table for table in after if after[table] != before[table]] == []
    assert viewer.is_in


def test_the_same_requests_of_an_owner_do_change_something(site: ConsoleSite) -> None:
    """So the test above asks for what can be done."""
    site.shop.account("100")
    owner, changed = site.operator("owner"), set()
    for name in ("customer add", "tariff add", "rate add", "account topup", "account block", "access-number add",
                 "email add", "vendor add", "api-key add", "account adjust", "email add-sender"):  # fmt: skip
        before = site.business()
        owner.does(name, **requests_of(described()[name]))
        changed |= {name} if site.business() != before else set()
    assert len(changed) >= 9, changed


def test_each_command_is_in_the_console_or_said_to_be_for_the_machine() -> None:
    assert set(policy.ON_THE_MACHINE) <= set(described())
    nouns = {noun for _, names in policy.GROUPS for noun in names}
    for name, command in described().items():
        found = policy.access(name)
        assert (found is None) == (name in policy.ON_THE_MACHINE)
        assert found is None or not command.noun or command.noun in nouns
    named = policy.CHANGING | policy.OWNER_COMMANDS | set(policy.SECOND_OPERATOR) | set(policy.ONE_ALONE)
    assert (named | set(policy.SUPPORT) | set(policy.DAILY)) - set(described()) == set()
    for table in (policy.SUPPORT, policy.DAILY):
        for name, fields in table.items():
            assert fields <= {p.name for p in described()[name].parameters}, name


def test_support_helps_callers_and_has_nothing_to_do_with_money(site: ConsoleSite) -> None:
    site.shop.account("100")
    helper = site.operator("support")
    assert "Done" in helper.does("account block", number="100").text
    before = site.business()
    money = {
        "credit_limit", "daily_cap", "product", "expires", "simultaneous_calls", "days_after_first_use",
        "days_after_last_use",
    }  # fmt: skip
    for field in money:
        helper.does("account set", number="100", **{field: "5"})
    for command in ("account topup", "account adjust", "ledger reverse", "tariff set", "api-key add"):
        assert helper.get("/do/" + command.replace(" ", "/")).status_code == 403
    assert site.business() == before
    assert 'name="credit_limit"' not in helper.get("/do/account/set").text
    access = policy.access("account set")
    assert access is not None
    withheld = {p.name for p in access.command.parameters} - {p.name for p in access.fields_for(Role.SUPPORT)}
    assert withheld == money


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_what_it_may_and_no_more(site: ConsoleSite, role: str) -> None:
    operator = site.operator(role)
    home = operator.get("/").text
    for noun, least in policy.READERS.items():
        may = Role(role).includes(least)
        assert (f'href="/noun/{noun}"' in home) == may
        assert operator.get(f"/noun/{noun}").status_code == (200 if may else 404)


# --- answers ------------------------------------------------------------------------------------------------------


def test_every_answer_forbids_frames_scripts_of_others_and_keeping(site: ConsoleSite) -> None:
    owner = site.operator("owner")
    for path in ("/", "/sign-in", "/do/account/list", "/nothing", "/static/console.css", "/live"):
        headers: Any = owner.get(path, stream=True).headers
        policy_ = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy_
        assert "default-src 'none'" in policy_
        assert "unsafe" not in policy_
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store" or path.startswith("/static")
    cookie = owner.sign_in().headers["set-cookie"] if not owner.is_in else ""
    owner.http.cookies.clear()
    cookie = owner.sign_in().headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


def test_over_https_the_cookie_is_of_this_host_alone(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from console_site import open_console

    with open_console(tmp_path, monkeypatch, public_url="https://console.example.com") as site:
        answer = site.raw(
            "GET /sign-in HTTP/1.1\r\nHost: console.example.com\r\nConnection: close\r\n\r\n"
        ).decode()
        assert "__Host-console=" in answer
        assert "Secure" in answer
        assert "strict-transport-security" in answer.lower()


STRANGE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}"


def test_what_strangers_choose_is_text_on_every_page(site: ConsoleSite) -> None:
    """Stored XSS: names of callers, mails and references come from outside."""
    shop, owner = site.shop, site.operator("owner")
    account = shop.account("100")
    shop.stores.accounts.add_customer(STRANGE[:60], "USD")
    from stasis_callback.core.requests import CallbackRequest

    request = CallbackRequest("strange", "ani", STRANGE, STRANGE)
    shop.stores.requests.accept(
        request, account_id=account.id, subscriber_id=account.id, leg_a_number="100", stored_options={},
        queue_limit=10, request_id="ab" * 8,
    )  # fmt: skip
    before_us = shop.clock.at_us
    assert before_us % US_PER_S == 0
    for path in ("/", "/do/request/list", "/do/why?subject=" + "ab" * 8, "/noun/customer", f"/find?q={STRANGE}",
                 "/do/account/list?text=" + STRANGE, "/do/account/show?number=" + STRANGE,
                 "/reports?account=" + STRANGE,
                 "/do/audit/list?run=1"):  # fmt: skip
        answer = owner.http.get(site.base + path, timeout=30)
        assert "<script>alert" not in answer.text, path
        assert "<img src=x" not in answer.text
        assert "49" not in re.findall(r"onerror=alert\(1\)&gt;(\d+)", answer.text)


def test_a_header_cannot_be_smuggled_into_an_answer(site: ConsoleSite) -> None:
    owner = site.operator("owner")
    for path in (
        "/find?q=a%0d%0aSet-Cookie:x=1",
        "/?lang=en%0d%0aX-Bad:1",
        "/do/account/list?text=%0d%0aX-Bad:1&format=--csv",
    ):
        answer = owner.get(path)
        assert "X-Bad" not in answer.headers
        assert "x=1" not in answer.headers.get("set-cookie", "")


def test_long_forms_and_streams_of_strangers_are_refused(site: ConsoleSite) -> None:
    jana = site.operator("viewer")
    with closing(HTTPConnection(urlsplit(site.base).netloc)) as connection:
        # The head alone: whoever is still sending when it is refused may not get to read why.
        connection.putrequest("POST", "/sign-in")
        connection.putheader("Content-Length", "300000")
        connection.endheaders()
        assert connection.getresponse().status == 413
    jana.http.cookies.clear()
    assert jana.get("/live").status_code == 403
    assert jana.post("/do/rate/import", {"tariff": "x"}).status_code == 303
