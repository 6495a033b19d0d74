"""The page of reports in a real Chromium: it asks nobody for anything, says nothing to the console, bars nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from browsing import accessible, looking, picture
from playwright.sync_api import Browser

from stasis_callback.admin.calls.report_page import render
from stasis_callback.admin.calls.reports import calls_record, days
from stasis_callback.store.calls.reports import CallsLine

EVIL = "<img src=x onerror=alert(1)> $x$"


def line(group: str, n: int) -> CallsLine:
    """Some calls of one group."""
    return CallsLine(
        group, "USD", 10 + n, 5 + n, (5 + n) * 60_000_000, (5 + n) * 60, 500_000 * n, 0, 200_000 * n
    )


def test_the_page_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    spans = days("2026-11-01", "2026-11-14", "Europe/Prague")
    by_day = [calls_record("day", line(span.name, n)) for n, span in enumerate(spans, start=1)]
    others = {
        by: [calls_record(by, line(name, n)) for n, name in enumerate(("420", EVIL, "44"), start=1)]
        for by in ("account", "prefix", "trunk")
    }
    refusals = [{"reason": "no_ani", "trigger": "ani", "count": 3}]
    file = tmp_path / "report.html"
    tables: dict[str, Sequence[Mapping[str, object]]] = {"day": by_day, **others, "refusals": refusals}
    file.write_text(render("Acme in November", spans, tables, "Europe/Prague"))
    with looking(browser) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        assert page.locator("svg").count() == 6
        assert page.locator("table").count() == 5
        assert page.locator("img").count() == 0
        assert page.get_by_role("cell", name=EVIL).count() == 3
        accessible(page)
        picture(page, "report")
    assert asked == [file.as_uri()]
