"""What happened to each web callback, step by step; also the outbox of its webhooks.

A step is noted in the transaction that makes it true, so none is lost and none is told that did not happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peewee import fn

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.progress import Step
from stasis_callback.store.database import Database, read, unit
from stasis_callback.store.models import RequestEvent
from stasis_callback.store.statements import run

LEASE_S = 60
"""Whoever delivers an event has this long before another process may try."""


_NOTE_STEP = """INSERT INTO request_event (request_id, step, at_us, delivery, attempts, due_at_us)
    SELECT id, ?, ?, 'due', 0, ? FROM request WHERE id = ? AND triggered_by = 'web'"""


@dataclass(frozen=True, slots=True)
class EventView:
    """One step. `id` grows with time, also within one microsecond."""

    id: int
    request_id: str
    step: Step
    at_us: int
    attempts: int


def note_step(request_id: str, step: Step, at_us: int) -> None:
    """Note a step of a web callback; of no other. Call it inside the transaction that takes the step."""
    run(_NOTE_STEP, step.value, at_us, at_us, request_id)


class Events:
    """The steps of web callbacks."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @unit
    def note(self, request_id: str, step: Step) -> None:
        """Note a step that changes nothing else."""
        if self._database.repeated(f"step:{request_id}:{step}") and self.has(request_id, step):
            return
        note_step(request_id, step, self._clock.now_us())

    @read
    def of(self, request_id: str) -> list[EventView]:
        """The steps of one callback in their order."""
        rows = RequestEvent.select().where(RequestEvent.request == request_id).order_by(RequestEvent.id)
        return [_view(row) for row in rows]

    @read
    def has(self, request_id: str, step: Step) -> bool:
        """Whether a callback has taken a step."""
        taken = RequestEvent.select().where(RequestEvent.request == request_id, RequestEvent.step == step)
        return bool(taken.exists())

    # --- the outbox ----------------------------------------------------------------------------------------------

    def claim_due(self, limit: int) -> list[EventView]:
        """Take up to `limit` undelivered steps for a minute: the first of each callback, so that they stay in order.

        One that is claimed is tried: a crash in between makes a second delivery, never none.
        """
        now_us = self._clock.now_us()
        first = (
            RequestEvent.select(fn.MIN(RequestEvent.id))
            .where(RequestEvent.delivery == "due")
            .group_by(RequestEvent.request)
        )
        with self._database.transaction():
            rows = list(
                RequestEvent.select()
                .where(RequestEvent.id.in_(first), RequestEvent.due_at_us <= now_us)
                .order_by(RequestEvent.id)
                .limit(limit)
            )
            return [_view(row) for row in rows if self._lease(row, now_us)]

    @staticmethod
    def _lease(row: RequestEvent, now_us: int) -> bool:
        changed = RequestEvent.update(attempts=row.attempts + 1, due_at_us=now_us + LEASE_S * US_PER_S).where(
            RequestEvent.id == row.id,
            RequestEvent.delivery == "due",
            RequestEvent.due_at_us == row.due_at_us,
        )
        return bool(changed.execute())

    def close(self, event_ids: Sequence[int], delivery: str) -> None:
        """They are `sent`, `failed` for good, or `unwanted`."""
        with self._database.transaction():
            RequestEvent.update(delivery=delivery).where(RequestEvent.id.in_(list(event_ids))).execute()

    def retry(self, event_id: int, after_s: float) -> None:
        """It could not be delivered: again later."""
        with self._database.transaction():
            due_at_us = self._clock.now_us() + int(after_s * US_PER_S)
            RequestEvent.update(due_at_us=due_at_us).where(RequestEvent.id == event_id).execute()

    def undelivered(self) -> int:
        """How many wait for their delivery."""
        with self._database.reading():
            return int(RequestEvent.select().where(RequestEvent.delivery == "due").count())


def _view(row: RequestEvent) -> EventView:
    return EventView(row.id, row.request_id, Step(row.step), row.at_us, row.attempts)
