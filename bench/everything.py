"""`make bench`, or `python -m bench.everything [--quick]`: every bench, one table, `bench/results.json` and a page.

Each bench is a process of its own, one after another, so that none measures what another has left.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.results import Figure, read, table, write
from bench.work import work_folder

ROOT = Path(__file__).resolve().parents[1]
BENCHES = {
    # by name: the module and its arguments, and those of --quick
    "calls": (["bench"], ["bench", "--quick"]),
    "commands": (["bench.commands"], ["bench.commands", "--bridges", "50", "--rounds", "2"]),
    "money": (["bench.money"], ["bench.money", "--legs", "50", "--pairs", "2"]),
    "rates": (
        ["bench.rates"],
        ["bench.rates", "--sizes", "1000", "10000", "--rates", "10000", "--rounds", "2", "--lines", "1000"],
    ),
    "posts": (["bench.posts"], ["bench.posts", "--posts", "20", "--pairs", "2"]),
    "sustained": (["bench.sustained"], ["bench.sustained", "--rates", "1", "2", "--seconds", "3"]),
    "console": (
        ["bench.console"],
        ["bench.console", "--accounts", "1000", "--xdrs", "10000", "--turns", "1"],
    ),
    "conversations": (
        ["bench.conversations", "--live", "10", "100", "400", "2000"],
        ["bench.conversations", "--live", "2", "5", "--callbacks", "10"],
    ),
    "nodes": (["bench.nodes"], ["bench.nodes", "--nodes", "1", "2", "--callbacks", "3"]),
}
COUNTS = ["-m", "pytest", "-q", "-s", "tests/calls/test_budget.py"]
_COUNTED = re.compile(
    r"^(?P<trigger>\S.*?)\s+(?P<statements>\d+) statements\s+(?P<commits>\d+) commits\s+(?P<commands>\d+) commands",
    re.M,
)


def main() -> int:
    """Measure everything, print and write it; 1 when a bench failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.everything", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few of each: is it working?")
    parser.add_argument("--only", nargs="+", choices=[*BENCHES, "counts"], help="some of them")
    parser.add_argument("--into", type=Path, default=ROOT / "bench", help="where to write (bench/)")
    options = parser.parse_args()
    machine: dict[str, Any] = {}
    figures: list[Figure] = []
    failed: list[str] = []
    with work_folder("all") as folder:
        for name in options.only or [*BENCHES, "counts"]:
            print(f"--- {name}", flush=True)
            found = _counts() if name == "counts" else _bench(name, options.quick, Path(folder))
            if found is None:
                failed.append(name)
                continue
            machine = found[0] | machine
            figures += found[1]
    print(f"\n{table(figures)}")
    write(options.into, machine, figures)
    print(f"\nwritten: {options.into / 'results.json'}, {options.into / 'results.html'}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _bench(name: str, quick: bool, folder: Path) -> tuple[dict[str, Any], list[Figure]] | None:
    """Run one; None when it failed."""
    path = folder / f"{name}.json"
    command = [sys.executable, "-m", *BENCHES[name][quick], "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, check=False)
    return None if done.returncode else read(name, path)


def _counts() -> tuple[dict[str, Any], list[Figure]] | None:
    """Statements, commits and commands of one callback of each trigger, as the test of the budget counts them."""
    done = subprocess.run([sys.executable, *COUNTS], cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout)
        return None
    return {}, [
        Figure("counts", f"{match['trigger']}, {what}", "", float(match[what]))
        for match in _COUNTED.finditer(done.stdout)
        for what in ("statements", "commits", "commands")
    ]


if __name__ == "__main__":
    sys.exit(main())
