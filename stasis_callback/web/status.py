"""The progress of a callback, for status pages, the API and webhooks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from stasis_callback.clock import US_PER_S
from stasis_callback.core.numbers import mask
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.progress import FINAL, Step
from stasis_callback.core.states import RequestState
from stasis_callback.core.words import Ending
from stasis_callback.store.calls.legs import XdrView
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.calls.steps import EventView
from stasis_callback.store.stores import Stores

_SECOND: Mapping[str, str] = {Outcome.BUSY: "second_busy", Outcome.NO_ANSWER: "second_no_answer"}
_SAYS_ALL = (Ending.HUNG_UP, Ending.NO_FUNDS, Ending.INTERRUPTED)
"""Nothing that happened before says more than these."""

REASON_OF: Mapping[Ending, str] = {
    Ending.COMPLETED: "completed",
    Ending.HUNG_UP: "hung_up",
    Ending.NOT_ACCEPTED: "not_accepted",
    Ending.LOGIN_FAILED: "not_connected",  # what was wrong with the PIN would help a guesser
    Ending.LOW_BALANCE: "no_funds",
    Ending.NO_DESTINATION: "no_destination",
    Ending.INTERRUPTED: "interrupted",
    Ending.CANCELLED: "first_failed",  # the steps say whether they took it back; else we hung up before the answer
    Ending.TOO_LATE: "too_late",
    Ending.NO_ROUTE: "not_callable",
    Ending.DESTINATION_NOT_IN_TARIFF: "not_callable",
    Ending.EMERGENCY_NUMBER: "emergency_number",
    Ending.ACCOUNT_BLOCKED: "account_not_usable",  # one for both: what is wrong with it, its provider tells
    Ending.ACCOUNT_EXPIRED: "account_not_usable",
    Ending.NO_FUNDS: "no_funds",
    Ending.DAILY_LIMIT: "daily_limit",
    Ending.SET_ASIDE: "account_not_usable",
    Ending.NEVER_CALLED: "not_callable",
    Ending.BUSY: "first_busy",
    Ending.NO_ANSWER: "first_no_answer",
    Ending.CONGESTION: "first_failed",
    Ending.REJECTED: "first_failed",
    Ending.UNALLOCATED: "first_failed",
    Ending.NOT_DIALED: "not_connected",
    Ending.FAILED: "first_failed",
}
"""The reason shown to the requester for each ending, unless the steps say more."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A callback as it is now. Times in microseconds, amounts in micros; numbers in full."""

    request: RequestView
    steps: tuple[tuple[Step, int], ...]
    step: Step
    reason: str
    """Why it ended as it did, or was refused; "" before that."""
    talk_us: int
    """How long the two were connected, up to now."""
    connected_at_us: int | None
    """When they were, while they still are."""
    cost_micros: int
    currency: str

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.step in FINAL

    @property
    def failed(self) -> bool:
        """Whether it is over without what was asked for, and nobody wanted that."""
        return self.over and self.reason not in ("completed", "cancelled")

    @property
    def first_number(self) -> str:
        """The first number as others may see it."""
        return _shown(self.first_number_e164)

    @property
    def first_number_e164(self) -> str:
        """The first number in full; of what was refused, the one that was asked for."""
        return self.request.leg_a_number or self.request.ani

    @property
    def second_number(self) -> str:
        """The second number as others may see it; "" when it was not given beforehand."""
        return _shown(self.request.destination)


def progress_of(stores: Stores, request_id: str, now_us: int, until: int | None = None) -> Progress:
    """How far a web callback is; how far it was at the event with the id `until`, where one is given."""
    request = stores.requests.get(request_id)
    events = [event for event in stores.events.of(request_id) if until is None or event.id <= until]
    xdrs = stores.calls.xdrs(request_id=request_id)
    if request.state is RequestState.REFUSED:
        return _refused(request)
    step = events[-1].step if events else Step.QUEUED
    connected_at_us = events[-1].at_us if step is Step.CONNECTED else None
    talked = [xdr for xdr in xdrs if xdr.side == "b" and xdr.answered_at_us is not None]
    talk_us = sum(xdr.duration_us for xdr in talked)
    return Progress(
        request=request,
        steps=tuple((event.step, event.at_us) for event in events),
        step=step,
        reason=_reason(request, events, xdrs) if step in FINAL else "",
        talk_us=talk_us + max(now_us - connected_at_us if connected_at_us else 0, 0),
        connected_at_us=connected_at_us,
        cost_micros=sum(xdr.amount_micros - xdr.overrun_micros for xdr in xdrs),
        currency=xdrs[0].currency if xdrs else "",
    )


def _refused(request: RequestView) -> Progress:
    """What never became a callback, and nothing was dialled for."""
    return Progress(
        request=request,
        steps=((Step.REFUSED, request.created_at_us),),
        step=Step.REFUSED,
        reason=request.outcome,
        talk_us=0,
        connected_at_us=None,
        cost_micros=0,
        currency="",
    )


def _reason(request: RequestView, events: list[EventView], xdrs: list[XdrView]) -> str:
    steps = {event.step for event in events}
    legs_b = [xdr for xdr in xdrs if xdr.side == "b"]
    if Step.CONNECTED in steps or any(xdr.answered_at_us is not None for xdr in legs_b):
        return "completed"
    if steps & {Step.CANCELLED, Step.CANCELLING}:
        return "cancelled"
    if request.ending in _SAYS_ALL:
        return REASON_OF[request.ending]
    if legs_b:
        return _SECOND.get(legs_b[-1].outcome, "second_failed")
    reason = REASON_OF[request.ending] if request.ending else "not_connected"
    # The trunks may all have been full: then no phone was called. And a later attempt may not have reached somebody
    # who has answered an earlier one.
    is_dialled = any(xdr.side == "a" and xdr.outcome != Outcome.NOT_DIALED for xdr in xdrs)
    says_first_failed = is_dialled and Step.FIRST_ANSWERED not in steps
    return reason if says_first_failed or not reason.startswith("first_") else "not_connected"


def _shown(number: str) -> str:
    return re.sub("x+", "…", mask(number))


def seconds(duration_us: int) -> int:
    """Whole seconds of a duration."""
    return duration_us // US_PER_S
