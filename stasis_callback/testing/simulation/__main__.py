"""`python -m stasis_callback.testing.simulation`: one seed with its journal, or many with what they showed."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

from stasis_callback.clock import Clock

from .plan import Plan, load
from .planner import make_plan
from .runner import Result, simulate, simulate_many
from .shrinking import shrunk

PROGRAM = "python -m stasis_callback.testing.simulation"


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 when anything is broken."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="The whole service against the fake Asterisk in virtual time, decided by a seed.",
    )
    many = parser.add_argument_group("many seeds")
    many.add_argument("--seeds", type=int, default=500, metavar="N", help="number of seeds [default: 500]")
    many.add_argument(
        "--from", dest="first", type=int, default=0, metavar="N", help="first seed [default: 0]"
    )
    many.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes [default: one per core]"
    )
    one = parser.add_argument_group("one seed, with plan, journal and violations")
    one.add_argument("--seed", type=int, metavar="N", help="the plan of this seed")
    one.add_argument("--plan", type=Path, metavar="FILE", help="run a saved plan")
    one.add_argument("--no-faults", action="store_true", help="the same callers without faults")
    one.add_argument(
        "--shrink", action="store_true", help="remove everything that is not needed for the failure"
    )
    one.add_argument("--save", type=Path, metavar="FILE", help="save the plan")
    asked = parser.parse_args(arguments)
    if asked.seed is None and asked.plan is None:
        return _many(range(asked.first, asked.first + asked.seeds), asked.jobs)
    plan = load(asked.plan.read_text()) if asked.plan else make_plan(asked.seed)
    plan = replace(plan, faults=()) if asked.no_faults else plan
    plan = shrunk(plan) if asked.shrink else plan
    if asked.save:
        asked.save.write_text(plan.text() + "\n")
    return _one(plan)


def _one(plan: Plan) -> int:
    result = simulate(plan)
    print(plan.text())
    print(*result.journal, sep="\n")
    print(f"the choices were {result.digest[:16]}")
    print(*(result.breaks or ["nothing is broken"]), sep="\n")
    return 1 if result.breaks else 0


def _many(seeds: range, processes: int) -> int:
    clock = Clock()
    began_s = clock.monotonic_s()
    exercised: Counter[tuple[str, str]] = Counter()
    ended: Counter[str] = Counter()
    broken: list[Result] = []
    virtual_s = 0.0
    for result in simulate_many(seeds, processes):
        exercised.update(result.exercised)
        ended.update(result.ended)
        virtual_s += result.virtual_s
        if result.breaks:
            broken.append(result)
            print(f"seed {result.seed}", *(f"  {sentence}" for sentence in result.breaks), sep="\n")
            print(f"  again: {PROGRAM} --seed {result.seed}", flush=True)
    took_s = clock.monotonic_s() - began_s
    _table(exercised)
    print(*(f"{n:6} {outcome}" for outcome, n in ended.most_common()), sep="\n")
    print(
        f"{len(seeds)} seeds in {took_s:.0f} s ({len(seeds) / took_s:.1f} a second, {virtual_s / 3600:.0f} hours of"
        f" virtual time), {len(broken)} broken: {' '.join(map(str, sorted(one.seed for one in broken)))}"
    )
    return 1 if broken else 0


def _table(exercised: Counter[tuple[str, str]]) -> None:
    """Faults by the stage of a call they fell into."""
    stages = ("no call", "incoming", "A rings", "menu", "B rings", "talk")
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (fault, stage), count in exercised.items():
        rows[fault][stage] += count
    print(f"{'':22}" + "".join(f"{stage:>9}" for stage in stages))
    for fault, counts in sorted(rows.items()):
        print(f"{fault:22}" + "".join(f"{counts[stage] or '':>9}" for stage in stages))


if __name__ == "__main__":
    sys.exit(main())
