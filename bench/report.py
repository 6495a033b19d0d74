"""From samples to figures: medians, ratios, a table for people and a document for programs."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.blocks import Block, Latency
from bench.rig import Usage

_FSYNCS = 50


@dataclass(frozen=True)
class Row:
    """A figure of the service next to that of the floor."""

    figure: str
    unit: str
    service: float
    floor: float | None = None
    ratio: float | None = None
    ratios: Sequence[float] = ()
    """Those of the single pairs."""


def latency_rows(service: Sequence[Latency], floor: Sequence[Latency]) -> Iterable[Row]:
    """Median, p99 and worst of both ways, each with its ratio; nothing when a side has no sample."""
    if not service or not floor:
        return
    for name, what in (("missed call to callback", "callback_ms"), ("missed call to refusal", "refusal_ms")):
        ours = sorted(getattr(latency, what) for latency in service)
        theirs = sorted(getattr(latency, what) for latency in floor)
        for label, share in (("median", 0.5), ("p99", 0.99), ("worst", 1.0)):
            a, b = rank(ours, share), rank(theirs, share)
            yield Row(f"{name}, {label}", "ms", a, b, a / b)


def cpu_rows(pairs: Sequence[tuple[Block, Block]]) -> Iterable[Row]:
    """Processor time per completed callback: medians over the pairs, and the median of the pairs' own ratios."""
    service = [ours.per_callback(ours.service_cpu_s) for ours, _ in pairs]
    asterisk = [ours.per_callback(ours.asterisk_cpu_s) for ours, _ in pairs]
    floor = [floor.per_callback(floor.asterisk_cpu_s) for _, floor in pairs]
    both = [a + b for a, b in zip(service, asterisk, strict=True)]
    parts = (
        ("CPU per callback, service process", service),
        ("CPU per callback, its Asterisk", asterisk),
        ("CPU per callback, both", both),
    )
    for name, ours in parts:
        ratios = [a / b for a, b in zip(ours, floor, strict=True)]
        yield Row(name, "ms", median(ours) * 1000, median(floor) * 1000, median(ratios), ratios)


def pair_ratios(pairs: Sequence[tuple[Block, Block]]) -> list[float]:
    """Of each pair: the processor time of service and Asterisk together, as a multiple of the floor's."""
    return [
        ours.per_callback(ours.service_cpu_s + ours.asterisk_cpu_s) / floor.per_callback(floor.asterisk_cpu_s)
        for ours, floor in pairs
    ]


def memory_rows(rest: Usage, service_blocks: Sequence[Block]) -> Iterable[Row]:
    """The service process at rest, and at the moment with the most live calls of all blocks."""
    peak = max((s for b in service_blocks for s in b.samples), key=lambda s: (s.live_calls, s.usage.rss_mib))
    yield Row("memory of the service at rest", "MiB", rest.rss_mib)
    yield Row(f"memory with {peak.live_calls} live calls", "MiB", peak.usage.rss_mib)
    if peak.live_calls:
        growth_kib = (peak.usage.rss_mib - rest.rss_mib) * 1024 / peak.live_calls
        yield Row("memory per live call", "KiB", growth_kib)
    yield Row("threads at rest", "", rest.threads)
    yield Row(f"threads with {peak.live_calls} live calls", "", peak.usage.threads)


def machine(asterisk: str, folder: Path) -> dict[str, Any]:
    """What the figures depend on; `folder` is where the database lies."""
    return {
        "cores": os.cpu_count(),
        "load average at the start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "asterisk": asterisk,
        "fsync of 4 KiB, median ms": round(_fsync_ms(folder), 2),
    }


def show(facts: dict[str, Any], pairs: Sequence[tuple[Block, Block]], rows: Sequence[Row]) -> None:
    """Print everything for a person."""
    for name, value in facts.items():
        print(f"{name}: {value}")
    print()
    show_rows(rows)
    ratios = ", ".join(f"{ratio:.2f}" for ratio in pair_ratios(pairs))
    print(f"\nCPU ratio of each pair (both / floor): {ratios}")


def show_rows(rows: Sequence[Row]) -> None:
    """Print the figures."""
    width = max([38, *(len(row.figure) + 2 for row in rows)])
    print(f"{'':<{width}}{'unit':<6}{'service':>9}{'floor':>9}{'ratio':>8}")
    for row in rows:
        floor = "-" if row.floor is None else f"{row.floor:.1f}"
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        print(f"{row.figure:<{width}}{row.unit:<6}{row.service:>9.1f}{floor:>9}{ratio:>8}")


def write_json(
    path: Path, facts: dict[str, Any], rows: Sequence[Row], samples: dict[str, Any] | None = None
) -> None:
    """Everything for a program, the single samples too."""
    figures = [asdict(row) for row in rows]
    path.write_text(
        json.dumps({"machine": facts, "figures": figures, "samples": samples or {}}, indent=1) + "\n"
    )


def rank(ordered: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest value that `share` of all values do not exceed."""
    return ordered[math.ceil(share * len(ordered)) - 1]


def _fsync_ms(folder: Path) -> float:
    path, took = folder / "fsync", []
    with path.open("wb", buffering=0) as file:
        for _ in range(_FSYNCS):
            start_s = time.monotonic()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            took.append((time.monotonic() - start_s) * 1000)
    path.unlink()
    return median(took)
