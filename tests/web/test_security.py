"""The security list: who may send a form, what is limited, what an answer carries, what a connection may not do."""

from __future__ import annotations

import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from argon2 import Parameters
from structlog.testing import capture_logs
from web_site import PASSWORD, Site, hidden, open_site, received

from stasis_callback.core.errors import CallbackError
from stasis_callback.settings import WebSettings
from stasis_callback.web import protocol
from stasis_callback.web.signing import Signer

EVIL = "https://evil.example"


def _own(site: Site) -> dict[str, str]:
    return {"Origin": site.settings.web.origin, "Sec-Fetch-Site": "same-origin"}


# --- forms from elsewhere -------------------------------------------------------------------------------------------


def test_our_own_page_is_sent_with_its_token(site: Site) -> None:
    site.usual()
    page = site.get("/web/calls").text
    assert site.send(headers=_own(site), form_token=hidden(page, "form_token")).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Referer": f"{EVIL}/page"},
        {"Origin": "http://127.0.0.1.evil.example"},
    ],
)
def test_a_form_from_another_site_is_refused(site: Site, headers: dict[str, str]) -> None:
    site.usual()
    page = site.get("/web/calls").text  # the browser has our cookie
    answer = site.send(headers=headers, form_token=hidden(page, "form_token"))
    assert answer.status_code == 403
    assert site.callbacks() == []


@pytest.mark.parametrize("token", ["", "wrong", "é" * 10, "A" * 43])
def test_our_own_page_without_its_token_is_refused_and_can_be_sent_again(site: Site, token: str) -> None:
    site.usual()
    site.get("/web/calls")
    answer = site.send(headers=_own(site), form_token=token)
    assert answer.status_code == 403
    assert "expired" in answer.text
    assert PASSWORD not in answer.text
    assert site.callbacks() == []
    again = site.send(headers=_own(site), form_token=hidden(answer.text, "form_token"))
    assert again.status_code == 303


def test_a_token_without_its_cookie_and_of_another_instance_is_refused(site: Site) -> None:
    site.usual()
    site.instance("other")
    token = hidden(site.get("/web/calls").text, "form_token")
    assert site.send("other", headers=_own(site), form_token=token).status_code == 403
    site.http.cookies.clear()
    assert site.send(headers=_own(site), form_token=token).status_code == 403


def test_a_site_that_is_named_may_send_its_own_form(site: Site) -> None:
    site.usual(allowed_origins="https://www.example.com, https://example.org")
    assert site.send(headers={"Origin": "https://www.example.com.evil.example"}).status_code == 403
    assert site.send(headers={"Origin": "https://example.org"}).status_code == 303


def test_a_site_that_is_named_may_read_the_answers(site: Site) -> None:
    ours = "https://example.org"
    site.usual(allowed_origins=ours)
    json = {"Accept": "application/json"}

    def allowed(answer: Any) -> str | None:
        found: str | None = answer.headers.get("Access-Control-Allow-Origin")
        return found

    described = site.get("/web/calls", headers=json | {"Origin": ours})
    assert [field["name"] for field in described.json()["fields"]] == [
        "account",
        "password",
        "first_number",
        "second_number",
    ]
    refused = site.send(headers=json | {"Origin": ours}, password="wrong")
    assert (refused.status_code, allowed(refused)) == (403, ours), "the page can show why"
    made = site.send(headers=json | {"Origin": ours})
    assert (made.status_code, allowed(made), made.headers["Vary"]) == (201, ours, "Origin")
    link = made.json()["status_url"].removeprefix(site.settings.web.origin)
    cancelled = site.http.post(f"{site.base}{link}/cancel", headers={"Origin": ours}, timeout=10)
    assert (cancelled.status_code, allowed(cancelled)) == (204, ours)
    assert allowed(site.get(f"{link}/events", headers={"Origin": ours})) == ours
    for path in ("/web/calls", f"{link}/events"):
        assert allowed(site.get(path, headers=json | {"Origin": EVIL})) is None
    assert site.get("/static/callback.js").headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert site.get("/static/form.js").headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_cancelling_from_another_site_is_refused(site: Site) -> None:
    site.usual()
    link = site.send().headers["Location"]
    answer = site.http.post(f"{site.base}{link}/cancel", headers={"Origin": EVIL}, timeout=10)
    assert answer.status_code == 403
    assert site.callbacks()[0]["state"] == "queued"


