"""The database fails while an operator looks: pages say so in a line, and what is live goes on when it is back."""

from __future__ import annotations

import pytest
from console_site import ConsoleSite
from structlog.testing import capture_logs

from stasis_callback.clock import wait_until
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.store.database.database import Database


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who asked a database that is away, while it is: `away` in it."""
    found: list[str] = []
    read = Database.read

    def away(database: Database, work: object) -> object:
        if "away" not in found:
            return read(database, work)  # type: ignore[arg-type]
        found.append("asked")
        raise StoreUnavailable("the database is unavailable: away")

    monkeypatch.setattr(Database, "read", away)
    return found


def test_every_page_says_that_it_is_not_now(site: ConsoleSite, asked: list[str]) -> None:
    viewer = site.operator("viewer")
    asked.append("away")
    with capture_logs() as log:
        answers = [viewer.get(path) for path in ("/", "/me", "/reports", "/do/account/list", "/nothing")]
    asked.clear()
    assert [answer.status_code for answer in answers] == [503] * 5
    assert {answer.headers["Retry-After"] for answer in answers} == {"5"}
    assert [line["event"] for line in log] == ["console.away"] * 5


def test_the_live_panels_go_on_when_it_is_back(site: ConsoleSite, asked: list[str]) -> None:
    viewer = site.operator("viewer")
    with viewer.get("/live", stream=True) as stream:
        lines = stream.iter_lines(decode_unicode=True)
        assert "event: panels" in next(lines)
        asked.append("away")
        assert wait_until(lambda: len(asked) > 2, timeout_s=20)
        asked.clear()
        site.shop.missed_call(site.shop.account("420601123456"))
        assert any("420601123456" in line for line in lines)
