"""The outcome of a leg. What the answer of a carrier means is in `core/answers.py`."""

from __future__ import annotations

from enum import StrEnum


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
