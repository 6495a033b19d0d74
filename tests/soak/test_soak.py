"""Callbacks one after the other for a long time: the service is as large at the end as at the beginning.

    make soak CALLS=2000

Real calls between two Asterisks, with people who behave at random. What the service uses is looked at every second,
and a line is laid through what was seen after a warm-up: its slope says what a thousand calls leave behind.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from crowd import QUICK, Crowd, Pair
from fault_rig import Site, new_site

from stasis_callback.clock import Clock, wait_until
from stasis_callback.core.rating import Rate
from stasis_callback.core.states import LIVE
from stasis_callback.testing.pstn import RealNetwork

pytestmark = [pytest.mark.real, pytest.mark.timeout(0)]

AT_ONCE = 10
WARM_UP = 0.3
"""The share of the calls after which the service has all it keeps: pools, caches, compiled patterns."""
FLAT_FROM_CALLS = 400
"""Fewer calls say nothing about a slope."""
LEFT_BY_A_THOUSAND = {"rss_mib": 4.0, "threads": 2.0, "descriptors": 2.0, "channels": 2.0, "bridges": 2.0}
"""What a thousand calls may seem to leave behind: the noise of the measurement, not more."""


@pytest.fixture
def calls(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("calls"))


@dataclass
class Gauge:
    """Looks at the service and its Asterisk every second: how many calls were over, and what was in use."""

    site: Site
    over: list[Pair]
    seen: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Gauge:
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        with closing(self.site._ari()) as asterisk:
            while not self._over.wait(1):
                process = Path(f"/proc/{self.site.node.process.pid}")
                status = dict(
                    line.split(":\t", 1)
                    for line in (process / "status").read_text().splitlines()
                    if ":\t" in line
                )
                used = {
                    "rss_mib": int(status["VmRSS"].split()[0]) / 1024,
                    "threads": float(status["Threads"]),
                    "descriptors": float(len([*(process / "fd").iterdir()])),
                    "channels": float(len(asterisk.channels.list())),
                    "bridges": float(len(asterisk.bridges.list())),
                }
                self.seen.append((len(self.over), used))

    def left_by_a_thousand(self, name: str) -> float:
        """The slope of the line through what was seen after the warm-up."""
        last = self.seen[-1][0]
        points = [(calls, used[name]) for calls, used in self.seen if calls >= WARM_UP * last]
        if len({calls for calls, _ in points}) < 2:
            return 0.0
        return statistics.linear_regression(*zip(*points, strict=True)).slope * 1000

    def table(self) -> str:
        """What was seen, in words."""
        warm = [used for calls, used in self.seen if calls >= WARM_UP * self.seen[-1][0]]
        lines = [f"{'':12} {'from':>8} {'to':>8} {'per 1000 calls':>15}"]
        for name in LEFT_BY_A_THOUSAND:
            values = [used[name] for used in warm]
            lines.append(
                f"{name:12} {min(values):8.1f} {max(values):8.1f} {self.left_by_a_thousand(name):15.2f}"
            )
        return "\n".join(lines)


@pytest.fixture
def site(real_network: RealNetwork, tmp_path: Path) -> Iterator[Site]:
    with new_site(real_network, tmp_path) as made:
        yield made


def test_a_crowd_calls_for_a_long_time(site: Site, calls: int) -> None:
    site.sells(
        Rate("420", first_price_micros=60_000, next_price_micros=60_000),
        Rate("44", first_price_micros=120_000, next_price_micros=120_000),
    )
    site.access_number(**QUICK)
    crowd = Crowd(site, seed=8, count=AT_ONCE, funds="1000")
    # A few phones do what is done by thousands elsewhere.
    site.more_settings = (
        '[fraud]\nnumber_hour = 0\nnumber = "0"\naccount = "0"\ncaller = "0"\ndestination = "0"'
    )
    site.node.start()
    shares = [calls // AT_ONCE + (n < calls % AT_ONCE) for n in range(AT_ONCE)]
    over: list[Pair] = []

    def calls_again_and_again(pair: Pair, count: int) -> None:
        for _ in range(count):
            refusal = site.rings(ani=pair.number)
            assert (refusal.cause, refusal.answered) == (17, False)
            assert wait_until(lambda: not _calls(site, pair), timeout_s=120, every_s=0.2), pair
            crowd.script(pair)
            over.append(pair)

    clock = Clock()
    began_s = clock.monotonic_s()
    with Gauge(site, over) as gauge, ThreadPoolExecutor(AT_ONCE) as callers:
        list(callers.map(calls_again_and_again, crowd.pairs, shares))
    took_s = clock.monotonic_s() - began_s
    print(  # noqa: T201 - what `make soak` is for
        f"\n{calls} callbacks in {took_s:.0f} s, {AT_ONCE} at once\n{gauge.table()}"
    )
    site.clean()
    site.charged_as_lived(less_s=0.5 + calls * 0.01, more_s=0.5 + calls * 0.01)
    troubled = [line for line in site.node.events() if line.get("level") in ("error", "critical")]
    assert troubled == []
    if calls >= FLAT_FROM_CALLS:
        left = {name: gauge.left_by_a_thousand(name) for name in LEFT_BY_A_THOUSAND}
        assert {name: slope for name, slope in left.items() if slope > LEFT_BY_A_THOUSAND[name]} == {}


def _calls(site: Site, pair: Pair) -> bool:
    """Whether a callback of a subscriber is in progress."""
    newest = site.stores.requests.newest(limit=4 * AT_ONCE)
    return any(request.leg_a_number == pair.number and request.state in LIVE for request in newest)
