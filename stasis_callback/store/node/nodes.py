"""The nodes that share a database: their names, whether they are alive, and their calls.

A node is a name and, for each start, an incarnation. While it is alive it has the lock of its name (`name_locks`).
A process that acts for a dead node takes that lock first, so that the node cannot come back at the same time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from peewee import Expression, fn

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput, NodeAlive
from stasis_callback.core.states import UNDER_WAY
from stasis_callback.core.trunk_state import TrunkState, states_from_text, states_to_text
from stasis_callback.store.calls.tables import LegRow, Request
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.identity import ACTIVE as ACTIVE
from stasis_callback.store.database.identity import DRAINING, Identity, new_incarnation
from stasis_callback.store.database.name_locks import NameLock, name_lock, taken_names
from stasis_callback.store.database.statements import every, one
from stasis_callback.store.money.reading import OpenHold, open_holds
from stasis_callback.store.node.tables import Node, NodeEvent

_BEAT = "UPDATE node SET seen_at_us = ?, trunks = ? WHERE name = ? AND incarnation = ? RETURNING state"
_LEFT_BY_OTHERS = """SELECT claimed_by, COUNT(*), MAX(lease_until_us) FROM request
    WHERE state IN ('dialing', 'talking')
    AND (claimed_by <> ? OR (incarnation <> ? AND asterisk NOT IN ('', ?))) GROUP BY claimed_by"""


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as it was when it was read. `held` are the funds of its calls, in micros by currency."""

    name: str
    alive: bool
    draining: bool
    incarnation: str
    asterisk: str
    asterisk_started_at: str
    started_at_us: int
    seen_at_us: int
    stopped_at_us: int | None
    calls: int = 0
    holds: int = 0
    held: dict[str, int] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """In a word: `alive`, `draining`, `stopped` (by its operator) or `dead`."""
        if self.alive:
            return DRAINING if self.draining else "alive"
        return "dead" if self.stopped_at_us is None else "stopped"


@dataclass(frozen=True, slots=True)
class NodeEventView:
    """An administrative event of a node."""

    node: str
    event: str
    operator: str
    reason: str
    at_us: int


@dataclass(frozen=True, slots=True)
class LeftCalls:
    """Calls of a node that does not live, or of this one on another Asterisk. `pulse_us` moves while it works."""

    node: str
    calls: int
    pulse_us: int
    same_asterisk: bool
    asterisk_started_at: str
    """When the Asterisk started that the node worked with last; "" where that is not known."""


