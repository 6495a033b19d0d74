"""The states of requests, legs and holds, and all legal transitions."""

from __future__ import annotations

from enum import StrEnum

from stasis_callback.core.errors import require


class RequestState(StrEnum):
    """The states of a callback request."""

    REFUSED = "refused"  # not accepted; the reason is in its row
    QUEUED = "queued"  # waiting for its time, or for the next attempt
    DIALING = "dialing"  # leg A is being called
    TALKING = "talking"  # leg A has answered: conversation and leg B
    DONE = "done"  # ended; the outcome is in its row
    CANCELLED = "cancelled"  # cancelled before leg A answered


class LegState(StrEnum):
    """The states of a leg: one attempt to reach one number."""

    DIALING = "dialing"
    ANSWERED = "answered"
    SETTLED = "settled"  # ended, charged, xDR written


class HoldState(StrEnum):
    """The states of a hold, the funds reserved for one leg. It leaves `open` exactly once."""

    OPEN = "open"
    POSTED = "posted"
    VOIDED = "voided"


LIVE = (RequestState.QUEUED, RequestState.DIALING, RequestState.TALKING)
"""States that count towards an account's simultaneous calls (one by default)."""

UNDER_WAY = (RequestState.DIALING, RequestState.TALKING)
"""States of live callbacks: a node works on them."""

_MOVES: dict[RequestState, tuple[RequestState, ...]] = {
    RequestState.REFUSED: (),
    RequestState.QUEUED: (RequestState.DIALING, RequestState.CANCELLED, RequestState.DONE),
    RequestState.DIALING: (
        RequestState.TALKING,
        RequestState.QUEUED,
        RequestState.DONE,
        RequestState.CANCELLED,
    ),
    # Back to the queue: the conversation failed because of us; unless it was taken back meanwhile.
    RequestState.TALKING: (RequestState.QUEUED, RequestState.DONE, RequestState.CANCELLED),
    RequestState.DONE: (),
    RequestState.CANCELLED: (),
}


def may_move(old: RequestState, new: RequestState) -> bool:
    """Whether a request may go from `old` to `new`."""
    return new in _MOVES[old]


def require_move(old: RequestState, new: RequestState) -> None:
    """Raise InvariantBroken if a request may not go from `old` to `new`."""
    require(may_move(old, new), f"a request cannot go from {old} to {new}")
