"""Idempotency keys: a repeated request gets the first answer; of concurrent ones, one is executed, others wait."""

from __future__ import annotations

from dataclasses import dataclass

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.store.database.database import Database, unit
from stasis_callback.store.intake.tables import Idempotency

KEPT_S = 86_400
"""A key is remembered for a day."""
UNFINISHED_S = 10
"""A process that took a key and has not stored an answer by then has died, or is slow: another one may take the key.
The callback has its own key, made of this one, so the two of them make one callback.
"""


@dataclass(frozen=True, slots=True)
class Known:
    """A key that was used before. `answer` is None while the first one is still at work."""

    input_hash: str
    answer: str | None


class IdempotencyKeys:
    """Keys of requests and the answers they got."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @unit
    def begin(self, key: str, input_hash: str) -> Known | None:
        """None when the key is new: the caller carries the request out and calls `answer`. Else what is known."""
        now_us = self._database.noted("taken") or self._clock.now_us()
        Idempotency.delete().where(
            Idempotency.key == key,
            (Idempotency.created_at_us <= now_us - KEPT_S * US_PER_S)
            | (
                Idempotency.answer.is_null()
                & (Idempotency.input_hash == input_hash)
                & (Idempotency.created_at_us <= now_us - UNFINISHED_S * US_PER_S)
            ),
        ).execute()
        taken = (
            Idempotency.insert(key=key, input_hash=input_hash, created_at_us=now_us)
            .on_conflict_ignore()
            .as_rowcount()
            .execute()
        )
        if taken:
            self._database.note("taken", now_us)
            return None
        row = Idempotency.get_by_id(key)
        if self._database.noted("taken") == row.created_at_us and row.answer is None:
            return None
        return Known(row.input_hash, row.answer)

    @unit
    def answer(self, key: str, answer: str) -> None:
        """Store the answer for repeated requests."""
        Idempotency.update(answer=answer).where(Idempotency.key == key).execute()

    @unit
    def release(self, key: str) -> None:
        """Discard the key, because the answer must not be stored."""
        Idempotency.delete().where(Idempotency.key == key).execute()

    @unit
    def forget_old(self) -> None:
        """Remove what is older than a day."""
        before_us = self._clock.now_us() - KEPT_S * US_PER_S
        Idempotency.delete().where(Idempotency.created_at_us <= before_us).execute()
