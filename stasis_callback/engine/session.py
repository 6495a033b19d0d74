"""One callback in its own thread: leg A, the conversation, and the end of everything that was started.

In any case, `closing` ends and settles the legs and finishes the request; failed steps are retried until Asterisk and
the database respond again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from stasis_callback.ari.channels import Started
from stasis_callback.ari.errors import AriError
from stasis_callback.clock import US_PER_S
from stasis_callback.core import numbers
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.core.fraud import NotAllowed
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.words import Ending, Refusal
from stasis_callback.engine.admission.checks import account_trouble, funds_trouble, rate_trouble
from stasis_callback.engine.closing import close_call
from stasis_callback.engine.connection import RINGING_MARGIN_S, words_id
from stasis_callback.engine.conversation import Conversation, apologise
from stasis_callback.engine.failover import outcome_of, over_trunks
from stasis_callback.engine.first_leg import FirstLeg
from stasis_callback.engine.funding import PaidLeg, TakenBack, TrunkFull, setup_s_of, wanted_of_leg_a
from stasis_callback.engine.legs import (
    NOTE_PATIENCE_S,
    await_end,
    await_entry,
    finish_leg,
    is_silent,
    journal_record,
    recheck,
)
from stasis_callback.engine.routing import Way
from stasis_callback.engine.tools import CallTools
from stasis_callback.ivr.call import Call, End, HungUp, Leg, LinkLost
from stasis_callback.store.calls.legs import Fare, LegView, Side
from stasis_callback.store.calls.requests import LONGEST_PAUSE_S, Again, RequestView

log = structlog.get_logger()

START_REPORT_S = 1.0
"""A channel that was begun says so by an event within this."""
ADOPT_AGAIN_S = 2.0
LEAVES_WITHIN_S = 0.5
"""The end of a leg is reported so long after a command to it has failed because of that."""
NOT_TAKEN = 34
"""The cause with which Asterisk's dialplan ends an answered leg that no application takes (extensions.conf)."""


class NobodyHears(Exception):
    """Asterisk was not asked to call: there is no link to it, and nobody would hear who answers."""


