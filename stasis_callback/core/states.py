"""The states of a request, a leg and a hold, and every move that is legal. Code asks, tests enumerate."""

from __future__ import annotations

from enum import StrEnum

from stasis_callback.core.errors import require


class RequestState(StrEnum):
    """A callback from the moment it was asked for."""

    REFUSED = "refused"  # not accepted; the reason is on the row
    QUEUED = "queued"  # waiting for its time, or for the next attempt
    DIALING = "dialing"  # leg A is being called
    TALKING = "talking"  # leg A has answered: conversation and calls
    DONE = "done"  # over; the outcome is on the row
    CANCELLED = "cancelled"  # taken back before leg A answered


class LegState(StrEnum):
    """One attempt to reach one number."""

    DIALING = "dialing"
    ANSWERED = "answered"
    SETTLED = "settled"  # ended, charged, xDR written


class HoldState(StrEnum):
    """Funds set aside for one leg; leaves `open` exactly once."""

    OPEN = "open"
    POSTED = "posted"
    VOIDED = "voided"


LIVE = (RequestState.QUEUED, RequestState.DIALING, RequestState.TALKING)
"""States in which a callback of an account is under way: one at a time by default."""

UNDER_WAY = (RequestState.DIALING, RequestState.TALKING)
"""States in which a node works on a callback."""

_MOVES: dict[RequestState, tuple[RequestState, ...]] = {
    RequestState.REFUSED: (),
    RequestState.QUEUED: (RequestState.DIALING, RequestState.CANCELLED, RequestState.DONE),
    RequestState.DIALING: (
        RequestState.TALKING,
        RequestState.QUEUED,
        RequestState.DONE,
        RequestState.CANCELLED,
    ),
    # Back into the queue: it was our fault that the conversation came to nothing.
    RequestState.TALKING: (RequestState.QUEUED, RequestState.DONE),
    RequestState.DONE: (),
    RequestState.CANCELLED: (),
}


def may_move(old: RequestState, new: RequestState) -> bool:
    """Whether a request may go from `old` to `new`."""
    return new in _MOVES[old]


def require_move(old: RequestState, new: RequestState) -> None:
    """Stop with InvariantBroken when a request may not go from `old` to `new`."""
    require(may_move(old, new), f"a request cannot go from {old} to {new}")
