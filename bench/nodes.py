"""Several services on one PostgreSQL: `python -m bench.nodes [--nodes 1 2 3] [--callbacks 30] [--json FILE]`.

Each service has a simulated Asterisk of its own, all of them in this process, and gets one missed call a second. With
more services the callbacks a second grow as their number does, as long as there are cores. What a callback costs the
processor tells whether it could go on so: where one of three services costs what one of one does, nothing waits for
anything else. `of linear` is the cost with one service by that with so many, services and PostgreSQL together, and
`cores` how many processors both kept busy: how far that is from a full machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.report import Row, machine, write_json
from bench.rig import ACCESS, Usage, open_business, service
from bench.work import CACHE, work_folder
from stasis_callback.clock import Clock, wait_until
from stasis_callback.store.stores import open_stores
from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork
from stasis_callback.testing.phones import BUSY
from stasis_callback.testing.postgres import PostgresServer, PostgresUnavailable, postgres_server

WARM_UP = 5
"""Callbacks of each service that are not measured: what is loaded once."""
COLUMNS = ("services", "callbacks", "per s", "service ms", "PostgreSQL ms", "cores", "of linear")


@dataclass(frozen=True)
class Level:
    """The figures with this number of services; processor time is per callback, in milliseconds."""

    services: int
    callbacks: int
    per_s: float
    service_ms: float
    postgresql_ms: float
    cores: float
    of_linear: float


def main() -> int:
    """Measure and print; 1 when there is no PostgreSQL."""
    parser = argparse.ArgumentParser(prog="python -m bench.nodes", description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 3], help="services (1 2 3)")
    parser.add_argument("--callbacks", type=int, default=30, help="callbacks of each service (30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    try:
        with work_folder("nodes") as folder, postgres_server(durable=True) as server:
            levels = _levels(server, folder, sorted(options.nodes), options.callbacks)
    except PostgresUnavailable as why:
        print(why, file=sys.stderr)
        return 1
    if options.json:
        costs = [(level, level.service_ms + level.postgresql_ms) for level in levels]
        rows = [
            Row(f"CPU per callback, {level.services} services", "ms", cost, costs[0][1], cost / costs[0][1])
            for level, cost in costs
        ]
        write_json(options.json, machine("simulated", CACHE), rows)
    return 0


def _levels(server: PostgresServer, folder: Path, counts: Sequence[int], callbacks: int) -> list[Level]:
    print("".join(f"{name:>15}" for name in COLUMNS))
    levels: list[Level] = []
    for count in counts:
        measured = _measure(server, folder / str(count), count, callbacks)
        first_ms = sum(measured[1:]) if not levels else levels[0].service_ms + levels[0].postgresql_ms
        cores = measured[0] * sum(measured[1:]) / 1000
        level = Level(count, count * callbacks, *measured, cores, of_linear=first_ms / sum(measured[1:]))
        figures = list(asdict(level).values())
        print(f"{figures[0]:>15}{figures[1]:>15}" + "".join(f"{x:>15.2f}" for x in figures[2:]), flush=True)
        levels.append(level)
    return levels


def _measure(server: PostgresServer, folder: Path, count: int, callbacks: int) -> tuple[float, float, float]:
    """Callbacks a second, and the processor time of one, of the services and of PostgreSQL, in milliseconds."""
    folder.mkdir()
    url = server.create(f"nodes_{count}")
    stores = open_stores(url, "bench", Clock())
    open_business(stores, [_number(n) for n in range(count * (WARM_UP + callbacks))])
    stores.database.close()
    with ExitStack() as running:
        networks, pids = [], []
        for n in range(count):
            networks.append(FakeNetwork(running.enter_context(FakeAsterisk(speed=2))))
            own = folder / f"n{n}"
            own.mkdir()
            context = service(networks[n], url, own, STASIS_CALLBACK_NODE=f"n{n}")
            pids.append(running.enter_context(context).pid)
        _calls(networks, 0, WARM_UP)
        before_s, database_s = sum(Usage.of(pid).cpu_s for pid in pids), _cpu_of(server)
        took_s = _calls(networks, WARM_UP * count, callbacks)
        used_s = sum(Usage.of(pid).cpu_s for pid in pids) - before_s
        database_s = _cpu_of(server) - database_s
    all_of_them = count * callbacks
    return all_of_them / took_s, used_s / all_of_them * 1000, database_s / all_of_them * 1000


def _calls(networks: Sequence[FakeNetwork], first: int, callbacks: int) -> float:
    """A missed call a second to each service, from accounts that had none, each to its end; how long it took."""
    began_s, called = time.monotonic(), []
    for n in range(callbacks):
        for place, network in enumerate(networks):
            # Not all of them in the same moment.
            due_s = began_s + n + place / len(networks)
            time.sleep(max(due_s - time.monotonic(), 0))
            who = first + n * len(networks) + place
            # Any node dials what another had no place for; so the phones are in all networks.
            for there in networks:
                there.phone(_number(who)).answers().dials(f"{_friend(who)}#").hangs_up(after_s=4)
                there.phone(_friend(who)).answers().hangs_up(after_s=1)
            answer = network.missed_call(ani=_number(who), dnis=ACCESS["service"])
            if answer.cause != BUSY:
                raise SystemExit(f"{_number(who)} was not taken: {answer}")
            called.append(_number(who))

    def over(number: str) -> bool:
        return any(call.state == "ended" for there in networks for call in there.phone(number).calls)

    for number in called:
        if not wait_until(lambda number=number: over(number), timeout_s=60, every_s=0.02):  # type: ignore[misc]
            raise SystemExit(f"the callback to {number} has not ended")
    return time.monotonic() - began_s


def _cpu_of(server: PostgresServer) -> float:
    """Processor time of the server's processes that live, in seconds: each connection has one."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return sum(Usage.of(int(pid)).cpu_s for pid in children)


def _number(n: int) -> str:
    return f"420777{n:06d}"


def _friend(n: int) -> str:
    return f"4420794{n:05d}"


if __name__ == "__main__":
    sys.exit(main())