def test_nothing_is_asked_for_by_get(site: Site) -> None:
    site.usual()
    site.get(
        "/web/calls?account=6192345678&password=1ak45&first_number=%2B442071234567&second_number=447400900123"
    )
    link = site.send().headers["Location"]
    assert site.get(link + "/cancel").status_code == 405
    assert [row["state"] for row in site.callbacks()] == ["queued"]


# --- what an answer carries -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/web/calls", "/nothing", "/healthz", "/api/v1/callbacks", "/static/style.css"]
)
def test_every_answer_has_the_headers(site: Site, path: str) -> None:
    site.usual()
    headers = site.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "server" not in {name.lower() for name in headers}


def test_the_cookie_is_for_our_pages_alone(site: Site, tmp_path: Path) -> None:
    site.usual()
    cookie = site.get("/web/calls").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert "Path=/web/" in cookie


def test_behind_https_the_cookie_and_the_browser_are_told_so(tmp_path: Path) -> None:
    with open_site(tmp_path, public_url="https://callback.example.com") as site:
        site.usual()
        answer = site.get("/web/calls")
        assert "Secure" in answer.headers["Set-Cookie"]
        assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_what_was_typed_is_escaped(site: Site) -> None:
    site.usual(title='Call "us" <now>')
    nasty = '"><script>alert(1)</script>'
    answer = site.send(account=nasty, first_number="'><img src=x>")
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "<now>" not in answer.text


def test_a_line_end_in_a_field_makes_no_header(site: Site) -> None:
    site.usual(languages="en,es")
    nasty = "en\r\nSet-Cookie: a=b\r\n\r\n<html>"
    for answer in (
        site.send(language=nasty),
        site.send(form_key=nasty, account="nobody"),
        site.get("/web/calls", params={"lang": nasty, "client": nasty}),
        site.get("/status/%0d%0aSet-Cookie:%20a=b"),
        site.get("/web/%0d%0aLocation:%20x"),
    ):
        assert "a=b" not in answer.headers.get("Set-Cookie", "")
        assert "Location" not in answer.headers or answer.headers["Location"].startswith("/status/")


def test_no_log_line_has_a_password_a_token_or_a_whole_number(site: Site) -> None:
    site.usual()
    with capture_logs() as lines:
        link = site.send().headers["Location"]
        site.get(link)
        site.send(password="wrong-password")
    text = repr(lines)
    assert "request.accepted" in text
    for secret in (PASSWORD, "wrong-password", link.rsplit("/", 1)[1], "442071234567", "447400900123"):
        assert secret not in text


# --- limits -------------------------------------------------------------------------------------------------------


def test_brute_force_is_stopped_at_the_limit_and_the_owner_calls_after_the_time(site: Site) -> None:
    """As documented: five wrong logins; refused, also with the right password, until 15 minutes after the first."""
    site.usual()
    answers = [site.send(password=f"guess{n}").status_code for n in range(50)]
    assert answers == [403] * 5 + [429] * 45
    refused = site.send()
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "900"
    assert "Too many wrong attempts. Please try again in 15 min." in refused.text
    site.shop.clock.passes(899)
    assert site.send().status_code == 429
    site.shop.clock.passes(1)
    assert site.send().status_code == 303


def test_guesses_in_parallel_are_no_more(site: Site) -> None:
    site.usual(limit_source="1000/3600")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: site.send(password=f"guess{n}").status_code, range(60)))
    assert sorted(answers) == [403] * 5 + [429] * 55


def test_one_source_that_tries_many_accounts(site: Site) -> None:
    site.usual()
    answers = [site.send(account=f"account{n}").status_code for n in range(25)]
    assert answers == [403] * 20 + [429] * 5


def test_unknown_account_and_wrong_password_look_and_last_alike(
    site: Site, hashes_compared: list[Parameters]
) -> None:
    site.usual()

    def tried(**fields: str) -> tuple[list[Parameters], str]:
        hashes_compared.clear()
        answer = site.send("calls", None, **fields)
        assert answer.status_code == 403
        text = answer.text.replace(fields.get("account", "6192345678"), "X").replace(
            hidden(answer.text, "form_key"), "K"
        )
        return hashes_compared[:], text.replace(hidden(text, "form_token"), "T")

    unknown = tried(account="5550001111", password="wrong")
    assert len(unknown[0]) == 1
    assert unknown == tried(password="wrong")


