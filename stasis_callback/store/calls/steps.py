"""The steps of callbacks that somebody follows; also the outbox of their webhooks.

A step is stored in the transaction that makes it true, so none is lost and none is reported that did not happen.

Steps of one callback are delivered in order: only the first undelivered one may be delivered. All waiting steps of a
callback are due together with the first one, so that the others are not polled repeatedly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peewee import ModelSelect

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.progress import Step
from stasis_callback.store.calls.tables import RequestEvent
from stasis_callback.store.database import outbox
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.pace import ROWS_AT_ONCE
from stasis_callback.store.database.statements import run

LEASE_S = 60
"""The time that a process has to deliver an event before another one may try."""
_KNOWN = frozenset(Step)
"""A step of a newer version is told by a node of that version."""

_NOTE_STEP = """INSERT INTO request_event (request_id, step, at_us, delivery, attempts, due_at_us, instance)
    SELECT id, ?, ?, 'due', 0, ?, told FROM request WHERE id = ? AND told <> ''"""
_FIRST_INSTANCE = "SELECT MIN(instance) FROM request_event WHERE delivery = 'due'"
_NEXT_INSTANCE = f"{_FIRST_INSTANCE} AND instance > ?"


@dataclass(frozen=True, slots=True)
class EventView:
    """One step. `id` grows with time, also within one microsecond."""

    id: int
    request_id: str
    step: Step
    at_us: int
    attempts: int
    instance: str


def note_step(request_id: str, step: Step, at_us: int) -> None:
    """Note a step of a callback, where somebody is told of it: on a status page, or by webhook. Call it inside the
    transaction that takes the step.
    """
    run(_NOTE_STEP, step.value, at_us, at_us, request_id)


class Events:
    """The steps of web callbacks."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def note(self, request_id: str, step: Step) -> None:
        """Note a step that changes nothing else."""
        self._note(request_id, step, self._clock.now_us())

    @unit
    def _note(self, request_id: str, step: Step, at_us: int) -> None:
        if RequestEvent.get_or_none(request=request_id, step=step, at_us=at_us) is None:
            note_step(request_id, step, at_us)

    @read
    def of(self, request_id: str) -> list[EventView]:
        """The steps of one callback in their order, those that this version knows."""
        rows = RequestEvent.select().where(RequestEvent.request == request_id).order_by(RequestEvent.id)
        return [_view(row) for row in rows if row.step in _KNOWN]

    @read
    def has(self, request_id: str, step: Step) -> bool:
        """Whether a callback has taken a step."""
        taken = RequestEvent.select().where(RequestEvent.request == request_id, RequestEvent.step == step)
        return bool(taken.exists())

    # --- the outbox ----------------------------------------------------------------------------------------------

    @read
    def waiting(self) -> list[str]:
        """The instances that steps wait to be told of."""
        found: list[str] = []
        (name,) = run(_FIRST_INSTANCE).fetchone()
        while name is not None:
            found.append(name)
            (name,) = run(_NEXT_INSTANCE, name).fetchone()
        return found

    def claim(self, instance: str, limit: int) -> list[EventView]:
        """Take up to `limit` steps of an instance for a minute, each the first of its callback that is not told.

        One that is claimed is tried: a crash in between makes a second delivery, never none.
        """
        some = self._database.read(lambda: bool(self._due(instance).exists()))
        return self._claim(instance, limit) if some else []

    @unit
    def _claim(self, instance: str, limit: int) -> list[EventView]:
        rows = self._due(instance).order_by(RequestEvent.due_at_us, RequestEvent.id)
        # Always in the same order, so that two processes never wait for each other.
        callbacks = sorted({row.request_id for row in rows.limit(limit * 2)})
        return [_view(row) for request_id in callbacks[:limit] if (row := self._take_first(request_id))]

    def _due(self, instance: str) -> ModelSelect[RequestEvent]:
        of_instance = RequestEvent.instance == instance, RequestEvent.step.in_(_KNOWN)
        return outbox.due(RequestEvent, self._clock.now_us()).where(*of_instance)

    def _take_first(self, request_id: str) -> RequestEvent | None:
        """The first step of a callback that is not told, for a minute; None when its time has not come."""
        now_us = self._clock.now_us()
        waits = outbox.waiting(RequestEvent).where(RequestEvent.request == request_id)
        first: RequestEvent | None = waits.order_by(RequestEvent.id).first()
        if first is None:
            return None
        if not outbox.is_due(first, now_us):  # a later step was noted meanwhile
            _postpone(request_id, first.due_at_us)
            return None
        lease_us = now_us + LEASE_S * US_PER_S
        if first.step not in _KNOWN:
            later = (RequestEvent.request == request_id) & (RequestEvent.id > first.id)
            outbox.postpone(RequestEvent, later, lease_us)
            return None
        if not outbox.claim(first, lease_us):
            return None
        _postpone(request_id, lease_us)
        return first

    @unit
    def close(self, event: EventView, delivery: str) -> None:
        """It is `sent`, `failed` for good, or `unwanted`; what comes after it in its callback is due now."""
        outbox.close(RequestEvent, RequestEvent.id == event.id, delivery)
        _postpone(event.request_id, self._clock.now_us())

    @unit
    def retry(self, event: EventView, after_s: float) -> None:
        """It could not be delivered: again later, and what comes after it in its callback later still."""
        _postpone(event.request_id, self._clock.now_us() + int(after_s * US_PER_S))

    @unit
    def send_again(
        self, *, instance: str = "", request_id: str = "", since_us: int = 0, delivered: bool = False
    ) -> int:
        """Let webhooks that were given up be due again, with `delivered` also those that were taken; how many.

        Of an instance or a callback, or of all, for steps since a time.
        """
        which = RequestEvent.delivery.in_(("failed", "sent") if delivered else ("failed",))
        which &= RequestEvent.at_us >= since_us
        which = which & (RequestEvent.instance == instance) if instance else which
        which = which & (RequestEvent.request == request_id) if request_id else which
        values = {"delivery": outbox.DUE, "attempts": 0, "due_at_us": self._clock.now_us()}
        again = RequestEvent.update(values).where(which).execute() or self._database.noted("again") or 0
        self._database.note("again", again)
        return int(again)

    def close_some(self, instance: str, delivery: str, before_us: int | None = None) -> int:
        """Close some hundred due steps of an instance that were taken before a time, or at any; how many."""
        due = self._due(instance)
        due = due if before_us is None else due.where(RequestEvent.at_us < before_us)
        ids = self._database.read(lambda: [row.id for row in due.limit(ROWS_AT_ONCE)])
        return self._close_all(ids, delivery) if ids else 0

    @unit
    def _close_all(self, ids: Sequence[int], delivery: str) -> int:
        return outbox.close(RequestEvent, RequestEvent.id.in_(ids), delivery)

    @read
    def undelivered(self) -> int:
        """The number of undelivered steps."""
        return int(outbox.waiting(RequestEvent).count())


def _postpone(request_id: str, due_at_us: int) -> None:
    """Let all that wait of a callback be due at a time."""
    outbox.postpone(RequestEvent, RequestEvent.request == request_id, due_at_us)


def _view(row: RequestEvent) -> EventView:
    return EventView(row.id, row.request_id, Step(row.step), row.at_us, row.attempts, row.instance)
