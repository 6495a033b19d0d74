"""This node among others: it keeps its name, reports that it is alive, and handles the calls of dead nodes.

The calls of a dead node are ended once, with the information available here. They may continue in its Asterisk, which
cannot be reached from here; a phone that may have rung is never called again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from stasis_callback.ari.cel import CelJournal, CelRecord, JournalUnreadable
from stasis_callback.ari.client import AriClient, AsteriskInfo
from stasis_callback.ari.errors import AriError
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import NodeAlive, StoreUnavailable
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.states import RequestState
from stasis_callback.core.trunk_state import TrunkState
from stasis_callback.core.words import Ending
from stasis_callback.engine.legs import LATEST_START_S
from stasis_callback.engine.recovery import is_of_claim
from stasis_callback.engine.settlement import end_from_journal, last_seen_us
from stasis_callback.store.calls.journals import Look
from stasis_callback.store.calls.legs import LegEnd, LegView
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.node.nodes import ACTIVE, LeftCalls
from stasis_callback.store.stores import Stores
from stasis_callback.workers import Worker

log = structlog.get_logger()

LOOK_S = 1.0
"""How often it is looked whether the name is still ours."""
HEARTBEAT_S = 5.0
"""How often a sign of life is given, and others' are looked at."""
TOLD_S = 30.0
"""A journal that was looked at within this time is being forwarded."""
NAME_PATIENCE_S = 30.0
"""How long a start waits for its name: a server believes in a connection without a peer for a while."""


