"""`make bench`, or `python -m bench [--quick] [--json FILE]`. How it measures: docs/bench.md."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from bench.blocks import Block, latencies, measure
from bench.report import cpu_rows, latency_rows, machine, memory_rows, show, write_json
from bench.rig import Rig, running
from bench.work import CACHE
from stasis_callback import logs
from stasis_callback.testing.asterisk import AsteriskUnavailable

SIDES = ("service", "floor")


def main() -> int:
    """Measure and print; 1 when a callback did not complete."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--callbacks", type=int, default=50, help="callbacks of each side (50)")
    parser.add_argument("--pairs", type=int, default=3, help="alternations between the sides (3)")
    parser.add_argument("--quick", action="store_true", help="a few callbacks, under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write figures and samples here")
    options = parser.parse_args()
    count, pairs = (4, 1) if options.quick else (options.callbacks, options.pairs)
    if not 1 <= pairs <= count <= 1000:
        parser.error("there must be at least one callback in each pair, and not more than 1000 in all")
    logs.silence()
    CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=CACHE, prefix="bench-"))
    try:
        complete = _run(count, pairs, folder, options.json)
    except AsteriskUnavailable as why:
        print(why, file=sys.stderr)
        return 1
    if not complete:
        print(f"The logs are in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


def _run(count: int, pairs: int, folder: Path, json_path: Path | None) -> bool:
    anis = {side: [f"42077{n}{i:06d}" for i in range(count + 1)] for n, side in enumerate(SIDES)}
    with running(folder, anis["service"]) as rig:
        facts = machine(rig.network.product.cli("core show version").split(" built")[0].strip(), folder)
        print(f"{count} callbacks of each side, one per second, in {pairs} alternating pairs of blocks ...\n")
        warm_up = [Block(side, anis[side][:1]) for side in SIDES]
        measure(rig, warm_up)
        rest = rig.service()
        blocks = [_pair(rig, pair, pairs, anis) for pair in range(pairs)]
        trace = rig.network.trace.messages()
    every = {side: [pair[n] for pair in blocks] for n, side in enumerate(SIDES)}
    timed = {side: [one for block in every[side] for one in latencies(trace, block)] for side in SIDES}
    complete = all(len(b.completed) == len(b.anis) for b in [*warm_up, *every["service"], *every["floor"]])
    rows = [*latency_rows(timed["service"], timed["floor"])]
    if complete:
        rows += [*cpu_rows(blocks), *memory_rows(rest, every["service"])]
    show(facts, blocks, rows)
    if json_path:
        samples = {
            side: {
                "latencies": [asdict(latency) for latency in timed[side]],
                "blocks": [asdict(block) for block in every[side]],
            }
            for side in SIDES
        }
        write_json(json_path, facts, rows, samples)
    return complete


def _pair(rig: Rig, pair: int, pairs: int, anis: dict[str, list[str]]) -> tuple[Block, Block]:
    """One block of each side; which one comes first alternates. The first number is the warm-up's."""
    service, floor = (Block(side, anis[side][1 + pair :: pairs]) for side in SIDES)
    for block in (service, floor) if pair % 2 == 0 else (floor, service):
        measure(rig, [block])
    return service, floor


if __name__ == "__main__":
    sys.exit(main())
