"""The queue of callbacks: accepted, refused, claimed, retried, finished. Every change is one transaction."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence

from peewee import Expression

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import NotOurs, require
from stasis_callback.core.options import CallOptions
from stasis_callback.core.progress import Step
from stasis_callback.core.requests import MISSED_CALL, CallbackRequest
from stasis_callback.core.states import LIVE, UNDER_WAY, RequestState, require_move
from stasis_callback.store.database import Database
from stasis_callback.store.events import note_step
from stasis_callback.store.models import Account, Request
from stasis_callback.store.nodes import ACTIVE, Identity
from stasis_callback.store.request_view import LEASE_S as LEASE_S
from stasis_callback.store.request_view import RequestView as RequestView
from stasis_callback.store.request_view import view_of
from stasis_callback.store.statements import run

UNDER_WAY_NOW = Request.state.in_(UNDER_WAY)
_MY_NODE = "SELECT state FROM node WHERE name = ? AND incarnation = ? FOR UPDATE"

_STEPS = {
    RequestState.TALKING: Step.FIRST_ANSWERED,
    RequestState.QUEUED: Step.RETRYING,
    RequestState.DONE: Step.ENDED,
}
"""What it means to whoever asked that a request moves on to a state."""


class Requests:
    """The request table."""

    def __init__(self, database: Database, clock: Clock, me: Identity) -> None:
        self._database = database
        self._clock = clock
        self._me = me

    # --- in ------------------------------------------------------------------------------------------------------

    def accept(
        self,
        request: CallbackRequest,
        *,
        account_id: int,
        subscriber_id: int | None,
        leg_a_number: str,
        stored_options: dict[str, str],
        queue_limit: int,
        request_id: str = "",
    ) -> str:
        """Queue a callback; the reason for a refusal, or "" when it was accepted (with the id `request_id`, if any).

        `subscriber_id` is None when the subscriber logs in later (PIN) or is anybody (a hosted web callback).
        Refused: `repeated` (the same key, or another request of this number, to the same destination, within the
        de-duplication window; of this subscriber too, unless they may have several calls at once), `in_progress` (one
        of them is under way, or as many as the account may have), `queue_full`.
        """
        options = CallOptions.parse(stored_options)
        now_us = self._clock.now_us()
        window_start_us = now_us - int(options.dedupe_window_s * US_PER_S)
        with self._database.transaction():
            whose = [f"subscriber:{subscriber_id}"] if subscriber_id is not None else []
            self._database.lock(f"request:{request.key}", f"number:{leg_a_number}", *whose)
            at_once = _calls_at_once(subscriber_id)
            same = Request.leg_a_number == leg_a_number
            if at_once == 1:
                same |= Request.subscriber == subscriber_id
            mine = Request.select().where(same)
            if Request.get_or_none(Request.key == request.key) is not None:
                return "repeated"
            if mine.where(Request.state.in_(LIVE)).exists() or _live_calls(subscriber_id) >= at_once:
                return "in_progress"
            # Who took back what was asked for on a form asks again for something better.
            free = (
                (RequestState.REFUSED,)
                if request.trigger in MISSED_CALL
                else (RequestState.REFUSED, RequestState.CANCELLED)
            )
            counts = Request.state.not_in(free)
            counts &= Request.destination == request.destination
            if mine.where(counts, Request.created_at_us > window_start_us).exists():
                return "repeated"
            if Request.select().where(Request.state == RequestState.QUEUED).count() >= queue_limit:
                return "queue_full"
            self._insert(
                request,
                RequestState.QUEUED,
                stored_options,
                id=request_id,
                account=account_id,
                subscriber=subscriber_id,
                leg_a_number=leg_a_number,
                created_at_us=now_us,
                due_at_us=now_us + int(options.callback_delay_s * US_PER_S),
            )
            self._database.notify()
        return ""

    def refuse(self, request: CallbackRequest, reason: str, account_id: int | None = None) -> None:
        """Keep a request that was not accepted, with the reason, so that an operator can see why."""
        with self._database.transaction():
            self._database.lock(f"request:{request.key}")
            if Request.get_or_none(Request.key == request.key) is None:
                now_us = self._clock.now_us()
                self._insert(
                    request,
                    RequestState.REFUSED,
                    {},
                    outcome=reason,
                    account=account_id,
                    finished_at_us=now_us,
                )

    def _insert(
        self, request: CallbackRequest, state: RequestState, stored_options: dict[str, str], **values: object
    ) -> None:
        now_us, request_id = self._clock.now_us(), values.pop("id", "") or secrets.token_hex(8)
        blank = {"outcome": "", "leg_a_number": "", "attempts": 0, "claimed_by": "", "lease_until_us": 0}
        Request.create(
            **{
                "id": request_id,
                "key": request.key,
                "triggered_by": request.trigger,
                "ani": request.ani,
                "dnis": request.dnis,
                "destination": request.destination,
                "instance": request.instance,
                "options": json.dumps(stored_options),
                "state": state,
                "created_at_us": now_us,
                "due_at_us": now_us,
                **blank,
                **values,
            }
        )
        if state is RequestState.QUEUED:
            note_step(str(request_id), Step.QUEUED, now_us)

    # --- through ---------------------------------------------------------------------------------------------------

    def next_due_us(self) -> int | None:
        """When the next queued request is due; None when nothing is queued."""
        with self._database.reading():
            row = (
                Request.select()
                .where(Request.state == RequestState.QUEUED)
                .order_by(Request.due_at_us)
                .first()
            )
            return int(row.due_at_us) if row else None

    def claim(self, limit: int) -> list[RequestView]:
        """Take up to `limit` due requests for this node, oldest first; each goes to `dialing`.

        None for a process that is not, or no longer, the node of its name, and for one that drains.
        """
        now_us = self._clock.now_us()
        with self._database.transaction():
            if self._node_state() != ACTIVE:
                return []
            rows = (
                Request.select()
                .where(Request.state == RequestState.QUEUED, Request.due_at_us <= now_us)
                .order_by(Request.due_at_us)
                .limit(limit)
            )
            due = list(self._database.taking(rows))
            for row in due:
                row.state = RequestState.DIALING
                row.attempts += 1
                row.claimed_by, row.incarnation = self._me.name, self._me.incarnation
                row.asterisk = self._me.asterisk
                row.lease_until_us = now_us + LEASE_S * US_PER_S
                row.save()
                note_step(row.id, Step.CALLING_FIRST, now_us)
        return [view_of(row) for row in due]

    def renew_leases(self, ids: Sequence[str]) -> None:
        """Keep the requests that this node is working on."""
        until_us = self._clock.now_us() + LEASE_S * US_PER_S
        with self._database.transaction():
            for start in range(0, len(ids), 500):
                Request.update(lease_until_us=until_us).where(
                    Request.id.in_(ids[start : start + 500]), self._is_mine()
                ).execute()

    def answered(self, request_id: str) -> None:
        """Leg A has answered."""
        self._move(request_id, RequestState.TALKING)

    def log_in(self, request_id: str, subscriber_id: int) -> bool:
        """Note who logged in with a PIN; False when as many calls of this account are under way as it may have."""
        with self._database.transaction():
            self._database.lock(f"subscriber:{subscriber_id}")
            if _live_calls(subscriber_id) >= _calls_at_once(subscriber_id):
                return False
            Request.update(subscriber=subscriber_id).where(Request.id == request_id).execute()
            return True

    def cancel(self, request_id: str) -> bool:
        """Take back a callback that still waits; False when it is being called already, or over."""
        now_us = self._clock.now_us()
        with self._database.transaction():
            changed = (
                Request.update(state=RequestState.CANCELLED, finished_at_us=now_us)
                .where(Request.id == request_id, Request.state == RequestState.QUEUED)
                .execute()
            )
            if changed:
                note_step(request_id, Step.CANCELLED, now_us)
            return bool(changed)

    def retry(self, request_id: str, *, after_s: float, outcome: str) -> None:
        """Leg A was not reached: try again `after_s` seconds from now."""
        due_at_us = self._clock.now_us() + int(after_s * US_PER_S)
        self._move(request_id, RequestState.QUEUED, due_at_us=due_at_us, outcome=outcome)

    def put_back(self, request_id: str) -> None:
        """No phone has rung in this attempt, and none will: it is not counted, and any node may begin it again."""
        with self._database.transaction():
            now_us = self._clock.now_us()
            self._move(request_id, RequestState.QUEUED, due_at_us=now_us, attempts=Request.attempts - 1)
            self._database.notify()

    def finish(self, request_id: str, outcome: str) -> None:
        """The callback is over."""
        now_us = self._clock.now_us()
        self._move(request_id, RequestState.DONE, outcome=outcome, finished_at_us=now_us)

    def _move(self, request_id: str, state: RequestState, **values: object) -> None:
        with self._database.transaction():
            row = Request.get_by_id(request_id)
            self._require_mine(row)
            require_move(RequestState(row.state), state)
            moved = Request.update(state=state, **values).where(
                Request.id == request_id, Request.state == row.state, self._is_mine()
            )
            require(moved.execute() == 1, f"request {request_id} was moved by another at the same time")
            note_step(request_id, _STEPS[state], self._clock.now_us())

    # --- whose it is -----------------------------------------------------------------------------------------------

    def left_open(self) -> list[RequestView]:
        """Requests in a call of this node: what recovery looks at.

        Those of a former start of it become this one's: that one is dead, or the name's lock would not be ours. Not
        those on another Asterisk, which would know nothing of their legs.
        """
        former = (Request.claimed_by == self._me.name) & ~self._is_mine()
        if self._me.asterisk:
            former &= ~self._is_elsewhere()
        with self._database.reading():
            any_former = Request.select().where(UNDER_WAY_NOW, former).exists()
        if any_former:
            self._own(former)
        with self._database.reading():
            return [view_of(row) for row in Request.select().where(UNDER_WAY_NOW, self._is_mine())]

    def under_way_of(self, node: str) -> list[RequestView]:
        """Requests in a call of another node; of this one: what a former start of it has left on another Asterisk."""
        which = Request.claimed_by == node
        if node == self._me.name:
            which &= ~self._is_mine() & self._is_elsewhere()
        with self._database.reading():
            return [view_of(row) for row in Request.select().where(UNDER_WAY_NOW, which)]

    def adopt(self, node: str) -> int:
        """Make the calls of a node that does not live, on the Asterisk that is ours, this node's; how many."""
        return self._own((Request.claimed_by == node) & (Request.asterisk == self._me.asterisk))

    def _own(self, which: Expression) -> int:
        with self._database.transaction():
            if self._node_state() is None:
                return 0  # another start has the name: the calls are its
            mine = {"claimed_by": self._me.name, "incarnation": self._me.incarnation}
            return int(Request.update(**mine).where(UNDER_WAY_NOW, which).execute())

    def _node_state(self) -> str | None:
        """Within a transaction: `active` or `draining`; None for a process that is not the node of its name.

        The node's row stays locked until the commit: whoever takes the name over finds what was done.
        """
        row = run(_MY_NODE, self._me.name, self._me.incarnation).fetchone()
        return str(row[0]) if row else None

    def take(self, request: RequestView) -> bool:
        """Within a transaction: make a call that a dead node has left ours; False when it is not as it was read.

        For whoever ends it, or puts it back, in the same transaction: no call on another Asterisk is ours for longer.
        """
        require(
            request.state in UNDER_WAY, f"request {request.id} is {request.state}: there is nothing to take"
        )
        as_read = Request.update(incarnation=self._me.incarnation).where(
            Request.id == request.id,
            Request.state == request.state,
            Request.claimed_by == request.claimed_by,
            Request.incarnation == request.incarnation,
        )
        return bool(as_read.execute())

    def lost(self, ids: Sequence[str]) -> list[str]:
        """Which of these requests, in calls that this process works on, another node has taken over."""
        with self._database.reading():
            rows = Request.select(Request.id).where(Request.id.in_(list(ids)), ~self._is_mine())
            return [row.id for row in rows]

    def _is_elsewhere(self) -> Expression:
        """On an Asterisk that is not ours; where it is not known (from before there were nodes) it is ours."""
        return Request.asterisk.not_in(["", self._me.asterisk])

    def _is_mine(self) -> Expression:
        return Request.incarnation == self._me.incarnation

    def _require_mine(self, row: Request) -> None:
        if row.incarnation != self._me.incarnation:
            raise NotOurs(f"request {row.id} is not ours: another node has taken it over")

    # --- out -------------------------------------------------------------------------------------------------------

    def get(self, request_id: str) -> RequestView:
        """The request as it is now."""
        with self._database.reading():
            return view_of(Request.get_by_id(request_id))

    def exists(self, request_id: str) -> bool:
        """Whether there is such a request."""
        with self._database.reading():
            return bool(Request.select().where(Request.id == request_id).exists())

    def with_key(self, key: str) -> RequestView | None:
        """The request with this key, accepted or refused."""
        with self._database.reading():
            row = Request.get_or_none(Request.key == key)
            return view_of(row) if row else None

    def of_instances(
        self, instance: str = "", *, state: str | None = None, before_us: int | None = None, limit: int = 50
    ) -> list[RequestView]:
        """The newest requests through one web instance or ("") through all, newest first, older than `before_us`."""
        with self._database.reading():
            rows = Request.select().where(Request.triggered_by == "web", Request.instance != "")
            rows = rows.order_by(Request.created_at_us.desc()).limit(limit)
            rows = rows.where(Request.instance == instance) if instance else rows
            rows = rows.where(Request.state == state) if state else rows
            rows = rows.where(Request.created_at_us < before_us) if before_us is not None else rows
            return [view_of(row) for row in rows]

    def count(self, state: str) -> int:
        """How many requests are in this state."""
        with self._database.reading():
            return int(Request.select().where(Request.state == state).count())

    def newest(self, *, state: str | None = None, limit: int = 100) -> list[RequestView]:
        """The newest requests, newest first."""
        with self._database.reading():
            rows = Request.select().order_by(Request.created_at_us.desc()).limit(limit)
            return [view_of(row) for row in (rows.where(Request.state == state) if state else rows)]


def _calls_at_once(subscriber_id: int | None) -> float:
    """How many callbacks the subscriber's account may have under way; no limit while nobody is known."""
    if subscriber_id is None:
        return float("inf")
    return int(Account.get_by_id(subscriber_id).simultaneous_calls)


def _live_calls(subscriber_id: int | None) -> int:
    if subscriber_id is None:
        return 0
    return int(Request.select().where(Request.subscriber == subscriber_id, Request.state.in_(LIVE)).count())
