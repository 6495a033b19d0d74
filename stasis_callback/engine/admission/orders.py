"""Admission of orders, requests with given numbers: web, e-mail, shell.

A missed call is authenticated by its caller's number; an order names an account, usually with its service password.
Both legs are known, so both are checked before anything is dialled. When `Orders.admit` returns, an accepted order is
committed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import structlog

from stasis_callback.clock import Clock
from stasis_callback.core import numbers
from stasis_callback.core.fraud import Cause
from stasis_callback.core.limits import Limit, RequestLimits
from stasis_callback.core.options import CallOptions
from stasis_callback.core.rating import least_micros
from stasis_callback.core.requests import CallbackRequest, Link, Trigger
from stasis_callback.core.words import Objection, Refusal
from stasis_callback.engine.admission.checks import account_trouble, funds_trouble, number_trouble
from stasis_callback.engine.admission.logins import Credentials, LoginResult, Logins
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.rates.book import RateView
from stasis_callback.store.stores import Stores

log = structlog.get_logger()

THROTTLED = (Refusal.TOO_MANY_REQUESTS, Refusal.LOCKED_OUT)
"""Refusals by a rate limit: only logged, not stored, so that an attacker cannot fill the database."""

_OF_SECOND_NUMBER: Mapping[Objection, Refusal] = {
    Refusal.OWN_NUMBER: Refusal.OWN_DESTINATION,
    Refusal.EMERGENCY_NUMBER: Refusal.EMERGENCY_DESTINATION,
    Refusal.BAD_CALLBACK_NUMBER: Refusal.BAD_DESTINATION,
    Refusal.DESTINATION_NOT_IN_TARIFF: Refusal.DESTINATION_NOT_ALLOWED,
}
"""What is wrong with a number, said of the second one."""


@dataclass(frozen=True, slots=True)
class Order:
    """Somebody asks for a callback between two numbers.

    `trusted` says that the account was named by the operator (a hosted instance, the shell) and not by who asks;
    otherwise its id is checked, and `password` or `token` too where one of them is not None. `shared` is an internal
    account that pays for many callbacks at once; nobody's balance is told then.
    """

    key: str
    """The same key never makes a second callback."""
    trigger: Trigger
    account: str
    number_a: str
    number_b: str = ""
    """E.164 digits; "" when the destination is keyed in the conversation."""
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    """A one-time token that is as good as the password; it is used up by the callback, and by nothing else."""
    trusted: bool = False
    shared: bool = False
    instance: str = ""
    reference: str = ""
    """The requester's own name for it."""
    webhooks: str = ""
    """The web instance whose webhooks tell its steps, where it came through none itself; "" for none."""
    source: str = ""
    """Where it comes from (an address, a sender), for the limits; "" counts for none."""
    portal: str = ""
    """The program of many people that it comes through; all of them may have `portal_logins` wrong logins."""
    portal_logins: Limit | None = None
    link: Link | None = None
    """The signed link by which it came, and how often one may be used."""
    link_limit: Limit | None = None
    refused_key: str = ""
    """Where `key` may be accepted later, although it is refused now: the key under which the refusal is kept."""
    options: Mapping[str, str] = field(default_factory=dict)
    limits: RequestLimits | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of an order: `reason` is "" and `request_id` its callback when it was accepted.

    Reasons: `bad_callback_number`, `own_number`, `emergency_number`, `destination_not_in_tariff` (leg A),
    `bad_destination`, `same_number`, `own_destination`, `emergency_destination`, `destination_not_allowed` (leg B),
    `wrong_login` (the same for an unknown
    account and a wrong password), `locked_out` and `too_many_requests` (both over after `retry_after_s`),
    `account_blocked`, `account_expired`, `no_funds`, `daily_limit`, and those of `Requests.accept`.
    """

    reason: Objection = ""
    request_id: str = ""
    retry_after_s: int = 0


class Orders:
    """Checks orders (requests with given numbers) and queues the accepted ones."""

    def __init__(
        self,
        stores: Stores,
        clock: Clock,
        queue_limit: int,
        on_decided: Callable[[Order, Answer], None] = lambda order, answer: None,
    ) -> None:
        """`on_decided` hears of every answer: to wake the dialler, to log it (`log_answer`)."""
        self._stores = stores
        self._clock = clock
        self._queue_limit = queue_limit
        self._on_decided = on_decided
        self._logins = Logins(stores, clock)

    def admit(self, order: Order) -> Answer:
        """Refuse an order, or accept it and queue its callback."""
        request = CallbackRequest(
            order.key,
            order.trigger,
            order.number_a,
            "",
            order.number_b,
            order.instance,
            reference=order.reference,
            webhooks=order.webhooks,
            link=order.link,
            source=order.source,
        )
        account, answer, token_id = self._examine(order)
        if account is not None and not answer.reason:
            answer = self._queue(order, request, account, token_id)
        elif order.trusted and (full := self._from_source(order)).reason:
            answer = full
        if answer.reason and answer.reason not in THROTTLED:
            refused = replace(request, key=order.refused_key or order.key)
            self._stores.requests.refuse(refused, answer.reason, account.id if account else None)
        self._on_decided(order, answer)
        return answer

    def _queue(
        self, order: Order, request: CallbackRequest, account: AccountView, token_id: int | None
    ) -> Answer:
        request_id = secrets.token_hex(8)

        def once() -> Answer:
            if self._stores.database.repeated(request_id) and self._stores.requests.state(request_id):
                return Answer(request_id=request_id)  # an earlier run has done all of this
            full = self._within_limits(order, account)
            if full.reason:
                return full
            # The token and the callback are one: no crash and no other mail comes between.
            if token_id is not None and not self._stores.email_senders.use(token_id, order.key):
                return Answer(Refusal.WRONG_LOGIN)
            reason = self._stores.requests.accept(
                request,
                account_id=account.id,
                subscriber_id=None if order.shared else account.id,
                leg_a_number=order.number_a,
                stored_options=dict(order.options),
                queue_limit=self._queue_limit,
                request_id=request_id,
                subjects=self._subjects(order, account),
            )
            if reason and token_id is not None:
                self._stores.email_senders.put_back(token_id)
            return Answer(reason) if reason else Answer(request_id=request_id)

        answer = self._stores.database.unit(once)
        if answer.reason != Refusal.REPEATED:
            return answer
        subscriber_id = None if order.shared else account.id
        wait_s = self._stores.requests.repeated_for_s(
            order.trigger, order.number_a, subscriber_id, order.number_b, CallOptions.parse(order.options)
        )
        return replace(answer, retry_after_s=wait_s)

    def _subjects(self, order: Order, account: AccountView) -> list[str]:
        """What holds it back when it is set aside: for both legs."""
        link, subjects = order.link.id if order.link else "", self._stores.fraud.budgets.subjects
        first = Cause(account.number, order.number_a, "a", order.shared, "", link, order.source)
        second = replace(first, number=order.number_b, side="b")
        return subjects(first) + (subjects(second) if order.number_b else [])

    def _examine(self, order: Order) -> tuple[AccountView | None, Answer, int | None]:
        """The account that pays, an answer without a reason while nothing speaks against the callback, and the token
        that opened the door.
        """
        reason = _numbers_trouble(order)
        if reason:
            return None, Answer(reason), None
        # In one transaction, but for Argon2: nobody else could write for as long as that takes.
        at_once = order.password is None and not order.trusted
        known = self._stores.database.unit(lambda: self._opened(order)) if at_once else self._opened(order)
        account, token_id = known.account, known.token_id
        if account is None:
            return None, Answer(known.reason, retry_after_s=known.retry_after_s), None
        reason = account_trouble(account, self._clock.now_us()) or self._legs_trouble(order, account)
        return account, Answer(reason), token_id

    # --- who it is -----------------------------------------------------------------------------------------------

    def _opened(self, order: Order) -> LoginResult:
        """The account, if the requester may use it; of who has to log in, none who asks too often."""
        if order.trusted:
            account = self._stores.accounts.find(order.account)
            return LoginResult(account, "" if account else Refusal.WRONG_LOGIN)
        full = self._from_source(order)
        if full.reason:
            return LoginResult(reason=full.reason, retry_after_s=full.retry_after_s)
        return self._logins.check(
            Credentials(
                order.trigger,
                order.account,
                order.password,
                order.token,
                source=order.source,
                portal=order.portal,
                portal_logins=order.portal_logins,
                limits=order.limits,
            )
        )

    # --- whether it may be called ----------------------------------------------------------------------------------

    def _legs_trouble(self, order: Order, account: AccountView) -> Objection:
        """Why the two numbers may not be connected at this account's expense; "" when they may."""
        code = CallOptions.parse(order.options).access_code
        own = self._stores.access_numbers.numbers()
        reason, rate_a = number_trouble(self._stores, account, order.number_a, code, own)
        if rate_a is None:
            return reason
        rates = [rate_a]
        if order.number_b:
            reason, rate_b = number_trouble(self._stores, account, order.number_b, code, own)
            if rate_b is None:
                return _OF_SECOND_NUMBER.get(reason, Refusal.DESTINATION_NOT_ALLOWED)
            rates.append(rate_b)
        if self._first_seconds_are_paid(account, rates):
            return ""
        return funds_trouble(self._stores, account.book_id)

    def _first_seconds_are_paid(self, account: AccountView, rates: list[RateView]) -> bool:
        now_us = self._clock.now_us()
        first_micros = sum(least_micros(rate.price, now_us) for rate in rates)
        return first_micros <= self._stores.ledger.available_micros(account.book_id)

    def _within_limits(self, order: Order, account: AccountView) -> Answer:
        """Count a callback that nothing else speaks against; the number before the rest, which it must not use up."""
        if order.limits is None:
            return Answer()
        if order.trusted and (full := self._from_source(order)).reason:
            return full
        checks = [("number", order.number_a, order.limits.limit_number)]
        if not order.shared:
            checks.append(("account", account.number, order.limits.limit_account))
        if order.link and order.link_limit:
            checks.append(("link", order.link.id, order.link_limit))
        checks.append(("instance", order.instance, order.limits.limit_instance))
        checks.append(("day", order.instance, order.limits.limit_day))
        for kind, who, limit in checks:
            answer = self._within(order, kind, who, limit)
            if answer.reason:
                return answer
        return Answer()

    def _from_source(self, order: Order) -> Answer:
        """Count a request, whatever becomes of it, for where it comes from."""
        if order.limits is None or not order.source:
            return Answer()
        return self._within(order, "source", order.source, order.limits.limit_source)

    def _within(self, order: Order, kind: str, who: str, limit: Limit) -> Answer:
        key = f"request:{order.trigger}:{order.instance}:{kind}:{who}"
        if self._stores.limits.take(key, limit):
            return Answer()
        return Answer(Refusal.TOO_MANY_REQUESTS, retry_after_s=self._stores.limits.wait_s(key))


def log_answer(order: Order, answer: Answer) -> None:
    """Log the result of an order."""
    log.info(
        "request.refused" if answer.reason else "request.accepted",
        **({"reason": answer.reason} if answer.reason else {"call": answer.request_id}),
        trigger=order.trigger,
        instance=order.instance,
        number_a=numbers.mask(order.number_a),
        number_b=numbers.mask(order.number_b),
    )


def _numbers_trouble(order: Order) -> Objection:
    if not numbers.is_dialable(order.number_a):
        return Refusal.BAD_CALLBACK_NUMBER
    if order.number_b and not numbers.is_dialable(order.number_b):
        return Refusal.BAD_DESTINATION
    return Refusal.SAME_NUMBER if order.number_a == order.number_b else ""
