"""A real Chromium, and what is looked at on each page: no error in its console, nothing axe finds wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
ARTEFACTS = Path(__file__).resolve().parents[2] / "artefacts" / "web"
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 800}


def start(playwright: Playwright) -> Browser:
    """Fails under CI where there is no Chromium; skips on a laptop."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        if os.environ.get("CI"):
            raise RuntimeError("there is no Chromium: run tools/get-browser")
        pytest.skip("there is no Chromium: run tools/get-browser")
    return playwright.chromium.launch(executable_path=path, headless=True, args=list(OPTIONS))


@contextmanager
def looking(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page that must write nothing to its console."""
    context = browser.new_context(**options)
    page, noise = context.new_page(), []
    page.on(
        "console",
        lambda message: noise.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: noise.append(str(error)))
    try:
        yield page
    finally:
        context.close()
    # A page that is answered 4xx is an error to the console, and what this test asked for.
    assert [line for line in noise if "Failed to load resource" not in line] == []


def picture(page: Page, name: str) -> None:
    """Save a screenshot."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)


def accessible(page: Page) -> None:
    """axe-core finds nothing wrong with the page as it is now (WCAG 2.2 A and AA, and its best practices).

    Put in as a script of the page's own context: the page's policy forbids inline scripts, so not by a tag.
    """
    page.evaluate(AXE.read_text("utf-8") + "; undefined")
    result = page.evaluate("axe.run()")
    found = [(one["id"], [node["html"] for node in one["nodes"]]) for one in result["violations"]]
    assert found == []
    assert len(result["passes"]) > 10
