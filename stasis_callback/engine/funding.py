"""Paying for legs ahead: funds are held first, and only then is Asterisk's own timer moved.

The timer (`TIMEOUT(absolute)`) of a leg never reaches past the funds held for it, so a call ends in time even when
this service is dead. It counts from the moment it is set; so it is set anew at every change, a little short of
the last funded second because a started second is charged.

A talk is held for in slices: several calls of one account share its funds, and what happens to the account meanwhile
counts at the next slice. `engine/slices.py` asks for them in time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import structlog

from stasis_callback.core.options import CallOptions
from stasis_callback.core.rating import Price, cost_micros, joint_longest_s, longest_s
from stasis_callback.engine.routing import Way
from stasis_callback.engine.stores import Stores
from stasis_callback.ivr.call import Leg
from stasis_callback.store.accounts import AccountView
from stasis_callback.store.rate_book import RateView
from stasis_callback.store.requests import RequestView

log = structlog.get_logger()

FUSE_MARGIN_S = 0.1
"""Asterisk ends a channel some milliseconds after its timer (measured: 2.505 s for 2.5 s)."""

ADOPTED_LIMIT_S = 90_000
"""More than a hold can pay for (a free rate aside): a day of talk and its menus."""

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

    def cost_micros(self, seconds: int) -> int:
        """What so many seconds from the answer on cost."""
        if self.leg.answered_at_us is not None:
            return cost_micros(self.rate.price, seconds, self.leg.answered_at_us)
        return cost_micros(self.rate.price, seconds, self.opened_at_us, self.slack_s)

    def arm(self) -> None:
        """Set Asterisk's timer to the funded end. Nothing happens when the leg is gone.

        Before the answer the whole funded time counts from now; while a leg rings this is repeated, so that the
        timer neither ends the ringing nor outlives the funds if the answer goes unseen.
        """
        left_s = self.funded_s - self.leg.elapsed_s() - FUSE_MARGIN_S
        self.leg.channel.set_fuse(max(left_s, FUSE_MARGIN_S))

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
        account: AccountView,
        rate: RateView,
        wanted_s: int,
        now_us: int,
        way: Way,
    ) -> int:
        """Hold funds for leg A: for `wanted_s` seconds, or for as many as there are; the seconds, 0 for none.

        Raises TrunkFull.
        """
        slack_s = request.options.ring_timeout_a_s
        with self._stores.database.transaction():
            self._take(way)
            funds_micros = self._stores.ledger.available_micros(account.book_id)
            price = rate.price
            funded_s = longest_s(lambda t: cost_micros(price, t, now_us, slack_s), funds_micros, wanted_s)
            if funded_s < price.shortest_paid_s:
                return 0
            hold = cost_micros(price, funded_s, now_us, slack_s)
            number = request.leg_a_number
            opened = self._stores.calls.open_leg(leg_id, request.id, "a", number, account, rate, hold, way)
        return funded_s if opened else 0

    def adopt(self, leg: Leg, account_id: int, rate: RateView, dialed_at_us: int, slack_s: int) -> PaidLeg:
        """A leg of before a restart, paid for as far as its hold goes."""
        paid = PaidLeg(leg, rate, self._stores.accounts.get(account_id).book_id, 0, dialed_at_us, slack_s)
        held = self._stores.ledger.held_micros(leg.id)
        paid.funded_s = max(longest_s(paid.cost_micros, held, ADOPTED_LIMIT_S), 0)
        return paid

    def extend_menu(self, a: PaidLeg, wanted_s: int) -> None:
        """Fund leg A for `wanted_s` more seconds of menus, or for as many as there are, and move its timer."""
        target_s = math.ceil(a.leg.elapsed_s()) + wanted_s
        if target_s <= a.funded_s:
            return
        before_s = a.funded_s
        try:
            with self._stores.database.transaction():
                funds_micros = self._funds_micros(a)
                funded_s = longest_s(a.cost_micros, funds_micros, target_s)
                if funded_s <= before_s:
                    return
                self._fund(a, funded_s)
        except _TakenMeanwhile:
            a.funded_s = before_s
            return
        a.arm()

    # --- leg B
    # -------------------------------------------------------------------------------------------------------

    def open_leg_b(
        self,
        leg_id: str,
        request: RequestView,
        account: AccountView,
        number: str,
        rate: RateView,
        a: PaidLeg,
        now_us: int,
        way: Way,
    ) -> Grant | None:
        """Authorise leg B together with the rest of leg A; None when they cannot talk for a second.

        `account` pays for leg B; leg A may be another's (PIN). Both holds are committed in one transaction, then leg
        A's timer is moved. Raises TrunkFull.
        """
        options = request.options
        elapsed_s = math.ceil(a.leg.elapsed_s())
        setup_s = setup_s_of(request)
        before_s = a.funded_s
        try:
            with self._stores.database.transaction():
                self._take(way)
                whole_s = self._joint_s(
                    a, elapsed_s, setup_s, rate.price, account.book_id, options.talk_limit_s, now_us
                )
                whole_s = _cut(whole_s, options)
                if whole_s < rate.price.shortest_paid_s:
                    return None
                talk_s = min(whole_s, options.hold_slice_s)
                self._fund(a, elapsed_s + setup_s + talk_s)
                hold_b = cost_micros(rate.price, talk_s, now_us, setup_s)
                opened = self._stores.calls.open_leg(
                    leg_id, request.id, "b", number, account, rate, hold_b, way
                )
                if not opened:
                    raise _TakenMeanwhile
        except _TakenMeanwhile:
            a.funded_s = min(a.funded_s, before_s)
            return None
        a.arm()
        return Grant(talk_s, whole_s)

    def _take(self, way: Way) -> None:
        """One more call on the trunk, first of all in a transaction. Raises TrunkFull."""
        if way is not None and not self._stores.trunks.take(way.trunk):
            log.warning("trunk.full", trunk=way.trunk.name)
            raise TrunkFull

    def longest_talk_s(self, a: PaidLeg, b: PaidLeg, options: CallOptions) -> int:
        """How long the talk could last in all, as the funds are now; nothing is held."""
        whole_s = self._longest_s(a, b, options, self._funds_micros(a, b), self._funds_micros(b))
        return max(_cut(whole_s, options), b.funded_s)

    def extend_talk(self, a: PaidLeg, b: PaidLeg, options: CallOptions) -> int:
        """Hold the next slice of a talk for both legs; how long it could last in all. The timers are for the caller.

        While the funds last for a whole slice of every call that shares them, each gets one. Then each gets its
        part of what is left, so that no call starves the others.
        """
        before = a.funded_s, b.funded_s
        try:
            with self._stores.database.transaction():
                whole_s = self.longest_talk_s(a, b, options)
                fair_s = min(whole_s, self._fair_s(a, b, options))
                if fair_s - b.funded_s < SHORTEST_SHARE_S:
                    fair_s = whole_s
                target_s = min(b.funded_s + options.hold_slice_s, fair_s)
                if target_s > b.funded_s:
                    # Leg A's book first, as in `open_leg_b`: two calls never wait for each other's books.
                    lead_s = _lead_s(a, b)
                    self._grow(a, target_s + lead_s)
                    self._grow(b, target_s)
        except _TakenMeanwhile:
            a.funded_s, b.funded_s = before
            whole_s = b.funded_s
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
        ledger, book_id = self._stores.ledger, legs[0].book_id
        held = sum(ledger.held_micros(paid.leg.id) for paid in legs if paid.book_id == book_id)
        return ledger.available_micros(book_id) + held

    def _fund(self, a: PaidLeg, funded_s: int) -> None:
        """Make leg A's hold pay for `funded_s` seconds in all. A timer that must come nearer is moved first."""
        shorter = funded_s < a.funded_s
        a.funded_s = funded_s
        if shorter:
            a.arm()
        if not self._stores.ledger.change_hold(a.leg.id, a.cost_micros(funded_s)):
            raise _TakenMeanwhile

    def _grow(self, paid: PaidLeg, funded_s: int) -> None:
        """Make a leg's hold pay for at least `funded_s` seconds; what is held already stays held."""
        cost = max(paid.cost_micros(funded_s), self._stores.ledger.held_micros(paid.leg.id))
        if not self._stores.ledger.change_hold(paid.leg.id, cost):
            raise _TakenMeanwhile
        paid.funded_s = max(paid.funded_s, funded_s)


def setup_s_of(request: RequestView) -> int:
    """The longest time between authorising leg B and its answer; leg A pays for it."""
    return request.options.ring_timeout_b_s + ANNOUNCEMENT_S


def _cut(whole_s: int, options: CallOptions) -> int:
    """The talk ends somewhat before the funds do, where that is wished; not before the limit of any talk."""
    return whole_s - (options.cut_before_s if whole_s < options.talk_limit_s else 0)


def _lead_s(a: PaidLeg, b: PaidLeg) -> int:
    """How many seconds more leg A is paid for than leg B: it began earlier, and says goodbye later."""
    return max(a.funded_s - b.funded_s, math.ceil(a.leg.elapsed_s() - b.leg.elapsed_s()))
