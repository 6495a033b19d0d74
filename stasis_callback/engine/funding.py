"""Paying for legs ahead: funds are held first, and only then is Asterisk's own timer moved.

The timer (`TIMEOUT(absolute)`) of a leg never reaches past the funds held for it, so a call ends in time even when
this service is dead. It counts from the moment it is set; so it is set anew at every change, a little short of
the last funded second because a started second is charged.

A talk is held for in slices: several calls of one account share its funds, and what happens to the account meanwhile
counts at the next slice. `engine/slices.py` asks for them in time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from stasis_callback.ari.errors import AriError, AriUnavailable
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.core.fraud import OverBudget
from stasis_callback.core.options import CallOptions
from stasis_callback.core.rating import Price, billed_seconds, cost_micros, joint_longest_s, longest_s
from stasis_callback.crashpoint import crashpoint
from stasis_callback.ivr.call import Leg
from stasis_callback.store.accounts.fraud import Held
from stasis_callback.store.calls.legs import Fare, LegView, Side
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.rates.book import RateView
from stasis_callback.store.stores import Stores

log = structlog.get_logger()

T = TypeVar("T")

FUSE_MARGIN_S = 0.1
"""Asterisk ends a channel some milliseconds after its timer (measured: 2.505 s for 2.5 s)."""
FUSE_UNSURE_S = 15.0
"""A timer that was asked for and not answered is carried out within so long, or not at all."""

PLANS = 3
"""How often the funds are looked at anew when other calls take them meanwhile."""

ANNOUNCEMENT_S = 10
"""Time between authorising leg B and dialling it, when the maximum duration is said; leg A pays for it."""

SHORTEST_SHARE_S = 10
"""A share of the last funds that would pay for less than this is not worth an extension: the call takes what is
left.
"""


@dataclass
class PaidLeg:
    """A leg with its rate and the seconds from its answer that its hold pays for.

    `opened_at_us` and `slack_s` say when it may be answered: until then its price is the dearest of that time.
    """

    leg: Leg
    rate: RateView
    book_id: int
    funded_s: int
    opened_at_us: int
    slack_s: int
    armed_s: int | None = None
    """As far as the timer reaches, in the same seconds; None when it is not known to stand anywhere."""
    unsure_until_s: float = 0.0
    """By the steady clock: until then Asterisk may still carry out a timer that it did not answer, over the one that
    was set since. 0: there is none.
    """
    number: str = ""
    currency: str = ""
    side: Side = "a"
    """For the budgets that count what is held."""

    def cost_micros(self, seconds: int) -> int:
        """The cost in micros of this many seconds after the answer."""
        if self.leg.answered_at_us is not None:
            return cost_micros(self.rate.price, seconds, self.leg.answered_at_us)
        return cost_micros(self.rate.price, seconds, self.opened_at_us, self.slack_s)

    def held(self, funded_s: int, micros: int) -> Held:
        """What it may still use when so many seconds are paid for by a hold of so much."""
        return Held(self.number, self.side, billed_seconds(self.rate.price, funded_s), micros, self.currency)

    def arm(self) -> None:
        """Set Asterisk's timer to the funded end. Nothing happens when the leg is to end, or gone. Raises AriError.

        Before the answer the whole funded time counts from now; while a leg rings this is repeated, so that the
        timer neither ends the ringing nor outlives the funds if the answer goes unseen.
        """
        if self.leg.is_to_end:
            return
        left_s = self.funded_s - self.leg.elapsed_s() - FUSE_MARGIN_S
        if left_s < 0:
            # However short a timer, it would reach past the funds: this thread came round too late.
            log.warning("leg.outlived_its_timer", leg=self.leg.id)
            self.leg.pay_until(0.0)
            self.leg.hang_up()
            return
        left_s = max(left_s, FUSE_MARGIN_S)
        self.leg.pay_until(left_s)
        self.armed_s = None
        now_s = self.leg.channel.clock.monotonic_s()
        try:
            self.leg.channel.set_fuse(left_s)
        except AriUnavailable as error:
            if not error.untouched:
                self.unsure_until_s = now_s + FUSE_UNSURE_S
            raise
        self.armed_s = self.funded_s
        if now_s >= self.unsure_until_s:
            self.unsure_until_s = 0.0

    def try_arm(self) -> bool:
        """Move a timer outwards, where it does not stand right: a failure is logged, and the timer moved later."""
        return self.is_armed or self.wind_up()

    @property
    def is_armed(self) -> bool:
        """Whether the timer stands where the hold ends, as far as is known now."""
        return (
            self.armed_s == self.funded_s
            and not 0 < self.unsure_until_s <= self.leg.channel.clock.monotonic_s()
        )

    def wind_up(self) -> bool:
        """Set the timer anew, wherever it stands; False, and a line in the log, when Asterisk does not do it now."""
        try:
            self.arm()
        except AriError as error:
            log.warning("talk.timer_not_moved", leg=self.leg.id, error=str(error))
            return False
        return True

    def fuse_s(self) -> float:
        """The timer to make the channel with."""
        return self.funded_s - FUSE_MARGIN_S


@dataclass(frozen=True, slots=True)
class Grant:
    """A talk that is paid for: `held_s` seconds are held, `longest_s` could be as the funds are now."""

    held_s: int
    longest_s: int


class TrunkFull(Exception):
    """The trunk carries as many calls as it may: nothing is noted or held."""


class TakenBack(Exception):
    """Nobody wants this callback any more: nothing is noted or held."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be held: seconds of leg A, and of the talk out of `whole_s` that could be."""

    a_s: int
    talk_s: int
    whole_s: int


