"""The progress of a callback, as shown by status pages, the API and webhooks."""

from __future__ import annotations

from enum import StrEnum


class Step(StrEnum):
    """The last step of a callback. Names are a public interface, used by webhooks and the API."""

    QUEUED = "queued"
    CALLING_FIRST = "calling_first"
    FIRST_ANSWERED = "first_answered"
    CALLING_SECOND = "calling_second"
    CONNECTED = "connected"
    SECOND_ENDED = "second_ended"
    RETRYING = "retrying"  # the first party was not reached: another attempt follows
    CANCELLING = "cancelling"  # the requester cancels it while it is live
    CANCELLED = "cancelled"
    ENDED = "ended"
    REFUSED = "refused"  # it never became a callback


FINAL = (Step.CANCELLED, Step.ENDED, Step.REFUSED)
