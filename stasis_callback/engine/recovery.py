"""After a crash: every request left open is compared with Asterisk's live channels and the CEL journal.

It runs after every connect, and whenever an open request without a thread is found. It needs no earlier state: the
database has what was started, Asterisk what still exists, and the CEL journal what has ended.
"""

from __future__ import annotations

import structlog

from stasis_callback.ari.events import ChannelSnapshot
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.states import RequestState
from stasis_callback.core.words import Ending
from stasis_callback.engine.legs import settle_gone
from stasis_callback.engine.session import Session, attempts_for
from stasis_callback.engine.tools import CallTools
from stasis_callback.store.calls.legs import XdrView
from stasis_callback.store.calls.requests import Again, RequestView

log = structlog.get_logger()


def recover(tools: CallTools, session: Session, live: dict[str, ChannelSnapshot]) -> None:
    """Settle what has ended of a request left open, and take over what still lives, to its end.

    `live` are Asterisk's channels by id. Runs in the thread of the call.
    """
    request = session.request
    legs = tools.stores.calls.open_legs(request.id)
    found = [leg.id for leg in legs if leg.id in live]
    log.info("call.recovered", call=request.id, state=request.state, live=found)
    for leg in legs:
        if leg.id not in live:
            late = settle_gone(tools, leg, request)
            live = live if late is None else live | {leg.id: late}
    here = [leg for leg in legs if leg.id in live]
    session.recovering = False
    a = next((leg for leg in here if leg.side == "a"), None)
    if (
        a is not None
        and len(here) == 1
        and live[a.id].state != "Up"
        and request.state is RequestState.DIALING
        and not request.unreadable  # whom the person who answers would have to be is not known
    ):
        session.resume_ringing(a)
    elif here:
        session.take_over(here)
    else:
        _close(tools, session)


def _close(tools: CallTools, session: Session) -> None:
    """Every leg of the request has ended: another attempt at leg A where one is due, or the end."""
    request = session.request
    xdrs = tools.stores.calls.xdrs(request_id=request.id)
    if any(xdr.answered_at_us is not None for xdr in xdrs):
        session.close(Ending.INTERRUPTED)
        return
    outcome = Outcome.of(xdrs[-1].outcome) if xdrs else Outcome.NOT_DIALED
    counted = any(is_of_claim(xdr, request) for xdr in xdrs)
    if request.state is not RequestState.DIALING:
        session.close(Ending.of_leg(outcome))
    elif not counted or outcome is Outcome.NOT_DIALED:
        # What never reached the network is not an attempt the subscriber has seen: at once, and not counted.
        session.close(Ending.NOT_DIALED, Again.at_once(request, uncounted=counted))
    elif request.attempts < attempts_for(outcome, request):
        session.close(Ending.of_leg(outcome), Again(request.options.retry_interval_s))
    else:
        session.close(Ending.of_leg(outcome))


def is_of_claim(xdr: XdrView, request: RequestView) -> bool:
    """Whether it is a leg A of the attempt that was under way: `-a2`, `-a2.3`."""
    return xdr.leg_id.partition(".")[0] == request.leg_id("a", 1)
