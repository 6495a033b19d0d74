"""Figures of all benches in one shape: a table for people, a document for programs, a page with plots.

The plots are plain SVG: bars need no library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

_WIDTH, _LABEL, _ROW = 900, 360, 22


@dataclass(frozen=True)
class Figure:
    """One figure; `ratio` is to a floor of the same run, and `ratios` those of the single pairs."""

    bench: str
    name: str
    unit: str
    value: float
    floor: float | None = None
    ratio: float | None = None
    ratios: Sequence[float] = field(default_factory=tuple)

    @property
    def spread(self) -> str:
        """The lowest and the highest of the pairs' ratios; "" where there are not several."""
        return f"{min(self.ratios):.2f} to {max(self.ratios):.2f}" if len(self.ratios) > 1 else ""


def read(bench: str, path: Path) -> tuple[dict[str, Any], list[Figure]]:
    """The facts about the machine and the figures that a bench has written with `--json`."""
    found = json.loads(path.read_text())
    if "levels" in found:
        return found["machine"], _of_levels(bench, found["levels"])
    rows = (
        Figure(bench, row["figure"], row["unit"], row["service"], row["floor"], row["ratio"], row["ratios"])
        for row in found["figures"]
    )
    return found.get("machine", {}), list(rows)


_COLUMNS = {
    "rss_mib": ("resident memory", "MiB"),
    "per_live_kib": ("memory per live call", "KiB"),
    "at_rest_ms_per_s": ("processor at rest", "ms/s"),
    "per_callback_ms": ("processor per callback", "ms"),
    "event_to_command_ms": ("event to command, median", "ms"),
    "event_to_command_p99_ms": ("event to command, p99", "ms"),
}
"""What `bench.conversations` has for each number of live conversations: how it is called here, and its unit."""


def _of_levels(bench: str, levels: Sequence[dict[str, float]]) -> list[Figure]:
    """One figure for each column and number of live conversations; the level with the fewest is the floor."""
    figures = []
    for column, (name, unit) in _COLUMNS.items():
        least = levels[0][column]
        for level in levels:
            # What two large numbers differ by may come out below nothing.
            ratio = level[column] / least if least > 0 and level[column] > 0 else None
            said = f"{name}, {level['live']} live"
            figures.append(Figure(bench, said, unit, level[column], least, ratio))
    return figures


def table(figures: Sequence[Figure]) -> str:
    """All of them for a person."""
    lines = [f"{'':<64}{'unit':<8}{'value':>11}{'floor':>11}{'ratio':>8}  spread"]
    for one in figures:
        floor = "-" if one.floor is None else f"{one.floor:.2f}"
        ratio = "-" if one.ratio is None else f"{one.ratio:.2f}"
        name = f"{one.bench}: {one.name}"
        lines.append(f"{name:<64}{one.unit:<8}{one.value:>11.2f}{floor:>11}{ratio:>8}  {one.spread}")
    return "\n".join(lines)


def write(folder: Path, machine: dict[str, Any], figures: Sequence[Figure]) -> None:
    """Write `results.json` and `results.html`."""
    document = {"machine": machine, "figures": [asdict(one) for one in figures]}
    (folder / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / "results.html").write_text(page(machine, figures))


def page(machine: dict[str, Any], figures: Sequence[Figure]) -> str:
    """The page: what was measured on, each bench's ratios as bars, and the table."""
    facts = "".join(f"<li>{escape(name)}: {escape(str(value))}</li>" for name, value in machine.items())
    plots = []
    for bench in dict.fromkeys(one.bench for one in figures):
        bars = [one for one in figures if one.bench == bench and _is_to_scale(one)]
        if bars:
            plots.append(f"<h2>{escape(bench)}: multiples of the floor</h2>{_bars(bars)}")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>stasis-callback: figures</title>'
        "<style>body{font:15px sans-serif;max-width:60em;margin:2em auto}pre{overflow:auto}</style>"
        f"<h1>Figures</h1><ul>{facts}</ul>{''.join(plots)}"
        f"<h2>All</h2><pre>{escape(table(figures))}</pre></html>\n"
    )


def _is_to_scale(figure: Figure) -> bool:
    """Whether it has ratios, and a logarithmic scale has a place for each."""
    return figure.ratio is not None and all(ratio > 0 for ratio in (figure.ratio, *figure.ratios))


def _bars(figures: Sequence[Figure]) -> str:
    """Bars on a logarithmic scale, from a line at 1: a ratio of 2 is as long to the right as one of 0.5 to the left.

    A thin line over a bar goes from the lowest to the highest of the pairs.
    """
    every = [ratio for one in figures for ratio in (one.ratio, *one.ratios) if ratio is not None]
    reach = max(max(abs(math.log2(ratio)) for ratio in every), 1.0)
    middle = (_WIDTH + _LABEL) / 2
    scale = (_WIDTH - _LABEL - 100) / 2 / reach

    def x(ratio: float) -> float:
        return middle + math.log2(ratio) * scale

    parts = []
    for row, one in enumerate(figures):
        assert one.ratio is not None
        top, (left, right) = row * _ROW, sorted((middle, x(one.ratio)))
        parts.append(f'<text x="{_LABEL - 8}" y="{top + 15}" text-anchor="end">{escape(one.name)}</text>')
        parts.append(
            f'<rect x="{left:.1f}" y="{top + 4}" width="{max(right - left, 1):.1f}" height="14" fill="#4878a8"/>'
        )
        if len(one.ratios) > 1:
            ends = x(min(one.ratios)), x(max(one.ratios))
            parts.append(
                f'<line x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{top + 11}" y2="{top + 11}" stroke="#d05030"/>'
            )
        parts.append(f'<text x="{_WIDTH - 4}" y="{top + 15}" text-anchor="end">{one.ratio:.2f}</text>')
    height = len(figures) * _ROW
    parts.append(f'<line x1="{middle}" x2="{middle}" y1="0" y2="{height}" stroke="#888"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-size="12" role="img">'
        f"{''.join(parts)}</svg>"
    )