class Nodes:
    """The node tables and the locks of names."""

    def __init__(self, database: Database, clock: Clock, name: str) -> None:
        self._database = database
        self._clock = clock
        self.me = Identity(name)
        self._owner = self.me.incarnation
        self._lock = self._lock_of(name)

    # --- this node -----------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Be the node of this name from now on, as a new incarnation. Raises NodeAlive when another process is."""
        name, now_us = self.me.name, self._clock.now_us()
        if not self._lock.take():
            raise NodeAlive(
                f"a node named {name} is already running: stop it first, or give this node another name "
                "(`node` in the settings)"
            )
        incarnation = new_incarnation()
        start = {"started_at_us": now_us, "seen_at_us": now_us, "stopped_at_us": None, "trunks": ""}

        def once() -> None:
            if not Node.update(incarnation=incarnation, **start).where(Node.name == name).execute():
                blank = {"state": ACTIVE, "asterisk": "", "asterisk_started_at": ""}
                Node.create(name=name, incarnation=incarnation, **start, **blank)

        self._database.unit(once)
        self.me.incarnation, self.me.asterisk, self.me.asterisk_started_at = incarnation, "", ""

    def meets(self, asterisk: str, started_at: str) -> None:
        """Its Asterisk is this one: calls from now on are on it."""
        mine = Node.update(asterisk=asterisk, asterisk_started_at=started_at).where(self._is_mine())
        self._database.unit(mine.execute)
        self.me.asterisk, self.me.asterisk_started_at = asterisk, started_at

    @unit
    def beat(self, trunks: Sequence[TrunkState] = ()) -> str | None:
        """Give a sign of life, and say how the trunks do.

        `active` or `draining`, None when the name is another's, or was removed.
        """
        row = one(_BEAT, self._clock.now_us(), states_to_text(trunks), self.me.name, self.me.incarnation)
        return str(row[0]) if row else None

    def holds_name(self) -> bool:
        """Whether the lock of the name is still ours. Asks nobody."""
        return self._lock.held()

    def retake_name(self) -> bool:
        """Take the lock again after it was lost; False when another has it. Raises StoreUnavailable."""
        return self._lock.take()

    def leave(self) -> None:
        """Give the name up, calls under way or not: the next start of this node takes them over."""
        try:
            now_us = self._clock.now_us()
            mine = Node.update(seen_at_us=now_us, stopped_at_us=now_us).where(self._is_mine())
            self._database.unit(mine.execute)
        finally:
            self._lock.release()

    def _is_mine(self) -> Expression:
        return (Node.name == self.me.name) & (Node.incarnation == self.me.incarnation)

    # --- all of them ---------------------------------------------------------------------------------------------

    @read
    def all(self) -> list[NodeView]:
        """Every node, by name, with what it has under way."""
        rows = list(Node.select().order_by(Node.name))
        alive = self._alive([row.name for row in rows])
        calls = _calls_by_node()
        holds = _holds_by_node()
        return [
            _view(row, row.name in alive, calls.get(row.name, 0), holds.get(row.name, [])) for row in rows
        ]

    def named(self, name: str) -> NodeView:
        """The node with this name. Raises InvalidInput if it does not exist."""
        for node in self.all():
            if node.name == name:
                return node
        raise InvalidInput(f"unknown node {name!r}: see `stasis-callback node list`")

    @read
    def lives(self, name: str) -> bool:
        """Whether the service of a node is running."""
        return bool(self._alive([name]))

    @read
    def trunk_states(self) -> dict[str, list[TrunkState]]:
        """How the trunks do, by each node that is alive, as of its last sign of life."""
        rows = list(Node.select().order_by(Node.name))
        alive = self._alive([row.name for row in rows])
        return {row.name: states_from_text(row.trunks) for row in rows if row.name in alive}

    @read
    def last_seen_us(self, name: str) -> int:
        """The last sign of life of a node; 0 when it is not known."""
        row = Node.get_or_none(Node.name == name)
        return int(row.seen_at_us) if row else 0

    @unit
    def set_draining(self, name: str, draining: bool, *, operator: str, reason: str) -> bool:
        """Drain or resume a node; False if that changes nothing. Raises InvalidInput."""
        state = DRAINING if draining else ACTIVE
        self.named(name)
        changed = Node.update(state=state).where(Node.name == name, Node.state != state).execute()
        if changed:
            self._database.note("changed")
            self.note(name, "drained" if draining else "resumed", operator, reason)
            self._database.notify()
        return bool(changed or self._database.noted("changed"))

    def remove(self, name: str, *, operator: str, reason: str) -> None:
        """Forget a node. Raises InvalidInput while it lives, or has calls under way."""
        self.named(name)
        lock = self._lock_of(name)
        try:
            if not lock.take():
                raise InvalidInput(f"node {name} is alive: stop its service first")
            self._database.unit(lambda: self._forget(name, operator, reason))
            lock.forget()
        finally:
            lock.release()

    def _forget(self, name: str, operator: str, reason: str) -> None:
        calls = _calls_by_node().get(name, 0)
        if calls:
            raise InvalidInput(
                f"node {name} has {calls} live call(s): restart it, or run "
                f"`stasis-callback node take-over {name}`"
            )
        if Node.delete().where(Node.name == name).execute():
            self.note(name, "removed", operator, reason)

    @unit
    def note(self, name: str, event: str, operator: str, reason: str) -> None:
        """Keep what was done to a node, by whom and why."""
        at_us = self._database.noted(f"event:{event}") or self._clock.now_us()
        self._database.note(f"event:{event}", at_us)
        values = {"node": name, "event": event, "operator": operator, "reason": reason, "at_us": at_us}
        if not self._database.noted(f"event:{event}") or NodeEvent.get_or_none(**values) is None:
            NodeEvent.create(**values)

    @read
    def history(self, name: str | None = None, limit: int = 100) -> list[NodeEventView]:
        """What was done to one node, or to all, the newest first."""
        rows = NodeEvent.select().order_by(NodeEvent.id.desc()).limit(limit)
        rows = rows.where(NodeEvent.node == name) if name is not None else rows
        return [NodeEventView(row.node, row.event, row.operator, row.reason, row.at_us) for row in rows]

    # --- in the place of another ---------------------------------------------------------------------------------

    @read
    def abandoned(self) -> list[LeftCalls]:
        """Who has left calls open that nobody works on: nodes that do not live, and this name on another Asterisk."""
        me = self.me
        rows = every(_LEFT_BY_OTHERS, me.name, me.incarnation, me.asterisk)
        found = {name: (calls, pulse_us) for name, calls, pulse_us in rows if name != me.name or me.asterisk}
        if not found:
            return []
        known = {node.name: node for node in Node.select().where(Node.name.in_(list(found)))}
        alive = self._alive([name for name in found if name != me.name])
        return [
            LeftCalls(
                name,
                int(calls),
                max(int(pulse_us), known[name].seen_at_us if name in known else 0),
                name in known and name != me.name and self._is_on_my_asterisk(known[name]),
                known[name].asterisk_started_at if name in known else "",
            )
            for name, (calls, pulse_us) in found.items()
            if name not in alive
        ]

    def _is_on_my_asterisk(self, node: Node) -> bool:
        """Whether a node worked with the very process that is our Asterisk: its identity alone may be a copy."""
        me = self.me
        there = node.asterisk, node.asterisk_started_at
        return bool(me.asterisk) and there == (me.asterisk, me.asterisk_started_at)

    @contextmanager
    def standing_in(self, name: str) -> Iterator[bool]:
        """Have the name of a node that does not live, so that it cannot start meanwhile; False when it lives."""
        if self._lock.held() and name == self.me.name:
            yield True
            return
        lock = self._lock_of(name)
        try:
            yield lock.take()
        finally:
            lock.release()

    def _lock_of(self, name: str) -> NameLock:
        return name_lock(self._database.url, _lock_name(name), self._owner)

    def _alive(self, names: Sequence[str]) -> set[str]:
        taken = taken_names(self._database.url, [_lock_name(name) for name in names])
        return {name for name in names if _lock_name(name) in taken}


