"""Nodes that start, die, are cut off and come back, in any order: a callback is one node's at a time, and ends once.

A history goes through the code of the product: locks, claims, legs, take-overs. Of Asterisk there is only this: a leg
is on the Asterisk of the node that dialled it, and other nodes cannot see it.
"""

from __future__ import annotations

import random
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from databases import Databases
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from node_rig import DEAD_AFTER_S, NO_JOURNAL, Machine, Process
from profiles import count
from shop import Shop, open_shop

from stasis_callback.ari.client import AsteriskInfo
from stasis_callback.core.errors import NodeAlive, NotOurs
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.states import RequestState
from stasis_callback.core.words import Ending
from stasis_callback.engine.nodes import take_over
from stasis_callback.store.audit import verify
from stasis_callback.store.calls.legs import LegEnd
from stasis_callback.store.calls.requests import Again

ACCOUNTS = 4

MACHINES = [Machine("n1", "A"), Machine("n2", "B", copied_id="A"), Machine("n3", "A"), Machine("n1", "C")]


@dataclass
class World:
    """The true state, whatever the nodes know: which leg is on which Asterisk, and which phones may have rung."""

    asterisk_of_leg: dict[str, str] = field(default_factory=dict)
    rung: set[str] = field(default_factory=set)
    """Callbacks whose phone has rung and of which nobody alive knows how that ended."""


