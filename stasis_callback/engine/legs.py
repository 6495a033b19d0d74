"""Reliably ends legs, and determines the state of legs whose events were lost."""

from __future__ import annotations

from dataclasses import replace

import structlog

from stasis_callback.ari.cel import CelRecord, JournalUnreadable
from stasis_callback.ari.errors import AriError, AriUnavailable
from stasis_callback.ari.events import ChannelSnapshot
from stasis_callback.clock import US_PER_S
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.engine.settlement import end_from_journal, end_of, last_seen_us, never_dialed, settle
from stasis_callback.engine.tools import CallTools
from stasis_callback.ivr.call import Call, End, Leg
from stasis_callback.store.calls.legs import LegEnd, LegView
from stasis_callback.store.calls.requests import RequestView

log = structlog.get_logger()

END_REPORT_S = 2.0
JOURNAL_DELAY_S = 2.0
"""Asterisk writes the journal a moment after a channel has gone."""
END_TRIES = 3
ENTRY_LIMIT_S = 5.0
"""Asterisk says that a channel is there, or is answered, before it is in our application; until then it refuses
every command for it but to end it."""
ENTRY_TRIES = 3
NOTE_PATIENCE_S = 1.0
"""What is written beside a conversation: somebody listens to silence meanwhile, and it can be written later."""
LATEST_START_S = 60
"""How long before a leg was noted its journal lines may be searched: queues wait, clocks are never quite equal."""
REMOTE_TAG = "CHANNEL(pjsip,remote_tag)"
"""The tag of the called side: there is one from its first response after "100 Trying" on (RFC 3261, 12.1)."""


def finish_leg(tools: CallTools, call: Call, leg: Leg) -> bool:
    """End a leg, wait for its end and settle it; False when that cannot be done now: `closing` does it later."""
    if leg.requested:
        await_end(tools, call, leg)
        if leg.ended is None:
            return False
    try:
        with tools.stores.database.patience(NOTE_PATIENCE_S):
            settle_leg(tools, leg)
    except StoreUnavailable as error:
        log.warning("leg.not_settled", leg=leg.id, error=str(error))
        return False
    call.drop(leg)
    return True


def over_beside(call: Call, a: Leg) -> list[Leg]:
    """The legs beside leg A that are over and not charged yet."""
    return [leg for leg in call.legs if leg is not a and leg.ended is not None]


def settle_over(tools: CallTools, call: Call, a: Leg) -> None:
    """Charge them: what they hold may be needed. What cannot be done now is done at the next occasion."""
    for leg in over_beside(call, a):
        finish_leg(tools, call, leg)


def settle_leg(tools: CallTools, leg: Leg) -> None:
    """Charge a leg that has ended, or was never asked for. Safe to repeat. Raises StoreUnavailable."""
    settle(tools.stores, leg.id, how_it_ended(tools, leg))


def how_it_ended(tools: CallTools, leg: Leg) -> LegEnd:
    """The end of a leg that has ended, or was never asked for."""
    if leg.answer_guessed and (answered_at_us := _certain_answer_us(tools, leg)):
        leg.answer_known(answered_at_us)
    return end_of(leg) if leg.ended else never_dialed(tools.client.time.now_us())


def await_end(tools: CallTools, call: Call, leg: Leg) -> None:
    """Have a leg end, and wait until it has; it may be that Asterisk cannot be asked now."""
    for _ in range(END_TRIES):
        if leg.ended is not None:
            return
        try:
            if not leg.end_is_due:
                leg.hang_up()
            leg.end_is_due = False  # if it does not end now, it is asked for again
            if not call.wait(lambda: leg.ended is not None, END_REPORT_S, despite_hangup=True):
                recheck(tools, call, leg)
        except AriError as error:
            log.warning("leg.end_unknown", leg=leg.id, error=str(error))
            call.wait(lambda: leg.ended is not None, END_REPORT_S, despite_hangup=True)


