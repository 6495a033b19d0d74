"""The service as a process that is killed, on a real Asterisk and, for speed, on the fake one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from world import World, new_world


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with new_world(request.getfixturevalue(f"{request.param}_network"), tmp_path) as made:
        yield made
