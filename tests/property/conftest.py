"""Property tests share the shop of the unit tests, and a profile without a time limit on a single example."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
settings.register_profile("stasis-callback", deadline=None, max_examples=150)
settings.load_profile("stasis-callback")

from shop import Shop, open_shop  # noqa: E402


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path) as made:
        yield made
