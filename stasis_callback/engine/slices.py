"""Extends the hold of a connected call: the next slice is held before this one ends, then the timers are moved.

An account may have several calls; each one asks here for its own next slice, which takes into account the funds left
by the others, top-ups, and a block of the account in the meantime.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import structlog

from stasis_callback.clock import Clock
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.core.fraud import Cause, OverBudget
from stasis_callback.core.options import CallOptions
from stasis_callback.core.words import AccountTrouble, FraudTrouble
from stasis_callback.engine.admission.checks import account_trouble
from stasis_callback.engine.funding import Funding, PaidLeg
from stasis_callback.engine.legs import NOTE_PATIENCE_S
from stasis_callback.store.stores import Stores

log = structlog.get_logger()

RETRY_S = 2.0
"""Asterisk or the database did not answer: try again so soon. Until then the timers end the talk where it is paid
for.
"""

EARLY_S = 0.1
"""So much before its time a wait may end."""


@dataclass
class TalkFunds:
    """The funds of one talk. `longest_s` is how long it can last in all, as far as is known."""

    stores: Stores
    funding: Funding
    clock: Clock
    a: PaidLeg
    b: PaidLeg
    options: CallOptions
    accounts: tuple[int, int]
    """Who pays: rows of leg A's and leg B's account."""
    longest_s: int
    trouble: AccountTrouble | FraudTrouble | Literal[""] = ""
    """Why nothing more is held although there are funds: `account_blocked`, `account_expired`, `set_aside`,
    `never_called`.
    """
    _retry_at_s: float = 0.0

    def left_s(self) -> float:
        """Seconds of talk left, as far as is known."""
        return self.longest_s - self.b.leg.elapsed_s()

    def next_extension_s(self) -> float | None:
        """When to call `extend`, in seconds from now; None when nothing more is to be held."""
        if self.a.leg.is_to_end or self.b.leg.is_to_end:
            return None  # it has outlived its funds: nothing brings it back
        retry_in_s = max(self._retry_at_s - self.clock.monotonic_s(), 0.0)
        if not self._armed:
            return retry_in_s
        unsure_s = [paid.unsure_until_s for paid in (self.a, self.b) if paid.unsure_until_s]
        due = [max(until_s - self.clock.monotonic_s(), retry_in_s) for until_s in unsure_s]
        if (slice_in_s := self._next_slice_s()) is not None:
            due.append(max(slice_in_s, retry_in_s))
        return min(due, default=None)

    def _next_slice_s(self) -> float | None:
        """When to hold the next slice, in seconds from now; None when nothing more is to be held."""
        if self.trouble or self.b.funded_s >= self.options.talk_limit_s:
            return None
        before_s = min(self.options.hold_extend_before_s, self.options.hold_slice_s / 2)
        return self.b.funded_s - self.b.leg.elapsed_s() - before_s

    @property
    def _armed(self) -> bool:
        """Whether both timers stand where the holds end."""
        return self.a.is_armed and self.b.is_armed

    def refresh(self) -> None:
        """Look again how long the talk can last: other calls spend, somebody tops up."""
        try:
            if not self.trouble:
                with self.stores.database.patience(NOTE_PATIENCE_S):
                    self.longest_s = self.funding.longest_talk_s(self.a, self.b, self.options)
        except StoreUnavailable as error:
            log.warning("talk.funds_unknown", leg=self.b.leg.id, error=str(error))

    def extend(self) -> None:
        """Hold the next slice, if it is due, and move both timers. What cannot be done now is tried again.

        Nobody waits for the database for long: when one party hangs up meanwhile, the other hears nothing, and pays.
        """
        self._retry_at_s = self.clock.monotonic_s() + RETRY_S
        # Before too: of a talk that was taken over less may be left than the pause until the next try.
        self._arm()
        try:
            slice_in_s = self._next_slice_s()
            if self._armed and slice_in_s is not None and slice_in_s <= EARLY_S:
                with self.stores.database.patience(NOTE_PATIENCE_S):
                    self._hold()
        except Exception:
            log.exception("talk.not_extended", leg=self.b.leg.id)
        self._arm()

    def _arm(self) -> None:
        """Have both timers stand where the holds end, as far as that can be done now."""
        self.a.try_arm()
        self.b.try_arm()

    def _hold(self) -> None:
        now_us, before_s = self.clock.now_us(), self.b.funded_s
        accounts = [self.stores.accounts.get(account) for account in self.accounts]
        troubles = (account_trouble(account, now_us) for account in accounts)
        self.trouble = next((trouble for trouble in troubles if trouble), "")
        try:
            payer, subscriber = accounts
            causes = Cause(payer.number, self.a.number, "a"), Cause(subscriber.number, self.b.number, "b")
            held_back = self.stores.fraud.trouble(causes)
            self.trouble = self.trouble or held_back or ""
            if not self.trouble:
                self.longest_s = self.funding.extend_talk(self.a, self.b, self.options)
        except OverBudget as over:
            self.trouble = over.reason
        if self.trouble:
            self.longest_s = before_s
            log.info("talk.ends", leg=self.b.leg.id, reason=self.trouble)
        elif self.b.funded_s != before_s:
            log.info("talk.extended", leg=self.b.leg.id, funded_s=self.b.funded_s, longest_s=self.longest_s)
