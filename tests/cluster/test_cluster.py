"""Three nodes behind a front, callbacks under way, and one thing after another goes wrong with the nodes.

pytest -s -m nightly tests/cluster --callbacks 300
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster import Cluster, ClusterNode
from front import FrontUnavailable
from world import ACCESS

from stasis_callback.clock import US_PER_S, Clock, wait_until
from stasis_callback.core.rating import Rate
from stasis_callback.store.audit import verify
from stasis_callback.testing.asterisk import AsteriskUnavailable
from stasis_callback.testing.networks import HUB, NetworkUnavailable, switch
from stasis_callback.testing.phones import BUSY, PhoneCall
from stasis_callback.testing.postgres import PostgresUnavailable, postgres_server

pytestmark = [pytest.mark.nightly, pytest.mark.real, pytest.mark.timeout(0)]

EVERY_S, SLOWEST_S = 0.8, 3.0
"""How often somebody calls: so many callbacks two idle cores carry, with the phones, four Asterisks and six
processes; and how often where they are not idle.
"""
LATE_S = 0.02
"""How late a thread may get a processor before the next one calls later: an Asterisk that is late by more than a
third of a second hears a digit twice.
"""
APART_S = 1.0
"""How far what a phone measures and what its node measures may be apart: on a busy machine one hears of it later."""
TALK_S = 8.0
KEYS_AGAIN_S = 12.0
"""After so many seconds without their friend people key the number again: it was not understood."""
AWAY_S = 6.0
"""How long an Asterisk stays away: longer than the front needs to see it."""
PATIENCE = 8
"""How often a person calls again whose call was not taken."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        try:
            stack.enter_context(switch())
            server = stack.enter_context(postgres_server(address=HUB))
            made = Cluster(tmp_path, server.create("callback"))
            stack.callback(made.close)
            made.stores.database.migrate()
            made.start()
        except (AsteriskUnavailable, NetworkUnavailable, PostgresUnavailable, FrontUnavailable) as why:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(why))
        yield made


@dataclass
class Person:
    """Somebody who calls until the call is taken, talks with a friend, and hangs up."""

    number: str
    friend: str
    taken: int = 0
    tries: int = 0
    keyed: int = 1
    statuses: tuple[int | None, ...] = ()

    def calls(self, cluster: Cluster) -> None:
        """Call the access number until it is refused as busy, which says: you are called back."""
        pauses = Clock().inbox()
        while not self.taken and self.tries < PATIENCE:
            self.tries += 1
            answer = cluster.network.missed_call(ani=self.number, dnis=ACCESS, gives_up_after_s=25)
            assert not answer.answered
            self.statuses += (answer.sip_status,)
            self.taken = int(answer.cause == BUSY)
            if not self.taken:
                pauses.get(1.0)
        phone, friend = cluster.phone(self.number), cluster.phone(self.friend)
        for _ in range(3):
            pauses.get(KEYS_AGAIN_S)
            if friend.calls:
                break
            if phone.calls and phone.calls[-1].state == "answered":
                self.keyed += 1
                phone.dial(f"{self.friend}#")


@dataclass
class Pace:
    """How often people call: as the machine can bear it, by how long a thread waits for a processor on it."""

    every_s: float = EVERY_S
    slowest_s: float = EVERY_S

    def next(self, clock: Clock) -> None:
        """Wait until the next one may call."""
        due_s = clock.monotonic_s() + self.every_s
        clock.inbox().get(self.every_s)
        is_late = clock.monotonic_s() - due_s > LATE_S
        self.every_s = min(self.every_s * 1.25, SLOWEST_S) if is_late else max(self.every_s * 0.95, EVERY_S)
        self.slowest_s = max(self.slowest_s, self.every_s)


def people(cluster: Cluster, count: int) -> list[Person]:
    """So many, with accounts and phones."""
    made = [Person(f"420777{n:06d}", f"4420794{n:05d}") for n in range(count)]
    for person in made:
        cluster.account(person.number)
        cluster.phone(person.number).answers().dials(f"{person.friend}#").hangs_up(after_s=TALK_S + 45)
        cluster.phone(person.friend).answers().hangs_up(after_s=TALK_S)
    return made


def lived_us(call: PhoneCall) -> int:
    """How long a phone was off the hook."""
    return 0 if call.answered_at_us is None else max((call.ended_at_us or 0) - call.answered_at_us, 0)


def service_dies(cluster: Cluster, node: ClusterNode) -> None:
    """Its Asterisk goes on, and what forwards the journal: others charge its calls exactly, once they have ended."""
    node.kill()
    assert wait_until(lambda: not cluster.under_way(node), timeout_s=90), cluster.under_way(node)
    node.start()


def asterisk_dies(cluster: Cluster, node: ClusterNode) -> None:
    """The service stays; when Asterisk is there again it charges what it knows of the calls."""
    left = {callback.id for callback in cluster.under_way(node)}
    node.asterisk.kill()
    Clock().inbox().get(AWAY_S)
    node.start_asterisk()

    def are_over() -> bool:
        return not left & {callback.id for callback in cluster.under_way(node)}

    assert wait_until(are_over, timeout_s=90), cluster.under_way(node)


def cable_is_pulled(cluster: Cluster, node: ClusterNode) -> None:
    """Neither the database nor the telephone network is there any more; the node's own processes all live."""
    node.machine.cut()
    assert wait_until(lambda: not cluster.under_way(node), timeout_s=90), cluster.under_way(node)
    node.machine.mend()


