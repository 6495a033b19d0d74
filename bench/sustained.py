"""`python -m bench.sustained [--rates 1 5 10 20 50] [--seconds 60]`: how many callbacks a second, and how soon then.

For each rate, so many missed calls a second for a minute, of the service and of the plain dialplan on the same
Asterisk in turns: how soon they are called back, and what a callback costs the processor. A side that fails one is
not asked for more; the highest rate without a failure is what it sustains. The phones are on the same machine: what
they need is missing to both sides.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.__main__ import SIDES
from bench.blocks import Block, latencies, measure
from bench.report import Row, cpu_rows, latency_rows, machine, write_json
from bench.rig import Rig, running
from bench.work import work_folder
from stasis_callback import logs
from stasis_callback.testing.asterisk import AsteriskUnavailable

MEASURED = ("missed call to callback, median", "missed call to callback, p99", "CPU per callback, both")


def main() -> int:
    """Measure and print; 1 when there is no Asterisk."""
    parser = argparse.ArgumentParser(prog="python -m bench.sustained", description=__doc__)
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[1, 5, 10, 20, 50], help="callbacks a second"
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long each rate is kept up (60)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    logs.silence()
    counts = [max(round(rate * options.seconds), 1) for rate in sorted(options.rates)]
    # The first is the warm-up's.
    anis = {side: [f"42077{n}{i:06d}" for i in range(sum(counts) + 1)] for n, side in enumerate(SIDES)}
    try:
        with work_folder("sustained") as folder, running(folder, anis["service"]) as rig:
            facts = machine(rig.network.product.cli("core show version").split(" built")[0].strip(), folder)
            measure(rig, [Block(side, numbers[:1]) for side, numbers in anis.items()])
            rows = _rates(rig, sorted(options.rates), counts, anis)
    except AsteriskUnavailable as why:
        print(why, file=sys.stderr)
        return 1
    if options.json:
        write_json(options.json, facts, rows)
    return 0


def _rates(rig: Rig, rates: Sequence[float], counts: Sequence[int], anis: dict[str, list[str]]) -> list[Row]:
    """Every rate in turn, the lowest first, until both sides have failed."""
    rows: list[Row] = []
    sustained = dict.fromkeys(SIDES, 0.0)
    going, used = list(SIDES), 1
    for n, (rate, count) in enumerate(zip(rates, counts, strict=True)):
        blocks = {side: Block(side, anis[side][used : used + count]) for side in going}
        used += count
        for side in going if n % 2 == 0 else going[::-1]:
            measure(rig, [blocks[side]], 1 / rate)
        rows += _at(rig, rate, blocks)
        going = [side for side in going if len(blocks[side].completed) == count]
        for side in going:
            sustained[side] = rate
        if not going:
            break
    ours, theirs = (sustained[side] for side in SIDES)
    rows.append(Row("highest rate without a failure", "/s", ours, theirs, ours / theirs if theirs else None))
    print(f"without a failure: service {ours:g}/s, floor {theirs:g}/s")
    return rows


def _at(rig: Rig, rate: float, blocks: dict[str, Block]) -> list[Row]:
    """Print how both sides did at a rate; the figures of the completed callbacks, where both were asked."""
    trace = rig.network.trace.messages()
    done = ", ".join(f"{side} {len(block.completed)} of {len(block.anis)}" for side, block in blocks.items())
    print(f"{rate:g}/s: {done}", flush=True)
    if len(blocks) < len(SIDES):
        return []
    service, floor = blocks["service"], blocks["floor"]
    found = [*latency_rows(latencies(trace, service), latencies(trace, floor)), *cpu_rows([(service, floor)])]
    rows = [
        Row(f"{row.figure}, {rate:g}/s", row.unit, row.service, row.floor, row.ratio)
        for row in found
        if row.figure in MEASURED
    ]
    for row in rows:
        print(
            f"  {row.figure:<46}{row.service:>9.1f} {row.unit}   floor {row.floor:.1f}   ratio {row.ratio:.2f}"
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
