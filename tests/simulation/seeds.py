"""Many seeds, a share for each file: pytest hands whole files to its workers."""

from __future__ import annotations

from stasis_callback.testing.simulation.planner import make_plan
from stasis_callback.testing.simulation.runner import simulate

SEEDS, FILES, CHUNKS = 500, 4, 5


def chunks(file: int) -> list[range]:
    """The seeds of one file, in chunks."""
    share = SEEDS // FILES
    size = share // CHUNKS
    return [range(first, first + size) for first in range(file * share, (file + 1) * share, size)]


def broken(seeds: range) -> list[str]:
    """What is broken in these simulations, each with the command that shows it again."""
    return [
        f"{sentence} (python -m stasis_callback.testing.simulation --seed {seed})"
        for seed in seeds
        for sentence in simulate(make_plan(seed)).breaks
    ]
