"""How far a callback is, in the words that status pages, programs and webhooks use."""

from __future__ import annotations

from enum import StrEnum


class Step(StrEnum):
    """What has just happened to a callback. Names are an interface: webhooks and the API carry them."""

    QUEUED = "queued"
    CALLING_FIRST = "calling_first"
    FIRST_ANSWERED = "first_answered"
    CALLING_SECOND = "calling_second"
    CONNECTED = "connected"
    SECOND_ENDED = "second_ended"
    RETRYING = "retrying"  # the first was not reached: another attempt follows
    CANCELLING = "cancelling"  # whoever asked for it takes it back while it is under way
    CANCELLED = "cancelled"
    ENDED = "ended"


FINAL = (Step.CANCELLED, Step.ENDED)
