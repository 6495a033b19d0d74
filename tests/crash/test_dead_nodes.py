"""Several nodes: two of one name, one that is renamed, one that never comes back, one whose database restarts.

As processes, on fake Asterisks: who shares what is what these are about, not Asterisk.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from databases import Databases, server
from nodes import command, logged, node, settings_of
from world import ACCESS, ANI, FRIEND, World, new_world

from stasis_callback.ari.cel import CelJournal
from stasis_callback.core.errors import NodeAlive, StoreUnavailable
from stasis_callback.engine.nodes import HEARTBEAT_S, take_over
from stasis_callback.process import TAKEN
from stasis_callback.store.audit import verify
from stasis_callback.store.database.statements import run
from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork
from stasis_callback.testing.phones import Network, Phone

SECOND = "420777888999"
"""Another subscriber."""


@pytest.fixture
def world(fake_network: FakeNetwork, tmp_path: Path) -> Iterator[World]:
    with new_world(fake_network, tmp_path / "world") as made:
        yield made


@pytest.fixture
def other() -> Iterator[FakeNetwork]:
    """A second Asterisk. Its entity id is a copy of the first one's, as that of a cloned machine."""
    with FakeAsterisk(speed=4) as fake:
        yield FakeNetwork(fake)


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()


def differs(read: Callable[[], int], before: int) -> bool:
    return read() != before


def talking(world: World) -> tuple[Phone, Phone]:
    """A subscriber who talks with a friend, both legs stored as answered."""
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    world.rings()
    friend.wait_for("answered", timeout_s=30)
    world.until(lambda: sum(leg.answered_at_us is not None for leg in world.stores.calls.open_legs()) == 2)
    return subscriber, friend


def all_paid(world: World) -> None:
    """Nothing is held, nothing is open, every sum agrees."""
    assert world.stores.calls.open_legs() == []
    assert world.stores.accounts.named(ANI).held_micros == 0
    assert verify(world.stores.database, world.stores.tariffs) == []


# --- several that live ---------------------------------------------------------------------------------------------


