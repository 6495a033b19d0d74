"""Admission of missed calls: which account, which number to call, whether the funds suffice. Refusals are free.

`examine` decides without changing anything (`access-number test` shows its notes); `missed_call` also queues.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from stasis_callback.clock import Clock
from stasis_callback.core import numbers
from stasis_callback.core.fraud import Cause, OverBudget
from stasis_callback.core.options import WITHHELD, CallOptions, RejectCause
from stasis_callback.core.rating import least_micros
from stasis_callback.core.requests import CallbackRequest, Trigger
from stasis_callback.core.withheld import withheld
from stasis_callback.core.words import Objection, Refusal
from stasis_callback.engine.admission.checks import account_trouble, funds_trouble, login_key, number_trouble
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.calls.requests import Accepted, RequestView
from stasis_callback.store.intake.access_numbers import AccessNumberView
from stasis_callback.store.rates.book import RateView
from stasis_callback.store.stores import Stores

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request. `reason` is "" for an accepted one; `reject_cause` is for the incoming call."""

    reason: Objection
    reject_cause: RejectCause
    account_id: int | None = None
    begun: RequestView | None = None
    """The callback, when it is claimed already and only has to be begun."""
    leg_noted: bool = False
    """Its leg A is noted already."""

    @property
    def accepted(self) -> bool:
        """Whether a callback is queued."""
        return not self.reason


@dataclass
class Examination:
    """What was found out about a request; `notes` tell it in sentences. `reason` is "" while it may be called."""

    reason: Objection = ""
    access: AccessNumberView | None = None
    trigger: Trigger = "ani"
    payer: AccountView | None = None
    """Pays for leg A."""
    subscriber: AccountView | None = None
    """Whose conversation it will be; None until the PIN login."""
    number: str = ""
    """What leg A will call."""
    rate: RateView | None = None
    """What leg A is charged by, where it may be called."""
    own_numbers: Sequence[str] = ()
    """All access numbers."""
    notes: list[str] = field(default_factory=list)

    def refuse(self, reason: Refusal, note: str) -> None:
        """Refuse the call for this reason."""
        self.reason = reason
        self.notes.append(note)