class _TakenMeanwhile(Exception):
    """Another call took the funds between the look and the hold: nothing is changed."""


class Funding:
    """Authorises legs against the ledger."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def open_leg_a(
        self,
        leg_id: str,
        request: RequestView,
        fare: Fare,
        wanted_s: int,
        now_us: int,
        *,
        first: bool = True,
    ) -> int:
        """Hold funds for leg A: for `wanted_s` seconds, or for as many as there are; the seconds, 0 for none.

        The `first` leg of an attempt counts the attempt. Raises TrunkFull, TakenBack when nobody wants the callback
        any more, or NotAllowed.
        """
        slack_s = request.options.ring_timeout_a_s

        def open_it() -> int:
            if first and not self._stores.requests.attempt(request.id):
                raise TakenBack
            self._require_room(fare, leg_id)
            # What this leg holds already, when the answer to the commit was lost, pays for it again.
            funds_micros = self._stores.ledger.funds_micros(fare.account.book_id, leg_id)
            funded_s, hold = _affordable(fare.rate.price, funds_micros, wanted_s, now_us, slack_s)
            if not funded_s or not self._stores.calls.open_leg(
                leg_id, request.id, "a", fare, hold, _billed_s(fare, funded_s), dialed_at_us=now_us
            ):
                raise _TakenMeanwhile
            return funded_s

        return self._unit(open_it) or 0

    def note_leg_a(
        self, request: RequestView, fare: Fare, wanted_s: int, now_us: int, funds_micros: int
    ) -> int:
        """The same for the first leg of a request, in the transaction that notes it, out of the funds that were seen
        a moment ago. Raises TrunkFull, OverBudget.
        """
        leg_id = request.leg_id("a", 1)
        self._require_room(fare, leg_id)
        slack_s = request.options.ring_timeout_a_s
        funded_s, hold = _affordable(fare.rate.price, funds_micros, wanted_s, now_us, slack_s)
        held_s = _billed_s(fare, funded_s)
        noted = funded_s and self._stores.calls.open_first_leg(leg_id, request.id, fare, hold, held_s, now_us)
        return funded_s if noted else 0

    def adopt(self, leg: Leg, view: LegView, rate: RateView, slack_s: int, lasts_s: int) -> PaidLeg:
        """A leg from before a restart, paid for as far as its hold goes; at most `lasts_s` seconds from now.

        Where it costs nothing, a hold of nothing pays for ever: then that limit counts.
        """
        account = self._stores.accounts.get(view.account_id)
        paid = PaidLeg(leg, rate, account.book_id, 0, view.dialed_at_us, slack_s)
        paid.number, paid.currency, paid.side = view.number, account.currency, view.side
        limit_s = math.ceil(leg.elapsed_s()) + lasts_s
        paid.funded_s = max(longest_s(paid.cost_micros, self._stores.ledger.held_micros(leg.id), limit_s), 0)
        return paid

    @staticmethod
    def pays_for_menu(a: PaidLeg, wanted_s: int) -> bool:
        """Whether leg A is paid for `wanted_s` more seconds of menus already."""
        return math.ceil(a.leg.elapsed_s()) + wanted_s <= a.funded_s

    def extend_menu(self, a: PaidLeg, wanted_s: int) -> None:
        """Fund leg A for `wanted_s` more seconds of menus, or for as many as there are, and move its timer.

        Raises OverBudget.
        """
        if self.pays_for_menu(a, wanted_s):
            return
        target_s = math.ceil(a.leg.elapsed_s()) + wanted_s

        def hold() -> int:
            funded_s = longest_s(a.cost_micros, self._funds_micros(a), target_s)
            if funded_s > a.funded_s:
                self._change(a, funded_s, a.cost_micros(funded_s))
            return funded_s

        funded_s = self._unit(hold)
        if funded_s and funded_s > a.funded_s:
            a.funded_s = funded_s
            a.try_arm()

    # --- leg B
    # -------------------------------------------------------------------------------------------------------

    def open_leg_b(
        self,
        leg_id: str,
        request: RequestView,
        fare: Fare,
        a: PaidLeg,
        now_us: int,
    ) -> Grant | None:
        """Authorise leg B together with the rest of leg A; None when they cannot talk for a second.

        Leg A may be another account's (PIN). Both holds are committed in one transaction, then leg
        A's timer is moved. Raises TrunkFull, NotAllowed.
        """
        held_s = a.funded_s
        try:
            for _ in range(PLANS):
                plan = self._plan(request, fare, a, now_us)
                if plan is None:
                    return None
                if plan.a_s < a.funded_s:
                    # Leg A's timer comes nearer before its hold shrinks; never the other way round.
                    a.funded_s = plan.a_s
                    a.arm()

                def open_both(plan: _Plan = plan) -> bool:
                    self._require_room(fare, leg_id)
                    beside = a.leg.id, a.cost_micros(plan.a_s)
                    hold_b = cost_micros(fare.rate.price, plan.talk_s, now_us, setup_s_of(request))
                    held_s = _billed_s(fare, plan.talk_s)
                    opened = self._stores.calls.open_leg(
                        leg_id, request.id, "b", fare, hold_b, held_s, dialed_at_us=now_us, beside=beside
                    )
                    if opened:
                        self._stores.fraud.reserve_more(a.leg.id, a.held(plan.a_s, beside[1]))
                    return opened

                try:
                    done = self._unit(open_both)
                except StoreUnavailable:
                    # It may have been committed: the timer goes no further than what is held in either case.
                    held_s = min(held_s, plan.a_s)
                    raise
                if done:
                    crashpoint("leg-b-held")
                    held_s = plan.a_s
                    return Grant(plan.talk_s, plan.whole_s)
            return None
        finally:
            a.funded_s = held_s
            a.try_arm()

    def _plan(self, request: RequestView, fare: Fare, a: PaidLeg, now_us: int) -> _Plan | None:
        """How long both legs can be paid for as the funds are now; None when they cannot talk for a second."""
        options, setup_s, elapsed_s = request.options, setup_s_of(request), math.ceil(a.leg.elapsed_s())
        limit_s, price_b, book_b = options.talk_limit_s, fare.rate.price, fare.account.book_id
        whole_s = _cut(
            self._stores.database.read(
                lambda: self._joint_s(a, elapsed_s, setup_s, price_b, book_b, limit_s, now_us)
            ),
            options,
        )
        if price_b.is_too_short(whole_s, limit_s):
            return None
        talk_s = min(whole_s, options.hold_slice_s)
        return _Plan(elapsed_s + setup_s + talk_s, talk_s, whole_s)

    def _unit(self, work: Callable[[], T]) -> T | None:
        """Do `work` in one transaction; None, and nothing done, when another call took the funds meanwhile."""
        try:
            return self._stores.database.unit(work)
        except _TakenMeanwhile:
            return None
        except OverBudget as over:
            self._stores.fraud.note_over(over)
            raise

    def _require_room(self, fare: Fare, leg_id: str) -> None:
        """One more call on the trunk, before anything else of a transaction is locked. Raises TrunkFull."""
        carrier = fare.carrier
        if carrier is not None and not self._stores.trunks.has_room(carrier.trunk, leg_id):
            log.warning("trunk.full", trunk=carrier.trunk.name)
            raise TrunkFull

    def longest_talk_s(self, a: PaidLeg, b: PaidLeg, options: CallOptions) -> int:
        """How long the talk could last in all, as the funds are now; nothing is held."""
        whole_s = self._longest_s(a, b, options, self._funds_micros(a, b), self._funds_micros(b))
        return max(_cut(whole_s, options), b.funded_s)

    def extend_talk(self, a: PaidLeg, b: PaidLeg, options: CallOptions) -> int:
        """Hold the next slice of a talk for both legs; how long it could last in all. The timers are for the caller.

        While the funds last for a whole slice of every call that shares them, each gets one. Then each gets its
        part of what is left, so that no call starves the others. Raises OverBudget.
        """

        def hold() -> tuple[int, int, int]:
            whole_s = self.longest_talk_s(a, b, options)
            fair_s = min(whole_s, self._fair_s(a, b, options))
            if fair_s - b.funded_s < SHORTEST_SHARE_S:
                fair_s = whole_s
            target_s = min(b.funded_s + options.hold_slice_s, fair_s)
            if target_s <= b.funded_s:
                return whole_s, a.funded_s, b.funded_s
            self._stores.calls.lock(a.leg.id, b.leg.id, books=(a.book_id, b.book_id))
            a_s = max(target_s + _lead_s(a, b), a.funded_s)
            self._grow(b, target_s)  # first: counters of a called number are locked before those of ranges
            self._grow(a, a_s)
            return whole_s, a_s, target_s

        held = self._unit(hold)
        if held is None:
            return b.funded_s
        whole_s, a.funded_s, b.funded_s = held
        return whole_s

    def _fair_s(self, a: PaidLeg, b: PaidLeg, options: CallOptions) -> int:
        """How far this talk can be funded from its part of what is free."""
        talks = max(self._stores.calls.talks_paid_from(b.book_id), 1)
        share = self._stores.ledger.available_micros(b.book_id) // talks
        held_b = self._stores.ledger.held_micros(b.leg.id)
        if a.book_id != b.book_id:
            return self._longest_s(a, b, options, self._funds_micros(a), held_b + share)
        return self._longest_s(a, b, options, self._stores.ledger.held_micros(a.leg.id) + held_b + share, 0)

    @staticmethod
    def _longest_s(a: PaidLeg, b: PaidLeg, options: CallOptions, funds_a: int, funds_b: int) -> int:
        """The longest talk in all, from one book (`funds_a` are then all funds of both legs) or from two."""
        lead_s, limit_s = _lead_s(a, b), options.talk_limit_s
        if a.book_id == b.book_id:
            return longest_s(lambda t: a.cost_micros(lead_s + t) + b.cost_micros(t), funds_a, limit_s)
        a_s = longest_s(lambda t: a.cost_micros(lead_s + t), funds_a, limit_s)
        return min(a_s, longest_s(b.cost_micros, funds_b, limit_s))

    def _joint_s(
        self,
        a: PaidLeg,
        elapsed_s: int,
        setup_s: int,
        price_b: Price,
        book_b: int,
        limit_s: int,
        now_us: int,
    ) -> int:
        """The longest talk that pays for both legs before B is dialled, from one book or from two."""
        start_us = a.leg.answered_at_us or a.opened_at_us
        funds_a = self._funds_micros(a)
        if a.book_id == book_b:
            return joint_longest_s(a.rate.price, elapsed_s, setup_s, price_b, funds_a, limit_s, start_us)
        a_s = longest_s(lambda t: a.cost_micros(elapsed_s + setup_s + t), funds_a, limit_s)
        funds_b = self._stores.ledger.available_micros(book_b)
        b_s = longest_s(lambda t: cost_micros(price_b, t, now_us, setup_s), funds_b, limit_s)
        return max(min(a_s, b_s), 0)

    # --- holds
    # --------------------------------------------------------------------------------------------------------

    def _funds_micros(self, *legs: PaidLeg) -> int:
        """What can be spent on the first of `legs`: the free funds of its book, and what is held for those on it."""
        return self._stores.ledger.funds_micros(legs[0].book_id, *(paid.leg.id for paid in legs))

    def _grow(self, paid: PaidLeg, funded_s: int) -> None:
        """Make a leg's hold pay for at least `funded_s` seconds; what is held already stays held."""
        micros = max(paid.cost_micros(funded_s), self._stores.ledger.held_micros(paid.leg.id))
        self._change(paid, funded_s, micros)

    def _change(self, paid: PaidLeg, funded_s: int, amount_micros: int) -> None:
        """Change a leg's hold to this total amount, which pays for so many seconds."""
        if not self._stores.calls.change_hold(paid.leg.id, paid.held(funded_s, amount_micros)):
            raise _TakenMeanwhile


