"""Paying for legs ahead: funds are held first, and only then is Asterisk's own timer moved.

The timer (`TIMEOUT(absolute)`) of a leg never reaches past the funds held for it, so a call ends in time even when
this service is dead. It counts from the moment it is set; so it is set anew at every change, a little short of
the last funded second because a started second is charged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from stasis_callback.core.rating import Rate, cost_micros, joint_longest_s, longest_s
from stasis_callback.engine.stores import Stores
from stasis_callback.ivr.call import Leg
from stasis_callback.store.accounts import AccountView
from stasis_callback.store.requests import RequestView
from stasis_callback.store.tariffs import RateView

FUSE_MARGIN_S = 0.1
"""Asterisk ends a channel some milliseconds after its timer (measured: 2.505 s for 2.5 s)."""

ADOPTED_LIMIT_S = 90_000
"""More than a hold can pay for (a free rate aside): a day of talk and its menus."""

ANNOUNCEMENT_S = 10
"""Time between authorising leg B and dialling it, when the maximum duration is said; leg A pays for it."""


@dataclass
class PaidLeg:
    """A leg with its rate and the seconds from its answer that its hold pays for."""

    leg: Leg
    rate: RateView
    book_id: int
    funded_s: int

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


class _TakenMeanwhile(Exception):
    """Another call took the funds between the look and the hold: nothing is changed."""


class Funding:
    """Authorises legs against the ledger."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def open_leg_a(
        self, leg_id: str, request_id: str, number: str, account_id: int, rate: RateView, wanted_s: int
    ) -> int:
        """Hold funds for leg A: for `wanted_s` seconds, or for as many as there are; the seconds, 0 for none."""
        account = self._stores.accounts.get(account_id)
        with self._stores.database.transaction():
            funded_s = self._affordable_s(rate.rate, account.book_id, 0, wanted_s)
            if funded_s < 1:
                return 0
            hold = cost_micros(rate.rate, funded_s)
            opened = self._stores.calls.open_leg(leg_id, request_id, "a", number, account_id, rate, hold)
        return funded_s if opened else 0

    def adopt(self, leg: Leg, account_id: int, rate: RateView) -> PaidLeg:
        """A leg of before a restart, paid for as far as its hold goes."""
        held = self._stores.ledger.held_micros(leg.id)
        funded_s = longest_s(lambda seconds: cost_micros(rate.rate, seconds), held, ADOPTED_LIMIT_S)
        return PaidLeg(leg, rate, self._stores.accounts.get(account_id).book_id, max(funded_s, 0))

    def extend_menu(self, a: PaidLeg, wanted_s: int) -> None:
        """Fund leg A for `wanted_s` more seconds of menus, or for as many as there are, and move its timer."""
        target_s = math.ceil(a.leg.elapsed_s()) + wanted_s
        if target_s <= a.funded_s:
            return
        before_s = a.funded_s
        try:
            with self._stores.database.transaction():
                held = self._stores.ledger.held_micros(a.leg.id)
                funded_s = self._affordable_s(a.rate.rate, a.book_id, held, target_s)
                if funded_s <= before_s:
                    return
                self._fund(a, funded_s)
        except _TakenMeanwhile:
            a.funded_s = before_s
            return
        a.arm()

    def open_leg_b(
        self, leg_id: str, request: RequestView, account: AccountView, number: str, rate: RateView, a: PaidLeg
    ) -> int:
        """Authorise leg B together with the rest of leg A; how many seconds they can talk, 0 when too few.

        `account` pays for leg B; leg A may be another's (PIN). Both holds are committed in one transaction, then leg
        A's timer is moved.
        """
        options = request.options
        elapsed_s = math.ceil(a.leg.elapsed_s())
        setup_s = options.ring_timeout_b_s + ANNOUNCEMENT_S
        before_s = a.funded_s
        try:
            with self._stores.database.transaction():
                talk_s = self._joint_s(
                    a, elapsed_s, setup_s, rate.rate, account.book_id, options.talk_limit_s
                )
                talk_s -= options.cut_before_s if talk_s < options.talk_limit_s else 0
                if talk_s < 1:
                    return 0
                self._fund(a, elapsed_s + setup_s + talk_s)
                hold_b = cost_micros(rate.rate, talk_s)
                if not self._stores.calls.open_leg(leg_id, request.id, "b", number, account.id, rate, hold_b):
                    raise _TakenMeanwhile
        except _TakenMeanwhile:
            a.funded_s = min(a.funded_s, before_s)
            return 0
        a.arm()
        return talk_s

    def _joint_s(
        self, a: PaidLeg, elapsed_s: int, setup_s: int, rate_b: Rate, book_b: int, limit_s: int
    ) -> int:
        """The longest talk that pays for both legs, from one book or from two."""
        ledger = self._stores.ledger
        funds_a = ledger.available_micros(a.book_id) + ledger.held_micros(a.leg.id)
        if a.book_id == book_b:
            return joint_longest_s(a.rate.rate, elapsed_s, setup_s, rate_b, funds_a, limit_s)
        a_s = longest_s(
            lambda talk_s: cost_micros(a.rate.rate, elapsed_s + setup_s + talk_s), funds_a, limit_s
        )
        b_s = longest_s(lambda talk_s: cost_micros(rate_b, talk_s), ledger.available_micros(book_b), limit_s)
        return max(min(a_s, b_s), 0)

    def _fund(self, a: PaidLeg, funded_s: int) -> None:
        """Make leg A's hold pay for `funded_s` seconds in all. A timer that must come nearer is moved first."""
        shorter = funded_s < a.funded_s
        a.funded_s = funded_s
        if shorter:
            a.arm()
        if not self._stores.ledger.change_hold(a.leg.id, cost_micros(a.rate.rate, funded_s)):
            raise _TakenMeanwhile

    def _affordable_s(self, rate: Rate, book_id: int, held_micros: int, wanted_s: int) -> int:
        funds = self._stores.ledger.available_micros(book_id) + held_micros
        return longest_s(lambda seconds: cost_micros(rate, seconds), funds, wanted_s)
