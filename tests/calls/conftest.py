"""Scenarios of whole callbacks, each on the fake Asterisk and on a real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from world import World, new_world


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with new_world(request.getfixturevalue(f"{request.param}_network"), tmp_path) as made:
        yield made