class NodeKeeper:
    """Holds the node name of a running service, and reports that it is alive."""

    def __init__(
        self,
        stores: Stores,
        client: AriClient,
        journal: CelJournal,
        clock: Clock,
        *,
        dead_after_s: float,
        under_way: Callable[[], Sequence[str]],
        trunks: Callable[[], Sequence[TrunkState]],
        on_left_behind: Callable[[], None],
        on_replaced: Callable[[], None],
    ) -> None:
        """`under_way` are the calls that this process works on, `trunks` how its trunks do; `on_left_behind` says
        that others are to be recovered or dialled; `on_replaced`, that another process has the name and this one
        must end.
        """
        self._stores = stores
        self._nodes = stores.nodes
        self._client = client
        self._journal = journal
        self._clock = clock
        self._dead_after_s = dead_after_s
        self._under_way = under_way
        self._trunks = trunks
        self._on_left_behind = on_left_behind
        self._on_replaced = on_replaced
        self._may_dial = False
        self._lost = False
        self._next_beat_s = 0.0
        self._given_up = clock.inbox()
        self._silent: dict[str, tuple[int, float]] = {}
        self._looks: dict[str, tuple[Look, float]] = {}
        self.worker = Worker("node", self._work, clock)

    def start(self) -> None:
        """Take the name, and keep it from now on. Raises NodeAlive when another process has it."""
        self._enter()
        log.info("node.entered", node=self._nodes.me.name, incarnation=self._nodes.me.incarnation)
        self._may_dial = True
        self.worker.start()

    def give_up(self) -> None:
        """Make a `start` that waits for the name raise NodeAlive. For a signal handler."""
        self._given_up.put("stop")

    def stop(self) -> None:
        """Release the node name."""
        self._may_dial = False
        self.worker.stop()
        try:
            self._nodes.leave()
        except StoreUnavailable as error:
            log.warning("node.not_seen", error=str(error))

    def may_dial(self) -> bool:
        """Whether callbacks may be begun: the name is ours, and nobody has it drain. Asks nobody."""
        return self._may_dial

    def meets(self, asterisk: AsteriskInfo) -> None:
        """The link is up, and leads to this Asterisk."""
        self._nodes.meets(asterisk.entity_id, asterisk.started_at)
        self._next_beat_s = 0.0
        self.worker.wake()

    # --- the name ------------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        """Wait for the name while its owner may be a dead process; stop when the owner shows a sign of life."""
        name = self._nodes.me.name
        deadline_s = self._clock.monotonic_s() + NAME_PATIENCE_S
        seen_us: int | None = None
        while True:
            try:
                self._nodes.enter()
                return
            except NodeAlive:
                now_us = self._nodes.last_seen_us(name)
                if seen_us is None:
                    log.warning("node.waiting", node=name)
                elif now_us != seen_us or self._clock.monotonic_s() > deadline_s:
                    raise
                seen_us = now_us
                if self._given_up.get(LOOK_S / 2) is not None:
                    raise

    def _work(self, worker: Worker) -> None:
        while worker.goes_on:
            self.look()
            worker.pause(LOOK_S)

    def look(self) -> None:
        """Whether the name is still ours; now and then a sign of life, and a look at the others."""
        try:
            if self._keeps_name() and self._clock.monotonic_s() >= self._next_beat_s:
                self._beat()
        except StoreUnavailable as error:
            log.warning("node.not_seen", error=str(error))

    def _keeps_name(self) -> bool:
        """Whether the name is ours. A lock that was lost is taken again; calls go on meanwhile, none is begun."""
        if self._nodes.holds_name():
            return True
        if not self._lost:
            self._lost, self._may_dial = True, False
            log.error("node.name_lost", node=self._nodes.me.name)
        if not self._nodes.retake_name():
            # Another process has the name: another start of this node (see the node's row), or one that acts for it.
            if self._nodes.beat(self._trunks()) is None:
                self._replaced()
            return False
        self._next_beat_s = 0.0
        return True

    def _replaced(self) -> None:
        self._may_dial = False
        log.error(
            "node.replaced",
            node=self._nodes.me.name,
            hint="another process has this node name, or the node was removed: this process stops",
        )
        self.worker.ask_to_stop()
        self._on_replaced()

    def _beat(self) -> None:
        state = self._nodes.beat(self._trunks())
        if state is None:
            self._replaced()
            return
        if self._lost:
            self._end_lost_calls()
            self._lost = False
            log.info("node.name_back", node=self._nodes.me.name)
        self._may_dial = state == ACTIVE
        self._next_beat_s = self._clock.monotonic_s() + HEARTBEAT_S
        self._look_after_others()

    def _end_lost_calls(self) -> None:
        """While the name was lost others may have taken calls over: they are charged, so they end."""
        for request_id in self._stores.requests.lost(self._under_way()):
            log.error("node.call_lost", call=request_id)
            for xdr in self._stores.calls.xdrs(request_id=request_id):
                try:
                    self._client.channel(xdr.leg_id).hang_up()
                except AriError as error:
                    log.warning("leg.stray_not_ended", leg=xdr.leg_id, error=str(error))

    # --- others ----------------------------------------------------------------------------------------------------

    def _look_after_others(self) -> None:
        now_s, silent = self._clock.monotonic_s(), self._silent
        found = self._nodes.abandoned()
        self._silent = {
            left.node: (left.pulse_us, silent[left.node][1])
            if left.node in silent and silent[left.node][0] == left.pulse_us
            else (left.pulse_us, now_s)
            for left in found
        }
        done = 0
        for left in found:
            silent_s, is_told = now_s - self._silent[left.node][1], self._is_told_of(left, now_s)
            done += self._look_after(left, silent_s, is_told)
        if done:
            self._on_left_behind()

    def _is_told_of(self, left: LeftCalls, now_s: float) -> bool:
        """Whether a dead node's journal is still forwarded, and its Asterisk the one that has the calls."""
        look = self._stores.journals.last_look(left.node)
        if look is None:
            return False
        before, since_s = self._looks.get(left.node, (None, now_s))
        if before != look:
            since_s = now_s
        self._looks[left.node] = look, since_s
        return now_s - since_s < TOLD_S and look.asterisk_started_at == left.asterisk_started_at != ""

    def _look_after(self, left: LeftCalls, silent_s: float, is_told: bool) -> int:
        """What is to be done about one node's calls, `silent_s` seconds after its last sign of life; for how many.

        `is_told`: when its legs end is going to be known here.
        """
        me = self._nodes.me.name
        if left.same_asterisk:
            with self._nodes.standing_in(left.node) as alone:
                adopted = self._stores.requests.adopt(left.node) if alone else 0
            if adopted:
                log.warning("node.adopted", node=left.node, calls=adopted)
                self._nodes.note(left.node, "adopted", f"node {me}", "its Asterisk is ours")
            return adopted
        if left.node == me:
            return self._take_over(me, "its Asterisk was another")
        if silent_s < self._dead_after_s:
            return 0
        return self._take_over(left.node, f"no sign of life for {silent_s:.0f} s", is_told)

    def _take_over(self, node: str, reason: str, is_told: bool = False) -> int:
        me = f"node {self._nodes.me.name}"
        taken = take_over(self._stores, self._journal, node, me, reason, only_ended=is_told)
        for request_id, error in taken.failed.items():
            log.error("node.call_not_taken_over", call=request_id, exc_info=error)
        if taken.done:
            log.warning("node.taken_over", node=node, calls=taken.done, reason=reason)
        return len(taken.done)


