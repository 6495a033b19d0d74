"""Simulations of the whole service, part 2 of 4."""

import pytest

from simulation.seeds import broken, chunks


@pytest.mark.parametrize("seeds", chunks(1), ids=str)
def test_nothing_is_broken_whatever_goes_wrong(seeds: range) -> None:
    assert broken(seeds) == []
