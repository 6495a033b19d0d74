"""The console for each test that wants one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))  # shop.py
sys.path.insert(0, str(Path(__file__).parents[1] / "web"))  # browsing.py

from console_site import ConsoleSite, open_console


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConsoleSite]:
    with open_console(tmp_path, monkeypatch) as made:
        yield made