class NodesMachine(RuleBasedStateMachine):
    """Up to four services of three names on three Asterisks, four subscribers."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.shop = Shop(Path(self.folder.name))
        self.accounts = [self.shop.account(f"4420{n}") for n in range(ACCOUNTS)]
        self.world = World()
        self.processes: list[Process] = []
        self.started_at = {"A": 0, "B": 0, "C": 0}

    def teardown(self) -> None:
        """All nodes die; a new node on a new Asterisk ends everything within the documented time."""
        try:
            for process in list(self.processes):
                self.kill(process)
            self.started_at["Z"] = 0
            heir = Process(self.shop, Machine("heir", "Z"))
            self.start_process(heir)
            heir.keeper.look()
            self.shop.clock.passes(DEAD_AFTER_S + 1)
            heir.keeper.look()
            left = [r for r in self.shop.stores.requests.newest() if r.state in ("dialing", "talking")]
            assert left == []
            assert self.shop.stores.calls.open_legs() == []
            assert verify(self.shop.stores.database, self.shop.stores.tariffs) == []
            heir.stores.nodes._lock.release()
        finally:
            for process in self.processes:
                process.stores.nodes._lock.release()
            self.shop.stores.database.close()
            Databases.remove(self.shop.url)
            self.folder.cleanup()

    @initialize(where=st.permutations(MACHINES), dialled=st.tuples(st.booleans(), st.booleans()))
    def two_nodes_have_a_call_each(self, where: list[Machine], dialled: tuple[bool, bool]) -> None:
        """Most interesting sequences start from here."""
        for number, machine in enumerate(where[:2]):
            self.start(machine)
            self.a_call_begins(number, number, dialled[number])

    # --- processes -----------------------------------------------------------------------------------------------

    def start_process(self, process: Process) -> None:
        process.starts(self.start_of(process.machine))
        self.processes.append(process)

    def meet(self, process: Process) -> None:
        machine = process.machine
        process.keeper.meets(AsteriskInfo("22", self.start_of(machine), machine.entity_id))

    def start_of(self, machine: Machine) -> str:
        """When the machine's Asterisk was started: no two were at the same moment."""
        return f"{machine.asterisk}, {self.started_at[machine.asterisk]}"

    def kill(self, process: Process) -> None:
        self.processes.remove(process)
        if not process.cut_off:
            process.lose_name()

    @rule(where=st.sampled_from(MACHINES))
    def start(self, where: Machine) -> None:
        process = Process(self.shop, where)
        if any(p.machine.name == where.name and not p.cut_off for p in self.processes):
            with pytest.raises(NodeAlive):
                process.stores.nodes.enter()
            return
        self.start_process(process)

    @precondition(lambda self: self.processes)
    @rule(which=st.integers(0, 9))
    def dies(self, which: int) -> None:
        self.kill(self.processes[which % len(self.processes)])

    @precondition(lambda self: self.processes)
    @rule(which=st.integers(0, 9))
    def is_cut_off(self, which: int) -> None:
        """It loses the lock of its name without noticing."""
        process = self.processes[which % len(self.processes)]
        if not process.cut_off:
            process.lose_name()
            process.cut_off = True

    @precondition(lambda self: self.processes)
    @rule(which=st.integers(0, 9))
    def looks(self, which: int) -> None:
        process = self.processes[which % len(self.processes)]
        process.keeper._next_beat_s = 0  # it is time to
        process.keeper.look()
        if process.replaced:
            self.processes.remove(process)
            process.stores.nodes._lock.release()  # as a process that ends does
        elif process.stores.nodes.holds_name():
            process.cut_off = False
            for lost in process.stores.requests.lost(list(process.calls)):
                del process.calls[lost]
        self.what_was_ended_is_known()

    @rule(asterisk=st.sampled_from("ABC"))
    def asterisk_restarts(self, asterisk: str) -> None:
        self.started_at[asterisk] += 1
        for process in self.processes:
            if process.machine.asterisk == asterisk:
                self.meet(process)

    @rule(seconds=st.sampled_from([1, 6, 100, 301]))
    def time_passes(self, seconds: int) -> None:
        self.shop.clock.passes(seconds)

    # --- calls ---------------------------------------------------------------------------------------------------

    @rule(account=st.integers(0, ACCOUNTS - 1))
    def a_callback_is_asked_for(self, account: int) -> None:
        self.shop.missed_call(self.accounts[account], dedupe_window_s="0")

    @precondition(lambda self: self.processes)
    @rule(which=st.integers(0, 9), limit=st.integers(1, 3))
    def claims(self, which: int, limit: int) -> None:
        process = self.processes[which % len(self.processes)]
        node = self.shop.stores.nodes.named(process.machine.name)
        claimed = process.stores.requests.claim(limit)
        assert not claimed or (node.incarnation == process.stores.nodes.me.incarnation and not node.draining)
        for request in claimed:
            process.works_on(request)

    @precondition(lambda self: self.processes)
    @rule(account=st.integers(0, ACCOUNTS - 1), which=st.integers(0, 9), dialled=st.booleans())
    def a_call_begins(self, account: int, which: int, dialled: bool) -> None:
        """The three steps in a row, or the first two, so that histories get somewhere."""
        self.a_callback_is_asked_for(account)
        self.claims(which, 1)
        if dialled:
            self.dials(which)

    def pick(self, which: int, *, dialled: bool) -> tuple[Process, str] | None:
        found = [(p, c) for p in self.processes for c, leg in p.calls.items() if bool(leg) is dialled]
        return found[which % len(found)] if found else None

    @rule(which=st.integers(0, 9))
    def dials(self, which: int) -> None:
        if not (picked := self.pick(which, dialled=False)):
            return
        process, call = picked
        leg = process.views[call].leg_id("a", 1)  # what it was of tells a leg that has rung
        if not process.dial(call, leg):
            del process.calls[call]
            return
        assert process.stores.requests.lost([call]) == [], "a phone is rung for a call that is another's"
        assert call not in self.world.rung, "a phone that may have rung is rung again"
        self.world.rung.add(call)
        self.world.asterisk_of_leg[leg] = process.machine.asterisk
        process.calls[call] = leg

    @rule(which=st.integers(0, 9))
    def answers(self, which: int) -> None:
        if not (picked := self.pick(which, dialled=True)):
            return
        process, call = picked
        with suppress(NotOurs):
            if process.stores.requests.get(call).state is RequestState.DIALING:
                process.stores.requests.answered(process.views[call])
                process.stores.calls.leg_answered(process.calls[call], self.shop.clock.now_us())

    @rule(which=st.integers(0, 9), again=st.booleans())
    def ends(self, which: int, again: bool) -> None:
        """The owner sees the end of its call; a busy phone is called again later."""
        if not (picked := self.pick(which, dialled=True)):
            return
        process, call = picked
        leg, view = process.calls.pop(call), process.views[call]
        before = process.stores.requests.get(call)
        now_us = self.shop.clock.now_us()
        process.stores.calls.settle(leg, LegEnd(None, now_us, Outcome.BUSY, 17, "events"))
        try:
            if again and before.state is RequestState.DIALING:
                process.stores.requests.retry(view, Again(5.0), outcome=Ending.BUSY)
            else:
                process.stores.requests.finish(call, Ending.BUSY, claims=view.claims)
        except NotOurs:
            return
        after = process.stores.requests.get(call)
        if before.incarnation == process.stores.nodes.me.incarnation and after.state is RequestState.QUEUED:
            self.world.rung.discard(call)  # who saw that it was busy has it called again

    @rule(which=st.integers(0, 9))
    def gives_up(self, which: int) -> None:
        """Before anything was dialled: no funds, say. Of a call that is another's nothing comes of it."""
        if not (picked := self.pick(which, dialled=False)):
            return
        process, call = picked
        del process.calls[call]
        is_lost, before = process.stores.requests.lost([call]), process.stores.requests.get(call)
        with suppress(NotOurs):
            process.stores.requests.finish(call, Ending.NO_FUNDS, claims=process.views[call].claims)
        assert not is_lost or process.stores.requests.get(call) == before

    @precondition(lambda self: self.processes)
    @rule(which=st.integers(0, 9))
    def recovers(self, which: int) -> None:
        """It looks for calls that none of its threads works on, and compares them with its Asterisk."""
        process = self.processes[which % len(self.processes)]
        for request in process.stores.requests.left_open():
            if request.id in process.calls:
                continue
            legs = process.stores.calls.open_legs(request.id)
            for leg in legs:
                there = self.world.asterisk_of_leg[leg.id]
                assert there == process.machine.asterisk, "compared with an Asterisk that never had the leg"
            if legs:
                process.works_on(request, legs[0].id)
            elif request.id in self.world.rung:
                process.stores.requests.finish(request.id, Ending.INTERRUPTED)
            else:
                process.works_on(request)

    # --- operators -----------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(["n1", "n2", "n3"]), draining=st.booleans())
    def is_drained(self, name: str, draining: bool) -> None:
        if any(node.name == name for node in self.shop.stores.nodes.all()):
            self.shop.stores.nodes.set_draining(name, draining, operator="jan", reason="")

    @rule(name=st.sampled_from(["n1", "n2", "n3"]))
    def is_taken_over_by_command(self, name: str) -> None:
        command = Process(self.shop, Machine("admin", "A")).stores
        alive = any(p.machine.name == name and not p.cut_off for p in self.processes)
        done = take_over(command, NO_JOURNAL, name, "jan", "it burns")
        assert not (alive and done.done)
        assert done.failed == {}
        self.what_was_ended_is_known()

    @precondition(lambda self: self.processes)
    @rule(which=st.integers(0, 9))
    def is_cut_off_and_taken_over(self, which: int) -> None:
        """Both in a row, so that there are often processes whose calls are others' without their knowing."""
        self.is_cut_off(which)
        self.is_taken_over_by_command(self.processes[which % len(self.processes)].machine.name)

    @precondition(lambda self: self.processes)
    @rule(which=st.integers(0, 9))
    def is_cut_off_and_started_again(self, which: int) -> None:
        """The former start goes on beside the new one, which has recovered its calls."""
        self.is_cut_off(which)
        machine = self.processes[which % len(self.processes)].machine
        if all(p.cut_off for p in self.processes if p.machine.name == machine.name):
            self.start(machine)
            self.recovers(len(self.processes) - 1)

    # --- what must hold ------------------------------------------------------------------------------------------

    def what_was_ended_is_known(self) -> None:
        """Of what was taken over: no leg is left open, and what waits again has never rung."""
        for request in self.shop.stores.requests.newest():
            if request.state in ("done", "queued"):
                assert self.shop.stores.calls.open_legs(request.id) == []
            if request.state == "queued":
                assert request.id not in self.world.rung

    @invariant()
    def a_live_nodes_calls_are_its_own(self) -> None:
        for process in self.processes:
            if not process.cut_off:
                assert process.stores.requests.lost(list(process.calls)) == []

    @invariant()
    def a_callback_is_one_processes_at_a_time(self) -> None:
        owners: dict[str, list[Process]] = {}
        for process in self.processes:
            lost = process.stores.requests.lost(list(process.calls))
            for call in set(process.calls) - set(lost):
                owners.setdefault(call, []).append(process)
        assert {call: who for call, who in owners.items() if len(who) > 1} == {}