def _affordable(price: Price, funds_micros: int, wanted_s: int, now_us: int, slack_s: int) -> tuple[int, int]:
    """The seconds of leg A that the funds pay for, 0 for too few, and their price before the answer."""
    funded_s = longest_s(lambda t: cost_micros(price, t, now_us, slack_s), funds_micros, wanted_s)
    if price.is_too_short(funded_s, wanted_s):
        return 0, 0
    return funded_s, cost_micros(price, funded_s, now_us, slack_s)


def _billed_s(fare: Fare, funded_s: int) -> int:
    """What is charged of so many seconds, as budgets of minutes count them."""
    return billed_seconds(fare.rate.price, funded_s)


def wanted_of_leg_a(request: RequestView) -> int:
    """For how many seconds leg A is to be paid for before it is called: the ringing and the first menus."""
    return request.options.ring_timeout_a_s + request.options.menu_limit_s


def setup_s_of(request: RequestView) -> int:
    """The longest time between authorising leg B and its answer; leg A pays for it."""
    return request.options.ring_timeout_b_s + ANNOUNCEMENT_S


def _cut(whole_s: int, options: CallOptions) -> int:
    """The talk ends somewhat before the funds do, where that is wished; not before the limit of any talk."""
    return whole_s - (options.cut_before_s if whole_s < options.talk_limit_s else 0)


def _lead_s(a: PaidLeg, b: PaidLeg) -> int:
    """How many seconds more leg A is paid for than leg B: it began earlier, and says goodbye later."""
    return max(a.funded_s - b.funded_s, _head_s(a, b) + ANNOUNCEMENT_S)


def _head_s(a: PaidLeg, b: PaidLeg) -> int:
    """How many seconds earlier leg A began."""
    return math.ceil(a.leg.elapsed_s() - b.leg.elapsed_s())


def meet(a: PaidLeg, b: PaidLeg, talk_limit_s: int) -> None:
    """Let two legs that were taken over in a talk be paid for as long as both their holds pay for it.

    Each was paid for as far as its own hold goes (`Funding.adopt`). That of a free leg, or of one in a long interval,
    goes further than the other's: then no more would be held for the talk, or more than it needs.
    """
    b.funded_s = min(b.funded_s, talk_limit_s, max(a.funded_s - _head_s(a, b), 0))
    a.funded_s = min(a.funded_s, b.funded_s + _head_s(a, b) + ANNOUNCEMENT_S)