class TakenOver(NamedTuple):
    """Callbacks by their ids: those that are ended or wait again, and those that could not be, with the reason."""

    done: list[str]
    failed: dict[str, Exception]


def take_over(
    stores: Stores,
    journal: CelJournal,
    node: str,
    operator: str,
    reason: str,
    *,
    only_ended: bool = False,
) -> TakenOver:
    """End what a dead node has left under way, or put it back into the queue where no phone has rung.

    Nothing while the node is alive. Each callback is one transaction, so it happens once, even if others try too. One
    that fails stops no other.

    `only_ended` leaves callbacks alone that, by its forwarded journal, go on in its Asterisk: their timers end them,
    and then what they cost is known exactly.
    """
    taken = TakenOver([], {})
    with stores.nodes.standing_in(node) as alone:
        going_on = stores.journals.going_on(node) if only_ended else ()
        for request in stores.requests.under_way_of(node) if alone else []:
            if request.id in going_on:
                continue
            try:
                if end_left_call(stores, journal, request):
                    taken.done.append(request.id)
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - reported by the caller
                taken.failed[request.id] = error
        if taken.done:
            stores.nodes.note(node, "taken over", operator, reason)
    return taken


def end_left_call(
    stores: Stores, journal: CelJournal, request: RequestView, also: Callable[[], None] = lambda: None
) -> bool:
    """One callback of a dead node; False when another was quicker. `also` runs in the transaction that ends it."""
    records = journal_of(stores, journal, stores.calls.open_legs(request.id))

    def once() -> bool:
        if not stores.requests.make_ours(request):
            return False
        legs = stores.calls.open_legs(request.id)
        before = [xdr for xdr in stores.calls.xdrs(request_id=request.id) if is_of_claim(xdr, request)]
        rang = bool(legs) or any(xdr.outcome != Outcome.NOT_DIALED for xdr in before)
        for leg in legs:
            seen_us = last_seen_us(leg, request, request.last_alive_us)
            stores.calls.settle(leg.id, end_of_left_leg(leg, records.get(leg.id), seen_us))
        if rang or request.state is RequestState.TALKING:
            stores.requests.finish(request.id, Ending.INTERRUPTED)
        else:
            stores.requests.put_back(request, uncounted=bool(before))
        also()
        return True

    return stores.database.unit(once)


def journal_of(stores: Stores, journal: CelJournal, legs: Sequence[LegView]) -> dict[str, CelRecord]:
    """What is known of them: what their node has forwarded, and what our journal says, where it is the same one."""
    if not legs:
        return {}
    ids = [leg.id for leg in legs]
    forwarded = {life.channel_id: CelRecord(*life) for life in stores.journals.lives(ids)}
    since_us = min(leg.dialed_at_us for leg in legs) - LATEST_START_S * US_PER_S
    try:
        return forwarded | journal.records(ids, not_before_us=since_us)
    except JournalUnreadable as error:
        log.warning("node.journal_not_read", error=str(error))
        return forwarded


def end_of_left_leg(leg: LegView, record: CelRecord | None, last_seen_us: int) -> LegEnd:
    """How a leg ended. Without a record it ended when its node was last known to live, or was never answered."""
    if record is None and leg.answered_at_us is None:
        return LegEnd(None, max(last_seen_us, leg.dialed_at_us), Outcome.FAILED, 0, "estimated")
    return end_from_journal(leg, record, last_seen_us=last_seen_us)
