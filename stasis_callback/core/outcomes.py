"""The outcome of a leg, from Asterisk's cause and the SIP status, and whether a retry makes sense."""

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


# Q.850 causes as reported by Asterisk 22 in ChannelDestroyed (measured: 486->17, 404->1, 403 and 603->21, 480->19,
# 503->34; an originate that timed out ->19). 0 comes from a leg that was never up on older versions.
_BY_CAUSE = {
    **dict.fromkeys((0, 18, 19, 20), Outcome.NO_ANSWER),
    17: Outcome.BUSY,
    **dict.fromkeys((3, 27, 34, 38, 41, 42, 44, 47), Outcome.CONGESTION),
    # 23 is a redirect (SIP 302), which is never followed.
    **dict.fromkeys((21, 23, 52, 54, 57, 58), Outcome.REJECTED),
    **dict.fromkeys((1, 22, 28), Outcome.UNALLOCATED),
}
_BY_SIP_STATUS = {486: Outcome.BUSY, 600: Outcome.BUSY, 408: Outcome.NO_ANSWER, 480: Outcome.NO_ANSWER}


def unanswered(cause: int, sip_status: int | None = None) -> Outcome:
    """Why a leg was not answered, from the Q.850 cause of ChannelDestroyed and `tech_cause`, if given."""
    if sip_status in _BY_SIP_STATUS:
        return _BY_SIP_STATUS[sip_status]
    return _BY_CAUSE.get(cause, Outcome.FAILED)
