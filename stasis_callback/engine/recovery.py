"""After a crash: every request left open is compared with Asterisk's live channels and the CEL journal.

It runs when the link comes up and whenever a request is found open that no thread works on. Nothing is remembered
from before: the database says what was begun, Asterisk what is still there, the journal what has ended.
"""

from __future__ import annotations

import structlog

from stasis_callback.ari.events import ChannelSnapshot
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.states import RequestState
from stasis_callback.engine.services import Services
from stasis_callback.engine.session import Session, attempts_for
from stasis_callback.engine.settlement import end_from_journal, never_dialed, settle
from stasis_callback.store.calls import LegView, XdrView
from stasis_callback.store.requests import RequestView

log = structlog.get_logger()

JOURNAL_DELAY_S = 2.0
"""Asterisk writes the journal a moment after a channel has gone."""
LATEST_START_S = 60
"""How long before a leg was noted its journal lines may be searched: clocks differ, queues wait."""


def recover(services: Services, session: Session, live: dict[str, ChannelSnapshot]) -> None:
    """Settle what has ended of a request left open, and take over what still lives, to its end.

    `live` are Asterisk's channels by id. Runs in the thread of the call.
    """
    request = session.request
    legs = services.stores.calls.open_legs(request.id)
    here = [leg for leg in legs if leg.id in live]
    log.info("call.recovered", call=request.id, state=request.state, live=[leg.id for leg in here])
    for leg in legs:
        if leg.id not in live:
            _settle_gone(services, leg, request)
    a = next((leg for leg in here if leg.side == "a"), None)
    b = next((leg for leg in here if leg.side == "b"), None)
    if a is not None and b is None and live[a.id].state != "Up" and request.state is RequestState.DIALING:
        session.resume_ringing(a)
    elif a is not None and b is not None and live[a.id].state == live[b.id].state == "Up":
        session.resume_talk(a, b)
    elif here:
        session.apologise(here)
    else:
        _close(services, request)


def _settle_gone(services: Services, leg: LegView, request: RequestView) -> XdrView:
    since_us = leg.dialed_at_us - LATEST_START_S * 1_000_000
    record = services.journal.wait_for_end(leg.id, JOURNAL_DELAY_S, not_before_us=since_us)
    record = record or services.journal.records([leg.id], not_before_us=since_us).get(leg.id)
    if record is None and leg.answered_at_us is None:
        return settle(services.stores, leg.id, never_dialed(services.clock.now_us()))
    return settle(
        services.stores, leg.id, end_from_journal(leg, record, last_seen_us=request.last_worked_on_us)
    )


def _close(services: Services, request: RequestView) -> None:
    """Every leg of the request has ended: another attempt at leg A where one is due, or the end."""
    services.client.bridge(request.id).destroy()
    requests = services.stores.requests
    xdrs = services.stores.calls.xdrs(request_id=request.id)
    if any(xdr.answered_at_us is not None for xdr in xdrs):
        requests.finish(request.id, "interrupted")
        return
    outcome = Outcome(xdrs[-1].outcome) if xdrs else Outcome.NOT_DIALED
    # What never reached the network is not an attempt the subscriber has seen.
    attempts = (
        request.options.attempts_congestion
        if outcome is Outcome.NOT_DIALED
        else attempts_for(outcome, request)
    )
    if request.attempts < attempts and request.state is RequestState.DIALING:
        after_s = 0.0 if outcome is Outcome.NOT_DIALED else request.options.retry_interval_s
        requests.retry(request.id, after_s=after_s, outcome=outcome)
    else:
        requests.finish(request.id, outcome)
