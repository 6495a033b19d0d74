"""Whose a callback is: each that is under way belongs to one start of one node, and nobody else changes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peewee import Expression

from stasis_callback.core.errors import NotOurs, require
from stasis_callback.core.states import UNDER_WAY
from stasis_callback.store.calls.request_looks import RequestLooks
from stasis_callback.store.calls.request_view import RequestView, request_now, views_of
from stasis_callback.store.calls.tables import Request
from stasis_callback.store.calls.wishes import NODE_STATE
from stasis_callback.store.database.database import read, unit
from stasis_callback.store.database.statements import every, run

UNDER_WAY_NOW = Request.state.in_(UNDER_WAY)
_CLAIMED_HERE = """SELECT id FROM request WHERE state IN ('dialing', 'talking')
    AND (claimed_by = ? OR incarnation = ?)"""


class RequestOwners(RequestLooks):
    """The request table, as far as it says whose a request is."""

    def _claim(self, lease_until_us: int) -> dict[str, object]:
        """What the row of a request that is ours says of us."""
        me = self._me
        return {
            "claimed_by": me.name,
            "incarnation": me.incarnation,
            "asterisk": me.asterisk,
            "lease_until_us": lease_until_us,
            "alive_mark": self._clock.mark(),
        }

    def left_open(self, in_hand: Callable[[str], bool] = lambda _id: False) -> list[RequestView]:
        """Requests in a call of this node, except those that are in hand: what recovery looks at.

        Those of a former start of it become this one's: that one is dead, or the name's lock would not be ours. Not
        those on another Asterisk, which would know nothing of their legs.
        """
        found = self._claimed_here(in_hand)
        if any(request.incarnation != self._me.incarnation for request in found):
            former = (Request.claimed_by == self._me.name) & ~self._is_mine()
            self._own(former & ~self._is_elsewhere() if self._me.asterisk else former)
            found = self._claimed_here(in_hand)
        return [request for request in found if request.incarnation == self._me.incarnation]

    @read
    def _claimed_here(self, in_hand: Callable[[str], bool]) -> list[RequestView]:
        """Requests in a call that this node's name has claimed, in this start of it or a former one.

        Those in hand are nearly all there are, thousands at times: of them no more than the id is read.
        """
        ids = [request_id for (request_id,) in every(_CLAIMED_HERE, self._me.name, self._me.incarnation)]
        found = [request_now(request_id) for request_id in ids if not in_hand(request_id)]
        found = [request for request in found if request.state in UNDER_WAY]  # it may have ended in between
        # Not by the database, which might read the whole table in that order, for the few that are asked for.
        return sorted(found, key=lambda request: (request.created_at_us, request.id))

    def under_way_of(self, node: str) -> list[RequestView]:
        """Requests in a call of another node; of this one: what a former start of it has left on another Asterisk."""
        which = Request.claimed_by == node
        if node == self._me.name:
            which &= ~self._is_mine() & self._is_elsewhere()
        return self._under_way(which)

    @read
    def _under_way(self, which: Expression) -> list[RequestView]:
        return views_of(Request.select().where(UNDER_WAY_NOW, which))

    def adopt(self, node: str) -> int:
        """Make the calls of a node that does not live, on the Asterisk that is ours, this node's; how many."""
        return self._own((Request.claimed_by == node) & (Request.asterisk == self._me.asterisk))

    @unit
    def _own(self, which: Expression) -> int:
        if self._node_state() is None:
            return 0  # another start has the name: the calls are its
        mine = {"claimed_by": self._me.name, "incarnation": self._me.incarnation}
        count = (
            Request.update(**mine).where(UNDER_WAY_NOW, which).execute() or self._database.noted("owned") or 0
        )
        self._database.note("owned", count)
        return int(count)

    def _node_state(self) -> str | None:
        """Within a transaction: `active` or `draining`; None for a process that is not the node of its name."""
        row = run(NODE_STATE, self._me.name, self._me.incarnation).fetchone()
        return str(row[0]) if row else None

    def make_ours(self, request: RequestView) -> bool:
        """Within a transaction: make a call that a dead node has left ours; False when it is not as it was read.

        Only for a transaction that also ends the request or queues it again: its Asterisk is not ours.
        """
        require(
            request.state in UNDER_WAY, f"request {request.id} is {request.state} and cannot be taken over"
        )
        as_read = Request.update(incarnation=self._me.incarnation).where(
            Request.id == request.id,
            Request.state == request.state,
            Request.claimed_by == request.claimed_by,
            Request.incarnation == request.incarnation,
        )
        name = f"taken:{request.id}"
        if as_read.execute():
            self._database.note(name)
            return True
        return self._database.noted(name) is not None and not self.lost([request.id])

    @read
    def lost(self, ids: Sequence[str]) -> list[str]:
        """Which of these requests, in calls that this process works on, another node has taken over."""
        rows = Request.select(Request.id).where(Request.id.in_(list(ids)), ~self._is_mine())
        return [row.id for row in rows]

    def _is_elsewhere(self) -> Expression:
        """On an Asterisk that is not ours; where it is not known (from before there were nodes) it is ours."""
        return Request.asterisk.not_in(["", self._me.asterisk])

    def _is_mine(self) -> Expression:
        return Request.incarnation == self._me.incarnation

    def _require_mine(self, row: Request | RequestView) -> None:
        if row.incarnation != self._me.incarnation:
            raise NotOurs(f"request {row.id} does not belong to this node: another node has taken it over")
