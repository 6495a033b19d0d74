"""`python -m bench.commands`: what one ARI command takes of its client's processor time, next to other clients.

On the real Asterisk, with nothing else going on there, each client in turn makes and destroys bridges, in a process
of its own (`bench.ari_clients`): ours, `requests`, the clients `ari-client` and `asyncari` of PyPI, and a bare kept
socket. The turns go round, so that a slow spell of the machine hits all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.report import Row, machine, show_rows, write_json
from bench.rig import ROOT
from bench.work import CACHE, work_folder
from stasis_callback import logs
from stasis_callback.testing.asterisk import AsteriskUnavailable
from stasis_callback.testing.pstn import RealNetwork

SCRIPT = Path(__file__).with_name("ari_clients.py")
PLACE = "ari-clients"
OTHERS = {"ari-client": "0.9.0", "asyncari": "0.20.6"}
CLIENTS = ("ours", "bare socket", "requests", *OTHERS)


def cpu_us(client: str, network: RealNetwork, count: int) -> float:
    """Microseconds of processor time of one command, user and system, in a new process."""
    python = str(CACHE / PLACE / "bin" / "python") if client in OTHERS else sys.executable
    command = [python, str(SCRIPT), client, network.ari_url, str(count)]
    account = f"{network.ari_username} {network.ari_password}"
    done = subprocess.run(command, input=account, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{client}: {done.stderr[-2000:]}")
    return float(json.loads(done.stdout))


def rows_of(rounds: Sequence[dict[str, float]]) -> list[Row]:
    """Ours next to each of the others; `ratio` is the median of the rounds' own."""
    ours = [found["ours"] for found in rounds]
    rows = []
    for other in CLIENTS[1:]:
        theirs = [found[other] for found in rounds]
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        name = f"CPU of one ARI command, next to {other} {OTHERS.get(other, '')}".strip()
        medians = statistics.median(ours), statistics.median(theirs)
        rows.append(Row(name, "us", *medians, statistics.median(ratios), ratios))
    return rows


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.commands", description=__doc__)
    parser.add_argument(
        "--bridges", type=int, default=500, help="made and destroyed by a client in a turn (500)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each client (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    logs.silence()
    wanted = [f"{name}=={version}" for name, version in OTHERS.items()]
    subprocess.run([ROOT / "tools" / "get-in-its-own-place", PLACE, *wanted], check=True)
    with work_folder("commands") as folder:
        network = RealNetwork(folder)
        try:
            network.start()
            facts = machine(network.product.cli("core show version").split(" built")[0].strip(), folder)
            rounds = [
                {client: cpu_us(client, network, options.bridges) for client in CLIENTS[:: (-1) ** n]}
                for n in range(options.rounds)
            ]
        except AsteriskUnavailable as why:
            print(why, file=sys.stderr)
            return 1
        finally:
            network.stop()
    rows = rows_of(rounds)
    show_rows(rows)
    if options.json:
        write_json(options.json, facts, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
