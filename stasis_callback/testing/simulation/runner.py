"""Simulations one by one and by the hundred: results, and which faults were exercised where."""

from __future__ import annotations

import faulthandler
import multiprocessing
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .auditor import audit
from .business import keep_in, scratch
from .plan import Plan
from .planner import make_plan
from .scheduler import START_US, US_PER_S
from .world import SimWorld

LONGEST_S = 120
"""Real seconds that no seed needs: who takes longer waits for something that is not the scheduler's."""


@dataclass
class Result:
    """The result of a simulation."""

    seed: int
    breaks: list[str] = field(default_factory=list)
    """What must not be, a sentence each."""
    exercised: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Fault and stage of a call, and how often."""
    ended: Counter[str] = field(default_factory=Counter)
    """Outcomes of callbacks."""
    journal: list[str] = field(default_factory=list)
    """What happened, a line each, with virtual times."""
    digest: str = ""
    """Of every choice of the scheduler."""
    virtual_s: float = 0.0


def simulate(plan: Plan) -> Result:
    """Run one plan to its end, and audit it."""
    world = SimWorld(plan)
    try:
        try:
            world.run()
            world.breaks += audit(world)
        except Exception:  # noqa: BLE001 - one seed that fails must not end all others
            world.breaks.append(f"the simulation failed: {traceback.format_exc()}")
        return Result(
            seed=plan.seed,
            breaks=world.breaks,
            exercised=world.exercised,
            ended=Counter({row["outcome"]: row["n"] for row in world.rows(_OUTCOMES)}),
            journal=[f"{(at - START_US) / US_PER_S:9.3f}  {who:8} {what}" for at, who, what in world.journal],
            digest=world.scheduler.digest,
            virtual_s=(world.scheduler.now_us - START_US) / US_PER_S,
        )
    finally:
        world.close()


_OUTCOMES = "SELECT state || ' ' || outcome AS outcome, COUNT(*) AS n FROM request GROUP BY 1"


def simulate_seed(seed: int) -> Result:
    """The plan of a seed; without its journal, for it travels between processes."""
    faulthandler.dump_traceback_later(LONGEST_S, exit=True, file=sys.__stderr__ or 2)
    try:
        result = simulate(make_plan(seed))
    finally:
        faulthandler.cancel_dump_traceback_later()
    result.journal = []
    return result


@contextmanager
def _disposable(prefix: str) -> Iterator[Path]:
    folder = scratch(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def simulate_many(seeds: Iterable[int], processes: int) -> Iterator[Result]:
    """Many seeds in several processes, in the order in which they are done."""
    if processes == 1:
        yield from map(simulate_seed, seeds)
        return
    spawn = multiprocessing.get_context("spawn")
    # Workers are ended, not asked to end: what they leave is removed here.
    with _disposable("simulation-") as folder, spawn.Pool(processes, keep_in, [str(folder)]) as pool:
        yield from pool.imap_unordered(simulate_seed, seeds)
