"""The database fails while the web server works: 503 on each surface, when to ask again, and a line in the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from web_site import ACCOUNT, PASSWORD, Site, open_site

from stasis_callback.clock import wait_until
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.core.words import Ending
from stasis_callback.store.database.database import Database

OPERATIONS = ("/callbacks", "/callbacks/0123456789abcdef", "/accounts", "/vouchers", "/xdrs")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path, account_pages=True) as made:
        made.usual()
        yield made


@contextmanager
def without_a_database() -> Iterator[list[str]]:
    """Whoever asks it is told that it is away; the errors are in the list."""

    told: list[str] = []

    def away(*_: object) -> None:
        told.append("away")
        raise StoreUnavailable("the database is unavailable: away")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("read", "unit"):
            patch.setattr(Database, name, away)
        yield told


def test_every_surface_says_that_it_is_not_now(site: Site) -> None:
    key = site.key("status", "list", "accounts", "vouchers", "xdrs")
    login = {"account": ACCOUNT, "password": PASSWORD}
    with capture_logs() as log, without_a_database():
        pages = [site.get("/web/calls", headers={"Accept-Language": language}) for language in ("en", "fr")]
        pages.append(site.send())
        pages.append(
            site.http.post(f"{site.base}/account/login", login, headers={"Origin": site.base}, timeout=20)
        )
        programs = [site.api("GET", path, key) for path in OPERATIONS]
        programs.append(site.api("POST", "/payments/bank", data=b"{}"))
        programs.append(site.api("POST", "/messages/sms", data=b"{}"))
        programs.append(site.send(headers={"Accept": "application/json"}))
    for answer in (*pages, *programs):
        assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "5"), answer.url
    assert "Please try again in a minute." in pages[0].text
    assert "Veuillez réessayer dans une minute." in pages[1].text
    for answer in programs:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (answer.json()["code"], answer.json()["status"]) == ("unavailable", 503)
    said = [line for line in log if line["event"].startswith("web.")]
    assert {line["event"] for line in said} == {"web.away"}
    assert len(said) == len(pages) + len(programs)
    assert not any("exc_info" in line for line in said)
    assert (said[0]["route"], said[0]["error"]) == ("/web/{name}", "the database is unavailable: away")


def test_every_operation_is_described_with_it(site: Site) -> None:
    described = site.get("/api/v1/openapi.json").json()["paths"]
    without = [
        (path, method)
        for path, methods in described.items()
        for method, operation in methods.items()
        if "503" not in operation["responses"]
    ]
    assert without == []


def test_who_follows_a_callback_hears_of_it_when_the_database_is_back(site: Site) -> None:
    link = site.send().headers["Location"]
    (row,) = site.callbacks()
    with site.get(f"{link}/events", stream=True) as stream:
        lines = stream.iter_lines(decode_unicode=True)
        assert any("queued" in line for line in lines)
        with without_a_database() as told:
            assert wait_until(lambda: len(told) > 3, timeout_s=20)
        site.stores.requests.claim(1)
        site.stores.requests.finish(row["id"], Ending.BUSY)
        assert any('"over": true' in line for line in lines)
