"""`python -m stasis_callback.testing.simulation`: one seed with its journal, or many with what they showed."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

from stasis_callback.clock import Clock

from .plan import Plan, load, make_plan
from .runner import Result, simulate, simulate_many


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 when anything is broken."""
    parser = argparse.ArgumentParser(
        prog="python -m stasis_callback.testing.simulation",
        description="The whole service against the fake Asterisk in virtual time, decided by a seed.",
    )
    parser.add_argument(
        "--seed", type=int, help="run this one, and print its plan, its journal and what is broken"
    )
    parser.add_argument("--plan", type=Path, help="the same for a plan in a file")
    parser.add_argument("--seeds", type=int, default=500, help="run so many (500)")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one for each core)")
    parser.add_argument(
        "--no-faults", action="store_true", help="with --seed: the same people, nothing goes wrong"
    )
    parser.add_argument("--quiet", action="store_true", help="with --seed: only what is broken")
    asked = parser.parse_args(arguments)
    if asked.seed is not None or asked.plan is not None:
        plan = load(asked.plan.read_text()) if asked.plan else make_plan(asked.seed)
        return _one(replace(plan, faults=()) if asked.no_faults else plan, quiet=asked.quiet)
    return _many(range(asked.first, asked.first + asked.seeds), asked.jobs)


def _one(plan: Plan, *, quiet: bool) -> int:
    result = simulate(plan)
    if not quiet:
        print(plan.text())
        print(*result.journal, sep="\n")
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
            print(f"  again: python -m stasis_callback.testing.simulation --seed {result.seed}", flush=True)
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
