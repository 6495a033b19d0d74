"""The queue of callbacks: accepted, refused, claimed, retried, finished. Every change is one transaction."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import require
from stasis_callback.core.options import CallOptions
from stasis_callback.core.progress import Step
from stasis_callback.core.requests import MISSED_CALL, CallbackRequest
from stasis_callback.core.states import LIVE, LegState, RequestState, require_move
from stasis_callback.store.database import Database
from stasis_callback.store.events import note_step
from stasis_callback.store.models import Account, Leg, Request

LEASE_S = 30
"""A node renews the lease of its calls while it lives, so the lease tells when it was last known to live."""


_STEPS = {
    RequestState.TALKING: Step.FIRST_ANSWERED,
    RequestState.QUEUED: Step.RETRYING,
    RequestState.DONE: Step.ENDED,
    RequestState.CANCELLED: Step.CANCELLED,
}
"""What it means to whoever asked that a request moves on to a state."""


@dataclass(frozen=True, slots=True)
class RequestView:
    """A request as it was when it was read. `id` is the session id: its legs are `<id>-a1`, `<id>-b1`, ..."""

    id: str
    key: str
    triggered_by: str
    ani: str
    dnis: str
    account_id: int
    subscriber_id: int | None
    leg_a_number: str
    stored_options: str
    state: RequestState
    outcome: str
    attempts: int
    created_at_us: int
    due_at_us: int
    finished_at_us: int | None
    destination: str = ""
    instance: str = ""
    claims: int = 0
    lease_until_us: int = 0
    cancel_wanted: bool = False

    @property
    def last_alive_us(self) -> int:
        """When the node that worked on it was last known to live, as of when this was read."""
        return self.lease_until_us - LEASE_S * US_PER_S

    @property
    def options(self) -> CallOptions:
        """The options the request was accepted with."""
        return _parsed(self.stored_options)


@dataclass(frozen=True, slots=True)
class Again:
    """When the next attempt is due: `after_s` seconds from now, or (None) when this one was.

    `uncounted`: Asterisk never heard of this attempt, so it does not count. It keeps its time, so that a service
    that dies again and again gives up in the end.
    """

    after_s: float | None
    uncounted: bool = False


@lru_cache(maxsize=256)
def _parsed(stored_options: str) -> CallOptions:
    """Few different sets of options are in use at a time, and a call looks at its own again and again."""
    return CallOptions.parse(json.loads(stored_options))


class Requests:
    """The request table."""

    def __init__(self, database: Database, clock: Clock, node: str) -> None:
        self._database = database
        self._clock = clock
        self._node = node

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
        """Take up to `limit` due requests for this node, oldest first; each goes to `dialing`."""
        now_us = self._clock.now_us()
        with self._database.transaction():
            rows = (
                Request.select()
                .where(Request.state == RequestState.QUEUED, Request.due_at_us <= now_us)
                .order_by(Request.due_at_us)
                .limit(limit)
            )
            due = list(self._database.taking(rows))
            for row in due:
                row.state = RequestState.DIALING
                row.claims += 1
                row.claimed_by = self._node
                row.lease_until_us = now_us + LEASE_S * US_PER_S
                row.save()
                note_step(row.id, Step.CALLING_FIRST, now_us)
        return [_view(row) for row in due]

    def renew_leases(self, ids: Sequence[str]) -> None:
        """Keep the requests that this node is working on."""
        until_us = self._clock.now_us() + LEASE_S * US_PER_S
        with self._database.transaction():
            for start in range(0, len(ids), 500):
                Request.update(lease_until_us=until_us).where(
                    Request.id.in_(ids[start : start + 500])
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

    def attempt(self, request_id: str) -> bool:
        """Count an attempt: Asterisk is about to be asked. False, and nothing counted, when it was taken back.

        Call it inside the transaction that notes the attempt's first leg.
        """
        with self._database.transaction():
            counted = Request.update(attempts=Request.attempts + 1).where(
                Request.id == request_id, ~Request.cancel_wanted
            )
            return bool(counted.execute())

    def cancel(self, request_id: str) -> bool:
        """Take back a callback; False when it is over. One that waits is over at once, and is then `cancelled`.

        One under way is only marked: its node ends it, and does not try again.
        """
        now_us = self._clock.now_us()
        with self._database.transaction():
            at_once = (
                Request.update(state=RequestState.CANCELLED, finished_at_us=now_us)
                .where(Request.id == request_id, Request.state == RequestState.QUEUED)
                .execute()
            )
            if at_once:
                note_step(request_id, Step.CANCELLED, now_us)
                return True
            under_way = Request.state.in_((RequestState.DIALING, RequestState.TALKING))
            marked = Request.update(cancel_wanted=True).where(
                Request.id == request_id, under_way, ~Request.cancel_wanted
            )
            if marked.execute():
                note_step(request_id, Step.CANCELLING, now_us)
            return bool(Request.select().where(Request.id == request_id, under_way).exists())

    def cancel_wanted(self, request_id: str) -> bool:
        """Whether somebody has taken back a callback that is under way."""
        with self._database.reading():
            row = Request.get_or_none(Request.id == request_id)
            return bool(row and row.cancel_wanted)

    def retry(self, request_id: str, again: Again, *, outcome: str) -> None:
        """Leg A was not reached: queue the callback again; or it is over, when somebody has taken it back."""
        now_us = self._clock.now_us()
        with self._database.transaction():
            row = Request.get_by_id(request_id)
            if row.cancel_wanted:
                self._move(request_id, RequestState.CANCELLED, outcome=outcome, finished_at_us=now_us)
                return
            values: dict[str, object] = {}
            if again.after_s is not None:
                values["due_at_us"] = now_us + int(again.after_s * US_PER_S)
            if again.uncounted and row.state != RequestState.QUEUED:
                values["attempts"] = max(row.attempts - 1, 0)
            self._move(request_id, RequestState.QUEUED, outcome=outcome, **values)

    def finish(self, request_id: str, outcome: str) -> None:
        """The callback is over. InvariantBroken while one of its legs is open: that would never be charged."""
        now_us = self._clock.now_us()
        with self._database.transaction():
            open_legs = Leg.select().where(Leg.request == request_id, Leg.state != LegState.SETTLED)
            require(not open_legs.exists(), f"request {request_id} has a leg that is not settled")
            self._move(request_id, RequestState.DONE, outcome=outcome, finished_at_us=now_us)

    def _move(self, request_id: str, state: RequestState, **values: object) -> None:
        with self._database.transaction():
            row = Request.get_by_id(request_id)
            if row.state == state and row.outcome == values.get("outcome", row.outcome):
                return  # done before: the answer was lost
            require_move(RequestState(row.state), state)
            moved = Request.update(state=state, **values).where(
                Request.id == request_id, Request.state == row.state
            )
            require(moved.execute() == 1, f"request {request_id} was moved by another at the same time")
            note_step(request_id, _STEPS[state], self._clock.now_us())

    # --- out -------------------------------------------------------------------------------------------------------

    def left_open(self) -> list[RequestView]:
        """Requests in a call of this node: what recovery looks at. Another node's calls are on another Asterisk."""
        with self._database.reading():
            states = (RequestState.DIALING, RequestState.TALKING)
            rows = Request.select().where(Request.state.in_(states), Request.claimed_by == self._node)
            return [_view(row) for row in rows]

    def get(self, request_id: str) -> RequestView:
        """The request as it is now."""
        with self._database.reading():
            return _view(Request.get_by_id(request_id))

    def state(self, request_id: str) -> RequestState | None:
        """The state of a request; None when there is none of this id."""
        with self._database.reading():
            row = Request.get_or_none(Request.id == request_id)
            return RequestState(row.state) if row else None

    def exists(self, request_id: str) -> bool:
        """Whether there is such a request."""
        with self._database.reading():
            return bool(Request.select().where(Request.id == request_id).exists())

    def with_key(self, key: str) -> RequestView | None:
        """The request with this key, accepted or refused."""
        with self._database.reading():
            row = Request.get_or_none(Request.key == key)
            return _view(row) if row else None

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
            return [_view(row) for row in rows]

    def count(self, state: str) -> int:
        """How many requests are in this state."""
        with self._database.reading():
            return int(Request.select().where(Request.state == state).count())

    def newest(self, *, state: str | None = None, limit: int = 100) -> list[RequestView]:
        """The newest requests, newest first."""
        with self._database.reading():
            rows = Request.select().order_by(Request.created_at_us.desc()).limit(limit)
            return [_view(row) for row in (rows.where(Request.state == state) if state else rows)]


def _calls_at_once(subscriber_id: int | None) -> float:
    """How many callbacks the subscriber's account may have under way; no limit while nobody is known."""
    if subscriber_id is None:
        return float("inf")
    return int(Account.get_by_id(subscriber_id).simultaneous_calls)


def _live_calls(subscriber_id: int | None) -> int:
    if subscriber_id is None:
        return 0
    return int(Request.select().where(Request.subscriber == subscriber_id, Request.state.in_(LIVE)).count())


def _view(row: Request) -> RequestView:
    return RequestView(
        id=row.id,
        key=row.key,
        triggered_by=row.triggered_by,
        ani=row.ani,
        dnis=row.dnis,
        account_id=row.account_id or 0,
        subscriber_id=row.subscriber_id,
        leg_a_number=row.leg_a_number,
        stored_options=row.options,
        state=RequestState(row.state),
        outcome=row.outcome,
        attempts=row.attempts,
        created_at_us=row.created_at_us,
        due_at_us=row.due_at_us,
        finished_at_us=row.finished_at_us,
        destination=row.destination,
        instance=row.instance,
        claims=row.claims,
        lease_until_us=row.lease_until_us,
        cancel_wanted=row.cancel_wanted,
    )
