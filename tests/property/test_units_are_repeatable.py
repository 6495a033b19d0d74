"""Each method of a store that writes, with a hiccup of the database: before its commit, or after it, when only the
answer is lost. What it answers and what is in the tables is what it would have been without.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any
from zlib import crc32

import peewee
import pyotp
import pytest
from shop import Shop, open_shop, talked

from stasis_callback.core.errors import InvalidInput, StoreUnavailable
from stasis_callback.core.fraud import Budget, Counter, Measure, OverBudget, Scope, Spent
from stasis_callback.core.limits import Limit
from stasis_callback.core.progress import Step
from stasis_callback.core.rate_columns import Profile
from stasis_callback.core.rating import Rate
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.words import Ending, Refusal
from stasis_callback.store import models
from stasis_callback.store.accounts.fraud import Held
from stasis_callback.store.audit import verify
from stasis_callback.store.calls.journals import Life
from stasis_callback.store.calls.legs import Fare
from stasis_callback.store.calls.requests import Again
from stasis_callback.store.calls.tables import Request, RequestEvent, Xdr
from stasis_callback.store.database.trail import AuditEntry
from stasis_callback.store.intake.api_keys import KeySettings
from stasis_callback.store.operators.tables import ConsoleProposal
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.store.stores import Stores
from stasis_callback.testing.hiccups import MOMENTS, Moment, at_random, hiccups, once

Act = Callable[[], object]
CASES: dict[str, Callable[[Shop], Act]] = {}
"""By the method: what prepares a call of it, and the call. They are run one after the other on one business."""


def case(method: str) -> Callable[[Callable[[Shop], Act]], Callable[[Shop], Act]]:
    def note(prepare: Callable[[Shop], Act]) -> Callable[[Shop], Act]:
        assert method not in CASES
        CASES[method] = prepare
        return prepare

    return note


def ask(shop: Shop, key: str, **values: Any) -> Act:
    """Request a callback over the web for a new account."""
    account = shop.account(f"acc-{key}")
    usual: dict[str, Any] = {
        "account_id": account.id,
        "subscriber_id": account.id,
        "leg_a_number": f"44{crc32(key.encode()):010d}",
        "stored_options": {},
        "queue_limit": 1000,
        "request_id": f"id-{key}",
    }
    request = CallbackRequest(key, "web", account.number, "", "447400900123", "shop")
    return lambda: shop.stores.requests.accept(request, **usual | values)


def queued(shop: Shop, key: str) -> str:
    assert ask(shop, key)() == ""
    return f"id-{key}"


def dialing(shop: Shop, key: str) -> str:
    request_id = queued(shop, key)
    assert request_id in [request.id for request in shop.stores.requests.claim(1000)]
    return request_id


def leg(shop: Shop, key: str, side: Any = "b") -> Callable[[], bool]:
    """The arguments to store a leg."""
    request = shop.stores.requests.get(dialing(shop, key))
    payer = shop.stores.accounts.get(request.account_id)
    rate = shop.stores.tariffs.find("standard", "44")
    assert rate is not None
    return lambda: shop.stores.calls.open_leg(
        f"leg-{key}", request.id, side, Fare(payer, "447400900123", rate), 2_000_000
    )


def open_leg(shop: Shop, key: str) -> str:
    assert leg(shop, key)()
    return f"leg-{key}"


# --- calls --------------------------------------------------------------------------------------------------------


@case("Requests.accept")
def _(shop: Shop) -> Act:
    return ask(shop, "accepted")


@case("Requests.accept_or_begin")
def _(shop: Shop) -> Act:
    account = shop.account("begun")
    request = CallbackRequest("begun", "ani", account.number, "800")

    def begin() -> object:
        accepted = shop.stores.requests.accept_or_begin(
            request,
            begin=True,
            account_id=account.id,
            subscriber_id=account.id,
            leg_a_number="420222333444",
            stored_options={},
            queue_limit=1000,
            request_id="id-begun",
        )
        assert accepted.begun is not None
        return accepted.reason, accepted.begun.id, accepted.begun.state, accepted.begun.claims

    return begin


@case("Requests.accept of a repeated request")
def _(shop: Shop) -> Act:
    queued(shop, "repeated")
    request = CallbackRequest("repeated", "web", "x", "", "447400900123", "shop")
    return lambda: shop.stores.requests.accept(
        request, account_id=1, subscriber_id=None, leg_a_number="1", stored_options={}, queue_limit=1000
    )


@case("Requests.refuse")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.requests.refuse(
        CallbackRequest("refused", "ani", "1", "800"), Refusal.NO_FUNDS
    )


@case("Requests.cancel")
def _(shop: Shop) -> Act:
    request_id = queued(shop, "cancelled")
    return lambda: shop.stores.requests.cancel(request_id)


@case("Requests.cancel of one that was cancelled")
def _(shop: Shop) -> Act:
    request_id = queued(shop, "cancelled-twice")
    shop.stores.requests.cancel(request_id)
    return lambda: shop.stores.requests.cancel(request_id)


@case("Requests.claim")
def _(shop: Shop) -> Act:
    shop.stores.requests.claim(1000)
    for n in range(3):
        queued(shop, f"claimed-{n}")
        shop.clock.passes(1)  # the oldest first
    return lambda: shop.stores.requests.claim(2)


@case("Requests.renew_leases")
def _(shop: Shop) -> Act:
    shop.stores.requests.claim(1000)
    request_id = dialing(shop, "renewed")
    shop.clock.passes(1)
    return lambda: shop.stores.requests.renew_leases([request_id])


@case("Requests.attempt")
def _(shop: Shop) -> Act:
    request_id = dialing(shop, "attempted")
    return lambda: shop.stores.requests.attempt(request_id)


@case("Requests.attempt of one that was cancelled")
def _(shop: Shop) -> Act:
    request_id = dialing(shop, "attempted-too-late")
    shop.stores.requests.cancel(request_id)
    return lambda: shop.stores.requests.attempt(request_id)


@case("Requests.cancel of one under way")
def _(shop: Shop) -> Act:
    request_id = dialing(shop, "cancelled-under-way")
    return lambda: shop.stores.requests.cancel(request_id)


@case("Requests.answered")
def _(shop: Shop) -> Act:
    request = shop.stores.requests.get(dialing(shop, "answered"))
    return lambda: shop.stores.requests.answered(request)


@case("Requests.retry")
def _(shop: Shop) -> Act:
    request_id = dialing(shop, "retried")
    shop.stores.requests.attempt(request_id)
    request = shop.stores.requests.get(request_id)
    return lambda: shop.stores.requests.retry(request, Again(3600, 0), outcome=Ending.BUSY)


@case("Requests.put_back")
def _(shop: Shop) -> Act:
    request = shop.stores.requests.get(dialing(shop, "put-back"))
    return lambda: shop.stores.requests.put_back(request)


@case("Requests.left_open")
def _(shop: Shop) -> Act:
    dialing(shop, "left-open")
    shop.stores.nodes.enter()
    return shop.stores.requests.left_open


@case("Requests.adopt")
def _(shop: Shop) -> Act:
    shop.sql("UPDATE request SET claimed_by = 'dead', incarnation = 'old' WHERE id = 'id-left-open'")
    return lambda: shop.stores.requests.adopt("dead")


@case("Requests.make_ours")
def _(shop: Shop) -> Act:
    shop.sql("UPDATE request SET claimed_by = 'dead', incarnation = 'old' WHERE id = 'id-left-open'")
    request = shop.stores.requests.get("id-left-open")
    return lambda: shop.stores.database.unit(lambda: shop.stores.requests.make_ours(request))


@case("Requests.finish")
def _(shop: Shop) -> Act:
    request_id = dialing(shop, "finished")
    return lambda: shop.stores.requests.finish(request_id, Ending.NO_ANSWER)


@case("Requests.log_in")
def _(shop: Shop) -> Act:
    payer = shop.account("pin-payer")
    request = CallbackRequest("login", "pin", "1", "800")
    refused = shop.stores.requests.accept(
        request,
        account_id=payer.id,
        subscriber_id=None,
        leg_a_number="4411",
        stored_options={},
        queue_limit=1000,
        request_id="id-login",
    )
    assert refused == ""
    shop.stores.requests.claim(1000)
    subscriber = shop.account("pin-subscriber")
    return lambda: shop.stores.requests.log_in("id-login", subscriber.id)


@case("Events.send_again")
def _(shop: Shop) -> Act:
    request_id = queued(shop, "sent-again")
    shop.sql(f"UPDATE request_event SET delivery = 'failed' WHERE request_id = '{request_id}'")
    return lambda: shop.stores.events.send_again(request_id=request_id)


@case("Events.note")
def _(shop: Shop) -> Act:
    request_id = dialing(shop, "noted")
    return lambda: shop.stores.events.note(request_id, Step.CANCELLING)


@case("Calls.open_leg")
def _(shop: Shop) -> Act:
    return leg(shop, "opened")


@case("Calls.open_leg without the funds")
def _(shop: Shop) -> Act:
    act = leg(shop, "poor")
    book_id = shop.stores.accounts.named("acc-poor").book_id
    shop.stores.ledger.adjust(book_id, -9_000_000, key="poor", reason="spent", operator="ann")
    return act


@case("Calls.leg_answered")
def _(shop: Shop) -> Act:
    leg_id = open_leg(shop, "picked-up")
    return lambda: shop.stores.calls.leg_answered(leg_id, shop.clock.at_us)


@case("Calls.settle")
def _(shop: Shop) -> Act:
    leg_id = open_leg(shop, "settled")
    return lambda: shop.stores.calls.settle(leg_id, talked(250.5))


@case("Calls.settle of a leg nobody answered")
def _(shop: Shop) -> Act:
    leg_id = open_leg(shop, "unanswered")
    return lambda: shop.stores.calls.settle(leg_id, dataclasses.replace(talked(0), answered_at_us=None))


@case("Calls.settle_all")
def _(shop: Shop) -> Act:
    leg_id = open_leg(shop, "together")
    (request_id,) = (leg.request_id for leg in shop.stores.calls.open_legs() if leg.id == leg_id)
    ends = {leg_id: dataclasses.replace(talked(250.5), answer_noted=True)}
    return lambda: shop.stores.calls.settle_all(request_id, ends)


@case("Totals.catch_up")
def _(shop: Shop) -> Act:
    def added() -> int:
        # What is looked at first is repeated by itself; a hiccup is to meet the change.
        until = shop.stores.totals._until()
        return shop.stores.database.unit(lambda: shop.stores.totals._added(until, 10**9))

    shop.stores.totals.catch_up()
    shop.stores.calls.settle(open_leg(shop, "counted"), talked(20))
    return added


@case("Totals.recount")
def _(shop: Shop) -> Act:
    return shop.stores.totals.recount


@case("Ledger.change_hold")
def _(shop: Shop) -> Act:
    leg_id = open_leg(shop, "grown")
    return lambda: shop.stores.ledger.change_hold(leg_id, 4_000_000)


@case("Ledger.change_hold beyond the funds")
def _(shop: Shop) -> Act:
    leg_id = open_leg(shop, "grown-too-far")
    return lambda: shop.stores.ledger.change_hold(leg_id, 40_000_000)


@case("Calls.change_hold")
def _(shop: Shop) -> Act:
    leg_id = open_leg(shop, "grown-by-calls")
    return lambda: shop.stores.calls.change_hold(leg_id, Held("447400900123", "a", 240, 4_000_000, "USD"))


PREMIUM = "449012345678"


def reserved(shop: Shop, key: str) -> Act:
    """The arguments to store a leg to a range with a budget."""
    dear = NewRate(Rate("44901", first_price_micros=60_000, next_price_micros=60_000))
    if shop.stores.tariffs.find("standard", "44901") is None:
        shop.stores.tariffs.put_rates("standard", [dear])
    request = shop.stores.requests.get(dialing(shop, key))
    payer = shop.stores.accounts.get(request.account_id)
    rate = shop.stores.tariffs.match(payer.tariff_id, PREMIUM)
    assert rate is not None
    fare = Fare(payer, PREMIUM, rate)
    return lambda: shop.stores.calls.open_leg(f"leg-{key}", request.id, "b", fare, 2_000_000)


@case("Calls.open_leg to a range with a budget")
def _(shop: Shop) -> Act:
    return reserved(shop, "ranged")


@case("Calls.change_hold to a range with a budget")
def _(shop: Shop) -> Act:
    assert reserved(shop, "ranged-more")()
    return lambda: shop.stores.calls.change_hold("leg-ranged-more", Held(PREMIUM, "b", 240, 4_000_000, "USD"))


@case("Calls.settle of a leg to a range with a budget")
def _(shop: Shop) -> Act:
    assert reserved(shop, "ranged-end")()
    return lambda: shop.stores.calls.settle("leg-ranged-end", talked(10)).amount_micros


@case("Fraud.note_over")
def _(shop: Shop) -> Act:
    counter = Counter(Scope.RANGE, "satellite", Budget(1))
    return lambda: shop.stores.fraud.note_over(OverBudget(counter, Measure.CALLS, Spent(2, 0, 0)))


@case("Fraud.set_aside")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.fraud.set_aside("number:442071234500", "seen in the news", "ann", None)


@case("Fraud.release")
def _(shop: Shop) -> Act:
    shop.stores.fraud.set_aside("number:442071234501", "seen in the news", "ann", None)
    return lambda: shop.stores.fraud.release("number:442071234501", "ann")


@case("Ledger.void")
def _(shop: Shop) -> Act:
    leg_id = open_leg(shop, "voided")
    # What is given back here is settled for nothing afterwards, or the books would not be whole.
    return lambda: shop.stores.ledger.void(leg_id)


@case("Ledger.settle")
def _(shop: Shop) -> Act:
    leg_id = open_leg(shop, "charged")
    return lambda: shop.stores.ledger.settle(leg_id, 2_500_000)


# --- money --------------------------------------------------------------------------------------------------------


def book(shop: Shop, number: str) -> int:
    return shop.account(number).book_id


@case("Ledger.top_up")
def _(shop: Shop) -> Act:
    book_id = book(shop, "topped-up")
    return lambda: shop.stores.ledger.top_up(book_id, 1_000_000, key="k1")


@case("Ledger.top_up of one that was made")
def _(shop: Shop) -> Act:
    book_id = book(shop, "topped-up-twice")
    shop.stores.ledger.top_up(book_id, 1_000_000, key="k2")
    return lambda: shop.stores.ledger.top_up(book_id, 1_000_000, key="k2")


@case("Ledger.adjust")
def _(shop: Shop) -> Act:
    book_id = book(shop, "adjusted")
    return lambda: shop.stores.ledger.adjust(book_id, -500_000, key="k1", reason="error", operator="ann")


@case("Ledger.reverse")
def _(shop: Shop) -> Act:
    shop.stores.ledger.top_up(book(shop, "reversed"), 1_000_000, key="k3")
    (transfer,) = (row["id"] for row in shop.rows()["Transfer"] if row["key"] == "topup:k3")

    def reverse() -> object:
        reversal = shop.stores.ledger.reverse(transfer, reason="error", operator="ann")
        return [row["key"].split(":")[0] for row in shop.rows()["Transfer"] if row["id"] == reversal]

    return reverse


@case("Ledger.open_book")
def _(shop: Shop) -> Act:
    return lambda: bool(shop.stores.ledger.open_book("a book", "USD"))


@case("Ledger.set_credit_limit")
def _(shop: Shop) -> Act:
    book_id = book(shop, "on-credit")
    return lambda: shop.stores.ledger.set_credit_limit(book_id, 7)


@case("Ledger.set_daily_cap")
def _(shop: Shop) -> Act:
    book_id = book(shop, "capped")
    return lambda: shop.stores.ledger.set_daily_cap(book_id, 7)


def vouchers(shop: Shop, batch: str, count: int) -> list[str]:
    return shop.stores.vouchers.generate(
        batch, count, 1_000_000, "USD", length=10, alphabet="ABCDEFGHIJKLMNOP"
    )


@case("Vouchers.generate")
def _(shop: Shop) -> Act:
    return lambda: len(vouchers(shop, "new batch", 3))


@case("Vouchers.redeem")
def _(shop: Shop) -> Act:
    shop.account("rich")
    (code,) = vouchers(shop, "redeemed", 1)
    return lambda: shop.stores.vouchers.redeem(code, "rich")


@case("Vouchers.block")
def _(shop: Shop) -> Act:
    vouchers(shop, "blocked", 2)
    return lambda: shop.stores.vouchers.block("blocked", blocked=True)


@case("Accounts.top_up")
def _(shop: Shop) -> Act:
    shop.account("paid-into")
    return lambda: shop.stores.accounts.top_up("paid-into", 1_000_000, key="a top-up of an account")


@case("Accounts.set_low_balance")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.accounts.set_low_balance("callback", micros=5, webhook="crm")


def low_balance(shop: Shop, key: str) -> None:
    """A notice of an account whose funds a charge has brought below its threshold."""
    account = shop.account(key)
    shop.stores.accounts.set_low_balance("callback", micros=9_500_000, webhook="crm")
    shop.leg(f"leg-{key}", account, shop.stores.requests.get(dialing(shop, f"call-{key}")), hold="5")
    shop.stores.calls.settle(f"leg-{key}", talked(100))


@case("Notices.claim")
def _(shop: Shop) -> Act:
    low_balance(shop, "low")
    return lambda: [notice.attempts for notice in shop.stores.webhook_notices.claim("crm", 5)]


@case("Notices.retry")
def _(shop: Shop) -> Act:
    low_balance(shop, "later")
    notice = shop.stores.webhook_notices.claim("crm", 5)[-1]
    return lambda: shop.stores.webhook_notices.retry(notice, 5)


@case("Notices.close")
def _(shop: Shop) -> Act:
    low_balance(shop, "told")
    notice = shop.stores.webhook_notices.claim("crm", 5)[-1]
    return lambda: shop.stores.webhook_notices.close(notice, "sent")


@case("PaymentHooks.add")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.payment_hooks.add("provider").turn


@case("PaymentHooks.renew")
def _(shop: Shop) -> Act:
    shop.stores.payment_hooks.add("renewed")
    return lambda: shop.stores.payment_hooks.renew("renewed").turn


@case("PaymentHooks.remove")
def _(shop: Shop) -> Act:
    shop.stores.payment_hooks.add("removed")
    return lambda: shop.stores.payment_hooks.remove("removed")


# --- counters, keys, mail -----------------------------------------------------------------------------------------


@case("Operators.add")
def _(shop: Shop) -> Act:
    return lambda: bool(shop.stores.operators.add("new", "viewer", "a long password"))


@case("Operators.change")
def _(shop: Shop) -> Act:
    operator(shop, "changed")
    return lambda: shop.stores.operators.change("changed", role="owner")


@case("Operators.remove")
def _(shop: Shop) -> Act:
    operator(shop, "removed")
    return lambda: shop.stores.operators.remove("removed")


@case("Operators.recognised")
def _(shop: Shop) -> Act:
    code = pyotp.TOTP(operator(shop, "recognised")).at(shop.clock.at_us // 1_000_000)
    return lambda: shop.stores.operators.recognised("recognised", "a long password", code)


@case("Sessions.open")
def _(shop: Shop) -> Act:
    operator(shop, "opened")
    return lambda: bool(shop.stores.sessions.open("opened"))


@case("Sessions.used")
def _(shop: Shop) -> Act:
    token = session(shop, "used")
    shop.clock.passes(100)
    return lambda: shop.stores.sessions.used(token)


@case("Sessions.proved")
def _(shop: Shop) -> Act:
    token = session(shop, "proved")
    return lambda: shop.stores.sessions.proved(token)


@case("Sessions.close")
def _(shop: Shop) -> Act:
    token = session(shop, "closed")
    return lambda: shop.stores.sessions.close(token)


@case("Sessions.close_old")
def _(shop: Shop) -> Act:
    session(shop, "old")
    return lambda: shop.stores.sessions.close_old(idle_s=1, longest_s=1)


@case("Sessions.take_form")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.sessions.take_form("form")


@case("Sessions.take_form that was sent")
def _(shop: Shop) -> Act:
    shop.stores.sessions.take_form("sent")
    return lambda: shop.stores.sessions.take_form("sent")


@case("Journals.keep")
def _(shop: Shop) -> Act:
    life = Life("id-x-a1", 1, 2, 3, 16)
    return lambda: shop.stores.journals.keep(
        "node1", [life, life._replace(channel_id="id-x-b1")], "1:2", "morning"
    )


@case("Proposals.add")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.proposals.add("proposed", ["account", "list"], "ann")


@case("Proposals.decide")
def _(shop: Shop) -> Act:
    shop.stores.proposals.add("decided", ["account", "list"], "ann")
    newest = shop.stores.proposals.newest()[0].id
    return lambda: shop.stores.proposals.decide(newest, "bob", agreed=True).state


@case("Proposals.finish")
def _(shop: Shop) -> Act:
    shop.stores.proposals.add("carried out", ["account", "list"], "ann")
    newest = shop.stores.proposals.newest()[0].id
    shop.stores.proposals.decide(newest, "bob", agreed=True)
    return lambda: shop.stores.proposals.finish(newest, "bob", done=True, said="topped up")


def operator(shop: Shop, name: str) -> str:
    return shop.stores.operators.add(name, "viewer", "a long password")


def session(shop: Shop, name: str) -> str:
    operator(shop, name)
    return shop.stores.sessions.open(name)


@case("Limits.take")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.limits.take("taken", Limit(1, 60))


@case("Limits.take of the last one")
def _(shop: Shop) -> Act:
    shop.stores.limits.take("last", Limit(2, 60))
    return lambda: shop.stores.limits.take("last", Limit(2, 60))


@case("Limits.take beyond the limit")
def _(shop: Shop) -> Act:
    shop.stores.limits.take("over", Limit(1, 60))
    return lambda: shop.stores.limits.take("over", Limit(1, 60))


@case("Limits.take_all")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.limits.take_all([("first", Limit(1, 60)), ("second", Limit(1, 60))])


@case("Limits.take_all with one that is full")
def _(shop: Shop) -> Act:
    shop.stores.limits.take("first", Limit(5, 60))
    shop.stores.limits.take("full", Limit(1, 60))
    return lambda: shop.stores.limits.take_all([("first", Limit(5, 60)), ("full", Limit(1, 60))])


@case("Limits.give_back")
def _(shop: Shop) -> Act:
    for _ in range(3):
        shop.stores.limits.take("given back", Limit(5, 60))
    return lambda: shop.stores.limits.give_back("given back")


@case("Limits.clear")
def _(shop: Shop) -> Act:
    shop.stores.limits.take("cleared", Limit(5, 60))
    return lambda: shop.stores.limits.clear("cleared")


@case("Limits.clear_all")
def _(shop: Shop) -> Act:
    shop.stores.limits.take("all:cleared", Limit(5, 60))
    return lambda: shop.stores.limits.clear_all("all:")


@case("Limits.forget_old")
def _(shop: Shop) -> Act:
    shop.stores.limits.take("old", Limit(5, 60))
    shop.clock.passes(61)
    return shop.stores.limits.forget_old


@case("Throttles.failed")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.throttles.failed("ani:1", limit=3, lock_s=60)


@case("Throttles.failed for the last time")
def _(shop: Shop) -> Act:
    for _ in range(2):
        shop.stores.throttles.failed("ani:2", limit=3, lock_s=60)
    return lambda: shop.stores.throttles.failed("ani:2", limit=3, lock_s=60)


@case("Throttles.succeeded")
def _(shop: Shop) -> Act:
    shop.stores.throttles.failed("ani:3", limit=3, lock_s=60)
    return lambda: shop.stores.throttles.succeeded("ani:3")


@case("IdempotencyKeys.begin")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.idempotency.begin("key-1", "hash")


@case("IdempotencyKeys.begin of one that was taken")
def _(shop: Shop) -> Act:
    shop.stores.idempotency.begin("key-2", "hash")
    return lambda: shop.stores.idempotency.begin("key-2", "hash")


@case("IdempotencyKeys.answer")
def _(shop: Shop) -> Act:
    shop.stores.idempotency.begin("key-3", "hash")
    return lambda: shop.stores.idempotency.answer("key-3", "yes")


@case("IdempotencyKeys.release")
def _(shop: Shop) -> Act:
    shop.stores.idempotency.begin("key-4", "hash")
    return lambda: shop.stores.idempotency.release("key-4")


@case("IdempotencyKeys.forget_old")
def _(shop: Shop) -> Act:
    shop.stores.idempotency.begin("key-5", "hash")
    shop.clock.passes(100_000)
    return shop.stores.idempotency.forget_old


@case("EmailSenders.add")
def _(shop: Shop) -> Act:
    shop.account("writer")
    return lambda: shop.stores.email_senders.add("writer", "ann@example.com")


@case("EmailSenders.add of one that was added")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.email_senders.add("writer", "ann@example.com")


@case("EmailSenders.remove")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.email_senders.remove("writer", "ann@example.com")


@case("EmailSenders.give_out")
def _(shop: Shop) -> Act:
    return lambda: len(shop.stores.email_senders.give_out("writer", 2, 7))


@case("EmailSenders.use")
def _(shop: Shop) -> Act:
    (code,) = shop.stores.email_senders.give_out("writer", 1, 7)
    token_id = shop.stores.email_senders.usable_token("writer", code)
    assert token_id is not None
    return lambda: shop.stores.database.unit(lambda: shop.stores.email_senders.use(token_id, "mail-1"))


@case("EmailSenders.withdraw")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.email_senders.withdraw("writer")


@case("NumberList.add")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.opt_outs.add("442071234567", "wrote on Monday")


@case("NumberList.remove")
def _(shop: Shop) -> Act:
    shop.stores.opt_outs.add("442071234568")
    return lambda: shop.stores.opt_outs.remove("442071234568")


@case("Replies.put")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.replies.put("mail-1", "ann@example.com", "text")


@case("Replies.claim_due")
def _(shop: Shop) -> Act:
    for n in (2, 3):
        shop.stores.replies.put(f"mail-{n}", "ann@example.com", "text")
    return lambda: shop.stores.replies.claim_due(2)


@case("Replies.write")
def _(shop: Shop) -> Act:
    shop.stores.replies.put("mail-later", "ann@example.com", "{}")
    (reply,) = (one.id for one in shop.stores.replies.claim_due(100) if one.content == "{}")
    return lambda: shop.stores.replies.write(reply, "the mail")


@case("Replies.retry")
def _(shop: Shop) -> Act:
    reply = shop.rows()["EmailReply"][0]["id"]
    return lambda: shop.stores.replies.retry(reply, 60)


@case("Replies.close")
def _(shop: Shop) -> Act:
    reply = shop.rows()["EmailReply"][0]["id"]
    return lambda: shop.stores.replies.close(reply, "sent")


@case("Replies.forget_old")
def _(shop: Shop) -> Act:
    shop.clock.passes(31 * 86_400)
    return shop.stores.replies.forget_old


# --- the operator -------------------------------------------------------------------------------------------------


@case("Accounts.add_customer")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.accounts.add_customer("Acme", "USD")


@case("Accounts.customer_book")
def _(shop: Shop) -> Act:
    return lambda: bool(shop.stores.accounts.customer_book("Acme"))


@case("Accounts.set_customer")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.accounts.set_customer("Acme", credit_limit_micros=7)


@case("Accounts.add_product")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.accounts.add_product("second", "standard")


@case("Accounts.set_product")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.accounts.set_product("second", "standard", access_code="7")


@case("Accounts.add")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.accounts.add("new", customer="Acme", product="second", aliases=["new-alias"])


@case("Accounts.change")
def _(shop: Shop) -> Act:
    shop.account("changed")
    return lambda: shop.stores.accounts.change(
        "changed", aliases=["one"], speed_dials={"1": "447400900123"}, credit_limit_micros=7
    )


@case("Accounts.close")
def _(shop: Shop) -> Act:
    shop.account("closed")
    return lambda: shop.stores.accounts.close("closed", write_off=True, operator="ann")


@case("Accounts.adjust")
def _(shop: Shop) -> Act:
    account = shop.account("adjusted-down")
    shop.stores.accounts.set_low_balance("callback", micros=9_900_000, webhook="crm")
    return lambda: shop.stores.accounts.adjust(
        account.book_id, -500_000, key="k9", reason="error", operator="ann"
    )


@case("Accounts.add_alias")
def _(shop: Shop) -> Act:
    account = shop.account("aliased")
    return lambda: shop.stores.accounts.add_alias(account.id, "another")


@case("Accounts.add_alias that is taken")
def _(shop: Shop) -> Act:
    account = shop.stores.accounts.named("aliased")
    return lambda: shop.stores.accounts.add_alias(account.id, "another")


@case("AccessNumbers.add")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.access_numbers.add("800123", {})


@case("AccessNumbers.change")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.access_numbers.change("800123", {"welcome": "off"}, enabled=False)


@case("Instances.add")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.web_instances.add("shop", {"second_number": "447400900123"})


@case("Instances.change")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.web_instances.change("shop", {}, enabled=False)


@case("ApiKeys.add")
def _(shop: Shop) -> Act:
    return lambda: len(shop.stores.api_keys.add("key", ["create"], "shop"))


@case("ApiKeys.change")
def _(shop: Shop) -> Act:
    shop.stores.api_keys.add("changed", ["status"])
    return lambda: shop.stores.api_keys.change("changed", KeySettings(limit_logins=Limit(1, 1)))


@case("ApiKeys.revoke")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.api_keys.revoke("key")


@case("ApiKeys.revoke of one that was revoked")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.api_keys.revoke("key")


@case("Instances.remove")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.web_instances.remove("shop")


@case("Tariffs.add")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.tariffs.add("costs", "USD")


@case("Tariffs.change_terms")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.tariffs.change_terms("costs", {"free_s": 5})


@case("RateProfiles.keep")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.rate_profiles.keep("carrier", Profile(dates="dmy"))


@case("RateProfiles.remove")
def _(shop: Shop) -> Act:
    shop.stores.rate_profiles.keep("other", Profile(dates="dmy"))
    return lambda: shop.stores.rate_profiles.remove("other")


@case("Trunks.add_vendor")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.trunks.add_vendor("carrier", "USD")


@case("Trunks.add")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.trunks.add("trunk-1", vendor="carrier", tariff="costs", calls_limit=2)


@case("Trunks.change")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.trunks.change("trunk-1", preference=7)


@case("Trunks.has_room")
def _(shop: Shop) -> Act:
    trunk = shop.stores.trunks.change("trunk-1", calls_per_s=1)
    return lambda: shop.stores.database.unit(lambda: shop.stores.trunks.has_room(trunk, ""))


@case("Trunks.add_route")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.trunks.add_route("trunk-1", "44", 7)


@case("Trunks.remove_route")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.trunks.remove_route("trunk-1", "44")


@case("Trunks.remove")
def _(shop: Shop) -> Act:
    shop.stores.trunks.change("trunk-1", enabled=False)
    return lambda: shop.stores.trunks.remove("trunk-1")


@case("Nodes.enter")
def _(shop: Shop) -> Act:
    return shop.stores.nodes.enter


@case("Nodes.meets")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.nodes.meets("asterisk-1", "noon")


@case("Nodes.beat")
def _(shop: Shop) -> Act:
    shop.clock.passes(1)
    return shop.stores.nodes.beat


@case("Nodes.set_draining")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.nodes.set_draining("node1", True, operator="ann", reason="moved")


@case("Nodes.set_draining of one that drains")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.nodes.set_draining("node1", True, operator="ann", reason="moved")


@case("Nodes.note")
def _(shop: Shop) -> Act:
    return lambda: shop.stores.nodes.note("node1", "tested", "ann", "because")


@case("Nodes.leave")
def _(shop: Shop) -> Act:
    return shop.stores.nodes.leave


@case("Nodes.remove")
def _(shop: Shop) -> Act:
    shop.sql("UPDATE request SET claimed_by = 'dead' WHERE claimed_by = 'node1'")
    return lambda: shop.stores.nodes.remove("node1", operator="ann", reason="gone")


NOT_REPEATED = {
    # Reads, and what is a part of another unit.
    "AccessNumbers.named", "Accounts.named", "Instances.named", "Ledger.available_micros", "Ledger.capped",
    "EmailSenders.usable_token", "EmailSenders.put_back", "Tariffs.match", "Tariffs.version", "Ledger.hold",
    "Ledger.charge", "Ledger.give_back", "Ledger.voucher", "Calls.lock", "Requests.under_way_of", "Nodes.named",
    "Vouchers.redeemed", "Calls.open_first_leg", "Limits.add", "Fraud.count", "Fraud.reserve", "Fraud.reserve_more",
    "FraudHistory.uses", "AccessNumbers.remove", "Trail.change", "Upkeep.exists", "Accounts.left_to_close",
    "Upkeep.remove", "Upkeep.rename", "Upkeep.set_batch_status", "Upkeep.retire", "Upkeep.retired",
    # Locks, which are not in tables.
    "Nodes.holds_name", "Nodes.retake_name", "Nodes.standing_in", "Trail.one_by_one", "Proposals.alone",
    # Commands, whose user can ask again: what they answer tells what was done.
    "Tariffs.put_rates", "Tariffs.remove_rate", "Tariffs.roll_back", "Tariffs.put_list", "Tariffs.restore",
    "Tariffs.copy",
    # A step that is delivered twice is delivered at least once, as is promised.
    "Events.claim", "Events.close", "Events.retry", "Events.undelivered",
    # An entry of the audit log that stands there twice says the same change twice.
    "Trail.note",
    # Some rows at a time until none is left, each time as a unit of its own; or no change at all.
    "Events.close_some", "Notices.close_some", "Requests.bring_nearer", "Tariffs.warm", "Tariffs.worker",
    "Tariffs.rates", "Tariffs.each_rate", "Totals.worker",
}  # fmt: skip


def test_every_method_that_writes_is_here() -> None:
    stores = [field.type for field in dataclasses.fields(Stores)]
    classes = {type_ for type_ in map(_class_named, stores) if type_.__name__ != "Database"}
    methods = {
        f"{cls.__name__}.{name}"
        for cls in classes
        for base in cls.__mro__
        for name, method in vars(base).items()
        if isinstance(method, FunctionType)
        and not name.startswith("_")
        and method.__code__.co_name != "looks"
    }
    assert methods - NOT_REPEATED == {name.split()[0] for name in CASES}


def _class_named(name: object) -> Any:
    import stasis_callback.store.stores as names

    found = getattr(names, str(name))
    return getattr(found, "__origin__", found)


# --- the comparison -----------------------------------------------------------------------------------------------


RANDOM = {"hash", "seal", "head", "salt"}
"""Words in the names of columns of which the values are never the same twice."""


def tables(shop: Shop) -> dict[str, list[str]]:
    """Everything in the database. Of a counted id only the rank, since a failed try uses some up; and no hash, which
    may be of something random, or of such an id.
    """
    rows = shop.rows()
    counted = [model for model in models.ALL if isinstance(model._meta.primary_key, peewee.AutoField)]
    ranks = {(model, row["id"]): n for model in counted for n, row in enumerate(rows[model.__name__])}

    def plain(how: Any, value: object) -> object:
        if how == "kind":
            kind = str(value).partition(":")[0]
            return kind if kind in ("reverse", "trunk") else value  # behind it stands a counted id
        if how == "request id":  # an id of a request that has no key is random
            return value if "-" in str(value) else "any"
        if how == "name" and str(value).isdecimal():  # of a proposal its id
            return ranks.get((ConsoleProposal, int(str(value))), value)
        return ranks.get((how, value), value)

    def line(model: Any, row: dict[str, Any]) -> list[object]:
        return [
            row[name] if how is None else how if how == "any" else plain(how, row[name])
            for name, how in compared(model)
        ]

    return {
        model.__name__: sorted(str(line(model, row)) for row in rows[model.__name__]) for model in models.ALL
    }


@cache
def compared(model: Any) -> list[tuple[str, Any]]:
    """How each column is compared: None as it is, "any" not at all, by the rank among the ids of a model, or as
    `plain` says.
    """

    def how(field: Any) -> Any:
        if RANDOM & set(field.name.split("_")) or field.name in ("incarnation", "code_key"):
            return "any"
        if model is RequestEvent and field.name == "id":
            return "any"  # of several requests claimed at once in any order
        if model is Request and field.name == "id":
            return "request id"
        if field.name == "key":
            return "kind"
        if model is AuditEntry and field.name == "name":
            return "name"
        if isinstance(field, peewee.ForeignKeyField):
            return field.rel_model
        if field.name == "xdr_id":
            return Xdr
        return model if field is model._meta.primary_key or field.name == "reverses" else None

    return [(field.name, how(field)) for field in model._meta.sorted_fields]


def told(result: object) -> object:
    """An answer without counted ids."""
    if isinstance(result, list):
        return [told(one) for one in result]
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        values = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        values.pop("incarnation", None)  # it is random
        return {name: v for name, v in values.items() if not (name.endswith("id") and isinstance(v, int))}
    return result


def outcomes(folder: Path, moment: Moment | None) -> Iterator[tuple[str, object, dict[str, list[str]]]]:
    """Every case on one business: its name, its answer, the tables afterwards."""
    with open_shop(folder) as shop:
        for name, prepare in CASES.items():
            act, before = prepare(shop), shop.stores.database.repeats
            if moment is None:
                result = act()
            else:
                with hiccups(shop.stores.database, once(moment)):
                    result = act()
                assert shop.stores.database.repeats == before + 1, name
            yield name, told(result), tables(shop)


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, object, dict[str, list[str]]]]:
    return list(outcomes(tmp_path_factory.mktemp("without"), None))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_hiccup_changes_neither_the_answer_nor_the_tables(
    tmp_path: Path, without: list[tuple[str, object, dict[str, list[str]]]], moment: Moment
) -> None:
    for (name, answer, rows), expected in zip(outcomes(tmp_path, moment), without, strict=True):
        assert (name, answer) == expected[:2]
        changed = {table for table in rows if rows[table] != expected[2][table]}
        assert changed == set(), name


# --- many of them -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_calls_go_through_hiccups_without_a_trace(shop: Shop, seed: int) -> None:
    with hiccups(shop.stores.database, at_random(seed, share=0.1)):
        for n in range(25):
            leg_id = open_leg(shop, f"call-{n}")
            shop.stores.calls.leg_answered(leg_id, shop.clock.at_us)
            shop.stores.ledger.change_hold(leg_id, 3_000_000)
            shop.stores.calls.settle(leg_id, talked(n * 20))
            shop.stores.requests.finish(f"id-call-{n}", Ending.COMPLETED)
            shop.stores.ledger.top_up(shop.stores.accounts.named(f"acc-call-{n}").book_id, 10_000, key=f"{n}")
    assert shop.stores.database.repeats > 25
    assert verify(shop.stores.database, shop.stores.tariffs) == []
    for n in range(25):
        account = shop.stores.accounts.named(f"acc-call-{n}")
        assert shop.money(account) == (1000 - min(n * 20, 300) + 1, 0)
    assert shop.stores.calls.open_legs() == []


def test_a_database_that_does_nothing_but_hiccup_is_given_up_when_the_patience_is_over(shop: Shop) -> None:
    tries: list[str] = []

    def always(asked: str) -> Moment:
        tries.append(asked)
        return "before"

    before = shop.rows()
    with hiccups(shop.stores.database, always):
        with (
            shop.stores.database.patience(0),
            pytest.raises(StoreUnavailable, match="unavailable: a hiccup"),
        ):
            shop.stores.tariffs.add("second", "EUR")
        assert len(tries) == 1
        with (
            shop.stores.database.patience(0.5),
            pytest.raises(StoreUnavailable, match="unavailable: a hiccup"),
        ):
            shop.stores.tariffs.add("second", "EUR")
        assert len(tries) > 4
    assert shop.rows() == before


def test_what_is_refused_is_not_tried_again(shop: Shop) -> None:
    with hiccups(shop.stores.database, lambda asked: None), pytest.raises(InvalidInput):
        shop.stores.tariffs.add("standard", "USD")
    assert shop.stores.database.repeats == 0


def test_a_unit_within_a_unit_is_repeated_with_the_whole(shop: Shop) -> None:
    runs: list[int] = []

    def work() -> None:
        runs.append(len(shop.stores.tariffs.all()))
        shop.stores.tariffs.add("second", "EUR")
        shop.stores.tariffs.add("third", "EUR")

    with hiccups(shop.stores.database, once("before")):
        shop.stores.database.unit(work)
    assert runs == [1, 1]
    assert {tariff["name"] for tariff in shop.stores.tariffs.all()} == {"standard", "second", "third"}
