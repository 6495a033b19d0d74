"""Plans that once broke something, kept as data. The name of a file says what it was."""

from pathlib import Path

import pytest

from stasis_callback.testing.simulation.plan import load
from stasis_callback.testing.simulation.runner import simulate

PLANS = sorted((Path(__file__).parent / "plans").glob("*.json"))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_what_was_broken_once_is_not_broken_again(path: Path) -> None:
    assert simulate(load(path.read_text())).breaks == []