@pytest.mark.timeout(count(600, 7200))
def test_any_history_of_nodes() -> None:
    examples = count(25, 250) if Databases.kind == "sqlite" else count(12, 120)
    # A history that fails is shown as it is: to make it shorter takes longer than to read it.
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    case = settings(max_examples=examples, stateful_step_count=40, deadline=None, phases=phases)
    run_state_machine_as_test(NodesMachine, settings=case)


@pytest.mark.timeout(300)
def test_nodes_that_claim_die_and_take_over_at_once(tmp_path: Path) -> None:
    """Threads, as processes would: each is a node that dies in the middle of things and is another one afterwards."""
    callbacks, threads = 40, 4
    with open_shop(tmp_path) as shop:
        for n in range(callbacks):
            assert shop.missed_call(shop.account(f"44{n:03d}"), dedupe_window_s="0") == ""
        rung: list[str] = []
        failed: list[BaseException] = []

        def work(number: int) -> None:
            chance = random.Random(number)
            try:
                for start in range(12):
                    live(shop, Machine(f"n{number}-{start}", f"{number}"), chance, rung)
            except BaseException as error:  # noqa: BLE001
                failed.append(error)

        running = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        assert failed == []
        last = Process(shop, Machine("last", "Z"))
        last.stores.nodes.enter()
        for node in shop.stores.nodes.all():
            take_over(last.stores, NO_JOURNAL, node.name, "jan", "the end")
        assert len(rung) == len(set(rung))
        under_way = [r for r in shop.stores.requests.newest(limit=1000) if r.state in ("dialing", "talking")]
        assert (under_way, shop.stores.calls.open_legs()) == ([], [])
        assert verify(shop.stores.database, shop.stores.tariffs) == []
        last.stores.nodes.leave()


def live(shop: Shop, machine: Machine, chance: random.Random, rung: list[str]) -> None:
    """One start of a node: it claims, dials, takes dead ones over, and at some point it is dead itself."""
    process = Process(shop, machine)
    process.stores.nodes.enter()
    process.stores.nodes.meets(machine.asterisk, "morning")
    try:
        for _ in range(chance.randrange(1, 4)):
            for request in process.stores.requests.claim(2):
                if chance.random() < 0.3:
                    return
                assert process.dial(request.id, f"{request.id}-{machine.name}")
                rung.append(request.id)
                if chance.random() < 0.3:
                    return
                leg = process.stores.calls.open_legs(request.id)[0]
                end = LegEnd(None, shop.clock.now_us(), Outcome.BUSY, 17, "events")
                process.stores.calls.settle(leg.id, end)
                process.stores.requests.finish(request.id, Ending.BUSY)
            for left in process.stores.nodes.abandoned():
                take_over(process.stores, NO_JOURNAL, left.node, "jan", "it is dead")
    finally:
        process.stores.nodes._lock.release()
