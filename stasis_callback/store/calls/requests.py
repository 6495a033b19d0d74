"""The queue of callbacks: accepted, refused, claimed, retried, finished. Every change is one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Unpack

from peewee import SQL

from stasis_callback.clock import US_PER_S
from stasis_callback.core.errors import require
from stasis_callback.core.options import CallOptions
from stasis_callback.core.progress import Step
from stasis_callback.core.requests import CallbackRequest, Trigger
from stasis_callback.core.states import UNDER_WAY, LegState, RequestState, require_move
from stasis_callback.core.stored_options import CALL_OPTIONS
from stasis_callback.core.words import Ending, Objection, Refusal
from stasis_callback.store.accounts.fraud import asked_subjects
from stasis_callback.store.calls.request_looks import BY_KEY
from stasis_callback.store.calls.request_owners import RequestOwners
from stasis_callback.store.calls.request_view import LEASE_S as LEASE_S
from stasis_callback.store.calls.request_view import (
    REQUEST_COLUMNS,
    SELECT_REQUEST,
    request_now,
    view_of,
    views_of,
)
from stasis_callback.store.calls.request_view import Again as Again
from stasis_callback.store.calls.request_view import RequestView as RequestView
from stasis_callback.store.calls.steps import note_step
from stasis_callback.store.calls.tables import LegRow, Request
from stasis_callback.store.calls.wishes import CALLS_OF, LIVE_NOW, dedupe_window_us, newest_us, too_much
from stasis_callback.store.calls.wishes import Accepted as Accepted
from stasis_callback.store.calls.wishes import Wish as Wish
from stasis_callback.store.calls.wishes import new_request_id as new_request_id
from stasis_callback.store.database.database import read, unit
from stasis_callback.store.database.foreign import usable
from stasis_callback.store.database.identity import ACTIVE
from stasis_callback.store.database.statements import changed, every, insert, one, run, run_many

LONGEST_PAUSE_S = 5
"""The longest delay that the dialler itself imposes on a callback, when all trunks are full."""

_NEXT_DUE = "SELECT MIN(due_at_us) FROM request WHERE state = 'queued'"
_DUE = f"""{SELECT_REQUEST} WHERE state = 'queued' AND due_at_us <= ? ORDER BY due_at_us LIMIT ?
    FOR UPDATE SKIP LOCKED"""
_CLAIM = """UPDATE request SET state = 'dialing', claims = claims + 1, claimed_by = ?, incarnation = ?, asterisk = ?,
    lease_until_us = ?, alive_mark = ? WHERE id = ?"""
_ATTEMPT = "UPDATE request SET attempts = attempts + 1 WHERE id = ? AND NOT cancel_wanted RETURNING attempts"
_ANSWERED = """UPDATE request SET state = 'talking'
    WHERE id = ? AND claims = ? AND incarnation = ? AND state = 'dialing' RETURNING 1"""
_DONE = """UPDATE request SET state = 'done', outcome = ?, finished_at_us = ?, transcript = ?
    WHERE id = ? AND claims = ? AND incarnation = ?
    AND (state = 'talking' OR (state = 'dialing' AND NOT cancel_wanted))
    AND NOT EXISTS (SELECT 1 FROM leg WHERE leg.request_id = request.id AND leg.state <> 'settled')
    RETURNING told"""
_UNCOUNTED = "UPDATE request SET attempts = 0 WHERE id = ?"
_CANCEL_WANTED = "SELECT cancel_wanted FROM request WHERE id = ?"
_RENEW = "UPDATE request SET lease_until_us = ?, alive_mark = ? WHERE id = ? AND incarnation = ?"
_TAKEN_BACK = "SELECT id FROM request WHERE cancel_wanted AND state IN ('dialing', 'talking')"

_BLANK: dict[str, object] = {
    "account_id": None,
    "subscriber_id": None,
    "outcome": "",
    "leg_a_number": "",
    "attempts": 0,
    "finished_at_us": None,
    "claimed_by": "",
    "incarnation": "",
    "lease_until_us": 0,
    "alive_mark": "",
    "claims": 0,
    "cancel_wanted": False,
}
"""A row of the request table before anything is known."""
_STEPS = {
    RequestState.TALKING: Step.FIRST_ANSWERED,
    RequestState.QUEUED: Step.RETRYING,
    RequestState.DONE: Step.ENDED,
    RequestState.CANCELLED: Step.CANCELLED,
}
"""The step that is reported to the requester when a request enters a state."""


class Requests(RequestOwners):
    """The request table."""

    # --- in ------------------------------------------------------------------------------------------------------

    def accept(self, request: CallbackRequest, **wish: Unpack[Wish]) -> Objection:
        """Queue a callback; the reason for a refusal, or "" when it was accepted.

        Refused: `repeated` (the same key, or another request of this number, to the same destination, within the
        de-duplication window; of this subscriber too, unless they may have several calls at once), `in_progress` (one
        of them is under way, or as many as the account may have), `queue_full`, `opted_out`, `link_used_up`,
        `set_aside` (one of `subjects`), `never_called`, `account_blocked` (since it was looked at). Asked again with
        the same key and `request_id`, because the answer was lost, it gives the answer of then.
        """
        return self.accept_or_begin(request, begin=False, **wish).reason

    def accept_or_begin(
        self,
        request: CallbackRequest,
        *,
        begin: bool,
        note_leg: Callable[[RequestView], bool] | None = None,
        **wish: Unpack[Wish],
    ) -> Accepted:
        """The same; with `begin` it is claimed in that commit, where it is due at once and this node takes calls.

        `note_leg` is called then, to note leg A in that commit too, and says whether it has; that counts the attempt.
        """
        stored_options, leg_a_number = wish["stored_options"], wish["leg_a_number"]
        subscriber_id, queue_limit = wish["subscriber_id"], wish["queue_limit"]
        options = usable("callback", CALL_OPTIONS, stored_options).options
        now_us, me = self._clock.now_us(), self._me
        values = {
            "id": wish.get("request_id") or new_request_id(),
            "account_id": wish["account_id"],
            "subscriber_id": subscriber_id,
            "leg_a_number": leg_a_number,
            "created_at_us": now_us,
            "due_at_us": now_us + int(options.callback_delay_s * US_PER_S),
        }
        window_us = dedupe_window_us(options, now_us)

        def once() -> Accepted:
            whose = [f"subscriber:{subscriber_id}"] if subscriber_id is not None else []
            link = [f"link:{request.link.id}"] if request.link else []
            self._database.lock(f"request:{request.key}", f"number:{leg_a_number}", *whose, *link)
            subjects = asked_subjects(wish.get("subjects", ()), now_us)
            whom = leg_a_number, wish["account_id"], subscriber_id
            asked = request, *whom, window_us, queue_limit, subjects
            reason, node_state = too_much(*asked, (me.name, me.incarnation) if begin else ("", ""))
            if reason:
                known = one(BY_KEY, request.key) if reason is Refusal.REPEATED else None
                again = known and self._accepted_before(view_of(known), str(values["id"]), begin=begin)
                return again or Accepted(reason)
            begins = begin and values["due_at_us"] == now_us and node_state == ACTIVE
            self._database.note("begun", begins)
            if begins:
                claim = self._claim(now_us + LEASE_S * US_PER_S)
                attempts = 0 if note_leg is None else 1
                view = self._insert(
                    request,
                    RequestState.DIALING,
                    stored_options,
                    **{**values, **claim, "claims": 1, "attempts": attempts},
                )
                view = replace(view, attempts=0)
                noted = note_leg is not None and note_leg(view)
                if attempts and not noted:
                    run(_UNCOUNTED, view.id)
                return Accepted("", view, noted)
            self._insert(request, RequestState.QUEUED, stored_options, **values)
            self._database.notify()
            return Accepted("")

        return self._database.unit(once)

    @read
    def repeated_for_s(
        self,
        trigger: Trigger,
        number: str,
        subscriber_id: int | None,
        destination: str,
        options: CallOptions,
    ) -> int:
        """For how many more seconds such a request is `repeated`; 0 when it is not."""
        now_us = self._clock.now_us()
        window_us = dedupe_window_us(options, now_us)
        last_us = newest_us(trigger, number, subscriber_id, destination, window_us)
        # It is one until it lies before the window.
        return 0 if last_us is None else max(-(-(last_us - window_us[0]) // US_PER_S), 1)

    def _accepted_before(self, view: RequestView, request_id: str, *, begin: bool) -> Accepted | None:
        """The answer of an earlier run that has accepted it; None where the key is another's."""
        if view.id != request_id or view.state is RequestState.REFUSED:
            return None
        # What was only queued then, and is under way since, was claimed by the dialler, which has begun it.
        mine = view.state is RequestState.DIALING and view.incarnation == self._me.incarnation
        if not (begin and mine and self._database.noted("begun")):
            return Accepted("")
        return Accepted("", replace(view, attempts=0), view.attempts > 0)

    @unit
    def refuse(self, request: CallbackRequest, reason: Refusal, account_id: int | None = None) -> None:
        """Keep a request that was not accepted, with the reason, so that an operator can see why."""
        self._database.lock(f"request:{request.key}")
        if one(BY_KEY, request.key) is None:
            now_us = self._clock.now_us()
            self._insert(
                request,
                RequestState.REFUSED,
                {},
                outcome=reason,
                account_id=account_id,
                finished_at_us=now_us,
            )

    def _insert(
        self, request: CallbackRequest, state: RequestState, stored_options: dict[str, str], **values: object
    ) -> RequestView:
        now_us, request_id = self._clock.now_us(), values.pop("id", "") or new_request_id()
        row = {
            **_BLANK,
            "id": request_id,
            "key": request.key,
            "triggered_by": request.trigger,
            "ani": request.ani,
            "dnis": request.dnis,
            "destination": request.destination,
            "instance": request.instance,
            "reference": request.reference,
            "told": request.told,
            "link": request.link.id if request.link else "",
            "source": request.source,
            "attestation": request.attestation,
            "options": json.dumps(stored_options),
            "state": state.value,
            "created_at_us": now_us,
            "due_at_us": now_us,
            **values,
        }
        insert(Request, **row)
        if state is not RequestState.REFUSED and request.told:
            note_step(str(request_id), Step.QUEUED, now_us)
            if state is RequestState.DIALING:
                note_step(str(request_id), Step.CALLING_FIRST, now_us)
        return view_of([row[column] for column in REQUEST_COLUMNS])

    # --- through ---------------------------------------------------------------------------------------------------

    @read
    def next_due_us(self) -> int | None:
        """When the next queued request is due; None when nothing is queued."""
        (due_at_us,) = one(_NEXT_DUE)
        return None if due_at_us is None else int(due_at_us)

    def bring_nearer(self) -> int:
        """Have nobody wait longer than its options say because a clock was put back; how many waited too long.

        Writes only where somebody does: this is asked again and again.
        """
        nearer = self._waiting_too_long()
        return self._bring(nearer) if nearer else 0

    @read
    def _waiting_too_long(self) -> list[tuple[str, int]]:
        """Queued requests that are due later than their options can say; each with when it is due at the latest."""
        now_us = self._clock.now_us()
        later = Request.due_at_us > now_us + LONGEST_PAUSE_S * US_PER_S
        found = []
        for row in views_of(Request.select().where(Request.state == RequestState.QUEUED, later)):
            options = row.options
            wait_s = max(options.callback_delay_s, options.retry_interval_s, LONGEST_PAUSE_S)
            due_us = now_us + int(wait_s * US_PER_S)
            if row.due_at_us > due_us:
                found.append((row.id, due_us))
        return found

    @unit
    def _bring(self, nearer: Sequence[tuple[str, int]]) -> int:
        brought = 0
        for request_id, due_us in nearer:
            still = (Request.state == RequestState.QUEUED) & (Request.due_at_us > due_us)
            brought += Request.update(due_at_us=due_us).where(Request.id == request_id, still).execute()
        return brought

    @unit
    def claim(self, limit: int) -> list[RequestView]:
        """Take up to `limit` due requests for this node, oldest first; each goes to `dialing`.

        None for a process that is not, or no longer, the node of its name, and for one that drains.

        What an earlier run has taken is given again. What nobody was given, because the database stayed away, is
        found by recovery: it is `dialing`, and no call works on it.
        """
        now_us = self._clock.now_us()
        lease_us, known = self._database.noted("claimed") or (now_us + LEASE_S * US_PER_S, [])
        if self._node_state() != ACTIVE:
            return []
        ours = (Request.state == RequestState.DIALING) & self._is_mine()
        ours &= (Request.lease_until_us == lease_us) & Request.id.in_(known)
        taken = views_of(Request.select().where(ours).order_by(Request.due_at_us)) if known else []
        due = [view_of(row) for row in every(_DUE, now_us, limit - len(taken))]
        self._database.note("claimed", (lease_us, [*known, *(request.id for request in due)]))
        mine = self._claim(lease_us)
        for request in due:
            run(_CLAIM, *mine.values(), request.id)
            _note(request, Step.CALLING_FIRST, now_us)

        def claimed(request: RequestView) -> RequestView:
            return replace(
                request,
                state=RequestState.DIALING,
                claims=request.claims + 1,
                claimed_by=self._me.name,
                incarnation=self._me.incarnation,
                lease_until_us=lease_us,
                alive_mark=str(mine["alive_mark"]),
            )

        return [*taken, *map(claimed, due)]

    def renew_leases(self, ids: Sequence[str], seen_ago_s: float = 0.0) -> None:
        """Keep the requests that this node is working on, whose calls were last seen to live `seen_ago_s` ago."""
        # Before the database is asked: it may be away for seconds, in which nobody saw them.
        until_us = self._clock.now_us() + int((LEASE_S - seen_ago_s) * US_PER_S)
        self._renew(ids, until_us, self._clock.mark(seen_ago_s))

    @unit
    def _renew(self, ids: Sequence[str], until_us: int, mark: str) -> None:
        run_many(_RENEW, [(until_us, mark, request_id, self._me.incarnation) for request_id in ids])

    @unit
    def answered(self, request: RequestView) -> None:
        """Leg A has answered. Nothing happens when it was claimed anew since `request` was read."""
        if changed(_ANSWERED, request.id, request.claims, self._me.incarnation):
            _note(request, Step.FIRST_ANSWERED, self._clock.now_us())
        elif request_now(request.id).claims == request.claims:
            self._move(request.id, RequestState.TALKING)

    @unit
    def log_in(self, request_id: str, subscriber_id: int) -> bool:
        """Note who logged in with a PIN; False when as many calls of this account are under way as it may have."""
        self._database.lock(f"subscriber:{subscriber_id}")
        at_once, live = one(CALLS_OF, subscriber_id, subscriber_id, request_id)
        if live >= at_once:
            return False
        Request.update(subscriber=subscriber_id).where(Request.id == request_id).execute()
        return True

    @unit
    def attempt(self, request_id: str) -> bool:
        """Count an attempt: Asterisk is about to be asked. False, and nothing counted, when it was taken back."""
        name = f"attempt:{request_id}"
        before = self._database.noted(name)
        if before is not None and request_now(request_id).attempts == before:
            return True
        counted = one(_ATTEMPT, request_id)
        if counted is None:
            return False
        self._database.note(name, counted[0])
        return True

    @unit
    def cancel(self, request_id: str) -> bool:
        """Take back a callback; False when it is over. One that waits is over at once, and is then `cancelled`.

        One under way is only marked: its node ends it, and does not try again.
        """
        earlier_us = self._database.noted("cancelled")
        at_us = earlier_us or self._clock.now_us()
        at_once = (
            Request.update(state=RequestState.CANCELLED, finished_at_us=at_us)
            .where(Request.id == request_id, Request.state == RequestState.QUEUED)
            .execute()
        )
        if at_once:
            self._database.note("cancelled", at_us)
            note_step(request_id, Step.CANCELLED, at_us)
            return True
        under_way = Request.state.in_((RequestState.DIALING, RequestState.TALKING))
        marked = Request.update(cancel_wanted=True).where(
            Request.id == request_id, under_way, ~Request.cancel_wanted
        )
        if marked.execute():
            note_step(request_id, Step.CANCELLING, at_us)
        row = Request.get_by_id(request_id)
        done_before = row.state == RequestState.CANCELLED and row.finished_at_us == earlier_us
        return done_before or row.state in (RequestState.DIALING, RequestState.TALKING)

    @read
    def cancel_wanted(self, request_id: str) -> bool:
        """Whether somebody has taken back a callback that is under way."""
        row = one(_CANCEL_WANTED, request_id)
        return bool(row and row[0])

    @read
    def taken_back(self, ids: Sequence[str]) -> list[str]:
        """Which of these requests somebody has taken back while they are under way."""
        return [request_id for (request_id,) in every(_TAKEN_BACK) if request_id in ids]

    @unit
    def retry(self, request: RequestView, again: Again, *, outcome: Ending | None) -> None:
        """Leg A was not reached: queue the callback again; or it is over, when somebody has taken it back.

        `outcome` is how this attempt ended; None leaves what was noted before.

        Nothing happens when it was claimed anew since `request` was read: it was queued, and the answer was lost.
        """
        now_us = self._clock.now_us()
        row = Request.get_by_id(request.id)
        if row.claims != request.claims:
            return
        values: dict[str, object] = {} if outcome is None else {"outcome": outcome}
        if row.cancel_wanted:
            self._move(request.id, RequestState.CANCELLED, finished_at_us=now_us, **values)
            return
        if again.after_s is not None:
            values["due_at_us"] = now_us + int(again.after_s * US_PER_S)
        elif row.due_at_us > now_us:  # it was due, before a clock was put back
            values["due_at_us"] = now_us
        if again.attempts is not None:
            values["attempts"] = min(row.attempts, again.attempts)
        self._move(request.id, RequestState.QUEUED, **values)

    @unit
    def put_back(self, request: RequestView, *, uncounted: bool = False) -> None:
        """No phone has rung in this attempt of a dead node, and none will: any node may begin it again, at once."""
        self.retry(request, Again.at_once(request, uncounted=uncounted), outcome=None)
        self._database.notify()

    @staticmethod
    def any_of(account_id: int) -> bool:
        """Whether calls of an account wait or are under way, its own or such as it pays for.

        As long as the subscriber is not known (PIN, hosted), the internal account pays. Within a `read` or a unit.
        """
        concerned = (Request.subscriber == account_id) | (Request.account == account_id)
        return bool(Request.select().where(SQL(LIVE_NOW), concerned).exists())

    @unit
    def finish(
        self, request_id: str, outcome: Ending, *, claims: int | None = None, transcript: str = ""
    ) -> None:
        """The callback is over, with the transcript of its last attempt.

        InvariantBroken while one of its legs is open: that would never be charged. With `claims` nothing happens when
        it was claimed anew since.
        """
        now_us = self._clock.now_us()
        if claims is not None:
            done = one(_DONE, outcome, now_us, transcript, request_id, claims, self._me.incarnation)
            if done is not None:
                if done[0]:
                    note_step(request_id, Step.ENDED, now_us)
                return
        now = request_now(request_id)
        if claims not in (None, now.claims):
            return
        if now.state in UNDER_WAY:
            self._require_mine(now)
        open_legs = LegRow.select().where(LegRow.request == request_id, LegRow.state != LegState.SETTLED)
        require(not open_legs.exists(), f"request {request_id} has a leg that is not settled")
        # Taken back while the phone rang: it is cancelled, however the ringing ended.
        cancelled = now.cancel_wanted and now.state is RequestState.DIALING
        state = RequestState.CANCELLED if cancelled else RequestState.DONE
        self._move(request_id, state, outcome=outcome, finished_at_us=now_us, transcript=transcript)

    @unit
    def _move(self, /, request_id: str, state: RequestState, **values: object) -> None:
        row = Request.get_by_id(request_id)
        name = f"moved:{request_id}:{state}"
        moved_on = self._database.noted(name) not in (None, row.claims)
        if row.state == state or moved_on:
            return  # it is done; maybe another node has claimed it since
        self._database.note(name, row.claims)
        self._require_mine(row)
        require_move(RequestState(row.state), state)
        moved = Request.update(state=state, **values).where(
            Request.id == request_id, Request.state == row.state, self._is_mine()
        )
        require(moved.execute() == 1, f"request {request_id} was changed by another process at the same time")
        note_step(request_id, _STEPS[state], self._clock.now_us())


def _note(request: RequestView, step: Step, at_us: int) -> None:
    """Note a step, where somebody is told of it."""
    if request.told:
        note_step(request.id, step, at_us)
