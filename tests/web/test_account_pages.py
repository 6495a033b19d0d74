"""The subscriber's own pages: what they show and change, and who does not get in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from shop import talked
from web_site import ACCOUNT, PASSWORD, SECOND_E164, Site, hidden, open_site

from stasis_callback.web.account_pages import ACTS, PAGE
from stasis_callback.web.sessions import IDLE_S, LONGEST_S

COOKIE = "callback_account"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path, account_pages=True, account_region="GB") as made:
        made.account()
        yield made


def post(site: Site, path: str, *, headers: Any = None, **fields: str) -> Any:
    """Send a form as a browser does."""
    usual = {"Origin": site.base} if headers is None else dict(headers)
    return site.http.post(
        f"{site.base}/account/{path}", fields, headers=usual, allow_redirects=False, timeout=20
    )


def log_in(site: Site, account: str = ACCOUNT, password: str = PASSWORD) -> Any:
    return post(site, "login", account=account, password=password)


def page(site: Site, path: str = "") -> str:
    answer = site.get(f"/account{path}")
    assert answer.status_code == 200, answer.text
    return answer.text


def do(site: Site, path: str, **fields: str) -> Any:
    return post(site, path, form_token=hidden(page(site), "form_token"), **fields)


def call(site: Site, count: int = 1) -> None:
    account = site.stores.accounts.named(ACCOUNT)
    for _ in range(count):
        request = site.shop.request(account)
        site.shop.leg(f"{request.id}-b1", account, request, hold="0.10")
        site.stores.calls.settle(f"{request.id}-b1", talked(2))
        site.shop.sql("UPDATE request SET state = 'done'")


def test_who_logs_in_sees_balance_calls_and_numbers(site: Site) -> None:
    site.stores.accounts.change(ACCOUNT, aliases=["447700900456"], speed_dials={"1": SECOND_E164})
    call(site)
    answer = log_in(site)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account")
    cookie = answer.headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Path=/account"))
    html = page(site)
    for words in ("9.98 USD", "0:02", "0.02 USD", "442071234567", "447700900456", f"1: {SECOND_E164}"):
        assert words in html, words
    assert "<script" not in html
    assert "script-src 'self'" in site.get("/account").headers["Content-Security-Policy"]
    out = post(site, "logout", form_token=hidden(html, "form_token"))
    assert out.status_code == 303
    assert "Log in" in page(site)


def test_calls_are_shown_page_by_page(site: Site) -> None:
    log_in(site)
    assert "no calls yet" in page(site, "/calls")
    call(site, PAGE + 2)
    first = page(site, "/calls")
    older = re.search(r'href="(/account/calls\?after=[^"]+)"', first)
    assert older is not None
    last = page(site, older[1].removeprefix("/account"))
    assert (first.count("<tr>"), last.count("<tr>")) == (PAGE + 1, 3)
    assert "Newest calls" in last
    assert "after=" not in last
    assert site.get("/account/calls?after=nonsense").status_code == 404


def test_a_voucher_is_credited_once_and_cannot_be_guessed(site: Site) -> None:
    (code,) = site.stores.vouchers.generate("may", 1, 5_000_000, "USD", length=12, alphabet="ABCDEFGHKM")
    log_in(site)
    done = do(site, "voucher", code=f" {code[:4].lower()}-{code[4:]} ")
    assert (done.status_code, done.headers["Location"]) == (303, "/account?done=voucher")
    assert "15.00 USD" in page(site, "?done=voucher")
    assert do(site, "voucher", code=code).headers["Location"] == "/account?done=voucher_repeated"
    assert "Please fill this in" in do(site, "voucher", code="").text
    wrong = [do(site, "voucher", code="WRONG") for _ in range(6)]
    assert "unknown, used or expired" in wrong[0].text
    assert "Too many wrong attempts" in wrong[5].text
    assert "15.00 USD" in page(site)


def test_numbers_are_changed_and_it_is_noted_who_did(site: Site) -> None:
    site.stores.accounts.change(ACCOUNT, aliases=["447700900456", "447700900457"])
    log_in(site)
    assert do(site, "callback-number", callback_number="020 7123 4567").status_code == 303
    assert do(site, "remove-number", alias="447700900456").status_code == 303
    assert do(site, "speed-dial", key="7", number="07400 900123").status_code == 303
    account = site.stores.accounts.named(ACCOUNT)
    assert account.callback_number == "442071234567"
    assert site.stores.accounts.aliases(account.id) == ["447700900457"]
    assert site.stores.accounts.speed_dials(account.id) == {"7": "447400900123"}
    assert do(site, "speed-dial", key="7", number="").status_code == 303
    assert do(site, "callback-number", callback_number="").status_code == 303
    assert site.stores.accounts.speed_dials(account.id) == {}
    noted = site.stores.trail.newest(noun="account", name=ACCOUNT)
    assert {entry.operator for entry in noted} == {"subscriber"}
    assert [entry.before | entry.after for entry in reversed(noted)][:1] == [
        {"callback_number": "442071234567"}
    ]
    assert len(noted) == 5


@pytest.mark.parametrize(
    ("form", "fields", "words"),
    [
        ("callback-number", {"callback_number": "12"},               "not a phone number"),
        ("callback-number", {"callback_number": "999"},              "emergency"),
        ("callback-number", {"callback_number": "+420601123456"},    "cannot call this number"),
        ("callback-number", {"callback_number": "4" * 100},          "not a phone number"),
        ("speed-dial",      {"key": "123", "number": "02071234567"}, "one or two digits"),
        ("speed-dial",      {"key": "x", "number": "02071234567"},   "one or two digits"),
        ("speed-dial",      {"key": "1", "number": "112"},           "emergency"),
        ("speed-dial",      {"key": "1", "number": "hello"},         "not a phone number"),
        ("password",        {"password": PASSWORD, "new_password": "short"}, "another password"),
        ("password",        {"password": PASSWORD, "new_password": "пароль-пароль"}, "another password"),
        ("password",        {"password": "wrong", "new_password": "12345678"}, "present password is wrong"),
    ],
)  # fmt: skip
def test_what_cannot_be_changed_is_said_beside_its_field(
    site: Site, form: str, fields: dict[str, str], words: str
) -> None:
    log_in(site)
    before = site.stores.accounts.named(ACCOUNT)
    refused = do(site, form, **fields)
    assert refused.status_code == 422
    assert words in refused.text
    assert 'aria-invalid="true"' in refused.text
    assert PASSWORD not in refused.text
    assert site.stores.accounts.named(ACCOUNT) == before


def test_a_new_password_ends_all_other_sessions(site: Site) -> None:
    log_in(site)
    other = dict(site.http.cookies)
    assert do(site, "password", password=PASSWORD, new_password="12345678").status_code == 303
    assert "10.00 USD" in page(site)
    site.http.cookies.clear()
    assert "Log in" in site.get("/account", cookies=other).text
    assert log_in(site).status_code == 403
    assert log_in(site, password="12345678").status_code == 303


def test_passwords_cannot_be_guessed_here_nor_on_an_open_page(site: Site) -> None:
    log_in(site)
    for _ in range(4):
        do(site, "password", password="guess", new_password="12345678")
    assert "Too many wrong attempts" not in page(site)
    assert log_in(site, password="guess").status_code == 403
    locked = log_in(site)
    assert (locked.status_code, locked.headers["Retry-After"]) == (429, "900")
    assert "Too many wrong attempts" in locked.text
    assert "Too many wrong attempts" in do(site, "password", password=PASSWORD, new_password="12345678").text


@pytest.mark.parametrize("who", ["nobody", "447700900456", "closed", "without"])
def test_who_has_no_password_or_no_account_does_not_get_in(site: Site, who: str) -> None:
    site.stores.accounts.change(ACCOUNT, aliases=["447700900456"])
    site.account("closed")
    site.stores.accounts.close("closed", write_off=True, operator="test")
    site.shop.account("without")
    refused = log_in(site, account=who, password="" if who == "without" else PASSWORD)
    assert refused.status_code == 403
    assert "account number or the password is wrong" in refused.text


def test_a_session_ends_when_it_is_not_used_or_after_half_a_day(site: Site) -> None:
    log_in(site)
    site.shop.clock.passes(IDLE_S - 1)
    assert "10.00 USD" in page(site)  # and the session goes on from here
    site.shop.clock.passes(IDLE_S - 1)
    assert "10.00 USD" in page(site)
    site.shop.clock.passes(IDLE_S + 1)
    assert "Log in" in page(site)
    log_in(site)
    for _ in range(LONGEST_S // 1500 + 1):
        site.shop.clock.passes(1500)
        page(site)
    assert "Log in" in page(site)


@pytest.mark.parametrize("form", [*ACTS, "logout"])
def test_no_other_site_can_send_a_form(site: Site, form: str) -> None:
    log_in(site)
    token = hidden(page(site), "form_token")
    before = site.shop.rows()
    strange = post(site, form, headers={"Origin": "https://evil.example"}, form_token=token, code="X")
    assert strange.status_code == 403
    sent: tuple[Mapping[str, str] | None, ...] = (None, {})
    for headers in sent:  # our own page, or a program, without the token of this session
        answer = post(site, form, headers=headers, form_token="x" * 43, code="X")
        assert answer.status_code == (303 if form == "logout" else 403)
    assert site.shop.rows() == before
    assert "10.00 USD" in page(site), "still logged in"


@pytest.mark.parametrize("damage", ["other account", "later", "other signature", "nonsense"])
def test_a_cookie_that_is_not_ours_is_nobodys(site: Site, damage: str) -> None:
    site.account("other")
    log_in(site)
    who, began, until, nonce, mac = site.http.cookies[COOKIE].split(".")
    cookie = {
        "other account": f"b3RoZXI.{began}.{until}.{nonce}.{mac}",
        "later": f"{who}.{began}.{int(until) + 60}.{nonce}.{mac}",
        "other signature": f"{who}.{began}.{until}.{nonce}.{'A' * 43}",
        "nonsense": "\xff.1.2.3",
    }[damage]
    site.http.cookies.clear()
    answer = site.get("/account", headers={"Cookie": f"{COOKIE}={cookie}".encode("latin-1")})
    assert (answer.status_code, "Log in" in answer.text) == (200, True)
    assert post(site, "voucher", headers={"Cookie": f"{COOKIE}=x"}, code="X").status_code == 403


def test_the_pages_speak_the_accounts_language(site: Site) -> None:
    assert "Se connecter" in site.get("/account", headers={"Accept-Language": "fr"}).text
    site.stores.accounts.change(ACCOUNT, language="it")
    log_in(site)
    assert "Credito" in page(site)


def test_they_are_there_only_where_they_are_wanted(tmp_path: Path) -> None:
    with open_site(tmp_path) as plain:
        assert plain.get("/account").status_code == 404
        assert plain.http.post(f"{plain.base}/account/login", {"account": "1"}, timeout=20).status_code == 404


def test_no_password_and_no_code_is_logged_or_stored(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    log_in(site, password="AnotherSecret")
    log_in(site)
    do(site, "voucher", code="GUESSEDCODE")
    kept = repr(site.shop.rows()) + capsys.readouterr().out
    assert not [word for word in ("AnotherSecret", "GUESSEDCODE", PASSWORD) if word in kept]