def test_missed_calls_of_two_asterisks_with_one_channel_id_are_two(
    world: World, other: FakeNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asterisk makes an id of the second and of a number that it counts up: two of equal load come to the same."""
    world.usual()
    world.account(SECOND)
    assert isinstance(world.network, FakeNetwork)
    for network, number in itertools.product((world.network, other), (ANI, SECOND)):
        network.phone(number).answers(after_s=0).hangs_up(after_s=0.5)
        monkeypatch.setattr(network.fake.switch, "new_id", lambda: "1795945507.11")
    with (
        node(world, tmp_path / "one", settings_of(world, "n1")),
        node(world, tmp_path / "two", settings_of(world, "n2", other)),
    ):
        assert world.rings().cause == other.missed_call(ani=SECOND, dnis=ACCESS).cause == 17
        assert {request.leg_a_number for request in world.finished(2)} == {ANI, SECOND}


def test_funds_for_one_call_asked_for_at_three_nodes_at_once_make_one_call(
    world: World, other: FakeNetwork, tmp_path: Path
) -> None:
    """Three numbers of one account, each at another node."""
    world.usual(funds="0.05", dedupe_window_s="0")
    numbers = (ANI, SECOND, "420777888777")
    for alias in numbers[1:]:
        world.stores.accounts.add_alias(world.stores.accounts.named(ANI).id, alias)
    with FakeAsterisk(speed=4) as third, ExitStack() as nodes:
        networks = (world.network, other, FakeNetwork(third))
        for n, network in enumerate(networks, 1):
            for number in numbers:
                network.phone(number).answers(after_s=0)
            nodes.enter_context(node(world, tmp_path / f"n{n}", settings_of(world, f"n{n}", network)))

        def asks(network: Network, number: str) -> None:
            assert network.missed_call(ani=number, dnis=ACCESS).cause == 17

        with ThreadPoolExecutor(3) as crowd:
            list(crowd.map(asks, networks, numbers))
        phones = [phone for network in networks for phone in network.phones.values()]
        world.until(lambda: any(call.state == "answered" for phone in phones for call in phone.calls))
        world.until(lambda: len(world.stores.requests.newest()) == 3)
        for phone in phones:
            for call in phone.calls:
                call.line.hang_up()
        requests = world.finished(3)
    assert sorted(request.state for request in requests) == ["done", "refused", "refused"]
    refused = {request.outcome for request in requests if request.state == "refused"}
    assert refused <= {"in_progress", "no_funds"}
    assert sum(len(phone.calls) for phone in phones) == 1
    all_paid(world)


# --- a call of another node ---------------------------------------------------------------------------------------


def test_a_call_is_hung_up_from_any_node_and_the_command_says_when_it_is_over(
    world: World, other: FakeNetwork, tmp_path: Path
) -> None:
    """The Asterisk of the machine where the command is given knows nothing of it."""
    world.usual()
    with (
        node(world, tmp_path / "one", settings_of(world, "n1")),
        node(world, tmp_path / "two", settings_of(world, "n2", other)),
    ):
        assert command(tmp_path / "two", "node", "drain", "n2").returncode == 0
        subscriber, friend = talking(world)
        (request,) = world.stores.requests.newest()
        hung_up = command(tmp_path / "two", "call", "hangup", request.id)
        assert (hung_up.returncode, hung_up.stdout, hung_up.stderr) == (
            0,
            f"call {request.id} was ended by node n1\n",
            "",
        )
        assert friend.calls[0].state == subscriber.calls[0].state == "ended"
        assert len(world.finished()) == 1
    assert {xdr.source for xdr in world.xdrs().values()} == {"events"}
    all_paid(world)


# --- one name ----------------------------------------------------------------------------------------------------


def test_a_second_service_of_one_name_is_refused_and_touches_nothing(
    world: World, other: FakeNetwork, tmp_path: Path
) -> None:
    """On its own Asterisk it would find none of the first one's channels, and settle a live call at nothing."""
    world.usual()
    with node(world, tmp_path / "one", settings_of(world, "n1")):
        subscriber, friend = talking(world)
        (tmp_path / "two").mkdir()
        usual, world.settings = world.settings, settings_of(world, "n1", other)
        (tmp_path / "two" / "stasis-callback.toml").write_text(world._toml())
        world.settings = usual
        refused = command(tmp_path / "two", "run")
        assert refused.returncode == TAKEN
        assert "a node named n1 is already running" in refused.stderr
        assert friend.calls[0].state == subscriber.calls[0].state == "answered"
        assert world.stores.calls.xdrs() == []
        friend.hang_up()
        subscriber.hang_up()
        (request,) = world.finished()
    assert request.outcome == "completed"
    assert {xdr.source for xdr in world.xdrs().values()} == {"events"}
    all_paid(world)


def test_the_name_of_a_killed_service_is_free_at_once(world: World, tmp_path: Path) -> None:
    world.usual()
    for _ in range(3):
        with node(world, tmp_path / "one", settings_of(world, "n1")) as process:
            process.kill()
            process.wait()
    assert len(logged(tmp_path / "one", "node.entered")) == 3


# --- a dead node -------------------------------------------------------------------------------------------------


def test_a_node_killed_in_a_talk_and_started_under_another_name_adopts_its_call(
    world: World, tmp_path: Path
) -> None:
    world.usual()
    with node(world, tmp_path / "one", settings_of(world, "before")) as process:
        subscriber, friend = talking(world)
        process.kill()
        process.wait()
    with node(world, tmp_path / "two", settings_of(world, "after")):
        world.until(lambda: bool(logged(tmp_path / "two", "call.recovered")), timeout_s=30)
        assert friend.calls[0].state == subscriber.calls[0].state == "answered"
        friend.hang_up()
        subscriber.hang_up()
        (request,) = world.finished()
        assert request.outcome == "completed"
        assert {xdr.source for xdr in world.xdrs().values()} <= {"events", "cel"}
        all_paid(world)


def test_what_ended_while_nobody_lived_is_charged_by_the_renamed_node_from_the_journal(
    world: World, tmp_path: Path
) -> None:
    world.usual()
    with node(world, tmp_path / "one", settings_of(world, "before")) as process:
        subscriber, friend = talking(world)
        process.kill()
        process.wait()
    friend.hang_up()
    subscriber.hang_up()
    with node(world, tmp_path / "two", settings_of(world, "after")):
        (request,) = world.finished()
        world.until(lambda: len(world.xdrs()) == 2)
        assert (request.outcome, {xdr.source for xdr in world.xdrs().values()}) == ("interrupted", {"cel"})
        all_paid(world)
        assert world.rings().cause == 17
        world.until(lambda: len(world.stores.requests.newest()) == 2)
        assert world.stores.requests.newest()[0].outcome != "in_progress"


def test_a_node_on_another_asterisk_leaves_live_calls_alone_and_ends_those_of_a_dead_one(
    world: World, other: FakeNetwork, tmp_path: Path
) -> None:
    world.usual(dedupe_window_s="0")
    elsewhere = other.phone(ANI).answers()
    with node(world, tmp_path / "two", settings_of(world, "n2", other, dead_after_s=1)):
        drained = command(tmp_path / "two", "node", "drain", "n2", "--reason", "the first one is to have it")
        assert drained.returncode == 0, drained
        with node(world, tmp_path / "one", settings_of(world, "n1")) as process:
            subscriber, friend = talking(world)
            for _ in range(2):  # while the other one looks
                beat = partial(world.stores.nodes.last_seen_us, "n2")
                world.until(partial(differs, beat, beat()), timeout_s=3 * HEARTBEAT_S)
            assert logged(tmp_path / "two", "node.taken_over") == []
            process.kill()
            process.wait()
        assert friend.calls[0].state == subscriber.calls[0].state == "answered"
        (request,) = world.finished(timeout_s=40)
        assert request.outcome == "interrupted"
        # The line is written after the commit that the test has just seen.
        world.until(lambda: bool(logged(tmp_path / "two", "node.taken_over")))
        (taken,) = logged(tmp_path / "two", "node.taken_over")
        assert (taken["node"], taken["calls"]) == ("n1", [request.id])
        assert {xdr.source for xdr in world.xdrs().values()} == {"estimated"}
        assert max(xdr.duration_us for xdr in world.xdrs().values()) < 15_000_000
        all_paid(world)
        # Nobody is rung twice; and the subscriber's next missed call is a callback again.
        assert [len(subscriber.calls), len(friend.calls), len(elsewhere.calls)] == [1, 1, 0]
        assert command(tmp_path / "two", "node", "resume", "n2").returncode == 0
        other.missed_call(ani=ANI, dnis="420800123456")
        elsewhere.wait_for("answered", timeout_s=30)


def test_a_call_that_outlives_its_service_is_charged_exactly_by_another_node(
    world: World, other: FakeNetwork, tmp_path: Path
) -> None:
    """The dead node's journal is forwarded by a process of its own: the other one waits for the end of the call."""
    world.usual()
    config = tmp_path / "one" / "stasis-callback.toml"
    with node(world, tmp_path / "two", settings_of(world, "n2", other, dead_after_s=1)):
        assert command(tmp_path / "two", "node", "drain", "n2").returncode == 0
        with node(world, tmp_path / "one", settings_of(world, "n1")) as process:
            words = [
                sys.executable,
                "-m",
                "stasis_callback",
                "--config",
                str(config),
                "run",
                "--only",
                "journal",
            ]
            with subprocess.Popen(words) as forwarder:
                try:
                    subscriber, friend = talking(world)
                    process.kill()
                    process.wait()
                    for _ in range(2):  # it has looked, and leaves the call alone
                        beat = partial(world.stores.nodes.last_seen_us, "n2")
                        world.until(partial(differs, beat, beat()), timeout_s=3 * HEARTBEAT_S)
                    assert world.stores.calls.xdrs() == []
                    friend.hang_up()
                    subscriber.hang_up()
                    (request,) = world.finished()
                finally:
                    forwarder.terminate()
                    assert forwarder.wait(20) == 0
    assert (request.outcome, request.claimed_by) == ("interrupted", "n1")
    xdrs = world.xdrs()
    assert {xdr.source for xdr in xdrs.values()} == {"cel"}
    for side, phone in (("a1", subscriber), ("b1", friend)):
        (call,) = phone.calls
        assert call.answered_at_us
        assert call.ended_at_us
        assert abs(xdrs[side].duration_us - (call.ended_at_us - call.answered_at_us)) < 300_000
    all_paid(world)


def test_a_callback_that_no_leg_was_asked_for_is_dialled_by_another_node_once(
    world: World, other: FakeNetwork, tmp_path: Path
) -> None:
    world.usual()
    here, elsewhere = world.phone().answers(), other.phone(ANI).answers()
    world.asks()
    world.stores.nodes.enter()  # we are a node that claims it and dies before anything else
    assert len(world.stores.requests.claim(1)) == 1
    world.stores.nodes.leave()
    with node(world, tmp_path / "two", settings_of(world, "n2", other, dead_after_s=1)):
        elsewhere.wait_for("answered", timeout_s=40)
        elsewhere.hang_up()
        (request,) = world.finished()
    assert (request.claims, request.claimed_by) == (2, "n2")
    assert (len(here.calls), len(elsewhere.calls)) == (0, 1)
    all_paid(world)


# --- the name is lost --------------------------------------------------------------------------------------------


@pytest.mark.postgres
def test_after_a_restart_of_the_database_the_node_has_its_name_again_and_its_call_goes_on(
    world: World, tmp_path: Path
) -> None:
    world.usual()
    with node(world, tmp_path / "one", settings_of(world, "n1")):
        subscriber, friend = talking(world)
        server().kill()
        world.until(lambda: bool(logged(tmp_path / "one", "node.name_lost")))
        server().start()
        world.until(lambda: bool(logged(tmp_path / "one", "node.name_back")), timeout_s=40)
        assert friend.calls[0].state == subscriber.calls[0].state == "answered"
        friend.hang_up()
        subscriber.hang_up()
        (request,) = world.finished()
        assert request.outcome == "completed"
        all_paid(world)
        # It begins calls again.
        again = world.account(SECOND)
        assert again.number == SECOND
        second = world.phone(SECOND).answers()
        world.rings(ani=SECOND)
        second.wait_for("answered", timeout_s=30)


def test_a_node_that_lost_its_name_to_another_process_begins_nothing_and_ends(
    world: World, tmp_path: Path
) -> None:
    world.usual()
    with node(world, tmp_path / "one", settings_of(world, "test")) as process:
        _freeze_without_its_name(world, process, tmp_path)
        world.until(_enters(world))
        os.kill(process.pid, signal.SIGCONT)
        assert process.wait(60) == 3
    assert logged(tmp_path / "one", "node.replaced")


def test_a_node_that_was_cut_off_hangs_up_what_others_have_ended(world: World, tmp_path: Path) -> None:
    world.usual()
    with node(world, tmp_path / "one", settings_of(world, "test")) as process:
        subscriber, friend = talking(world)
        _freeze_without_its_name(world, process, tmp_path)
        journal = CelJournal("/nonexistent/journal.csv")
        world.until(lambda: bool(take_over(world.stores, journal, "test", "jan", "it is cut off").done))
        assert friend.calls[0].state == subscriber.calls[0].state == "answered"
        os.kill(process.pid, signal.SIGCONT)
        friend.wait_for("ended", timeout_s=30)
        subscriber.wait_for("ended", timeout_s=30)
        world.until(lambda: bool(logged(tmp_path / "one", "node.name_back")))
        (request,) = world.finished()
        assert request.outcome == "interrupted"
        assert {xdr.source for xdr in world.xdrs().values()} == {"estimated"}
        all_paid(world)
        assert process.poll() is None


def _freeze_without_its_name(world: World, process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    os.kill(process.pid, signal.SIGSTOP)
    while not _can_be_written(world):
        # It was stopped in the middle of a write: while it is, nobody could take its name.
        os.kill(process.pid, signal.SIGCONT)
        os.kill(process.pid, signal.SIGSTOP)
    if Databases.kind == "postgres":
        server().sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'stasis-callback %'"
        )
    else:
        (tmp_path / "world" / "callback.db.node-test").unlink()


def _can_be_written(world: World) -> bool:
    try:
        with world.stores.database.patience(1.0):
            # On PostgreSQL a beat that was stopped holds the row of its node.
            world.stores.database.unit(lambda: run("SELECT name FROM node FOR UPDATE").fetchall())
    except StoreUnavailable:
        return False
    return True


def _enters(world: World) -> Callable[[], bool]:
    def enter() -> bool:
        try:
            world.stores.nodes.enter()
        except (NodeAlive, StoreUnavailable):  # the server has not ended its session yet, or keeps its lock
            return False
        return True

    return enter