class Admission:
    """Checks requests and queues the good ones. An accepted request is committed when a method returns."""

    def __init__(self, stores: Stores, clock: Clock, queue_limit: int) -> None:
        self._stores = stores
        self._clock = clock
        self._queue_limit = queue_limit

    def missed_call(
        self,
        request: CallbackRequest,
        found: Examination,
        request_id: str = "",
        *,
        begin: bool = False,
        note_leg: Callable[[RequestView], bool] | None = None,
    ) -> Decision:
        """A call on an access number that was examined: refused with a reason of `examine` or of `Requests.accept`,
        or queued; with `begin` claimed at once, where it need not wait, and its leg A noted by `note_leg`.
        """
        if found.access is None:
            return Decision(found.reason, "busy")
        accepted = Accepted(found.reason)
        if not found.reason and found.payer is not None:
            # The caller waits, unanswered: when a crowd calls, each is refused before the calls of the others go on.
            try:
                with self._stores.database.first():
                    accepted = self._stores.requests.accept_or_begin(
                        replace(request, trigger=found.trigger, webhooks=found.access.options.webhooks),
                        begin=begin,
                        note_leg=note_leg,
                        account_id=found.payer.id,
                        subscriber_id=found.subscriber.id if found.subscriber else None,
                        leg_a_number=found.number,
                        stored_options=_options_for(request, found.access),
                        queue_limit=self._queue_limit,
                        request_id=request_id,
                        subjects=self._stores.fraud.budgets.subjects(cause_of(request, found)),
                    )
            except OverBudget as over:
                self._stores.fraud.note_over(over)
                accepted = Accepted(over.reason)
        account = found.subscriber or found.payer
        cause = found.access.options.reject_cause
        account_id = account.id if account else None
        return Decision(accepted.reason, cause, account_id, accepted.begun, accepted.leg_noted)

    def record_refusal(self, request: CallbackRequest, decision: Decision) -> None:
        """Keep and log a refusal. Apart from deciding it, so that the caller is rejected first."""
        log.info(
            "request.refused",
            reason=decision.reason,
            trigger=request.trigger,
            ani=numbers.mask(request.ani),
            dnis=request.dnis,
        )
        if decision.reason:
            self._stores.requests.refuse(request, decision.reason, decision.account_id)

    def examine(self, ani: str, dnis: str, attestation: str = "") -> Examination:
        """Examine what a call from `ani` to `dnis` would lead to. Changes nothing.

        Reasons to refuse: `unknown_access_number`, `no_ani`, `bad_ani`, `unknown_account`, `not_attested`,
        `no_associated_number`,
        `no_internal_account`, `locked_out`, `account_blocked`, `account_expired`, `bad_callback_number`,
        `own_number`, `emergency_number`, `destination_not_in_tariff`, `no_funds`, `daily_limit`.
        """
        found = Examination()
        access, found.own_numbers = self._stores.access_numbers.find_among(dnis)
        if access is None or not access.enabled:
            found.refuse(Refusal.UNKNOWN_ACCESS_NUMBER, f"{dnis} is not an enabled access number")
            return found
        found.access = access
        mode = access.options.authentication
        if mode == "dnis":
            self._by_dnis(found, dnis)
        elif mode == "pin":
            self._by_pin(found, ani, access.options)
        else:
            self._by_ani(found, ani, access.options)
            least = access.options.min_attestation
            if not found.reason and not _suffices(attestation, least):
                said = attestation or "missing"
                found.refuse(
                    Refusal.NOT_ATTESTED,
                    f"the attestation of the caller's number is {said}: {least} is asked for",
                )
            if mode == "ani_then_pin" and found.reason in (Refusal.UNKNOWN_ACCOUNT, Refusal.NOT_ATTESTED):
                found.reason = ""
                found.notes.append("so the caller will be asked for a PIN")
                self._by_pin(found, ani, access.options)
        if not found.reason and found.payer is not None:
            self._check_leg_a(found, found.payer)
        return found

    # --- who it is -----------------------------------------------------------------------------------------------

    def _by_ani(self, found: Examination, ani: str, options: CallOptions) -> None:
        """ANI trigger: the account whose id or alias is the caller's translated number."""
        translated = self._translated(found, ani, options)
        if translated is None:
            return
        account = self._stores.accounts.find(translated)
        if account is None:
            found.refuse(Refusal.UNKNOWN_ACCOUNT, f"no account has the id or alias {translated}")
            return
        found.notes.append(f"{translated} is account {account.number}")
        self._pays(found, account, account.callback_number or numbers.dialable(translated))

    def _by_dnis(self, found: Examination, dnis: str) -> None:
        """DNIS trigger: the account whose id is the access number, at its associated number; no ANI is needed."""
        found.trigger = "dnis"
        account = self._stores.accounts.find(dnis)
        if account is None:
            found.refuse(Refusal.UNKNOWN_ACCOUNT, f"no account has the id {dnis}")
        elif not account.callback_number:
            found.refuse(Refusal.NO_ASSOCIATED_NUMBER, f"account {account.number} has no number to call back")
        else:
            found.notes.append(f"{dnis} is account {account.number}")
            self._pays(found, account, account.callback_number)

    def _by_pin(self, found: Examination, ani: str, options: CallOptions) -> None:
        """PIN trigger: the internal account pays for leg A to the caller's number; who it is, the PIN will tell."""
        found.trigger = "pin"
        payer = self._stores.accounts.find(options.internal_account)
        translated = self._translated(found, ani, options)
        if translated is None:
            return
        if payer is None:
            found.refuse(
                Refusal.NO_INTERNAL_ACCOUNT,
                f"internal account {options.internal_account!r}, which pays for leg A, does not exist",
            )
            return
        found.notes.append(f"account {payer.number} pays for leg A")
        self._pays(found, payer, numbers.dialable(translated))
        found.subscriber = None
        if not found.reason and self._stores.throttles.locked(login_key(found.number)):
            found.refuse(Refusal.LOCKED_OUT, f"{found.number} is locked out after wrong PINs")

    @staticmethod
    def _pays(found: Examination, account: AccountView, number: str | None) -> None:
        found.payer = found.subscriber = account
        if number is None:
            found.refuse(
                Refusal.BAD_CALLBACK_NUMBER, "this number cannot be called back: it is not a phone number"
            )
        else:
            found.number = number

    @staticmethod
    def _translated(found: Examination, ani: str, options: CallOptions) -> str | None:
        if withheld(ani):
            found.refuse(Refusal.NO_ANI, "the caller's number is withheld")
            return None
        cleaned = (numbers.clean(ani) or "").removeprefix("+")
        if len(cleaned) < 3:
            found.refuse(Refusal.BAD_ANI, f"{ani!r} is not a phone number")
            return None
        translated = numbers.translate(numbers.parse_rules(options.ani_rules), cleaned).removeprefix("+")
        found.notes.append(f"the caller's number {cleaned} is translated to {translated}")
        return translated

    # --- whether it may be called ----------------------------------------------------------------------------------

    def _check_leg_a(self, found: Examination, payer: AccountView) -> None:
        blocked = account_trouble(payer, self._clock.now_us())
        if blocked:
            found.refuse(blocked, f"account {payer.number} is {blocked.removeprefix('account_')}")
            return
        options = found.access.options if found.access else CallOptions()
        trouble, rate = number_trouble(
            self._stores, payer, found.number, options.access_code, found.own_numbers
        )
        if rate is None:
            trouble = trouble or Refusal.DESTINATION_NOT_IN_TARIFF
            notes = {
                Refusal.OWN_NUMBER: f"{found.number} is itself an access number",
                Refusal.EMERGENCY_NUMBER: f"{found.number} is an emergency number, which is never called back",
                Refusal.BAD_CALLBACK_NUMBER: f"{found.number} is not a valid phone number",
                Refusal.DESTINATION_NOT_IN_TARIFF: f"the tariff of {payer.number} does not sell calls to "
                f"{found.number}",
            }
            found.refuse(trouble, notes[trouble])
            return
        found.notes.append(
            f"leg A to {found.number} is charged to {payer.number} at the rate of prefix {rate.rate.prefix}"
        )
        found.rate = rate
        now_us = self._clock.now_us()
        if least_micros(rate.price, now_us) > payer.spendable_micros(now_us):
            found.refuse(
                funds_trouble(self._stores, payer.book_id),
                f"account {payer.number} has insufficient funds for the first interval of leg A",
            )


def _suffices(attestation: str, least: str) -> bool:
    """Whether carriers vouch for a number as much as is asked for."""
    return least == "off" or attestation == "A" or (attestation == "B" == least)


def cause_of(request: CallbackRequest, found: Examination) -> Cause:
    """Who is behind leg A of a missed call that was examined."""
    payer = found.payer.number if found.payer else ""
    caller = request.ani if request.ani.isdigit() else ""
    return Cause(payer, found.number, "a", shared=found.subscriber is None, caller=caller)


def _options_for(request: CallbackRequest, access: AccessNumberView) -> dict[str, str]:
    """The stored options of a callback. A private caller's own number is not shown; one of the operator's may be."""
    stored = dict(access.stored)
    return {**stored, "caller_id_b": stored.get("caller_id_b") or WITHHELD} if request.private else stored
