"""Whether a request becomes a callback: who asks, where to call, whether it is paid for. Refusals cost nothing."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from stasis_callback.clock import Clock
from stasis_callback.core import numbers
from stasis_callback.core.options import RejectCause
from stasis_callback.core.rating import cost_micros
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.engine.stores import Stores
from stasis_callback.store.access_numbers import AccessNumberView
from stasis_callback.store.accounts import AccountView

log = structlog.get_logger()

WITHHELD = ("", "anonymous", "restricted", "private", "unavailable", "unknown")
"""What networks put into the From header of a caller who does not show a number (RFC 3323: `anonymous`)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request. `reason` is "" for an accepted one; `reject_cause` is for the incoming call."""

    reason: str
    reject_cause: RejectCause
    account_id: int | None = None

    @property
    def accepted(self) -> bool:
        """Whether a callback is queued."""
        return not self.reason


class Admission:
    """Checks requests and queues the good ones. An accepted request is committed when a method returns."""

    def __init__(self, stores: Stores, clock: Clock, queue_limit: int) -> None:
        self._stores = stores
        self._clock = clock
        self._queue_limit = queue_limit

    def missed_call(self, request: CallbackRequest) -> Decision:
        """A call on an access number; the account is the one with the caller's translated number (ANI trigger).

        Reasons to refuse: `unknown_access_number`, `no_ani`, `bad_ani`, `unknown_account`, `account_blocked`,
        `account_expired`, `bad_callback_number`, `own_number`, `destination_not_in_tariff`, `no_funds`, and those
        of `Requests.accept`.
        """
        access = self._stores.access_numbers.find(request.dnis)
        if access is None or not access.enabled:
            return Decision("unknown_access_number", "busy")
        reason, account = self._identify(request.ani, access)
        if account is not None and not reason:
            reason = self._admit(request, access, account)
        return Decision(reason, access.options.reject_cause, account.id if account else None)

    def record_refusal(self, request: CallbackRequest, decision: Decision) -> None:
        """Keep and log a refusal. Apart from deciding it, so that the caller is rejected first."""
        log.info(
            "request.refused",
            reason=decision.reason,
            trigger=request.trigger,
            ani=numbers.mask(request.ani),
            dnis=request.dnis,
        )
        self._stores.requests.refuse(request, decision.reason, decision.account_id)

    def _identify(self, ani: str, access: AccessNumberView) -> tuple[str, AccountView | None]:
        if ani.lower() in WITHHELD:
            return "no_ani", None
        cleaned = numbers.clean(ani)
        if cleaned is None or len(cleaned.removeprefix("+")) < 3:
            return "bad_ani", None
        rules = numbers.parse_rules(access.options.ani_rules)
        translated = numbers.translate(rules, cleaned).removeprefix("+")
        account = self._stores.accounts.find(translated)
        return ("" if account else "unknown_account"), account

    def _admit(self, request: CallbackRequest, access: AccessNumberView, account: AccountView) -> str:
        number = account.callback_number or self._number_of_caller(request.ani, access)
        if number is None:
            return "bad_callback_number"
        reason = account_trouble(account, self._clock.now_us()) or self._leg_a_trouble(account, number)
        if reason:
            return reason
        return self._stores.requests.accept(
            request,
            account_id=account.id,
            leg_a_number=number,
            stored_options=dict(access.stored),
            queue_limit=self._queue_limit,
        )

    def _number_of_caller(self, ani: str, access: AccessNumberView) -> str | None:
        cleaned = numbers.clean(ani) or ""
        return numbers.dialable(numbers.translate(numbers.parse_rules(access.options.ani_rules), cleaned))

    def _leg_a_trouble(self, account: AccountView, number: str) -> str:
        if self._stores.access_numbers.find(number) is not None:
            return "own_number"
        rate = self._stores.tariffs.match(account.tariff_id, number)
        if rate is None:
            return "destination_not_in_tariff"
        if cost_micros(rate.rate, 1) > self._stores.ledger.available_micros(account.book_id):
            return "no_funds"
        return ""


def account_trouble(account: AccountView, now_us: int) -> str:
    """Why an account may not call at all; "" when it may."""
    if account.status != "active":
        return "account_blocked"
    if account.expires_at_us is not None and account.expires_at_us <= now_us:
        return "account_expired"
    return ""
