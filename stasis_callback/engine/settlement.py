"""Charges a leg after its end: once, from Asterisk's own times."""

from __future__ import annotations

import structlog

from stasis_callback.ari.cel import CelRecord
from stasis_callback.clock import US_PER_S, doubt_of_s, seconds_between
from stasis_callback.core.answers import MEDIA_STOPPED, Meaning, meaning
from stasis_callback.core.money import format_amount
from stasis_callback.core.outcomes import Outcome
from stasis_callback.crashpoint import crashpoint
from stasis_callback.ivr.call import End, Leg
from stasis_callback.store.calls.legs import LegEnd, LegView, XdrView
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.stores import Stores

log = structlog.get_logger()


CLOCKS_AGREE_US = 2 * US_PER_S
"""Wall clock and steady clock may differ by this much over a call; more means that a wall clock was stepped."""


def end_of(leg: Leg) -> LegEnd:
    """How a leg ended, from what was seen of it. The leg must have ended.

    Asterisk's wall clock gives the times. Where our own steady clock measured the call too and differs by more than
    two seconds, a clock was stepped meanwhile: the shorter time is charged, and the call record says so.
    """
    assert leg.ended is not None
    end = leg.ended
    ended_at_us, suspect = _by_both_clocks(leg, end.at_us)
    no_media = leg.no_media or _ended_for_lack_of_media(leg.answered_at_us, end.cause)
    return LegEnd(
        leg.answered_at_us,
        ended_at_us,
        _outcome(leg, end),
        end.cause,
        end.source,
        suspect,
        no_media,
        leg.answer_noted,
    )


def _ended_for_lack_of_media(answered_at_us: int | None, cause: int) -> bool:
    """Whether Asterisk ended a leg because its party had vanished (`rtp_timeout`, `rtp_timeout_hold`)."""
    return answered_at_us is not None and cause == MEDIA_STOPPED


def meaning_of(leg: Leg) -> Meaning:
    """Why a leg was not answered; of one whose end was not reported that is not known."""
    if leg.silent or leg.ended is None or leg.ended.source == "estimated":
        return Meaning.CARRIER
    if leg.hung_up_by_us:
        return Meaning.NO_ANSWER
    progressed = leg.ringing or leg.ended.source != "events"
    return meaning(leg.ended.cause, leg.ended.sip_status, progressed=progressed, answers=leg.answers)


def _outcome(leg: Leg, end: End) -> Outcome:
    if leg.answered_at_us is not None:
        return Outcome.ANSWERED
    if end.source == "estimated":
        return Outcome.FAILED  # it is gone because Asterisk is: nobody was asked whether they are there
    if leg.silent:
        return Outcome.CONGESTION
    return Outcome.CANCELLED if leg.hung_up_by_us else meaning_of(leg).outcome(end.cause)


def _by_both_clocks(leg: Leg, ended_at_us: int) -> tuple[int, bool]:
    """When the leg ended as far as it is charged, and whether the clocks disagree about it."""
    if leg.answered_at_us is None or leg.steady_s is None:
        return ended_at_us, False
    by_wall_us, by_steady_us = ended_at_us - leg.answered_at_us, int(leg.steady_s * US_PER_S)
    if abs(by_wall_us - by_steady_us) <= CLOCKS_AGREE_US:
        return ended_at_us, False
    log.warning("leg.clock_suspect", leg=leg.id, wall_s=by_wall_us / US_PER_S, steady_s=leg.steady_s)
    # A negative time is wrong: then only the steady clock counts.
    length_us = by_steady_us if by_wall_us < 0 else min(by_wall_us, by_steady_us)
    return leg.answered_at_us + length_us, True


def end_from_journal(leg: LegView, record: CelRecord | None, *, last_seen_us: int) -> LegEnd:
    """How a leg ended that nobody watched, from the CEL journal.

    Without a HANGUP record (Asterisk died, the journal is gone) it ended when it was last known to live: an
    estimate, and the doubt goes to the subscriber.
    """
    answered_at_us = (record.answered_at_us if record else None) or leg.answered_at_us
    if record is not None and record.ended_at_us is not None:
        cause = record.cause or 0
        outcome = meaning(cause).outcome(cause) if answered_at_us is None else Outcome.ANSWERED
        no_media = _ended_for_lack_of_media(answered_at_us, cause)
        return LegEnd(answered_at_us, record.ended_at_us, outcome, cause, "cel", no_media=no_media)
    ended_at_us = max(last_seen_us, answered_at_us or 0)
    outcome = Outcome.FAILED if answered_at_us is None else Outcome.ANSWERED
    return LegEnd(answered_at_us, ended_at_us, outcome, 0, "estimated")


def last_seen_us(leg: LegView, request: RequestView, wall_us: int) -> int:
    """When an open leg was last known to live, by Asterisk's clock; `request` as it was before anybody renewed it.

    Where its node has noted the answer, that is measured from it by a clock that nobody sets. Elsewhere it is
    `wall_us`, what the wall clock said of it: `request.last_alive_us` or less.
    """
    lived_s = seconds_between(leg.answered_mark, request.alive_mark) if leg.answered_mark else None
    if lived_s is None or leg.answered_at_us is None:
        return wall_us
    # Where nobody could say when it was answered, `answered_at_us` is the latest that it may have been, and the mark
    # the earliest.
    lived_s -= doubt_of_s(leg.answered_mark or "")
    return leg.answered_at_us + int(max(lived_s, 0.0) * US_PER_S)


def never_dialed(at_us: int) -> LegEnd:
    """The end of a leg that Asterisk never heard of."""
    return LegEnd(None, at_us, Outcome.NOT_DIALED, 0, "events")


def settle(stores: Stores, leg_id: str, end: LegEnd) -> XdrView:
    """Charge a leg and write its xDR. Safe to repeat."""
    crashpoint("leg-ended")
    xdr = stores.calls.settle(leg_id, end)
    log_settled(xdr)
    return xdr


def log_settled(xdr: XdrView) -> None:
    """Say what was charged; after the commit."""
    log.info(
        "leg.settled",
        leg=xdr.leg_id,
        side=xdr.side,
        trunk=xdr.trunk,
        outcome=xdr.outcome,
        cause=xdr.cause,
        duration_s=round(xdr.duration_us / US_PER_S, 3),
        charged_s=xdr.charged_s,
        amount=format_amount(xdr.amount_micros, xdr.currency),
        overrun=format_amount(xdr.overrun_micros, xdr.currency) if xdr.overrun_micros else "",
        cost=format_amount(xdr.cost_micros, xdr.cost_currency) if xdr.cost_currency else "",
        source=xdr.source,
    )
