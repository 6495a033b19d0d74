"""Budgets of ranges and called numbers over midnight, and when they are released while calls are live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest
from shop import UNANSWERED, Shop, talked
from test_fraud import FRIEND, OFF, PREMIUM, business, ends, held_back, opens

from stasis_callback.clock import US_PER_S
from stasis_callback.core.fraud import Ahead, Budget, Budgets, OverBudget, Spent
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.accounts.fraud import Held

DAY_S = 86_400
MINUTES = 60
RANGE, TO_NUMBER = "fraud:range:premium", f"fraud:destination:{PREMIUM}"
_numbers = count(1000)


@dataclass
class Market:
    """A business with a budget of an hour a day for premium numbers."""

    shop: Shop

    def until_midnight(self, before_s: int) -> None:
        """The time passes until `before_s` before midnight (UTC)."""
        self.shop.clock.passes(DAY_S - self.shop.clock.at_us // US_PER_S % DAY_S - before_s)

    def caller(self) -> AccountView:
        return self.shop.account(str(next(_numbers)), funds="100000")

    def call(self, minutes: int, to: str = PREMIUM) -> str:
        """A new call to a premium number, with time for so many minutes; its leg."""
        return opens(self.shop, self.caller(), to, held_s=minutes * 60)

    def longer(self, leg: str, minutes: float) -> None:
        """It gets time for so many minutes in all."""
        held = Held(PREMIUM, "b", int(minutes * 60), 2_000_000, "USD")
        assert self.shop.stores.calls.change_hold(leg, held)

    def ends(self, leg: str, minutes: float) -> None:
        ends(self.shop, leg, talked(minutes * 60))

    def release(self) -> None:
        """The range is set aside, and then released."""
        self.shop.stores.fraud.set_aside("range:premium", "seen in the news", "Jana", None)
        self.shop.stores.fraud.release("range:premium", "Jana")

    def counted(self, key: str = RANGE) -> float:
        """How many minutes of today are counted."""
        return self.shop.stores.limits.spent([key]).get(key, Spent()).seconds / 60

    def calls(self, key: str = RANGE) -> int:
        return self.shop.stores.limits.spent([key]).get(key, Spent()).calls


@contextmanager
def open_market(folder: Path, budgets: Budgets | None = None) -> Iterator[Market]:
    with business(folder, budgets or replace(OFF, premium=Budget(0, MINUTES, 0))) as shop:
        yield Market(shop)


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    with open_market(tmp_path) as found:
        yield found


def talks_over_midnight(market: Market, leg: str) -> None:
    """From 23:55 on for 40 minutes, in slices of five."""
    for minutes in range(10, 45, 5):
        market.shop.clock.passes(299)
        market.longer(leg, minutes)
    market.shop.clock.passes(300)


def test_a_talk_over_midnight_counts_each_minute_once(market: Market) -> None:
    market.until_midnight(300)
    leg = market.call(5)
    assert market.counted() == 5
    talks_over_midnight(market, leg)
    market.ends(leg, 40)
    # The second slice was reserved before midnight too.
    assert (market.counted(), market.calls()) == (30, 0)
    assert held_back(market.shop) == {}
    market.call(30)
    with pytest.raises(OverBudget):
        market.call(1)


def test_what_was_reserved_after_midnight_and_not_used_is_free_again(market: Market) -> None:
    market.until_midnight(120)
    leg = market.call(5)
    market.shop.clock.passes(240)
    market.longer(leg, 50)
    assert market.counted() == 45
    market.ends(leg, 7)
    assert market.counted() == 2


@pytest.mark.parametrize("talk", [0, 4, 5])
def test_who_ends_within_what_was_reserved_yesterday_counts_nothing_today(market: Market, talk: int) -> None:
    market.until_midnight(120)
    leg = market.call(5)
    market.shop.clock.passes(240)
    market.longer(leg, 10)
    market.longer(leg, 20)
    if talk:
        market.ends(leg, talk)
    else:
        ends(market.shop, leg, UNANSWERED)
    assert market.counted() == 0


def test_more_than_was_reserved_yesterday_counts_today(market: Market) -> None:
    market.until_midnight(120)
    leg = market.call(5)
    market.shop.clock.passes(86_400)
    market.ends(leg, 7)
    assert market.counted() == 2


def test_a_hold_that_shrinks_after_midnight_takes_nothing_from_the_new_day(market: Market) -> None:
    market.until_midnight(120)
    leg, other = market.call(10), market.call(10)
    market.shop.clock.passes(240)
    market.longer(other, 30)
    market.longer(leg, 5)
    assert market.counted() == 20
    market.longer(leg, 12)
    assert market.counted() == 22
    market.ends(leg, 3)
    assert market.counted() == 20


def test_a_call_over_two_midnights(market: Market) -> None:
    market.until_midnight(120)
    leg = market.call(5)
    for minutes in (25, 35):
        market.shop.clock.passes(DAY_S)
        market.longer(leg, minutes)
    assert market.counted() == 10
    market.ends(leg, 26)
    assert market.counted() == 1


def test_a_clock_that_is_put_back_to_yesterday_counts_nothing_twice(market: Market) -> None:
    market.until_midnight(-60)
    leg = market.call(5)
    market.shop.clock.passes(-120)
    market.longer(leg, 10)
    assert market.counted() == 10
    market.ends(leg, 2)
    assert market.counted() == 2


def test_a_called_number_over_midnight(tmp_path: Path) -> None:
    with open_market(tmp_path, replace(OFF, destination=Budget(0, MINUTES, 0), premium=Budget())) as market:
        market.until_midnight(300)
        leg = market.call(5)
        talks_over_midnight(market, leg)
        market.ends(leg, 40)
        # A call to a number counts when it ends.
        assert (market.counted(TO_NUMBER), market.calls(TO_NUMBER)) == (30, 1)


def test_a_leg_of_the_version_before_counts_for_the_day_in_which_it_was_dialled(market: Market) -> None:
    leg = market.call(5)
    market.shop.sql("UPDATE leg SET reserved_day = NULL")
    market.longer(leg, 10)
    assert market.counted() == 10
    market.shop.sql("UPDATE leg SET reserved_day = NULL")
    market.ends(leg, 3)
    assert market.counted() == 3
    over = market.call(5)
    market.shop.sql("UPDATE leg SET reserved_day = NULL")
    market.shop.clock.passes(DAY_S)
    market.longer(over, 10)
    market.ends(over, 6)
    assert market.counted() == 1


# --- releases while calls are live --------------------------------------------------------------------------------


def test_after_a_release_the_next_call_gets_its_budget_and_no_more(market: Market) -> None:
    live = market.call(55)
    with pytest.raises(OverBudget) as refused:
        market.call(10)
    market.shop.stores.fraud.note_over(refused.value)
    assert held_back(market.shop) == {"range:premium": "65 of 60 minutes in a day (range)"}
    market.shop.sql("UPDATE request SET state = 'done', outcome = 'busy'")
    market.shop.stores.fraud.release("range:premium", "Jana")
    assert market.counted() == 0
    market.ends(live, 1)
    assert market.counted() == 0
    with pytest.raises(OverBudget):
        market.call(61)
    market.shop.sql("UPDATE request SET state = 'done', outcome = 'busy'")
    market.call(60)


def test_what_a_live_call_does_not_use_is_not_taken_from_others_after_a_release(market: Market) -> None:
    live = market.call(55)
    market.release()
    other = market.call(50)
    market.ends(live, 1)
    assert market.counted() == 50
    with pytest.raises(OverBudget):
        market.call(11)
    market.ends(other, 20)
    assert market.counted() == 20


def test_a_live_call_counts_from_the_release_on(market: Market) -> None:
    live = market.call(55)
    market.release()
    market.longer(live, 75)
    assert market.counted() == 20
    market.ends(live, 60)
    assert market.counted() == 5


def test_the_release_of_a_called_number_while_somebody_talks_to_it(tmp_path: Path) -> None:
    with open_market(tmp_path, replace(OFF, destination=Budget(0, MINUTES, 0), premium=Budget())) as market:
        live = market.call(55)
        other = market.call(55, to=FRIEND)
        fraud = market.shop.stores.fraud
        fraud.set_aside(f"number:{PREMIUM}", "seen in the news", "Jana", None)
        fraud.release(f"number:{PREMIUM}", "Jana")
        market.ends(live, 1)
        assert market.counted(TO_NUMBER) == 0
        market.ends(other, 1)  # to a number that was not released: what it has not used is free again
        assert market.counted(f"fraud:destination:{FRIEND}") == 1


def test_a_release_of_something_else_changes_nothing_for_a_live_call(market: Market) -> None:
    live = market.call(55)
    market.shop.stores.fraud.set_aside("country:GB", "seen in the news", "Jana", None)
    market.shop.stores.fraud.release("country:GB", "Jana")
    market.ends(live, 1)
    assert market.counted() == 1


def test_a_budget_that_is_new_is_given_nothing_back_by_calls_that_were_live_before(tmp_path: Path) -> None:
    """The settings were changed during the call, and the service started anew."""
    with open_market(tmp_path, replace(OFF, destination=Budget(0, MINUTES, 0), premium=Budget())) as market:
        live = market.call(55)
        market.shop.stores.fraud.budgets = replace(OFF, premium=Budget(0, MINUTES, 0))
        market.ends(live, 1)
        assert market.counted() == 0


def test_what_was_counted_earlier_is_neither_given_back_nor_counted_again() -> None:
    ahead = Ahead(Spent(0, 300, 30), Spent(), 7)
    assert ahead.on(7) is ahead.on(6) is ahead
    assert ahead.more(Spent(1, 60, 6)) == Spent(1, -240, -24)
    later = ahead.on(8)
    assert later == Ahead(Spent(0, 300, 30), Spent(0, 300, 30), 8)
    assert later.more(Spent(1, 60, 40)) == Spent(1, 0, 10)
    assert Ahead(Spent(0, 200, 30), Spent(0, 300, 10), 8).on(9).earlier == Spent(0, 300, 30)