def test_a_trusted_proxy_names_the_visitor_and_nobody_else_does(tmp_path: Path) -> None:
    limits = {"limit_source": "2/60"}

    def asks(site: Site, address: str) -> int:
        return site.send(headers={"X-Forwarded-For": address}, account=f"of-{address[:20]}").status_code

    (tmp_path / "direct").mkdir()
    (tmp_path / "proxied").mkdir()
    with open_site(tmp_path / "direct") as site:
        site.usual(**limits)
        assert [asks(site, f"192.0.2.{n}") for n in range(3)] == [403, 403, 429]
    with open_site(tmp_path / "proxied", trusted_proxies="127.0.0.1") as site:
        site.usual(**limits)
        assert [asks(site, f"192.0.2.{n}") for n in range(3)] == [403, 403, 403]
        # The nearest address that is no proxy of ours counts; what stands before it, anybody can write.
        assert [asks(site, f"203.0.113.{n}, 198.51.100.7") for n in range(3)] == [403, 403, 429]
        assert [asks(site, f"2001:db8::{n}") for n in range(3)] == [403, 403, 429]


def test_bodies_and_fields_have_limits(site: Site) -> None:
    site.usual()
    assert site.send(account="x" * 20_000).status_code == 413
    many = {f"field{n}": "x" for n in range(30)}
    assert site.send("calls", None, **many).status_code == 400
    twice = "account=1&account=2"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    url = f"{site.base}/web/calls"
    assert site.http.post(url, twice, headers=form, timeout=10).status_code == 400
    assert site.http.post(url, b"account=%ff%fe", headers=form, timeout=10).status_code == 400
    assert site.http.post(url, json={"account": "1"}, timeout=10).status_code == 415
    assert site.http.post(url, files={"account": "1"}, timeout=10).status_code == 415
    assert site.callbacks() == []


def test_a_body_in_chunks_is_limited_too(site: Site) -> None:
    head = b"POST /web/calls HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    head += b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    answer = site.raw(head + (b"1000\r\n" + b"a" * 4096 + b"\r\n") * 8 + b"0\r\n\r\n")
    assert b" 413 " in answer.splitlines()[0]