def await_entry(tools: CallTools, call: Call, leg: Leg) -> None:
    """Wait until a leg is under our control, or has ended. Raises HungUp, and AriError when it does not come to be:
    who listens to nothing must not listen for long.
    """

    def is_ours_or_over() -> bool:
        return leg.entered or leg.ended is not None

    for _ in range(ENTRY_TRIES):
        if call.wait(is_ours_or_over, ENTRY_LIMIT_S):
            return
        recheck(tools, call, leg)  # it may be among the events that were missed
    if not call.wait(is_ours_or_over, 0):
        raise AriError(0, f"{leg.id} is there, but has not entered the application")


def without_bridge(tools: CallTools, call: Call, request_id: str) -> bool:
    """Destroy the call's bridge, if there may be one; whether it is gone. One stays for ever that nobody destroys."""
    if call.may_have_bridge:
        try:
            tools.client.bridge(request_id).destroy()
        except AriError as error:
            log.warning("bridge.not_destroyed", call=request_id, error=str(error))
            return False
        call.may_have_bridge = False
    return True


def is_silent(tools: CallTools, call: Call, leg: Leg, since_s: float) -> bool:
    """Whether a carrier has said nothing of a leg since then (by the steady clock); it is given up if so.

    Where what it said may have been missed it counts as alive: nobody gives up a phone that rings.
    """

    def lives() -> bool:
        return leg.ringing or leg.up or leg.ended is not None or call.deaf_until_s >= since_s

    if lives():
        return False
    try:
        # Of a call that is forwarded (181) or queued (182) Asterisk tells nothing else.
        goes_on = bool(leg.channel.get_variable(REMOTE_TAG))
        snapshot = tools.client.channels.get(leg.id)
    except AriError:
        return False
    if goes_on:
        leg.ringing = True
    # What the carrier said while Asterisk was asked waits to be heard.
    if snapshot is None or snapshot.state in ("Ringing", "Up") or call.wait(lives, 0, despite_hangup=True):
        return False
    leg.silent = True
    log.warning("leg.silent", leg=leg.id, seconds=round(tools.clock.monotonic_s() - since_s, 1))
    return True


def recheck(tools: CallTools, call: Call, leg: Leg) -> None:
    """Ask Asterisk and the CEL journal about a leg after events may have been lost. Raises AriError.

    A leg that is gone without a HANGUP in the journal (Asterisk itself died, the journal cannot be read) ended when
    it was last known to live: an estimate, and the doubt goes to the subscriber. So does the time in which Asterisk
    said nothing at all, when the leg did not outlive it: nobody hears anybody through a frozen Asterisk. One that was
    answered in that time shows that it was the network that fell silent: then the journal is right.
    """
    if leg.gone:
        if answered_at_us := _journal_answer_us(tools, leg, wait_s=END_REPORT_S):
            leg.answer_seen(answered_at_us)
        return  # its end was reported
    snapshot = tools.client.channels.get(leg.id)
    if snapshot is None:
        record, snapshot = _gone_or_late(tools, leg, wait_s=END_REPORT_S)
        if snapshot is None:
            _end_of_gone(tools, call, leg, record)
            return
    leg.entered = leg.entered or snapshot.app == tools.client.app
    if snapshot.state == "Up" and leg.answered_at_us is None:
        answered_at_us = _certain_answer_us(tools, leg)
        leg.answer_seen(answered_at_us or tools.client.time.now_us(), guessed=answered_at_us is None)


def _gone_or_late(
    tools: CallTools, leg: Leg | LegView, *, wait_s: float
) -> tuple[CelRecord | None, ChannelSnapshot | None]:
    """What the journal says of a leg that Asterisk did not have.

    And the leg, where its end is not in the journal and Asterisk has it now: it called it after it was asked.
    """
    record = journal_record(tools, leg.id, leg.dialed_at_us, wait_s=wait_s)
    ended = record is not None and record.ended_at_us is not None
    return record, None if ended else tools.client.channels.get(leg.id)


def _end_of_gone(tools: CallTools, call: Call, leg: Leg, record: CelRecord | None) -> None:
    """Note how a leg has ended that is gone, with what the journal says of it."""
    if call.loss_unread:
        # To ask takes seconds at times, and when it ended is told by when the link was lost.
        raise AriUnavailable(0, f"the link was lost before {leg.id} could be asked about")
    if record is not None and record.answered_at_us is not None:
        leg.answer_seen(record.answered_at_us)
    if record is None or record.ended_at_us is None:
        at_us, at_s = _last_known(tools, call, leg)
        leg.end_seen(End(at_us, 0, None, "estimated", at_s))
    elif (silent_since_us := call.ended_in_silence_at_us(leg, record.ended_at_us)) is not None:
        leg.end_seen(End(silent_since_us, record.cause or 0, None, "estimated", call.silent_since_s))
    else:
        leg.end_seen(End(record.ended_at_us, record.cause or 0, None, "cel"))


