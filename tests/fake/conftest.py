"""Scenarios that need faults only the fake Asterisk can make to order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from world import World, new_world

from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork


@pytest.fixture
def fake() -> Iterator[FakeAsterisk]:
    with FakeAsterisk(speed=4) as asterisk:
        yield asterisk


@pytest.fixture
def world(fake: FakeAsterisk, tmp_path: Path) -> Iterator[World]:
    with new_world(FakeNetwork(fake), tmp_path) as made:
        yield made
