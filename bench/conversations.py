"""What a live conversation costs the service: `python -m bench.conversations [--live 10 100 400] [--json FILE]`.

The service is a process of its own; Asterisk is the simulated one, in this process, so that thousands of
conversations fit on one machine and the telephony costs the service nothing. For each number of live conversations:

- memory: resident set of the service, and its growth per live call since it had none;
- at rest: processor time per second while all of them only talk;
- per callback: processor time of further callbacks made meanwhile, without what the live ones take: what they took
  just before and after each few callbacks;
- event to command: from an answer of leg A, as the simulated Asterisk sent it, to the service's next command for it.

The row with the fewest conversations is the floor of the others: flat is 1.0. Funds are held for the whole talk at
once: to hold the next slice takes more than all else at rest, and comes in waves that hide what is measured.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median

from bench.report import machine, rank
from bench.rig import ACCESS, TALK_LIMIT_S, Usage, open_business, service
from bench.work import CACHE, work_folder
from stasis_callback.clock import Clock
from stasis_callback.store.stores import open_stores
from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork

WARM_UP = 20
"""Callbacks that are made before anything is measured."""
BEGUN_PER_S, MEASURED_PER_S = 15.0, 2.0
REST_S = 12.0
BLOCK = 20
"""This many callbacks are made between two rests."""
COLUMNS = ("live", "MiB", "KiB each", "rest ms/s", "callback ms", "event ms", "p99 ms")


@dataclass(frozen=True)
class Level:
    """The figures with this number of live conversations."""

    live: int
    rss_mib: float
    per_live_kib: float
    at_rest_ms_per_s: float
    per_callback_ms: float
    event_to_command_ms: float
    event_to_command_p99_ms: float


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.conversations", description=__doc__)
    parser.add_argument("--live", type=int, nargs="+", default=[10, 100, 400], help="live conversations")
    parser.add_argument(
        "--callbacks", type=int, default=100, help="how many are measured while the others talk (100)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    gc.disable()  # looking through the simulated Asterisk takes 0.3 s at times, which would count as the service's
    with work_folder("conversations") as folder:
        levels = _measure(sorted(options.live), options.callbacks, folder)
    if options.json:
        figures = {"machine": machine("simulated", CACHE), "levels": [asdict(level) for level in levels]}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def _measure(counts: Sequence[int], extra: int, folder: Path) -> list[Level]:
    with FakeAsterisk(speed=2) as asterisk:
        network = FakeNetwork(asterisk)
        url = f"sqlite:///{folder}/callback.db"
        stores = open_stores(url, "bench", Clock())
        open_business(stores, [subscriber(n) for n in range(counts[-1] + WARM_UP + extra * len(counts))])
        stores.access_numbers.change(ACCESS["service"], {"hold_slice_s": str(TALK_LIMIT_S)})
        stores.database.close()
        with service(network, url, folder) as process:
            pid = process.pid
            bench = Bench(asterisk, network, pid)
            bench.callbacks(WARM_UP, stay=False)  # what is loaded once is of no level
            bench.forget()
            empty_mib = Usage.of(pid).rss_mib
            print("".join(f"{name:>12}" for name in COLUMNS))
            return [bench.level(count, extra, empty_mib) for count in counts]


class Bench:
    """Makes callbacks over a service whose process is watched."""

    def __init__(self, asterisk: FakeAsterisk, network: FakeNetwork, pid: int) -> None:
        self._asterisk, self._network, self._pid = asterisk, network, pid
        self._used = self._live = 0

    def level(self, count: int, extra: int, empty_mib: float) -> Level:
        """Bring it to `count` live conversations, and measure `extra` callbacks beside them."""
        self.callbacks(count - self._live, stay=True)
        self._live = count
        rss_mib = Usage.of(self._pid).rss_mib
        self.forget()
        at_rest, spent_s = [self.rest()], 0.0
        for made in range(0, extra, BLOCK):
            before = Usage.of(self._pid)
            took_s = self.callbacks(min(BLOCK, extra - made), stay=False)
            after = Usage.of(self._pid)
            at_rest.append(self.rest())
            spent_s += after.cpu_s - before.cpu_s - mean(at_rest[-2:]) * took_s
        delays = self.delays_ms()
        level = Level(
            live=count,
            rss_mib=rss_mib,
            per_live_kib=(rss_mib - empty_mib) * 1024 / count,
            at_rest_ms_per_s=mean(at_rest) * 1000,
            per_callback_ms=spent_s / extra * 1000,
            event_to_command_ms=median(delays),
            event_to_command_p99_ms=rank(delays, 0.99),
        )
        figures = list(asdict(level).values())
        print(f"{count:>12}" + "".join(f"{figure:>12.1f}" for figure in figures[1:]), flush=True)
        return level

    def rest(self) -> float:
        """Processor seconds per second while nobody calls."""
        before = Usage.of(self._pid)
        time.sleep(REST_S)
        return (Usage.of(self._pid).cpu_s - before.cpu_s) / REST_S

    def callbacks(self, count: int, *, stay: bool) -> float:
        """Make callbacks of accounts that had none; with `stay` they go on talking. How long it took, in seconds."""
        began_s = time.monotonic()
        pairs = [(subscriber(n), friend_of(n)) for n in range(self._used, self._used + count)]
        self._used += count
        for place, (number, friend) in enumerate(pairs):
            due_s = began_s + place / (BEGUN_PER_S if stay else MEASURED_PER_S)
            time.sleep(max(due_s - time.monotonic(), 0))
            self._network.phone(number).answers().dials(f"{friend}#")
            phone = self._network.phone(friend).answers()
            if not stay:
                phone.hangs_up(after_s=2)
            self._network.missed_call(ani=number, dnis=ACCESS["service"])
        for number, friend in pairs:
            self._network.phone(friend).wait_for("answered" if stay else "ended", timeout_s=60)
            if not stay:
                self._network.phone(number).hang_up()
        return time.monotonic() - began_s

    def forget(self) -> None:
        """Forget what happened so far."""
        self._asterisk.journal.clear()

    def delays_ms(self) -> list[float]:
        """From each answer of a leg A to the next command for it, the shortest first."""
        answered: dict[str, int] = {}
        delays = []
        for entry in list(self._asterisk.journal):
            if entry.kind == "event" and entry.name == "StasisStart":
                channel = str(entry.detail["channel"]["id"])
                if channel.partition("-")[2].startswith("a"):
                    answered[channel] = entry.at_us
            elif entry.kind == "request":
                channel = entry.name.split("/")[2] if entry.name.count("/") > 1 else ""
                if channel in answered:
                    delays.append((entry.at_us - answered.pop(channel)) / 1000)
        return sorted(delays)


def subscriber(n: int) -> str:
    """The number of a subscriber."""
    return f"42077{n:07d}"


def friend_of(n: int) -> str:
    return f"44207{n:07d}"


if __name__ == "__main__":
    sys.exit(main())