def settle_gone(tools: CallTools, leg: LegView, request: RequestView) -> ChannelSnapshot | None:
    """Settle a leg that Asterisk does not have. One that it was late to call, and has now, is returned instead."""
    time = tools.client.time
    record, late = _gone_or_late(tools, leg, wait_s=JOURNAL_DELAY_S)
    if late is not None:
        return late
    if record is None and leg.answered_at_us is None:
        settle(tools.stores, leg.id, never_dialed(time.now_us()))
        return None
    seen_us = last_seen_us(leg, request, _known_to_live_us(tools, leg, request, record))
    settle(tools.stores, leg.id, end_from_journal(leg, record, last_seen_us=seen_us))
    return None


def _known_to_live_us(tools: CallTools, leg: LegView, request: RequestView, record: CelRecord | None) -> int:
    """Until when a leg that is gone was known to live, by Asterisk's clock, at the least.

    By how much that differed from ours then, nobody knows: it may have been set since, and so may ours. The doubt
    goes to the subscriber.
    """
    time, alive_us = tools.client.time, request.last_alive_us
    known_us = [alive_us, time.from_wall_us(alive_us)]
    if (alive_ago_s := tools.clock.since_s(request.alive_mark)) is not None:
        known_us.append(time.now_us() - int(alive_ago_s * US_PER_S))
    held_since_us = tools.stores.ledger.held_since_us(leg.id)
    if record is not None and record.answered_at_us is not None and held_since_us is not None:
        # It was answered after its hold was made, at least.
        known_us.append(record.answered_at_us + max(alive_us - held_since_us, 0))
    return min(known_us)


def _journal_answer_us(tools: CallTools, leg: Leg, *, wait_s: float = 0.0) -> int | None:
    """When a leg was answered, as far as Asterisk's journal knows."""
    record = journal_record(tools, leg.id, leg.dialed_at_us, wait_s=wait_s)
    return record.answered_at_us if record else None


def _certain_answer_us(tools: CallTools, leg: Leg) -> int | None:
    """The same; None where Asterisk's clock was put back since: nobody knows by how much."""
    answered_at_us = _journal_answer_us(tools, leg)
    return None if answered_at_us is None or tools.client.time.is_to_come(answered_at_us) else answered_at_us


def journal_record(
    tools: CallTools, leg_id: str, dialed_at_us: int, *, wait_s: float = 0.0
) -> CelRecord | None:
    """What Asterisk's journal says of a leg, after waiting so long for its end; None when it says nothing, or cannot
    be read.
    """
    journal, since_us = tools.journal, dialed_at_us - LATEST_START_S * US_PER_S
    try:
        ended = journal.wait_for_end(leg_id, wait_s, not_before_us=since_us) if wait_s else None
        record = ended or journal.records([leg_id], not_before_us=since_us).get(leg_id)
        if (
            record is not None
            and record.ended_at_us is not None
            and tools.client.time.is_to_come(record.ended_at_us)
        ):
            # Asterisk's clock was put back since: when it ended the journal does not say.
            return replace(record, ended_at_us=None)
        return record
    except JournalUnreadable as error:
        log.error("leg.journal_not_read", leg=leg_id, error=str(error))
        return None


def _last_known(tools: CallTools, call: Call, leg: Leg) -> tuple[int, float]:
    """When a leg that is gone was last known to live, by Asterisk's clock, as it was then, and by our steady one."""
    known = [(tools.client.time.now_us(), tools.clock.monotonic_s())]
    if call.lost is not None:
        known.append((call.lost.at_us, call.lost.at_s))
    if leg.hung_up_at_us is not None:
        known.append((leg.hung_up_at_us, leg.hung_up_s))
    return min(known, key=lambda moment: moment[1])
