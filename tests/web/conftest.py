"""The web server for each test that wants one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))  # shop.py

from browsing import start
from playwright.sync_api import Browser, sync_playwright
from web_site import Site, open_site


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests: a process can have one playwright at a time."""
    with sync_playwright() as playwright:
        chromium = start(playwright)
        yield chromium
        chromium.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path) as made:
        yield made