class Session:
    """The execution of one callback request."""

    def __init__(
        self,
        tools: CallTools,
        request: RequestView,
        *,
        found_open: bool = False,
        first: FirstLeg | None = None,
    ) -> None:
        """`found_open`: not claimed from the queue, but left behind by a service that died. `first` is leg A, where
        it is noted and paid for already.
        """
        self.request = request
        self.recovering = found_open
        """Its lease still tells when its calls were last known to live, and must not be renewed yet."""
        self._found_open = found_open
        self._first = first
        self._tools = tools
        self._call = Call(tools.client, tools.watcher, lambda leg: recheck(tools, self._call, leg))
        self._call.may_have_bridge = found_open
        self._again: Again | None = None
        self._asked = False
        """Asterisk was asked to call leg A in this attempt."""

    @property
    def sees_its_legs(self) -> bool:
        """Whether its legs are known to live now; its lease says when they last were. For other threads."""
        return not self.recovering and self._call.sees_its_legs

    def link_is_lost(self, lost: LinkLost) -> None:
        """The link to Asterisk broke. Called by another thread."""
        self._call.link_is_lost(lost)

    def link_is_back(self, answered_at_us: int) -> None:
        """The link to Asterisk is back, which answered first at `answered_at_us` (its clock): look at the legs again.
        Called by another thread.
        """
        self._call.link_is_back(answered_at_us)

    # --- the ways in -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Execute a claimed request from the beginning."""
        self._guarded(self._call_back)

    def resume_ringing(self, leg_a: LegView) -> None:
        """Leg A rings since before a restart of the service: go on as if nothing had happened."""

        def resume() -> Ending:
            a = self._adopt(leg_a)
            return self._converse(a) if self._answered(a.leg) else self._not_reached(outcome_of(a.leg))

        self._guarded(resume)

    def take_over(self, legs: Sequence[LegView]) -> None:
        """Legs live since before a restart. Where the two talk, or did until now, watch over them and go on with the
        conversation; else it is cut off: say sorry to the subscriber if there, and end every leg.
        """

        def go_on() -> Ending:
            paid = {leg.side: self._adopt(leg) for leg in legs}
            if all(side in paid and paid[side].leg.answered_at_us is not None for side in ("a", "b")):
                return Conversation(self._tools, self._call, self.request, paid["a"]).resume_talk(paid["b"])
            return self._apologise(paid)

        self._guarded(go_on)

    def _apologise(self, paid: Mapping[Side, PaidLeg]) -> Ending:
        bridge = self._tools.client.bridge(self.request.id)
        if "b" in paid:
            paid["b"].leg.hang_up()
            self._tools.client.playback(words_id(paid["b"].leg.id)).stop()
        if "a" in paid:
            bridge.remove(paid["a"].leg.id)  # waits until it has left; nothing can be said to it before
        bridge.destroy()
        if "a" in paid and paid["a"].leg.up:
            apologise(self._tools, self._call, self.request, paid["a"].leg)
        return Ending.INTERRUPTED

    def close(self, outcome: Ending, again: Again | None = None) -> None:
        """End and settle what is left of it, then finish the request or queue it again."""
        self._again = again
        close_call(self._tools, self._call, self.request, outcome, again)

    def abandon(self) -> None:
        """The service stops: leave the call to Asterisk and its timers. Called by another thread."""
        self._call.abandon()

    def _guarded(self, conversation: Callable[[], Ending]) -> None:
        """Whatever happens: the legs are ended and settled, and the request is finished or queued again."""
        outcome = Ending.FAILED
        try:
            outcome = self._ending_of(conversation)
        except Exception:  # in what is done about a fault
            log.exception("call.crashed", call=self.request.id)
        self.close(outcome, self._again)

    def _ending_of(self, conversation: Callable[[], Ending]) -> Ending:
        try:
            return conversation()
        except HungUp:
            return self._left()
        except TakenBack:
            return Ending.CANCELLED
        except NotAllowed as held_back:
            return Ending.of_trouble(held_back.reason)
        except (AriError, StoreUnavailable) as error:
            log.error("call.interrupted", call=self.request.id, error=str(error))
            # A command to somebody who hangs up may fail before the hang-up is reported.
            if self._has_left():
                return self._left()
        except Exception:
            log.exception("call.crashed", call=self.request.id)
        self._our_fault()
        return Ending.FAILED

    def _has_left(self) -> bool:
        """Whether leg A had been answered and ends without us, now or within a moment."""
        a = self._call.live_a
        if a is None or a.hung_up_by_us:
            return False
        return self._call.wait(lambda: a.ended is not None, LEAVES_WITHIN_S, despite_hangup=True)

    def _left(self) -> Ending:
        """What it means that leg A has ended, and not by us."""
        if self._call.talked:
            return Ending.COMPLETED
        answered = [
            leg for leg in self._call.legs if leg.answered_at_us is not None and not leg.hung_up_by_us
        ]
        if any(leg.ended is not None and leg.ended.cause == NOT_TAKEN for leg in answered):
            self._again = self._once_more()
            return Ending.FAILED
        return Ending.HUNG_UP

    def _our_fault(self) -> None:
        """Apologize to the parties on the line, and retry if nobody has been connected yet."""
        if not self._call.talked:
            self._again = self._once_more()
        a = self._call.live_a
        if a is None or not a.entered:
            return
        try:
            apologise(self._tools, self._call, self.request, a)
        except (AriError, HungUp) as error:
            log.warning("say.failed", leg=a.id, error=str(error))

    def _once_more(self) -> Again | None:
        """Another attempt after a fault of ours; one in which Asterisk was not asked does not count."""
        options = self.request.options
        if self._asked or self._found_open:
            tried_enough = self._attempts >= attempts_for(Outcome.FAILED, self.request)
            return None if tried_enough else Again(options.retry_interval_s)
        return self._uncounted(options.retry_interval_s)

    def _uncounted(self, pause_s: float) -> Again | None:
        """Another attempt instead of this one, which does not count; None when it would be too late to begin."""
        rounds = self.request.claims - self.request.attempts
        if rounds * max(pause_s, LONGEST_PAUSE_S) > self.request.options.start_within_s:
            return None
        return Again(pause_s, self.request.attempts)

    @property
    def begins_again(self) -> bool:
        """Whether its end queues it for another attempt."""
        return self._again is not None

    @property
    def _attempts(self) -> int:
        """Attempts at leg A so far, with this one. One that was found open is counted already."""
        return self.request.attempts + (0 if self._found_open else 1)

    # --- leg A -------------------------------------------------------------------------------------------------

    def _call_back(self) -> Ending:
        request, options, stores = self.request, self.request.options, self._tools.stores
        now_us = self._tools.clock.now_us()
        if now_us - request.due_at_us > options.start_within_s * US_PER_S:
            return Ending.TOO_LATE
        if self._first is not None:  # all was looked at a moment ago
            return self._try(self._first.turn, self._first.fare)
        account = stores.accounts.get(request.account_id)
        trouble = account_trouble(account, now_us)
        if trouble:
            return Ending.of_trouble(trouble)
        refusal, rate = rate_trouble(stores, account, request.leg_a_number, options.access_code)
        if rate is None:
            emergency = refusal == Refusal.EMERGENCY_NUMBER
            return Ending.EMERGENCY_NUMBER if emergency else Ending.DESTINATION_NOT_IN_TARIFF
        ways = self._tools.router.ways(request.leg_a_number, rate, account.currency, options)
        if not ways:
            return Ending.NO_ROUTE
        return self._try(self._tools.health.in_turn(ways), Fare(account, request.leg_a_number, rate))

    def _try(self, turn: Iterable[Way], fare: Fare) -> Ending:
        """Call leg A over one trunk after another, and hold the conversation with the person who answers."""

        def dial(a: PaidLeg, way: Way) -> bool:
            asked_again = self._originate(a, way, fare.number)
            answered = self._shows_life(a.leg, way) and self._answered(a.leg)
            if asked_again and a.leg.ended is not None:
                # The end that was seen may be that of the first request: the second must not ring its phone again.
                with suppress(AriError):
                    a.leg.channel.hang_up()
            return answered

        try:
            tried = over_trunks(
                turn,
                self.request.options.trunk_attempts,
                self._tools.health,
                open_leg=lambda way, number: self._open(fare, way, number),
                dial=dial,
                leg_of=lambda a: a.leg,
                may_go_on=lambda a: self._may_go_on(a.leg),
            )
        except NobodyHears:
            # As if it had not begun. It is claimed again when the link is back; nobody has seen an attempt.
            only = all(self.request.leg_number(leg.id) == 1 for leg in self._call.legs)
            self._again = Again(None, self.request.attempts if only else None)
            return Ending.NOT_DIALED
        if tried.answered and tried.last:
            return self._converse(tried.last)
        if tried.no_funds:
            return Ending.of_trouble(funds_trouble(self._tools.stores, fare.account.book_id))
        return self._not_reached(outcome_of(tried.last.leg)) if tried.last else self._all_full()

    def _may_go_on(self, leg: Leg) -> bool:
        """Whether another trunk may be tried: not after a cancellation, nor while the link to Asterisk is lost."""
        if self._taken_back() or self._call.lost is not None:
            return False
        return finish_leg(self._tools, self._call, leg)

    def _all_full(self) -> Ending:
        """All trunks are full: this does not count as an attempt, and is retried until the start limit."""
        self._again = self._uncounted(max(self.request.options.retry_interval_s, LONGEST_PAUSE_S))
        return Ending.CONGESTION

    def _open(self, fare: Fare, way: Way, number: int) -> PaidLeg | None:
        """Leg A, noted and paid for but not yet dialled; None when there are no funds.

        Raises TrunkFull, TakenBack, NotAllowed.

        An attempt that goes over several trunks has legs a1, a1.2, a1.3: `number` counts them.
        """
        request, options = self.request, self.request.options
        leg_id = request.leg_id("a", number)
        first, self._first = self._first, None
        leg = self._call.add(leg_id, is_a=True)
        now_us = first.at_us if first else self._tools.client.time.now_us()
        leg.note(now_us)
        leg.answers = way.answers
        try:
            funded_s = (
                first.funded_s
                if first
                else self._tools.funding.open_leg_a(
                    leg_id,
                    request,
                    replace(fare, carrier=way.carrier),
                    wanted_of_leg_a(request),
                    now_us,
                    first=number == 1,
                )
            )
        except (TrunkFull, TakenBack, NotAllowed):
            self._call.drop(leg)
            raise
        if not funded_s:
            self._call.drop(leg)
            return None
        paid = PaidLeg(leg, fare.rate, fare.account.book_id, funded_s, now_us, options.ring_timeout_a_s)
        paid.number, paid.currency = fare.number, fare.account.currency
        return paid

    def _originate(self, a: PaidLeg, way: Way, number: str) -> bool:
        """Have Asterisk call leg A, once; whether it was asked again. Where it does not say whether it does, look
        first and decide then: but this service may stand still between the look and the second request.

        Raises NobodyHears when it was not asked, because the link is down: who answers would be dropped.
        """
        log.info(
            "leg.dialing",
            leg=a.leg.id,
            number=numbers.mask(number),
            attempt=self._attempts,
            delay_s=round((self._tools.clock.now_us() - self.request.due_at_us) / US_PER_S, 3),
        )
        a.leg.requested = self._asked = True
        started = self._ask_to_originate(a, way, number)
        if started is Started.UNHEARD:
            a.leg.requested = False
            raise NobodyHears
        asked_again = started is Started.UNKNOWN and not self._is_known(a.leg)
        if asked_again:
            again = self._ask_to_originate(a, way, number)
            started = started if again is Started.UNHEARD else again
        if started is Started.REFUSED:
            a.leg.end_seen(End(self._tools.client.time.now_us(), 34, None))
        elif started is Started.UNKNOWN and not self._is_known(a.leg):
            recheck(self._tools, self._call, a.leg)
        if self._taken_back():
            # A cancellation until now found no channel to end; from here on there is one, and it is found.
            a.leg.hang_up()
        return asked_again

    def _ask_to_originate(self, a: PaidLeg, way: Way, number: str) -> Started:
        options = self.request.options
        return self._tools.client.channels.originate(
            way.dial_string(number),
            a.leg.id,
            app_args=("leg-a", self.request.id),
            caller_id=way.caller_id(options.caller_id_a or self.request.dnis),
            # With few funds the ringing must not outlast the timer, which counts from now.
            ring_timeout_s=min(options.ring_timeout_a_s, a.funded_s),
            variables={"TIMEOUT(absolute)": f"{a.fuse_s():.3f}"},
            heard=lambda: self._tools.watcher.connected,
        )

    def _is_known(self, leg: Leg) -> bool:
        """Whether a channel is there, or was: its events, the list of channels, the journal. One that was looked for
        when the link was back, and given up, is not asked for again under its name.
        """
        if self._call.wait(lambda: leg.seen or leg.ended is not None, START_REPORT_S, despite_hangup=True):
            return True
        if self._tools.client.channels.get(leg.id) is not None:
            return True
        return leg.seen or journal_record(self._tools, leg.id, leg.dialed_at_us) is not None

    def _taken_back(self) -> bool:
        """Whether the requester has cancelled it. If the database is unavailable, it is checked again at the end."""
        try:
            return self._tools.stores.requests.cancel_wanted(self.request.id)
        except StoreUnavailable:
            return False

    def _shows_life(self, leg: Leg, way: Way) -> bool:
        """Wait for a sign of life of the carrier; False when there was none within its time, and the leg is ended."""
        began_s = self._tools.clock.monotonic_s()
        within_s = min(way.no_progress_s, self.request.options.ring_timeout_a_s)
        self._call.wait(lambda: leg.ringing or leg.up or leg.ended is not None, within_s, despite_hangup=True)
        if not is_silent(self._tools, self._call, leg, began_s):
            return True
        await_end(self._tools, self._call, leg)
        return False

    def _answered(self, leg: Leg) -> bool:
        """Wait for the answer of leg A, or for its end."""
        limit_s = self.request.options.ring_timeout_a_s + RINGING_MARGIN_S
        self._call.wait(lambda: leg.up or leg.ended is not None, limit_s, despite_hangup=True)
        if leg.answered_at_us is None and leg.ended is None:
            # Where this service stood still, the answer may have come and be on its way to this thread.
            with suppress(AriError):
                recheck(self._tools, self._call, leg)
        if leg.answered_at_us is None and leg.ended is None:
            await_end(self._tools, self._call, leg)
        return leg.answered_at_us is not None

    def _converse(self, a: PaidLeg) -> Ending:
        leg, request, stores = a.leg, self.request, self._tools.stores
        assert leg.answered_at_us is not None
        log.info("leg.answered", leg=leg.id)
        # At once: if this service and Asterisk both die now, nothing else says by a clock that nobody sets since when
        # it is charged. Asterisk gives the leg over meanwhile.
        try:
            with stores.database.first(), stores.database.patience(NOTE_PATIENCE_S):
                stores.database.unit(lambda: self._note_answer(leg))
            leg.answer_noted = True
        except StoreUnavailable as error:
            # Asterisk's journal has it too, and the settlement uses that: the call goes on.
            log.warning("answer.not_noted", leg=leg.id, error=str(error))
        await_entry(self._tools, self._call, leg)
        a.try_arm()
        return Conversation(self._tools, self._call, request, a).hold()

    def _note_answer(self, leg: Leg) -> None:
        self._tools.stores.requests.answered(self.request)
        self._tools.stores.calls.leg_answered(leg.id, leg.answered_at_us or 0, leg.elapsed_s(), leg.doubt_s)

    def _not_reached(self, outcome: Outcome) -> Ending:
        """Leg A was not answered: another attempt later, or the end."""
        if outcome is Outcome.CANCELLED:
            outcome = Outcome.NO_ANSWER
        if self._attempts < attempts_for(outcome, self.request):
            self._again = Again(self.request.options.retry_interval_s)
        return Ending.of_leg(outcome)

    def _answered_s(self, view: LegView) -> tuple[float, bool]:
        """When a leg was answered, by the steady clock, and whether exactly: as its answer was noted on this machine.
        A moment and not an age: to ask Asterisk about the leg may take seconds.

        Elsewhere, at least, where Asterisk's clock says that it is still to be answered: that clock was put back. By
        how much it was ahead of ours when the leg was noted is known: its hold was made then.
        """
        now_s, lived_s = self._tools.clock.monotonic_s(), self._tools.clock.since_s(view.answered_mark or "")
        if lived_s is not None:
            return now_s - lived_s, True
        answered_at_us, held_since_us = view.answered_at_us, self._tools.stores.ledger.held_since_us(view.id)
        if (
            answered_at_us is None
            or held_since_us is None
            or answered_at_us <= self._tools.client.time.now_us()
        ):
            return math.inf, False
        ahead_us = view.dialed_at_us - held_since_us
        lived_us = max(self._tools.clock.now_us() - (answered_at_us - ahead_us), 0)
        return self._tools.clock.monotonic_s() - lived_us / US_PER_S, False

    def _remember_clocks(self, view: LegView, alive_s: float) -> None:
        """Where the clock was set since this machine last worked on the call (at `alive_s` by the steady clock), its
        answer, which only Asterisk's journal has, may be from before that.
        """
        held_since_us = self._tools.stores.ledger.held_since_us(view.id)
        if held_since_us is not None:
            ahead_us, alive_us = view.dialed_at_us - held_since_us, self.request.last_alive_us
            self._tools.client.time.remember(alive_us + ahead_us, alive_us, alive_s)

    def _adopt(self, view: LegView) -> PaidLeg:
        """Take over a leg from before a restart. It is up, so a failure here must not end it."""
        leg = self._call.add_found(view.id, is_a=view.side == "a", dialed_at_us=view.dialed_at_us)
        alive_ago_s = self._tools.clock.since_s(self.request.alive_mark)
        if alive_ago_s is not None:
            # Who worked on it saw no answer as long as it saw its legs.
            leg.unanswered_s = self._tools.clock.monotonic_s() - alive_ago_s
        options = self.request.options
        slack_s = options.ring_timeout_a_s if view.side == "a" else setup_s_of(self.request)
        lasts_s = options.talk_limit_s + (setup_s_of(self.request) if view.side == "a" else 0)

        def look() -> PaidLeg:
            if view.answered_at_us is not None:
                leg.adopt(view.answered_at_us, *self._answered_s(view))
                leg.answer_noted = True
            elif math.isfinite(leg.unanswered_s):
                self._remember_clocks(view, leg.unanswered_s)
            recheck(self._tools, self._call, leg)
            leg.not_looked_at = False
            rate = self._tools.stores.tariffs.version(view.rate_id, view.terms_id)
            return self._tools.funding.adopt(leg, view, rate, slack_s, lasts_s)

        while True:
            try:
                return look()
            except (AriError, StoreUnavailable) as error:
                log.warning("leg.not_adopted", leg=leg.id, error=str(error))
            self._call.wait(lambda: False, ADOPT_AGAIN_S)


def attempts_for(outcome: Outcome, request: RequestView) -> int:
    """How many attempts at leg A an outcome is worth."""
    options = request.options
    return {
        Outcome.BUSY: options.attempts_busy,
        Outcome.NO_ANSWER: options.attempts_no_answer,
        Outcome.CONGESTION: options.attempts_congestion,
        Outcome.FAILED: options.attempts_congestion,
    }.get(outcome, 1)
