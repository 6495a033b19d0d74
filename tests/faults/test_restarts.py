"""The service is restarted, killed, cut off while calls come in and calls are up: none is lost, none pays twice."""

from __future__ import annotations

import math
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from fault_rig import Site, network_cut, new_site, pause
from world import ACCESS

from stasis_callback.clock import Clock, wait_until
from stasis_callback.core.rating import Rate
from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork
from stasis_callback.testing.phones import Rejection
from stasis_callback.testing.pstn import RealNetwork

RESTARTS = 30
ADOPTED_WITHIN_S = 5.0
"""On a machine that has nothing else to do; where others wait for its processors too, it takes longer by as much."""
EVERY_S = 0.5
WAITS_S = 7.5
"""A missed call waits a little longer than this for a service that is away (asterisk-conf/extensions.conf)."""


class Flow:
    """Missed calls, one after the other, each from another subscriber who answers the callback for a moment."""

    def __init__(self, site: Site, numbers: list[str]) -> None:
        self._site = site
        self._crowd = ThreadPoolExecutor(64)
        self._numbers = iter(numbers)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.refusals: dict[str, Future[Rejection]] = {}
        for number in numbers:
            site.account(number)
            site.phone(number).answers(after_s=0.1).hangs_up(after_s=0.3)

    def _run(self) -> None:
        for number in self._numbers:
            self.refusals[number] = self._crowd.submit(
                self._site.network.missed_call, ani=number, dnis=ACCESS, gives_up_after_s=30
            )
            if self._over.wait(EVERY_S):
                return

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> dict[str, Rejection]:
        """Make no more calls; the causes with which calls were refused."""
        self._over.set()
        self._thread.join()
        self._crowd.shutdown()
        return {number: refusal.result() for number, refusal in self.refusals.items()}


@pytest.mark.real
@pytest.mark.timeout(600)
def test_thirty_restarts_under_a_steady_flow_of_missed_calls(site: Site) -> None:
    site.sells(Rate("420", first_price_micros=60_000, next_price_micros=60_000))
    site.access_number(announce_balance="off")
    flow = Flow(site, [f"420777{n:06d}" for n in range(600)])
    dice, clock, gone_before_s, longest_away_s = random.Random(26), Clock(), math.inf, 0.0
    site.node.start()
    flow.start()
    for n in range(RESTARTS):
        pause(dice.uniform(0.2, 1.0))
        gone_s = clock.monotonic_s()
        if n % 2:
            site.node.kill()
        else:
            assert site.node.stop() == 0
        site.node.start()
        # Over two restarts: who looks four times a second does not see that it was there for less between them.
        longest_away_s = max(longest_away_s, clock.monotonic_s() - gone_before_s)
        gone_before_s = gone_s
    refusals = flow.stop()
    assert len(refusals) >= RESTARTS
    accepted = {number for number, refusal in refusals.items() if refusal.sip_status == 486}
    lost = {number: refusal for number, refusal in refusals.items() if number not in accepted}
    if longest_away_s > WAITS_S:  # a starved machine: who waits longer than that hears congestion, and knows
        lost = {number: refusal for number, refusal in lost.items() if refusal.sip_status != 503}
    assert lost == {}
    site.finished(len(accepted), timeout_s=60)
    calls = {number: len(site.phone(number).calls) for number in refusals}
    assert {n: count for n, count in calls.items() if count != (n in accepted)} == {}
    site.charged_as_lived(less_s=1.0)
    site.clean()


@pytest.mark.real
def test_missed_calls_that_hang_behind_a_half_open_connection_are_called_back(
    site: Site, real_network: RealNetwork
) -> None:
    """Asterisk believes the service to be there and hands it calls, of which nothing arrives."""
    site.sells(Rate("420"))
    site.access_number(announce_balance="off")
    flow = Flow(site, [f"420778{n:06d}" for n in range(4)])
    site.node.start()
    with network_cut(real_network.product.http_port):
        flow.start()
        wait_until(lambda: len(flow.refusals) == 4, timeout_s=20)
        site.node.logged("asterisk.lost", timeout_s=20)
    site.node.logged("asterisk.connected", 2, timeout_s=30)
    refusals = flow.stop()
    assert {refusal.sip_status for refusal in refusals.values()} == {486}
    site.finished(4)
    assert {len(site.phone(number).calls) for number in refusals} == {1}
    site.clean()


# --- calls that are up --------------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.parametrize("killed", [True, False], ids=["kill -9", "SIGTERM"])
def test_thirty_live_calls_are_adopted_and_none_is_cut_or_charged_twice(site: Site, killed: bool) -> None:
    _restart_with_talks(site, 30, killed=killed)


@pytest.fixture
def fake_site(tmp_path: Path) -> Iterator[Site]:
    with FakeAsterisk(speed=20) as fake, new_site(FakeNetwork(fake), tmp_path) as made:
        yield made


@pytest.mark.sqlite
@pytest.mark.timeout(240)
def test_two_hundred_live_calls_are_adopted(fake_site: Site) -> None:
    _restart_with_talks(fake_site, 200, killed=True)


def _restart_with_talks(site: Site, count: int, *, killed: bool) -> None:
    """Restart the service during talks, while more calls come in."""
    site.sells(Rate("420", first_price_micros=60_000, next_price_micros=60_000), Rate("44"))
    site.access_number(announce_balance="off")
    subscribers = [f"420776{n:06d}" for n in range(count)]
    flow = Flow(site, [f"420775{n:06d}" for n in range(6)])
    site.node.start()
    for n, number in enumerate(subscribers):
        site.account(number)
        site.phone(number).answers()
        site.phone(f"442079460{n:03d}").answers()
        assert not site.asks(number, f"442079460{n:03d}", account=number).reason
        _until_up(site, 2 * (n - 8))  # they begin one after the other, as calls do
    _until_up(site, 2 * count)
    flow.start()
    if killed:
        site.node.kill()
    else:
        assert site.node.stop() == 0
    site.node.start()
    adopted = site.node.logged("call.recovered", count)
    talks = [call for call in adopted if len(call["live"]) == 2]
    assert len(talks) == count
    took_s = _seconds_between(site.node.events("asterisk.connected")[0], talks[-1])
    assert took_s < ADOPTED_WITHIN_S * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    refusals = flow.stop()
    assert {refusal.sip_status for refusal in refusals.values()} == {486}
    cut = [number for number in subscribers if site.phone(number).calls[0].state == "ended"]
    assert cut == []
    with ThreadPoolExecutor(20) as crowd:
        list(crowd.map(lambda number: site.phone(number).hang_up(), subscribers))
    site.finished(count + len(refusals), timeout_s=90)
    site.charged_as_lived()
    site.clean()
    assert len(site.xdr_list()) == 2 * count + len(refusals)


def _until_up(site: Site, legs: int) -> None:
    def up() -> int:
        noted = sum(leg.answered_at_us is not None for leg in site.stores.calls.open_legs())
        # A starved machine may not note one within a second: it is up all the same, and the journal knows it.
        return noted + len(site.node.events("answer.not_noted"))

    reached = wait_until(lambda: up() >= legs, timeout_s=60, every_s=0.2)
    assert reached, (up(), legs, Counter(line["event"] for line in site.node.events()))


def _seconds_between(first: dict[str, str], last: dict[str, str]) -> float:
    moments = [datetime.fromisoformat(event["timestamp"]) for event in (first, last)]
    return (moments[1] - moments[0]).total_seconds()