@pytest.mark.parametrize(
    ("request_line", "body_bytes", "head", "answered"),
    [
        (b"POST /web/calls", 200_000, b"", b" 413 "),
        (b"POST /web/calls", 200_000, b"Transfer-Encoding: chunked\r\n", b" 400 "),
        (b"POST /nothing/here", 10_000, b"Connection: close\r\n", b" 404 "),
    ],
)
def test_who_still_sends_a_body_that_nobody_reads_gets_the_answer(
    site: Site, request_line: bytes, body_bytes: int, head: bytes, answered: bytes
) -> None:
    """What is not read when a connection is closed makes the kernel reset it, and the answer may go with that."""
    with socket.create_connection(site.address, 10) as connection:
        length = b"Content-Length: %d\r\n" % body_bytes
        connection.sendall(request_line + b" HTTP/1.1\r\nHost: x\r\n" + length + head + b"\r\n")
        answer = connection.recv(10)
        for _ in range(20):
            connection.sendall(b"x" * (body_bytes // 20))
        while part := connection.recv(65_536):  # a reset is an error here
            answer += part
    assert answered in answer.splitlines()[0]


@pytest.mark.parametrize(("linger_s", "limit_bytes"), [(0.2, 10**12), (600.0, 50_000)])
def test_nobody_is_heard_out_for_ever(
    site: Site, monkeypatch: pytest.MonkeyPatch, linger_s: float, limit_bytes: int
) -> None:
    monkeypatch.setattr(protocol, "LINGER_S", linger_s)
    monkeypatch.setattr(protocol, "LINGER_LIMIT_BYTES", limit_bytes)

    def sends_on(connection: socket.socket) -> None:
        for _ in range(200_000):
            connection.sendall(b"x" * 1_000)

    with socket.create_connection(site.address, 10) as connection:
        connection.sendall(b"POST /web/calls HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000\r\n\r\n")
        with pytest.raises(ConnectionError):
            sends_on(connection)


def test_a_body_that_never_comes_ends_the_request(tmp_path: Path) -> None:
    with open_site(tmp_path, request_timeout_s=0.5) as site:
        site.usual()
        with socket.create_connection(site.address, 10) as connection:
            connection.sendall(b"POST /web/calls HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab")
            assert b" 408 " in received(connection).splitlines()[0]


def test_a_head_that_never_ends_closes_the_connection(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.5)
    with socket.create_connection(site.address, 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert received(connection) == b""


def test_more_connections_than_the_limit_are_refused_and_the_others_go_on(tmp_path: Path) -> None:
    with open_site(tmp_path, connections_limit=10) as site:
        idle = [socket.create_connection(site.address, 5) for _ in range(12)]
        try:
            assert site.get("/healthz").status_code == 503
        finally:
            for connection in idle:
                connection.close()


# --- where a request ends ------------------------------------------------------------------------------------------

POST = b"POST /web/calls HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Content-Length: 0\r\nContent-Length: 37\r\n\r\n" + HIDDEN,
        POST + b"Content-Length: +4\r\n\r\nabcd" + HIDDEN,
        POST + b"Content-Length: 0x4\r\n\r\nabcd" + HIDDEN,
        POST + b"Content-Length : 4\r\n\r\nabcd" + HIDDEN,
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Transfer-Encoding: chunked\r\n\r\n4;\nx\r\nabcd\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + b"X: a\r\n Content-Length: 4\r\n\x00: b\r\n\r\n" + HIDDEN,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + HIDDEN,
        b"GET /healthz HTTP/1.1\r\n\r\n" + HIDDEN,
        b"GET http://evil/\r\nX: HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
        b"GET /healthz\r\n\r\n" + HIDDEN,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + HIDDEN,
    ],
)  # fmt: skip
def test_where_two_readers_could_disagree_nothing_more_is_read(site: Site, request_bytes: bytes) -> None:
    """A hidden second request is never answered: the connection ends with the doubtful one."""
    answer = site.raw(request_bytes)
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b"alive" not in answer
    assert b" 400 " in answer.splitlines()[0]


# --- keys ---------------------------------------------------------------------------------------------------------


def test_without_a_secret_nothing_is_served() -> None:
    with pytest.raises(CallbackError, match=r"web\.secret"):
        Signer.of(WebSettings(secret="short"))


def test_a_token_is_good_for_one_purpose() -> None:
    signer = Signer("x" * 32)
    status = signer.status_token("0" * 16, 10**15)
    assert signer.read_status(status, 0) == "0" * 16
    assert not signer.read_client("0" * 16, status.partition(".")[2], 0)
    client = signer.client_token("calls", 10**15)
    assert signer.read_client("calls", client, 0)
    assert signer.read_status(f"calls.{client}", 0) is None
    assert Signer("y" * 32).read_status(status, 0) is None


def test_health_readiness_and_figures(site: Site, tmp_path: Path) -> None:
    site.usual()
    site.send()
    assert site.get("/healthz").text == "alive\n"
    assert site.get("/readyz").text == "ready\n"
    site.trouble = "not connected to Asterisk"
    assert (site.get("/readyz").status_code, site.get("/healthz").status_code) == (503, 200)
    figures = site.get("/metrics").text
    assert 'stasis_callback_orders_total{instance="calls",result="accepted",trigger="web"} 1.0' in figures
    assert 'route="/web/{name}"' in figures
    assert 'stasis_callback_requests{state="queued"} 1.0' in figures
    assert "442071234567" not in figures
    (tmp_path / "other").mkdir()


def test_figures_are_not_for_everybody(tmp_path: Path) -> None:
    with open_site(tmp_path, metrics_addresses="192.0.2.0/24") as site:
        assert site.get("/metrics").status_code == 404


def test_it_speaks_tls_itself(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
    with open_site(tmp_path, tls_certificate=str(certificate), tls_key=str(key)) as site:
        site.usual()
        assert site.settings.web.origin.startswith("https://127.0.0.1:")
        answer = site.http.get(f"{site.settings.web.origin}/web/calls", verify=str(certificate), timeout=10)
        assert answer.status_code == 200
        assert "Secure" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "web", [{"tls_certificate": "/nowhere.pem", "tls_key": "/nowhere.pem"}, {"host": "192.0.2.1"}]
)
def test_a_server_that_cannot_listen_says_so(tmp_path: Path, web: dict[str, str]) -> None:
    with pytest.raises(CallbackError, match="web server"), open_site(tmp_path, **web):
        pass
