"""Nodes: one process has a name, the others see who lives, and a dead one's calls get one new owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from databases import server
from shop import NOON_US, Shop

from stasis_callback.clock import US_PER_S, wait_until
from stasis_callback.core.errors import InvalidInput, NodeAlive, NotOurs, StoreUnavailable
from stasis_callback.core.states import RequestState
from stasis_callback.core.words import Ending
from stasis_callback.store.calls.legs import Calls, Fare
from stasis_callback.store.calls.requests import Again, Requests
from stasis_callback.store.database.database import Database
from stasis_callback.store.database.name_locks import NameLock, SessionLock, name_lock, taken_names
from stasis_callback.store.node.nodes import Nodes


class OtherNode:
    """Another service on the shop's database."""

    def __init__(self, shop: Shop, name: str, asterisk: str = "", started_at: str = "morning") -> None:
        stores = shop.stores
        self.nodes = Nodes(stores.database, shop.clock, name)
        self.requests = Requests(stores.database, shop.clock, self.nodes.me)
        self.calls = Calls(
            stores.database, stores.ledger, stores.tariffs, stores.fraud, shop.clock, self.nodes.me
        )
        self._database = stores.database
        self._asterisk = asterisk, started_at

    def starts(self) -> OtherNode:
        self.nodes.enter()
        if self._asterisk[0]:
            self.nodes.meets(*self._asterisk)
        return self

    def dies(self) -> None:
        self.nodes._lock.release()
        self._gone()

    def leaves(self) -> None:
        self.nodes.leave()
        self._gone()

    def _gone(self) -> None:
        """Until the server has noticed that the connection is closed."""
        name, database = f"node-{self.nodes.me.name}", self._database
        assert wait_until(lambda: free(database, name), timeout_s=10)


@pytest.fixture
def node(shop: Shop) -> Iterator[Callable[..., OtherNode]]:
    made: list[OtherNode] = []

    def make(name: str, asterisk: str = "", started_at: str = "morning") -> OtherNode:
        made.append(OtherNode(shop, name, asterisk, started_at))
        return made[-1]

    yield make
    for one in made:
        one.nodes._lock.release()


def free(database: Database, name: str) -> bool:
    with database.reading():
        return not taken_names(database.url, [name])


def taken(shop: Shop, *names: str) -> set[str]:
    with shop.stores.database.reading():
        return taken_names(shop.url, names)


# --- the lock of a name ------------------------------------------------------------------------------------------


@pytest.fixture
def locks(shop: Shop) -> Iterator[Callable[[str, str], NameLock]]:
    made: list[NameLock] = []

    def make(name: str, owner: str) -> NameLock:
        made.append(name_lock(shop.url, name, owner))
        return made[-1]

    yield make
    for lock in made:
        lock.release()


def test_a_name_is_one_owners_until_it_is_given_back(
    shop: Shop, locks: Callable[[str, str], NameLock]
) -> None:
    first, second, elsewhere = locks("n", "first"), locks("n", "second"), locks("m", "first")
    assert taken(shop, "n", "m") == set()
    assert (first.take(), first.take(), second.take(), elsewhere.take()) == (True, True, False, True)
    assert (first.held(), second.held(), elsewhere.held()) == (True, False, True)
    assert taken(shop, "n", "m", "l") == {"n", "m"}
    second.release()  # of what one does not have
    first.release()
    assert (first.held(), wait_until(second.take, timeout_s=10), first.take()) == (False, True, False)
    assert taken(shop, "n") == {"n"}


def test_a_name_that_was_given_up_leaves_no_trace(shop: Shop, locks: Callable[[str, str], NameLock]) -> None:
    first, second = locks("n", "first"), locks("n", "second")
    assert first.take()
    first.forget()
    assert list(shop.file.parent.glob("*.n")) == []
    assert wait_until(lambda: not taken(shop, "n") and second.take(), timeout_s=10)
    first.forget()  # what one does not have stays
    assert (taken(shop, "n"), second.held()) == ({"n"}, True)


@pytest.mark.postgres
def test_who_gave_a_name_back_can_have_it_again_before_the_server_has_seen_that(
    locks: Callable[[str, str], NameLock],
) -> None:
    """PostgreSQL keeps the lock of a connection that was closed until the process that serves it has ended."""
    former, next_one = locks("n", "me"), locks("n", "me")
    assert former.take()
    assert isinstance(former, SessionLock)
    serves_it = former._connection.info.backend_pid
    os.kill(serves_it, signal.SIGSTOP)
    going_on = threading.Timer(0.3, os.kill, (serves_it, signal.SIGCONT))
    going_on.start()
    former.release()
    assert next_one.take()
    going_on.join()


