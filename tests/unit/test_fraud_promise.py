"""The worst that wangiri calls and a stolen account can cost, whatever they try: the documented budget.

    .venv/bin/pytest -s tests/unit/test_fraud_promise.py

prints the figures. Everybody answers at once and stays until the held funds are used up. The nightly lane has 10,000
missed calls and the usual budgets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from shop import Shop

from stasis_callback.clock import US_PER_S
from stasis_callback.core.fraud import Budget, Budgets, NotAllowed, OverBudget
from stasis_callback.core.money import MICROS, format_amount
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.rating import Rate
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.words import Ending, Refusal
from stasis_callback.engine.admission.missed_calls import Admission
from stasis_callback.engine.admission.orders import Order, Orders
from stasis_callback.engine.funding import Funding, wanted_of_leg_a
from stasis_callback.store.calls.legs import Fare, LegEnd, Side
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.rates.tariffs import NewRate

ACCESS, HOUSE, VICTIM, PHONE = "44800", "house", "442079460958", "442079460000"
PREMIUM_PER_S = 100_000
"""A tenth of a dollar a second: six a minute."""
UK_PER_S = 10_000
SLICE_S = 180
SMALL = replace(Budgets(), shared_account=Budget(0, 0, 20 * MICROS), premium=Budget(0, 0, 5 * MICROS))
AT_ONCE = {"dedupe_window_s": "0"}


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """One that sells calls to premium numbers on purpose, to an internal account and a subscriber of great wealth."""
    dear = Rate("44901", first_price_micros=60 * PREMIUM_PER_S, next_price_micros=60 * PREMIUM_PER_S)
    shop.stores.tariffs.put_rates("standard", [NewRate(dear)])
    for number in (HOUSE, VICTIM, ACCESS):
        shop.account(number, funds="1000000")
        shop.stores.accounts.change(number, callback_number=PHONE)
    return shop


def premium(random: Random) -> str:
    return f"44901{random.randrange(10**7):07}"


class Attack:
    """What was tried, and what it has cost."""

    def __init__(self, shop: Shop, budgets: Budgets) -> None:
        shop.stores.fraud.budgets = budgets
        self.shop = shop
        self.funding = Funding(shop.stores)
        self.refused: dict[str, int] = {}

    def goes_on(self, second_number: str = "") -> None:
        """What waits is called back, answered, and connected to a second number, until the held funds are used up."""
        stores = self.shop.stores
        for view in stores.requests.claim(10):
            try:
                self._leg(view, "a", view.leg_a_number, wanted_of_leg_a(view))
                if second_number:
                    self._leg(view, "b", second_number, SLICE_S)
                ending = Ending.COMPLETED
            except NotAllowed as held_back:
                if isinstance(held_back, OverBudget):
                    stores.fraud.note_over(held_back)
                self.is_refused(held_back.reason)
                ending = Ending.SET_ASIDE
            stores.requests.finish(view.id, ending)
            self.shop.clock.passes(1)

    def _leg(self, view: RequestView, side: Side, number: str, seconds: int) -> None:
        stores, now_us = self.shop.stores, self.shop.clock.now_us()
        payer = stores.accounts.get(view.account_id)
        rate = stores.tariffs.match(payer.tariff_id, number)
        assert rate is not None
        leg_id = view.leg_id(side, 1)
        held = seconds * rate.price.rate.first_price_micros // 60
        assert stores.calls.open_leg(leg_id, view.id, side, Fare(payer, number, rate), held)
        end_us = now_us + seconds * US_PER_S
        stores.calls.settle(leg_id, LegEnd(now_us, end_us, Outcome.ANSWERED, 16, "events"))

    def is_refused(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def cost_micros(self, prefix: str = "") -> int:
        xdrs = self.shop.stores.calls.xdrs(limit=100_000)
        return sum(xdr.amount_micros for xdr in xdrs if xdr.number.startswith(prefix))

    def tells(self, what: str, most_micros: int, prefix: str = "") -> None:
        cost, most = format_amount(self.cost_micros(prefix)), format_amount(most_micros)
        print(f"\n{what}: {cost} of at most {most} USD; refused: {self.refused}")  # noqa: T201


@pytest.mark.parametrize(
    ("count", "budgets"), [(150, SMALL), pytest.param(10_000, Budgets(), marks=pytest.mark.nightly)]
)
def test_wangiri_calls_cost_at_most_the_budget(shop: Shop, count: int, budgets: Budgets) -> None:
    """Missed calls from random and premium numbers, at an access number that calls everybody back for a PIN."""
    shop.stores.access_numbers.add(ACCESS, {"authentication": "pin", "internal_account": HOUSE, **AT_ONCE})
    attack, random = Attack(shop, budgets), Random(7)
    admission = Admission(shop.stores, shop.clock, 1000)
    for number in range(count):
        ani = premium(random) if random.random() < 0.5 else f"44207{random.randrange(10**7):07}"
        request = CallbackRequest(f"missed:{number}", "ani", ani, ACCESS)
        decision = admission.missed_call(request, admission.examine(ani, ACCESS))
        if decision.accepted:
            attack.goes_on()
        else:
            attack.is_refused(decision.reason)

    last_call_micros = 150 * UK_PER_S
    most_micros = budgets.shared_account.money_micros + last_call_micros
    attack.tells(f"{count} missed calls", most_micros)
    assert attack.cost_micros() <= most_micros
    assert attack.cost_micros("44901") <= budgets.premium.money_micros
    assert attack.refused.keys() == {Refusal.SET_ASIDE}


def missed(attack: Attack, key: str, authentication: str) -> str:
    """A missed call of the stolen account; the reason for its refusal."""
    shop = attack.shop
    options = {"authentication": authentication, "internal_account": VICTIM, **AT_ONCE}
    if shop.stores.access_numbers.find(ACCESS) is None:
        shop.stores.access_numbers.add(ACCESS, options)
    shop.stores.access_numbers.change(ACCESS, options)
    admission = Admission(shop.stores, shop.clock, 1000)
    request = CallbackRequest(key, "ani", VICTIM, ACCESS)
    return admission.missed_call(request, admission.examine(VICTIM, ACCESS)).reason


def ordered(attack: Attack, key: str, trigger: str, to: str) -> str:
    shop = attack.shop
    order = Order(key, trigger, VICTIM, PHONE, to, trusted=True, source="192.0.2.7", options=AT_ONCE)  # type: ignore[arg-type]
    return Orders(shop.stores, shop.clock, 1000).admit(order).reason


TRIGGERS: dict[str, Callable[[Attack, str, str], str]] = {
    "ani": lambda attack, key, _: missed(attack, key, "ani"),
    "dnis": lambda attack, key, _: missed(attack, key, "dnis"),
    "pin": lambda attack, key, _: missed(attack, key, "pin"),
    "web": lambda attack, key, to: ordered(attack, key, "web", to),
    "email": lambda attack, key, to: ordered(attack, key, "email", to),
    "message": lambda attack, key, to: ordered(attack, key, "message", to),
    "shell": lambda attack, key, to: ordered(attack, key, "cli", to),
}


@pytest.mark.parametrize(
    ("rounds", "budgets"), [(3, replace(SMALL, premium=Budget(0, 0, 40 * MICROS))), (20, Budgets())]
)
def test_a_stolen_account_costs_at_most_the_budget_of_the_range(
    shop: Shop, rounds: int, budgets: Budgets
) -> None:
    """It dials premium numbers through every trigger, one after the other."""
    attack, random = Attack(shop, budgets), Random(7)
    for number in range(rounds):
        for trigger, asks in TRIGGERS.items():
            to = premium(random)
            reason = asks(attack, f"{trigger}:{number}", to)
            if reason:
                attack.is_refused(reason)
            else:
                attack.goes_on(to)

    most_micros = budgets.premium.money_micros
    attack.tells("a stolen account on premium numbers", most_micros, "44901")
    assert 0 < attack.cost_micros("44901") <= most_micros
    assert attack.refused.keys() == {Refusal.SET_ASIDE}
    assert "range:premium" in {one.subject for one in shop.stores.fraud.listed()}
