"""The outcome of a leg. What the answer of a carrier means is in `core/answers.py`."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Outcome(StrEnum):
    """The outcome of one leg, for xDRs, prompts and retries."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    CONGESTION = "congestion"
    REJECTED = "rejected"
    UNALLOCATED = "unallocated"
    CANCELLED = "cancelled"  # we ended it before the answer, because the other party hung up
    NOT_DIALED = "not_dialed"  # it never reached the network
    FAILED = "failed"

    @classmethod
    def of(cls, stored: str) -> Self:
        """The outcome of a call record; `failed` for one that only another version knows."""
        return next((outcome for outcome in cls if outcome == stored), cls.FAILED)