def test_two_threads_of_one_process_do_not_have_a_name_at_once(locks: Callable[[str, str], NameLock]) -> None:
    first, second = locks("n", "me"), locks("n", "me")
    assert (first.take(), second.take(), first.held()) == (True, False, True)
    first.release()
    assert second.take()


@pytest.mark.sqlite
def test_a_lock_on_a_file_that_was_removed_is_no_lock(
    shop: Shop, locks: Callable[[str, str], NameLock]
) -> None:
    first, second = locks("n", "first"), locks("n", "second")
    assert first.take()
    Path(f"{shop.file}.n").unlink()
    assert (first.held(), second.take(), first.take()) == (False, True, False)


HOLDER = """
import sys
from stasis_callback.store.database.name_locks import name_lock
lock = name_lock(sys.argv[1], "n", "child")
print(lock.take(), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_dies_with_its_process(
    shop: Shop, locks: Callable[[str, str], NameLock], end: signal.Signals
) -> None:
    mine = locks("n", "parent")
    command = [sys.executable, "-c", HOLDER, shop.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "True\n"
        assert not mine.take()
        os.kill(child.pid, signal.SIGSTOP)  # frozen is not dead
        assert not mine.take()
        os.kill(child.pid, signal.SIGCONT)
        child.send_signal(end)
        child.wait()
    assert wait_until(mine.take, timeout_s=10)


@pytest.mark.postgres
def test_a_session_that_was_ended_is_noticed_and_made_anew(
    shop: Shop, locks: Callable[[str, str], NameLock]
) -> None:
    lock = locks("n", "me")
    assert lock.take()
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stasis-callback me'"
    )
    server().sql(end)
    assert wait_until(lambda: not lock.held(), timeout_s=10)
    assert lock.take()


@pytest.mark.postgres
def test_a_former_session_that_the_server_believes_in_is_ended(
    shop: Shop, locks: Callable[[str, str], NameLock]
) -> None:
    """A network that dropped the connection has told neither end."""
    now, other = locks("n", "me"), locks("n", "other")
    with psycopg.connect(shop.url, autocommit=True, application_name="stasis-callback me") as former:
        former.execute("SELECT pg_advisory_lock(hashtextextended('n', 0))")
        assert not other.take()
        assert wait_until(now.take, timeout_s=10)
        with pytest.raises(psycopg.OperationalError):
            former.execute("SELECT 1")


@pytest.mark.postgres
def test_a_server_that_is_away_is_said_to_be(shop: Shop) -> None:
    lock = SessionLock("postgresql://postgres@127.0.0.1:1/nothing", "n", "me")
    with pytest.raises(StoreUnavailable, match="is unavailable"):
        lock.take()
    assert not lock.held()


# --- who is a node -----------------------------------------------------------------------------------------------


def test_a_name_is_one_process_and_each_start_another_incarnation(
    shop: Shop, node: Callable[..., OtherNode]
) -> None:
    first, second = node("n").starts(), node("n")
    with pytest.raises(NodeAlive, match="a node named n is already running: stop it first"):
        second.starts()
    incarnation = first.nodes.me.incarnation
    first.leaves()
    assert shop.stores.nodes.named("n").state == "stopped"
    second.starts()
    assert second.nodes.me.incarnation != incarnation
    assert shop.stores.nodes.named("n").incarnation == second.nodes.me.incarnation
    assert shop.stores.nodes.named("n").state == "alive"
    second.dies()
    assert shop.stores.nodes.named("n").state == "dead"


def test_a_sign_of_life_tells_what_a_node_may_do(shop: Shop, node: Callable[..., OtherNode]) -> None:
    one = node("n").starts()
    shop.clock.passes(7)
    assert one.nodes.beat() == "active"
    assert shop.stores.nodes.named("n").seen_at_us == shop.clock.now_us()
    shop.stores.nodes.set_draining("n", True, operator="jan", reason="")
    assert one.nodes.beat() == "draining"
    one.dies()
    successor = node("n").starts()
    assert one.nodes.beat() is None
    assert successor.nodes.beat() == "draining"
    successor.dies()
    shop.stores.nodes.remove("n", operator="jan", reason="")
    assert successor.nodes.beat() is None


def test_only_the_node_of_the_name_is_given_calls_and_none_while_it_drains(
    shop: Shop, node: Callable[..., OtherNode]
) -> None:
    shop.missed_call(shop.account())
    one, stranger = node("n").starts(), node("m")
    assert stranger.requests.claim(1) == []
    shop.stores.nodes.set_draining("n", True, operator="jan", reason="")
    assert one.requests.claim(1) == []
    shop.stores.nodes.set_draining("n", False, operator="jan", reason="")
    one.dies()
    successor = node("n").starts()
    assert one.requests.claim(1) == []
    (claimed,) = successor.requests.claim(1)
    assert (claimed.claimed_by, claimed.incarnation) == ("n", successor.nodes.me.incarnation)


def test_a_node_is_shown_with_what_it_has_under_way(shop: Shop, node: Callable[..., OtherNode]) -> None:
    account, euro = shop.account("100"), shop.account("200")
    request = shop.request(account)
    shop.leg("leg-1", account, request, hold="1.25")
    shop.leg("leg-2", account, request, hold="0.50")
    shop.missed_call(euro)
    (other,) = node("n").starts().requests.claim(1)
    seen = {one.name: one for one in shop.stores.nodes.all()}
    assert list(seen) == ["n", "node1"]
    mine = seen["node1"]
    assert (mine.state, mine.calls, mine.holds, mine.held) == ("alive", 1, 2, {"USD": 1_750_000})
    assert (seen["n"].calls, seen["n"].holds, seen["n"].held) == (1, 0, {})
    assert (mine.started_at_us, mine.seen_at_us, mine.stopped_at_us) == (NOON_US, NOON_US, None)
    assert other.claimed_by == "n"


def test_what_is_done_to_a_node_is_kept(shop: Shop, node: Callable[..., OtherNode]) -> None:
    node("n").starts().dies()
    nodes = shop.stores.nodes
    assert nodes.set_draining("n", True, operator="jan", reason="new disk")
    assert not nodes.set_draining("n", True, operator="eva", reason="too")
    assert nodes.set_draining("n", False, operator="eva", reason="")
    nodes.remove("n", operator="jan", reason="sold")
    kept = [(e.node, e.event, e.operator, e.reason, e.at_us) for e in nodes.history("n")]
    assert kept == [
        ("n", "removed", "jan", "sold", NOON_US),
        ("n", "resumed", "eva", "", NOON_US),
        ("n", "drained", "jan", "new disk", NOON_US),
    ]
    assert nodes.history("m") == []
    assert len(nodes.history(limit=2)) == 2


def test_a_node_that_lives_or_has_calls_is_not_removed(shop: Shop, node: Callable[..., OtherNode]) -> None:
    one = node("n").starts()
    with pytest.raises(InvalidInput, match="n is alive: stop its service first"):
        shop.stores.nodes.remove("n", operator="jan", reason="")
    shop.missed_call(shop.account())
    one.requests.claim(1)
    one.dies()
    with pytest.raises(InvalidInput, match=r"1 live call\(s\): restart it, or run .*take-over n"):
        shop.stores.nodes.remove("n", operator="jan", reason="")
    with pytest.raises(InvalidInput, match="unknown node 'm'"):
        shop.stores.nodes.remove("m", operator="jan", reason="")
    assert shop.stores.nodes.history() == []


# --- whose call it is --------------------------------------------------------------------------------------------


def test_a_call_of_another_node_is_changed_by_nobody_else(shop: Shop, node: Callable[..., OtherNode]) -> None:
    account = shop.account()
    request = shop.request(account)
    other = node("n").starts()
    rate = shop.stores.tariffs.match(account.tariff_id, "442071234567")
    assert rate is not None
    before = shop.rows()
    acts: list[Callable[[], object]] = [
        lambda: other.requests.answered(request),
        lambda: other.requests.retry(request, Again(1), outcome=Ending.BUSY),
        lambda: other.requests.put_back(request),
        lambda: other.requests.finish(request.id, Ending.COMPLETED),
        lambda: other.calls.open_leg("leg", request.id, "a", Fare(account, "442071234567", rate), 100),
    ]
    for act in acts:
        with pytest.raises(NotOurs):
            act()
    other.requests.renew_leases([request.id])
    assert other.requests.left_open() == []
    assert shop.rows() == before


def test_the_next_start_of_a_node_has_the_calls_of_the_former_and_the_former_none(
    shop: Shop, node: Callable[..., OtherNode]
) -> None:
    shop.missed_call(shop.account())
    former = node("n", "eid-1").starts()
    (claimed,) = former.requests.claim(1)
    shop.clock.passes(12)
    former.requests.renew_leases([claimed.id])
    former.dies()
    shop.clock.passes(1000)
    # Asterisk was restarted too: its calls are gone, its journal is not.
    successor = node("n", "eid-1", "noon").starts()
    (found,) = successor.requests.left_open()
    assert (found.id, found.incarnation) == (claimed.id, successor.nodes.me.incarnation)
    assert found.last_alive_us == NOON_US + 12 * US_PER_S
    assert former.requests.left_open() == []
    assert former.requests.lost([claimed.id]) == [claimed.id]
    with pytest.raises(NotOurs):
        former.requests.finish(claimed.id, Ending.COMPLETED)
    successor.requests.finish(claimed.id, Ending.COMPLETED)


def test_calls_on_another_asterisk_are_not_recovered_as_ones_own(
    shop: Shop, node: Callable[..., OtherNode]
) -> None:
    """An Asterisk that never had a leg says that there is none: that would mean it was never dialled."""
    shop.missed_call(shop.account())
    former = node("n", "eid-1").starts()
    (claimed,) = former.requests.claim(1)
    former.dies()
    successor = node("n", "eid-2")
    successor.nodes.enter()
    assert successor.nodes.abandoned() == []  # before it has met its Asterisk it knows nothing
    successor.nodes.meets("eid-2", "morning")
    assert successor.requests.left_open() == []
    (left,) = successor.nodes.abandoned()
    assert (left.node, left.calls, left.same_asterisk) == ("n", 1, False)
    assert [request.id for request in successor.requests.under_way_of("n")] == [claimed.id]


def test_calls_that_a_former_start_has_on_our_asterisk_are_recovered_not_taken_over(
    shop: Shop, node: Callable[..., OtherNode]
) -> None:
    shop.missed_call(shop.account())
    former = node("n", "eid-1").starts()
    former.requests.claim(1)
    former.dies()
    successor = node("n", "eid-1").starts()
    assert successor.nodes.abandoned() == []
    assert successor.requests.under_way_of("n") == []
    assert len(successor.requests.left_open()) == 1


@pytest.mark.parametrize(
    ("asterisk", "started_at", "adopted"),
    [
        ("eid-1", "morning", True),
        ("eid-1", "noon",    False),  # the entity id may be a copy: that of a cloned machine
        ("eid-2", "morning", False),
        ("",      "",        False),
    ],
)  # fmt: skip
def test_only_the_node_on_the_very_asterisk_adopts_a_dead_nodes_calls(
    shop: Shop, node: Callable[..., OtherNode], asterisk: str, started_at: str, adopted: bool
) -> None:
    shop.missed_call(shop.account())
    dead = node("before", "eid-1", "morning").starts()
    (claimed,) = dead.requests.claim(1)
    heir = node("after", asterisk, started_at).starts()
    assert heir.nodes.abandoned() == []  # it lives
    dead.dies()
    (left,) = heir.nodes.abandoned()
    assert (left.node, left.calls, left.same_asterisk) == ("before", 1, adopted)
    if adopted:
        assert heir.requests.adopt("before") == 1
        assert [request.id for request in heir.requests.left_open()] == [claimed.id]
        assert (heir.nodes.abandoned(), heir.requests.adopt("before")) == ([], 0)
    else:
        assert heir.requests.left_open() == []


def test_a_dead_nodes_call_is_taken_once_and_only_as_it_was_read(
    shop: Shop, node: Callable[..., OtherNode]
) -> None:
    shop.missed_call(shop.account())
    dead = node("n").starts()
    (claimed,) = dead.requests.claim(1)
    one, other = node("one").starts(), node("other").starts()
    (read_by_one,), (read_by_other,) = one.requests.under_way_of("n"), other.requests.under_way_of("n")
    with shop.stores.database.transaction():
        assert one.requests.make_ours(read_by_one)
        one.requests.put_back(claimed)
    with shop.stores.database.transaction():
        assert not other.requests.make_ours(read_by_other)
    waiting = shop.stores.requests.get(claimed.id)
    assert (waiting.state, waiting.attempts, waiting.claimed_by) == (RequestState.QUEUED, 0, "n")
    with pytest.raises(NotOurs):
        dead.requests.finish(claimed.id, Ending.COMPLETED)  # it comes to itself when others wait for it
    assert [request.id for request in other.requests.claim(1)] == [claimed.id]


def test_whoever_stands_in_for_a_dead_node_keeps_it_from_starting(
    shop: Shop, node: Callable[..., OtherNode]
) -> None:
    one = node("n").starts()
    with shop.stores.nodes.standing_in("n") as alone:
        assert not alone
    one.dies()
    with shop.stores.nodes.standing_in("n") as alone:
        assert alone
        with pytest.raises(NodeAlive):
            node("n").starts()
    assert wait_until(lambda: free(shop.stores.database, "node-n"), timeout_s=10)
    node("n").starts()
    with shop.stores.nodes.standing_in("node1") as alone:
        assert alone  # for oneself one always can


def test_signs_of_life_of_a_service_from_before_there_were_locks_count(
    shop: Shop, node: Callable[..., OtherNode]
) -> None:
    request = shop.request(shop.account())
    shop.sql("UPDATE request SET claimed_by = 'old', incarnation = ''")
    looks = node("n").starts()
    before = looks.nodes.abandoned()
    shop.sql(f"UPDATE request SET lease_until_us = lease_until_us + 1 WHERE id = '{request.id}'")
    (after,) = looks.nodes.abandoned()
    assert [left.node for left in before] == ["old"]
    assert after.pulse_us == before[0].pulse_us + 1
