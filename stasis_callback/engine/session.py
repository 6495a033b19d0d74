"""One callback in a thread of its own: leg A, the conversation, and the end of everything that was begun.

Whatever happens, `_close` ends the legs, settles them and finishes the request. What cannot be finished now, because
Asterisk or the database does not answer, stays open in the database, where recovery finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from stasis_callback.ari.channels import Started
from stasis_callback.ari.errors import AriError
from stasis_callback.clock import US_PER_S
from stasis_callback.core import numbers
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.progress import Step
from stasis_callback.engine.admission import account_trouble, funds_trouble
from stasis_callback.engine.connection import RINGING_MARGIN_S, words_id
from stasis_callback.engine.conversation import Conversation
from stasis_callback.engine.funding import PaidLeg, TrunkFull, setup_s_of
from stasis_callback.engine.legs import END_REPORT_S, finish_leg, recheck
from stasis_callback.engine.routing import FAILS_OVER, Way
from stasis_callback.engine.services import Services
from stasis_callback.engine.settlement import end_of
from stasis_callback.ivr.call import Call, End, HungUp, Leg
from stasis_callback.store.accounts import AccountView
from stasis_callback.store.calls import LegView
from stasis_callback.store.rate_book import RateView
from stasis_callback.store.requests import RequestView

log = structlog.get_logger()


class Session:
    """The callback of one request."""

    def __init__(self, services: Services, request: RequestView) -> None:
        self.request = request
        self._s = services
        self._call = Call(services.clock, services.watcher, lambda leg: recheck(services, self._call, leg))
        self._retry_after_s: float | None = None

    def link_is_lost(self, at_us: int) -> None:
        """The link to Asterisk broke. Called by another thread."""
        self._call.link_is_lost(at_us)

    def link_is_back(self) -> None:
        """The link to Asterisk is back: look at the legs again. Called by another thread."""
        self._call.link_is_back()

    # --- the ways in -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """A claimed request, from the beginning."""
        self._guarded(self._call_back)

    def resume_ringing(self, leg_a: LegView) -> None:
        """Leg A rings since before a restart of the service: go on as if nothing had happened."""

        def resume() -> str:
            a = self._adopt(leg_a)
            return self._converse(a) if self._answered(a.leg) else self._not_reached(_outcome_of(a.leg))

        self._guarded(resume)

    def resume_talk(self, leg_a: LegView, leg_b: LegView) -> None:
        """Both legs talk since before a restart: watch over them, then go on with the conversation."""

        def resume() -> str:
            a, b = self._adopt(leg_a), self._adopt(leg_b)
            return Conversation(self._s, self._call, self.request, a).resume_talk(b)

        self._guarded(resume)

    def apologise(self, legs: Sequence[LegView]) -> None:
        """A restart cut the conversation off: say sorry to the subscriber if there, and end every leg."""

        def sorry() -> str:
            paid = {leg.side: self._adopt(leg) for leg in legs}
            bridge = self._s.client.bridge(self.request.id)
            if "b" in paid:
                paid["b"].leg.hang_up()
                self._s.client.playback(words_id(paid["b"].leg.id)).stop()
            if "a" in paid:
                bridge.remove(paid["a"].leg.id)  # waits until it has left; nothing can be said to it before
            bridge.destroy()
            if "a" in paid and paid["a"].leg.up:
                Conversation(self._s, self._call, self.request, paid["a"]).apologise()
            return "interrupted"

        self._guarded(sorry)

    def _guarded(self, conversation: Callable[[], str]) -> None:
        outcome = "failed"
        try:
            outcome = conversation()
        except HungUp:
            outcome = "completed" if self._call.talked else "hung_up"
        except AriError as error:
            log.error("call.asterisk_failed", call=self.request.id, error=str(error))
        except Exception:
            log.exception("call.crashed", call=self.request.id)
        finally:
            self._close(outcome)

    # --- leg A -------------------------------------------------------------------------------------------------

    def _call_back(self) -> str:
        request, options, stores = self.request, self.request.options, self._s.stores
        account = stores.accounts.get(request.account_id)
        trouble = account_trouble(account, self._s.clock.now_us())
        tariff_id = stores.accounts.tariff_for(account, options.access_code)
        rate = stores.tariffs.match(tariff_id, request.leg_a_number)
        if trouble or rate is None:
            return trouble or "destination_not_in_tariff"
        ways = self._s.router.ways(request.leg_a_number, rate, account.currency, options)
        if not ways:
            return "no_route"
        leg = None
        for way in ways:
            if len(self._call.legs) == options.trunk_attempts:
                break
            try:
                a = self._open(account, rate, way)
            except TrunkFull:
                continue
            if a is None:
                return funds_trouble(stores, account.book_id)
            leg = a.leg
            self._originate(a, way)
            if self._answered(leg):
                return self._converse(a)
            if _outcome_of(leg) not in FAILS_OVER or self._taken_back():
                break
            if not finish_leg(self._s, self._call, leg):
                break
            log.info("leg.failed_over", leg=leg.id)
        return self._not_reached(_outcome_of(leg) if leg else Outcome.CONGESTION)

    def _open(self, account: AccountView, rate: RateView, way: Way) -> PaidLeg | None:
        """Leg A, noted and paid for but not yet dialled; None when there are no funds. Raises TrunkFull.

        An attempt that goes over several trunks has legs a1, a1.2, a1.3.
        """
        request, options = self.request, self.request.options
        tried = len(self._call.legs) + 1
        leg_id = f"{request.id}-a{request.attempts}" + (f".{tried}" if tried > 1 else "")
        wanted_s = options.ring_timeout_a_s + options.menu_limit_s
        now_us = self._s.clock.now_us()
        funded_s = self._s.funding.open_leg_a(leg_id, request, account, rate, wanted_s, now_us, way)
        if not funded_s:
            return None
        leg = self._call.add(self._s.client.channel(leg_id), is_a=True)
        return PaidLeg(leg, rate, account.book_id, funded_s, now_us, options.ring_timeout_a_s)

    def _originate(self, a: PaidLeg, way: Way) -> None:
        options, number = self.request.options, self.request.leg_a_number
        log.info("leg.dialing", leg=a.leg.id, number=numbers.mask(number), attempt=self.request.attempts)
        a.leg.requested = True
        started = self._s.client.channels.originate(
            self._s.router.endpoint(number, way),
            a.leg.id,
            app_args=("leg-a", self.request.id),
            caller_id=options.caller_id_a or self.request.dnis,
            # With few funds the ringing must not outlast the timer, which counts from now.
            ring_timeout_s=min(options.ring_timeout_a_s, a.funded_s),
            variables={"TIMEOUT(absolute)": f"{a.fuse_s():.3f}"},
        )
        if started is Started.REFUSED:
            a.leg.ended = End(self._s.clock.now_us(), 34, None)
        elif self._taken_back():
            # Whoever took it back found no channel to end; from here on there is one, and it is found.
            a.leg.hang_up()

    def _taken_back(self) -> bool:
        """Whether whoever asked for it over the web takes it back."""
        request = self.request
        return request.triggered_by == "web" and self._s.stores.events.has(request.id, Step.CANCELLING)

    def _answered(self, leg: Leg) -> bool:
        """Wait for leg A's answer; when there is none, it has ended."""
        limit_s = self.request.options.ring_timeout_a_s + RINGING_MARGIN_S
        self._call.wait(lambda: leg.up or leg.ended is not None, limit_s, despite_hangup=True)
        if leg.answered_at_us is None and leg.ended is None:
            leg.hang_up()
            self._call.wait(lambda: leg.ended is not None, END_REPORT_S, despite_hangup=True)
        return leg.answered_at_us is not None

    def _converse(self, a: PaidLeg) -> str:
        leg, request = a.leg, self.request
        assert leg.answered_at_us is not None
        self._s.stores.requests.answered(request.id)
        self._s.stores.calls.leg_answered(leg.id, leg.answered_at_us)
        log.info("leg.answered", leg=leg.id)
        a.arm()
        return Conversation(self._s, self._call, request, a).hold()

    def _not_reached(self, outcome: Outcome) -> str:
        """Leg A was not answered: another attempt later, or the end."""
        if outcome is Outcome.CANCELLED:
            outcome = Outcome.NO_ANSWER
        if self.request.attempts < attempts_for(outcome, self.request) and not self._taken_back():
            self._retry_after_s = self.request.options.retry_interval_s
        return outcome

    def _adopt(self, view: LegView) -> PaidLeg:
        """Take over a leg of before a restart, as it is now."""
        leg = self._call.add(self._s.client.channel(view.id), is_a=view.side == "a")
        leg.requested = True
        if view.answered_at_us is not None:
            ago_us = max(self._s.clock.now_us() - view.answered_at_us, 0)
            leg.answer_seen(view.answered_at_us, ago_s=ago_us / US_PER_S)
        recheck(self._s, self._call, leg)
        rate = self._s.stores.tariffs.version(view.rate_id, view.terms_id)
        slack_s = self.request.options.ring_timeout_a_s if view.side == "a" else setup_s_of(self.request)
        return self._s.funding.adopt(leg, view.account_id, rate, view.dialed_at_us, slack_s)

    # --- the end -----------------------------------------------------------------------------------------------

    def _close(self, outcome: str) -> None:
        request, requests = self.request, self._s.stores.requests
        try:
            settled = [finish_leg(self._s, self._call, leg) for leg in reversed(self._call.legs)]
            if not all(settled):
                return
            if self._retry_after_s is not None:
                requests.retry(request.id, after_s=self._retry_after_s, outcome=outcome)
            else:
                requests.finish(request.id, outcome)
            log.info("call.ended", call=request.id, outcome=outcome, retry=self._retry_after_s is not None)
        except Exception:
            # The database or Asterisk does not answer: recovery will find the request open.
            log.exception("call.close_failed", call=request.id)
        finally:
            self._call.close()


def _outcome_of(leg: Leg) -> Outcome:
    """How an unanswered leg ended; of one whose end was not reported that is not known."""
    return end_of(leg).outcome if leg.ended else Outcome.FAILED


def attempts_for(outcome: Outcome, request: RequestView) -> int:
    """How many attempts at leg A an outcome is worth."""
    options = request.options
    return {
        Outcome.BUSY: options.attempts_busy,
        Outcome.NO_ANSWER: options.attempts_no_answer,
        Outcome.CONGESTION: options.attempts_congestion,
    }.get(outcome, 1)