def _lock_name(name: str) -> str:
    return f"node-{name}"


def _calls_by_node() -> dict[str, int]:
    rows = (
        Request.select(Request.claimed_by, fn.COUNT(Request.id).alias("calls"))
        .where(Request.state.in_(UNDER_WAY))
        .group_by(Request.claimed_by)
    )
    return {row.claimed_by: int(row.calls) for row in rows}


def _holds_by_node() -> dict[str, list[OpenHold]]:
    """The open holds of each node's calls."""
    holds = {hold.leg_id: hold for hold in open_holds()}
    rows = (
        LegRow.select(LegRow.id, Request.claimed_by).join(Request).where(LegRow.id.in_(list(holds))).tuples()
    )
    found: dict[str, list[OpenHold]] = {}
    for leg_id, name in rows.iterator():
        found.setdefault(name, []).append(holds[leg_id])
    return found


def _view(row: Node, alive: bool, calls: int, holds: Sequence[OpenHold]) -> NodeView:
    held: Counter[str] = Counter()
    for hold in holds:
        held[hold.currency] += hold.amount_micros
    return NodeView(
        row.name,
        alive,
        row.state == DRAINING,
        row.incarnation,
        row.asterisk,
        row.asterisk_started_at,
        row.started_at_us,
        row.seen_at_us,
        row.stopped_at_us,
        calls,
        len(holds),
        dict(held),
    )
