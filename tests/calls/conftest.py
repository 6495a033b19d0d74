"""Scenarios of whole callbacks, each on the fake Asterisk and on a real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from world import World, new_world

ON_THE_REAL_ONE = ("callback", "dnis", "leg_b", "money_end", "refusals", "trigger_table")
"""Files whose scenarios are played on the real Asterisk in each run; of the others in `make nightly`. Real phones
take their time. That the fake one is like the real one, command by command, tests/contract shows in each run.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    usual = [f"test_{name}.py" for name in ON_THE_REAL_ONE]
    for item in items:
        here = item.path.parent == Path(__file__).parent
        if here and item.get_closest_marker("real") and item.path.name not in usual:
            item.add_marker(pytest.mark.nightly)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with new_world(request.getfixturevalue(f"{request.param}_network"), tmp_path) as made:
        yield made
