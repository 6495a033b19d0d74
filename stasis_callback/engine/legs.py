"""Ending legs for certain, and finding out what became of those whose events were lost."""

from __future__ import annotations

import structlog

from stasis_callback.ari.errors import AriError
from stasis_callback.clock import US_PER_S
from stasis_callback.engine.services import Services
from stasis_callback.engine.settlement import end_of, never_dialed, settle
from stasis_callback.ivr.call import Call, End, Leg

log = structlog.get_logger()

END_REPORT_S = 2.0
END_TRIES = 5


def finish_leg(services: Services, call: Call, leg: Leg) -> bool:
    """End a leg, wait for its end and settle it; False when Asterisk could not be asked (recovery does it later)."""
    if leg.settled:
        return True
    if leg.requested:
        _await_end(services, call, leg)
    if leg.ended is None and leg.requested:
        return False
    end = end_of(leg) if leg.ended else never_dialed(services.clock.now_us())
    settle(services.stores, leg.id, end)
    leg.settled = True
    return True


def _await_end(services: Services, call: Call, leg: Leg) -> None:
    for _ in range(END_TRIES):
        if leg.ended is not None:
            return
        try:
            leg.hang_up()
            if not call.wait(lambda: leg.ended is not None, END_REPORT_S, despite_hangup=True):
                recheck(services, call, leg)
        except AriError as error:
            log.warning("leg.end_unknown", leg=leg.id, error=str(error))
            call.wait(lambda: leg.ended is not None, END_REPORT_S, despite_hangup=True)


def recheck(services: Services, call: Call, leg: Leg) -> None:
    """Ask Asterisk and the CEL journal about a leg after events may have been lost.

    A leg that is gone without a HANGUP in the journal (Asterisk itself died) ended when we last saw it alive: an
    estimate, and the doubt goes to the subscriber.
    """
    snapshot = services.client.channels.get(leg.id)
    now_us = services.clock.now_us()
    if snapshot is None:
        record = services.journal.wait_for_end(leg.id, END_REPORT_S)
        if record is None or record.ended_at_us is None:
            leg.ended = End(call.link_lost_at_us or now_us, 0, None, "estimated")
            return
        if record.answered_at_us is not None:
            leg.answer_seen(record.answered_at_us)
        leg.ended = End(record.ended_at_us, record.cause or 0, None, "cel")
    elif snapshot.state == "Up" and leg.answered_at_us is None:
        record = services.journal.records([leg.id]).get(leg.id)
        answered_at_us = (record.answered_at_us if record else None) or now_us
        leg.answer_seen(answered_at_us, ago_s=max(now_us - answered_at_us, 0) / US_PER_S)
