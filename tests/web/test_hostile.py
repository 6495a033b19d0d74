"""Thousands of hostile requests: none crashes the server, none is answered 5xx, none leaks, none places a call."""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from web_site import ACCOUNT, PASSWORD, SECRET, Site, hidden, received

from stasis_callback.clock import wait_until

WORKERS, PATIENCE_S = 8, 0.2
LEAKS = (b"Traceback", b'File "', SECRET.encode(), PASSWORD.encode(), b"argon2", b"sqlite", b"SELECT ")

NASTY = (
    "", "\x00", "\r\n\r\n", "' OR 1=1 --", "../../etc/passwd", "%2e%2e%2f", "<script>alert(1)</script>", "{{7*7}}",
    "${jndi:ldap://x}", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "٤٤٢٠٧١٢٣٤٥٦٧", "+" * 50,
    "9" * 5000, "+442071234567;phone-context=evil", "PJSIP/1@trunk", "442071234567&Local/1@x", "\u202e12345", "-1",
    "1e9", "NaN", "null", "[]", "A" * 60, "+33 1 23 45 67 89", "112", "999",
)  # fmt: skip
FIELDS = (
    "account", "password", "first_number", "second_number", "language", "form_key", "form_token", "client",
    "form_version", "x" * 200, "__proto__",
)  # fmt: skip
PATHS = (
    "/web/calls", "/web/house", "/web/", "/web/%00", "/status/x", "/status/" + "0" * 16 + ".1.x", "/api/v1/callbacks",
    "/api/v1/callbacks/0000000000000000", "/static/../app.py", "/static/%2e%2e/app.py", "//evil.example/", "/metrics",
    "/web/calls/../house", "/brand/x", "/\xff", "*", "http://evil.example/web/calls",
)  # fmt: skip
METHODS = (
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "HEAD",
    "TRACE",
    "CONNECT",
    "PATCH",
    "get",
    "\x01",
    "A" * 300,
)
HEADERS = (
    "Content-Length: -1", "Content-Length: 99999999999", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip",
    "Expect: 100-continue", "Upgrade: websocket", "Connection: Upgrade, HTTP2-Settings",
    "Cookie: callback_form=" + "x" * 43,
    "Authorization: Bearer sck_x", "Authorization: Basic eDp4", "Authorization: \xe9", "X-Forwarded-For: 127.0.0.1",
    "Host: evil.example", "Origin: null", "Referer: http://[", "Accept: application/json",
    "Accept-Language: " + "a," * 99,
    "Idempotency-Key: \x7f", "Content-Type: application/x-www-form-urlencoded; charset=utf-7", "Range: bytes=0-1",
    "If-None-Match: " + "x" * 4000, "X: " + "y" * 20000, "Content-Encoding: gzip",
)  # fmt: skip


def _form(dice: random.Random) -> bytes:
    fields = {dice.choice(FIELDS): dice.choice(NASTY) for _ in range(dice.randint(0, 6))}
    if dice.random() < 0.5:  # nearly right: only the password is wrong
        fields = {
            "account": ACCOUNT,
            "first_number": "+442071234567",
            "second_number": "+447400900123",
        } | fields
    fields.pop("password", None) if fields.get("password") == PASSWORD else None
    return urlencode(fields).encode()


def _well_formed(dice: random.Random) -> bytes:
    body = _form(dice)
    path = dice.choice(PATHS[:8])
    kind = dice.choice(("application/x-www-form-urlencoded", "application/json", "text/plain"))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _malformed(dice: random.Random) -> bytes:
    lines = [
        f"{dice.choice(METHODS)} {dice.choice(PATHS)} HTTP/{dice.choice(('1.1', '1.0', '2.0', '9', ''))}"
    ]
    lines += [dice.choice(HEADERS) for _ in range(dice.randint(0, 6))] + ["Host: x"]
    end = dice.choice(("\r\n\r\n", "\n\n", "\r\n", ""))
    return "\r\n".join(lines).encode("latin-1") + end.encode() + _form(dice)


def _garbage(dice: random.Random) -> bytes:
    return dice.randbytes(dice.randint(1, 400))


KINDS: tuple[Callable[[random.Random], bytes], ...] = (_well_formed, _well_formed, _malformed, _garbage)


def _send(site: Site, data: bytes) -> bytes:
    with socket.create_connection(
        site.address, PATIENCE_S if b"Connection: close" not in data else 20
    ) as connection:
        try:
            connection.sendall(data)
            return received(connection)
        except (TimeoutError, ConnectionError):
            return b""  # half a request: the server waits for the rest, and we do not


@pytest.fixture
def guarded(site: Site) -> Site:
    """An extended and a hosted instance, with limits wide enough that they do not stop what is tried here."""
    wide = {
        "limit_source": "1000000/3600",
        "limit_logins": "1000000/3600",
        "limit_source_logins": "1000000/3600",
    }
    site.account()
    site.instance(**wide)
    site.instance("house", kind="hosted", **wide)
    return site


@pytest.mark.timeout(300)
@pytest.mark.parametrize("requests", [2_000, pytest.param(20_000, marks=pytest.mark.nightly)])
def test_thousands_of_hostile_requests(guarded: Site, requests: int) -> None:

    def work(seed: int) -> Counter[str]:
        dice, seen = random.Random(seed), Counter[str]()
        for _ in range(requests // WORKERS):
            data = dice.choice(KINDS)(dice)
            answer = _send(guarded, data)
            status = answer.split(b" ", 2)[1][:3].decode("latin-1") if b" " in answer else "closed"
            seen[status] += 1
            assert not status.startswith("5"), (data, answer[:500])
            leak = next((word for word in LEAKS if word in answer), None)
            assert leak is None, (leak, data, answer)
        return seen

    with ThreadPoolExecutor(WORKERS) as pool:
        seen = sum(pool.map(work, range(WORKERS)), Counter[str]())
    assert sum(seen.values()) == requests
    assert {"400", "403", "404", "422"} <= set(seen), seen
    assert guarded.callbacks() == []
    assert guarded.get("/healthz").text == "alive\n"
    assert guarded.send().status_code == 303, "valid requests are still served"


text = st.text(max_size=80)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(st.sampled_from(FIELDS) | text, text, min_size=1, max_size=8), lang=text)
def test_any_text_in_any_field(guarded: Site, fields: dict[str, str], lang: str) -> None:
    answer = guarded.http.post(
        f"{guarded.base}/web/calls", fields, params={"lang": lang}, timeout=20, allow_redirects=False
    )
    assert answer.status_code in (400, 403, 422)
    assert guarded.callbacks() == []
    if answer.status_code != 400:
        assert hidden(answer.text, "form_version") == "1"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=2000))
def test_any_bytes_on_the_wire(guarded: Site, data: bytes) -> None:
    answer = _send(guarded, data)
    assert b" 5" not in answer[:13]
    assert guarded.callbacks() == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/web/calls", "application/x-www-form-urlencoded"), ("/api/v1/callbacks", "application/json")],
)
def test_half_a_body_is_one_line_of_the_log(
    guarded: Site, path: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: 100\r\n\r\n"
    with capture_logs() as lines:
        with socket.create_connection(guarded.address, 20) as connection:
            connection.sendall(head.encode() + b'{"half')
        assert wait_until(lambda: bool(lines), timeout_s=10)
        guarded.get("/healthz")
    assert [(line["event"], line["log_level"]) for line in lines] == [("web.half_request", "info")]
    assert caplog.records == []
    assert guarded.callbacks() == []
