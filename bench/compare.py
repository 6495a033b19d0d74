"""Has a change made anything slower? `make bench-compare BASE=<revision>`, or `python -m bench.compare BASE`.

Runs a bench on the code of BASE and on the files as they are now, in turns (A B B A ...), and prints each figure of
both with the change as a ratio, and how far the rounds are apart. The machine's slow spells hit both sides; trust no
change that is smaller than the spread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
BENCHES = {
    "conversations": ["bench.conversations", "--live", "10"],
    "calls": ["bench", "--callbacks", "20", "--pairs", "1"],
}
"""By name: the module and its arguments. Each writes its figures with `--json`."""


def main() -> int:
    """Measure and print; 1 when a bench fails."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("base", help="the revision to compare with, for example main or HEAD~5")
    parser.add_argument("--bench", choices=BENCHES, default="conversations", help="what to measure")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each side (3)")
    options = parser.parse_args()
    found: dict[str, defaultdict[str, list[float]]] = {"base": defaultdict(list), "now": defaultdict(list)}
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache", prefix="bench-base-") as folder:
        base = Path(folder) / "base"
        _git("worktree", "add", "--detach", str(base), options.base)
        try:
            for number in range(options.rounds):
                sides = [("base", base), ("now", ROOT)]
                for name, tree in sides if number % 2 == 0 else reversed(sides):
                    for figure, value in _run(tree, BENCHES[options.bench], Path(folder)).items():
                        found[name][figure].append(value)
        finally:
            _git("worktree", "remove", "--force", str(base))
    print(f"{'':<44}{options.base[:12]:>12}{'now':>12}{'ratio':>8}{'spread':>8}")
    for figure, before in found["base"].items():
        after = found["now"].get(figure)
        if after and median(before):
            ratio, spread = (
                median(after) / median(before),
                max(max(s) / min(s) for s in (before, after) if min(s)),
            )
            print(f"{figure:<44}{median(before):>12.2f}{median(after):>12.2f}{ratio:>8.2f}{spread:>8.2f}")
    return 0


def _run(tree: Path, command: list[str], folder: Path) -> dict[str, float]:
    """The figures of one run of the code in `tree`, by name."""
    figures = folder / "figures.json"
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, "-m", *command, "--json", str(figures)],
        cwd=tree,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        sys.exit(f"the bench failed in {tree}: it may not know `{' '.join(command)}`")
    read = json.loads(figures.read_text())
    if "levels" in read:
        return {
            f"{key}, {level['live']} live": value for level in read["levels"] for key, value in level.items()
        }
    return {row["figure"]: row["ratio"] or row["service"] for row in read["figures"]}


def _git(*words: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *words], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
