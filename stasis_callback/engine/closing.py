"""The end of a call: all legs hung up and settled, and the request finished or queued again, despite failures.

The legs of a request are read from the database, not from the memory of its thread: so a leg that was stored just
when something failed is also ended and settled. Hanging up comes first and does not need the database, so that nobody
listens to charged silence while it is unavailable. Failed steps are retried by the same thread, which owns the legs
until then; after a crash recovery does it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import structlog

from stasis_callback.ari.errors import AriError
from stasis_callback.core.errors import NotOurs, StoreUnavailable
from stasis_callback.core.states import UNDER_WAY
from stasis_callback.core.words import Ending
from stasis_callback.crashpoint import crashpoint
from stasis_callback.engine.legs import await_end, how_it_ended, settle_gone, settle_leg, without_bridge
from stasis_callback.engine.settlement import log_settled
from stasis_callback.engine.tools import CallTools
from stasis_callback.ivr.call import Call, Leg
from stasis_callback.store.calls.legs import XdrView
from stasis_callback.store.calls.requests import Again, RequestView

log = structlog.get_logger()

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0


def close_call(
    tools: CallTools, call: Call, request: RequestView, outcome: Ending, again: Again | None
) -> None:
    """Bring a call to its end, however long that takes; `again` queues its request for another attempt."""
    tries = count()
    _persist(call, lambda: _finished(tools, call, request, outcome, again, tried_before=next(tries) > 0))
    if again is None:  # else the bridge of this name may soon be that of the next attempt
        _persist(call, lambda: without_bridge(tools, call, request.id))
    call.close()


def _persist(call: Call, step: Callable[[], bool]) -> None:
    """Do a step until it is done, with growing pauses."""
    pause_s = FIRST_PAUSE_S
    while not step():
        call.wait(lambda: False, pause_s, despite_hangup=True)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _finished(
    tools: CallTools,
    call: Call,
    request: RequestView,
    outcome: Ending,
    again: Again | None,
    *,
    tried_before: bool,
) -> bool:
    """Do what can be done now; whether that was all."""
    try:
        _hang_up_all(call)
        for leg in call.legs:
            if leg.requested:
                await_end(tools, call, leg)
        if tried_before and _is_over(tools, request):
            _log_ended(request, outcome, again)
            return True
        without_bridge(tools, call, request.id)
        if not _ended_at_once(tools, call, request, outcome, again):
            _compare(tools, call, request)
            if not all([_settled(tools, call, leg) for leg in reversed(call.legs)]):
                return False
            _finish(tools, call, request, outcome, again)
        _log_ended(request, outcome, again)
    except NotOurs as error:
        # Another node has ended it in our place, and charged what it knew of.
        log.error("call.not_ours", call=request.id, error=str(error))
    except (AriError, StoreUnavailable) as error:
        log.warning("call.not_closed", call=request.id, error=str(error))
        return False
    except Exception:
        log.exception("call.close_failed", call=request.id)
        return False
    return True


def _ended_at_once(
    tools: CallTools, call: Call, request: RequestView, outcome: Ending, again: Again | None
) -> bool:
    """Charge every leg and end the request in one commit; False, and nothing is done, where that cannot be."""
    if any(leg.requested and leg.ended is None for leg in call.legs):
        return False
    ends = {leg.id: how_it_ended(tools, leg) for leg in call.legs}
    crashpoint("leg-ended")

    def end() -> list[XdrView] | None:
        settled = tools.stores.calls.settle_all(request.id, ends)
        if settled is not None:
            _finish(tools, call, request, outcome, again)
        return settled

    settled = tools.stores.database.unit(end)
    for xdr in settled or ():
        log_settled(xdr)
    if settled is not None:
        for leg in call.legs:
            call.drop(leg)
    return settled is not None


def _log_ended(request: RequestView, outcome: Ending, again: Again | None) -> None:
    log.info(
        "call.ended",
        call=request.id,
        trigger=request.triggered_by,
        outcome=outcome,
        retry=again is not None,
    )


def _is_over(tools: CallTools, request: RequestView) -> bool:
    """Whether the try before has ended this attempt, and only the answer was lost.

    Then the next attempt may be under way already: what the database says of legs, and the bridge, are its.
    """
    now = tools.stores.requests.get(request.id)
    return now.claims != request.claims or now.state not in UNDER_WAY


def _hang_up_all(call: Call) -> None:
    """Every leg at once, leg A last: nobody waits for the end of another, or for the database."""
    for leg in reversed(call.legs):
        if leg.requested:
            try:
                leg.hang_up()
            except AriError as error:
                log.warning("leg.end_unknown", leg=leg.id, error=str(error))


def _compare(tools: CallTools, call: Call, request: RequestView) -> None:
    """Bring the legs of this thread's memory and those of the database together; the database is right."""
    open_legs = {view.id: view for view in tools.stores.calls.open_legs(request.id)}
    for leg in call.legs:
        if leg.id not in open_legs:
            call.drop(leg)  # settled before, or never noted
    known = {leg.id for leg in call.legs}
    for view in open_legs.values():
        if view.id in known:
            continue
        if tools.client.channels.get(view.id) or settle_gone(tools, view, request):
            leg = call.add_found(view.id, is_a=view.side == "a", dialed_at_us=view.dialed_at_us)
            if view.answered_at_us is not None:
                leg.answer_seen(view.answered_at_us)
            await_end(tools, call, leg)


def _settled(tools: CallTools, call: Call, leg: Leg) -> bool:
    if leg.requested and leg.ended is None:
        return False
    settle_leg(tools, leg)
    call.drop(leg)
    return True


def _finish(tools: CallTools, call: Call, request: RequestView, outcome: Ending, again: Again | None) -> None:
    if again is not None:
        tools.stores.requests.retry(request, again, outcome=outcome)
    else:
        transcript = call.transcript.stored
        tools.stores.requests.finish(request.id, outcome, claims=request.claims, transcript=transcript)