def test_callbacks_go_on_while_one_node_after_another_fails(
    cluster: Cluster, request: pytest.FixtureRequest
) -> None:
    count = int(request.config.getoption("callbacks"))
    cluster.sells(
        Rate("420", first_price_micros=60_000, next_price_micros=60_000),
        Rate("44", first_price_micros=120_000, next_price_micros=120_000),
    )
    cluster.access_number(announce_balance="off", announce_duration="off")
    everybody = people(cluster, count)
    faults = (service_dies, asterisk_dies, cable_is_pulled)
    at = {
        count * share // 10: (fault, node)
        for share, fault, node in zip((2, 5, 8), faults, cluster.nodes, strict=True)
    }
    clock, pace = Clock(), Pace()
    began_s = clock.monotonic_s()
    # An Asterisk ends with the thread that started it: the breaker stays until all is over.
    with ThreadPoolExecutor(count) as crowd, ThreadPoolExecutor(1) as breaker:
        calling, broken = [], []
        for n, person in enumerate(everybody):
            if n in at:
                fault, node = at[n]
                broken.append(breaker.submit(hurt, cluster, fault, node))
            calling.append(crowd.submit(person.calls, cluster))
            pace.next(clock)
        called_s = clock.monotonic_s() - began_s
        for one in (*calling, *broken):
            one.result()
        assert wait_until(lambda: not cluster.open_requests(), timeout_s=120), cluster.open_requests()
        assert wait_until(lambda: not any_phone_up(cluster), timeout_s=120)
    say(cluster, everybody)
    print(f"a call every {called_s / count:.1f} s, at times {pace.slowest_s:.1f} s")  # noqa: T201
    nothing_lost(cluster, everybody)
    charged_once(cluster, everybody)


def hurt(cluster: Cluster, fault: object, node: ClusterNode) -> None:
    """Something goes wrong with a node, until it is right again."""
    cluster.hurts(node)
    assert callable(fault)
    fault(cluster, node)
    assert wait_until(lambda: cluster.stores.nodes.lives(node.name), timeout_s=60)
    cluster.heals(node)


def any_phone_up(cluster: Cluster) -> bool:
    return any(call.state != "ended" for phone in cluster.network.phones.values() for call in phone.calls)


def nothing_lost(cluster: Cluster, everybody: list[Person]) -> None:
    """Who was told to be called back was, once; what no fault has touched went as always."""
    assert [person for person in everybody if not person.taken] == []
    by_number = {}
    for request in cluster.requests():
        if request.state != "refused":
            assert request.leg_a_number not in by_number, "two callbacks of one person"
            by_number[request.leg_a_number] = request
    assert set(by_number) == {person.number for person in everybody}
    for person in everybody:
        callback = by_number[person.number]
        rung = [len(cluster.phone(number).calls) for number in (person.number, person.friend)]
        assert max(rung) <= 1, (rung, callback)
        if not cluster.was_touched(callback):
            assert (callback.outcome, rung) == ("completed", [1, 1]), callback


def charged_once(cluster: Cluster, everybody: list[Person]) -> None:
    """Each leg that was answered is charged once: as it lived, or less where nobody could know its end."""
    assert cluster.stores.calls.open_legs() == []
    assert verify(cluster.stores.database, cluster.stores.tariffs, whole=True) == []
    xdrs = cluster.stores.calls.xdrs(limit=50_000)
    touched = {r.id for r in cluster.requests() if cluster.was_touched(r)}
    for person in everybody:
        account = cluster.stores.accounts.named(person.number)
        own = [xdr for xdr in xdrs if xdr.account == person.number]
        charged = sum(xdr.amount_micros - xdr.overrun_micros for xdr in own)
        assert (account.held_micros, account.balance_micros) == (0, 10_000_000 - charged)
        for number in (person.number, person.friend):
            of_number = [xdr for xdr in own if xdr.number == number and xdr.answered_at_us]
            calls = [call for call in cluster.phone(number).calls if call.answered_at_us]
            assert len(of_number) <= 1
            lived_s = sum(map(lived_us, calls)) / US_PER_S
            charged_s = sum(xdr.duration_us for xdr in of_number) / US_PER_S
            source = of_number[0].source if of_number else "none"
            assert charged_s <= lived_s + APART_S, (number, source, charged_s, lived_s)
            exact = source in ("events", "cel") or not any(xdr.request_id in touched for xdr in own)
            assert not exact or charged_s >= lived_s - APART_S or not calls, (
                number,
                source,
                charged_s,
                lived_s,
            )


def say(cluster: Cluster, everybody: list[Person]) -> None:
    """The figures of the run."""
    requests = cluster.requests()
    xdrs = cluster.stores.calls.xdrs(limit=50_000)
    taken = [event for node in cluster.nodes for event in node.events("node.taken_over")]
    figures = {
        "people": len(everybody),
        "their calls, by answer": Counter(status for person in everybody for status in person.statuses),
        "callbacks": Counter(f"{request.outcome} on {request.claimed_by}" for request in requests),
        "keyed again": sum(person.keyed > 1 for person in everybody),
        "touched by a fault": sum(map(cluster.was_touched, requests)),
        "taken over by others": sum(len(event["calls"]) for event in taken),
        "call records": Counter(f"{xdr.outcome}, {xdr.source}" for xdr in xdrs),
    }
    for name, figure in figures.items():
        shown = dict(figure) if isinstance(figure, Counter) else figure
        print(f"{name}: {shown}")  # noqa: T201 - what a run by hand is for
