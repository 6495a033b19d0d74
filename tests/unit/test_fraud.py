"""Budgets: what legs cost is counted once, who reaches a budget is set aside, and ranges are never exceeded."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from shop import NOON_US, UNANSWERED, Shop, open_shop, talked
from test_books_migration import move, old_database, opened

from stasis_callback.clock import US_PER_S
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.fraud import (
    Alarms,
    Budget,
    Budgets,
    Cause,
    Meter,
    NotAllowed,
    OverBudget,
    Spent,
    parse_prefixes,
    parse_subject,
    worth_micros,
)
from stasis_callback.core.limits import Limit
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.rating import Rate
from stasis_callback.core.requests import CallbackRequest, Link
from stasis_callback.core.words import Refusal
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.accounts.fraud import Held
from stasis_callback.store.calls.legs import Fare, LegEnd, Side
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.store.stores import NO_ALARMS, Stores, open_stores

FRIEND, PREMIUM = "442071234567", "449012345678"
_NONE = Budget()
OFF = Budgets(_NONE, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE, number_hour=0)
"""But for ranges."""
_numbers = count(1)


@contextmanager
def business(folder: Path, budgets: Budgets, alarms: Alarms = NO_ALARMS) -> Iterator[Shop]:
    """A shop with these budgets, which also sells calls to premium numbers on purpose."""
    with open_shop(folder) as shop:
        shop.stores.fraud.budgets, shop.stores.fraud.alarms = budgets, alarms
        dear = Rate("44901", first_price_micros=60_000_000, next_price_micros=60_000_000)
        shop.stores.tariffs.put_rates("standard", [NewRate(dear)])
        yield shop


def asks(shop: Shop, account: AccountView, *, number: str = "", **request: object) -> Refusal | str:
    """Ask for a callback; the reason for a refusal, or ""."""
    number = number or account.number
    cause = Cause(account.number, number, "a", caller=account.number, source=str(request.get("source", "")))
    return shop.stores.requests.accept(
        CallbackRequest(f"ask-{next(_numbers)}", "ani", account.number, "800", **request),  # type: ignore[arg-type]
        account_id=account.id,
        subscriber_id=account.id,
        leg_a_number=number,
        stored_options={"dedupe_window_s": "0"},
        queue_limit=1000,
        subjects=shop.stores.fraud.budgets.subjects(cause),
    )


def opens(
    shop: Shop,
    account: AccountView,
    to: str = FRIEND,
    *,
    hold: str = "2",
    held_s: int = 0,
    side: Side = "b",
    **request: object,
) -> str:
    """Note a leg of a new callback; its id."""
    assert asks(shop, account, number=f"44207{next(_numbers):07}", **request) == ""
    return notes(shop, account, to, hold, side, held_s)


def notes(
    shop: Shop, account: AccountView, to: str = FRIEND, hold: str = "2", side: Side = "b", held_s: int = 0
) -> str:
    """Note a leg of the callback that waits; its id."""
    (begun,) = shop.stores.requests.claim(1)
    rate = shop.stores.tariffs.match(account.tariff_id, to)
    assert rate is not None
    leg_id = begun.leg_id(side, 1)
    assert shop.stores.calls.open_leg(
        leg_id, begun.id, side, Fare(account, to, rate), int(float(hold) * 1_000_000), held_s
    )
    return leg_id


def calls(shop: Shop, account: AccountView, seconds: float, to: str = FRIEND, **request: object) -> None:
    """A callback with one leg, from its request to its end."""
    leg_id = opens(shop, account, to, **request)  # type: ignore[arg-type]
    ends(shop, leg_id, talked(seconds) if seconds else UNANSWERED)


def ends(shop: Shop, leg_id: str, end: LegEnd) -> None:
    shop.stores.calls.settle(leg_id, end)
    shop.stores.calls.settle(leg_id, end)  # again, because the answer was lost
    shop.sql("UPDATE request SET state = 'done', outcome = 'busy'")


def held_back(shop: Shop) -> dict[str, str]:
    return {one.subject: one.note for one in shop.stores.fraud.listed()}


@pytest.mark.parametrize(
    ("budget", "seconds", "times", "note"),
    [
        ("3/0/0", 0, 3, "3 of 3 calls in a day (account)"),
        ("0/2/0", 60, 2, "2 of 2 minutes in a day (account)"),
        ("0/0/1.50", 50, 3, "1.50 of 1.50 in a day (account)"),
    ],
)
def test_who_reaches_a_budget_is_set_aside(
    tmp_path: Path, budget: str, seconds: int, times: int, note: str
) -> None:
    with business(tmp_path, replace(OFF, account=Budget.parse(budget))) as shop:
        account, other = shop.account(), shop.account("200")
        for _ in range(times):
            assert held_back(shop) == {}
            calls(shop, account, seconds)
        assert held_back(shop) == {"account:100": note}
        assert asks(shop, account) == Refusal.SET_ASIDE
        assert asks(shop, other) == ""


def test_what_nobody_was_reached_by_counts_for_nothing(tmp_path: Path) -> None:
    with business(tmp_path, replace(OFF, account=Budget(1))) as shop:
        account = shop.account()
        for outcome in (Outcome.CONGESTION, Outcome.FAILED, Outcome.NOT_DIALED):
            ends(shop, opens(shop, account), replace(UNANSWERED, outcome=outcome))
        assert held_back(shop) == {}


def test_each_scope_counts_its_own(tmp_path: Path) -> None:
    one = Budget(1)
    by_scope = Budgets(one, one, one, one, one, one, one, country=one, total=one, number_hour=0)
    with business(tmp_path, by_scope) as shop:
        link = Link("l1", 0, 0)
        calls(shop, shop.account(), 1, link=link, source="192.0.2.7")
        assert set(held_back(shop)) == {
            "account:100", f"number:{FRIEND}", "caller:100", "link:l1", "source:192.0.2.7", "country:GB", "total",
        }  # fmt: skip


def test_a_number_is_called_back_so_often_in_an_hour_and_then_again_in_the_next(tmp_path: Path) -> None:
    with business(tmp_path, replace(OFF, number_hour=2)) as shop:
        account = shop.account()
        for _ in range(2):
            calls(shop, account, 0, side="a")
        assert held_back(shop) == {f"number:{FRIEND}": "2 of 2 calls in an hour (number)"}
        shop.clock.passes(3600)
        assert held_back(shop) == {}
        calls(shop, account, 0, side="a")
        assert held_back(shop) == {}


def test_it_is_over_after_its_time_or_a_release(tmp_path: Path) -> None:
    with business(tmp_path, replace(OFF, account=Budget(1), set_aside_hours=5)) as shop:
        account = shop.account()
        calls(shop, account, 0)
        shop.clock.passes(5 * 3600 - 1)
        assert asks(shop, account) == Refusal.SET_ASIDE
        shop.clock.passes(1)
        calls(shop, account, 0)
        assert asks(shop, account) == Refusal.SET_ASIDE
        shop.stores.fraud.release("account:100", "Jana")
        calls(shop, account, 0)  # with a whole budget again
        assert [one.operator for one in shop.stores.fraud.listed(active=False)] == ["", "Jana", ""]
        with pytest.raises(InvalidInput, match="not set aside"):
            shop.stores.fraud.release("account:200", "Jana")


def test_the_counters_and_what_is_set_aside_are_those_of_all_nodes(tmp_path: Path) -> None:
    with business(tmp_path, replace(OFF, account=Budget(2))) as shop:
        account = shop.account()
        calls(shop, account, 0)
        shop.stores.database.close()
        shop.stores = open_stores(shop.url, "node2", shop.clock, replace(OFF, account=Budget(2)))
        shop.stores.nodes.enter()
        calls(shop, account, 0)
        assert asks(shop, account) == Refusal.SET_ASIDE


def test_a_leg_that_waits_is_held_back_when_something_is_set_aside_meanwhile(tmp_path: Path) -> None:
    with business(tmp_path, OFF) as shop:
        account = shop.account()
        for subject in (f"number:{FRIEND}", "account:100", "country:GB", "total"):
            assert asks(shop, account) == ""
            shop.stores.fraud.set_aside(subject, "seen in the news", "Jana", None)
            with pytest.raises(NotAllowed) as refused:
                notes(shop, account)
            assert refused.value.reason is Refusal.SET_ASIDE
            assert shop.stores.calls.open_legs() == []
            shop.sql("UPDATE request SET state = 'done', outcome = 'busy'")
            shop.stores.fraud.release(subject, "Jana")
        calls(shop, account, 0)


def test_numbers_on_the_never_call_list_are_called_in_no_way(tmp_path: Path) -> None:
    with business(tmp_path, OFF) as shop:
        account = shop.account("442071111111")
        shop.stores.never_call.add("44207123", "asked us to")
        assert asks(shop, account, number=FRIEND) == Refusal.NEVER_CALLED
        assert asks(shop, account, destination=FRIEND) == Refusal.NEVER_CALLED
        with pytest.raises(NotAllowed) as refused:
            opens(shop, account)
        assert refused.value.reason is Refusal.NEVER_CALLED
        shop.sql("UPDATE request SET state = 'done', outcome = 'busy'")
        shop.stores.never_call.remove("44207123")
        assert asks(shop, account, destination=FRIEND) == ""


# --- ranges -------------------------------------------------------------------------------------------------------


def test_a_range_is_not_exceeded_by_calls_at_the_same_time(tmp_path: Path) -> None:
    """A minute is 60; 50 is the budget: the second call of half a minute would be too much, though none has ended."""
    with business(tmp_path, OFF) as shop:
        accounts = [shop.account(str(number), funds="1000") for number in range(100, 103)]
        first = opens(shop, accounts[0], PREMIUM, hold="30")
        with pytest.raises(OverBudget) as refused:
            opens(shop, accounts[1], PREMIUM, hold="30")
        assert shop.stores.accounts.get(accounts[1].id).held_micros == 0
        shop.stores.fraud.note_over(refused.value)
        assert held_back(shop) == {"range:premium": "60.00 of 50.00 in a day (range)"}
        ends(shop, first, talked(10))
        shop.stores.fraud.release("range:premium", "Jana")
        opens(shop, accounts[2], PREMIUM, hold="50")
        opens(shop, accounts[1], FRIEND)


def test_what_a_call_to_a_range_has_left_of_its_hold_is_free_again(tmp_path: Path) -> None:
    with business(tmp_path, OFF) as shop:
        account = shop.account(funds="1000")
        for _ in range(5):
            ends(shop, opens(shop, account, PREMIUM, hold="10"), talked(9))  # 9.00 each
        ends(shop, opens(shop, account, PREMIUM, hold="5"), replace(UNANSWERED, outcome=Outcome.FAILED))
        spent = shop.stores.limits.spent(["fraud:range:premium"])["fraud:range:premium"]
        assert spent == Spent(6, 45, 45_000_000)


def test_more_time_for_a_call_to_a_range_counts_too(tmp_path: Path) -> None:
    with business(tmp_path, OFF) as shop:
        account = shop.account(funds="1000")
        leg_id = opens(shop, account, PREMIUM, hold="30")
        assert shop.stores.calls.change_hold(leg_id, Held(PREMIUM, "b", 50, 50_000_000, "USD"))
        with pytest.raises(OverBudget):
            shop.stores.calls.change_hold(leg_id, Held(PREMIUM, "b", 51, 51_000_000, "USD"))
        assert shop.stores.ledger.held_micros(leg_id) == 50_000_000
        ends(shop, leg_id, talked(1))
        assert shop.stores.limits.spent(["fraud:range:premium"])["fraud:range:premium"] == Spent(
            1, 1, 1_000_000
        )


def test_a_leg_over_midnight_counts_in_the_day_in_which_it_was_reserved(tmp_path: Path) -> None:
    with business(tmp_path, OFF) as shop:
        account, key = shop.account(funds="1000"), "fraud:range:premium"
        leg_id = opens(shop, account, PREMIUM, hold="30", held_s=30)
        assert shop.stores.limits.spent([key])[key] == Spent(1, 30, 30_000_000)
        shop.clock.passes(86_400)
        ends(shop, leg_id, talked(20))
        assert shop.stores.limits.spent([key])[key] == Spent()


FIVE_MINUTES = Budget(0, 5, 0)


@pytest.mark.parametrize(
    ("budgets", "to", "subject", "scope"),
    [
        (replace(OFF, prefixes=(("442", FIVE_MINUTES),)), FRIEND, "range:442", "range"),
        (replace(OFF, premium=FIVE_MINUTES), PREMIUM, "range:premium", "range"),
        (replace(OFF, destination=FIVE_MINUTES), FRIEND, f"number:{FRIEND}", "destination"),
    ],
)
def test_minutes_are_not_exceeded_by_long_calls_at_the_same_time(
    tmp_path: Path, budgets: Budgets, to: str, subject: str, scope: str
) -> None:
    """Each of three accounts wants three minutes of five: none has ended when the second one asks."""
    with business(tmp_path, budgets) as shop:
        accounts = [shop.account(str(number), funds="1000") for number in range(100, 103)]
        first = opens(shop, accounts[0], to, held_s=180)
        with pytest.raises(OverBudget) as refused:
            opens(shop, accounts[1], to, held_s=180)
        assert shop.stores.accounts.get(accounts[1].id).held_micros == 0
        shop.stores.fraud.note_over(refused.value)
        assert held_back(shop) == {subject: f"6 of 5 minutes in a day ({scope})"}
        shop.sql("UPDATE set_aside SET until_us = 0")
        ends(shop, first, talked(60))  # what it had left is free again
        second = opens(shop, accounts[2], to, held_s=180)
        assert shop.stores.calls.change_hold(second, Held(to, "b", 240, 2_000_000, "USD"))
        with pytest.raises(OverBudget):
            shop.stores.calls.change_hold(second, Held(to, "b", 241, 2_000_000, "USD"))
        ends(shop, second, talked(61))
        assert (
            shop.stores.limits.spent([key := f"fraud:{scope}:{subject.partition(':')[2]}"])[key].seconds
            == 121
        )


def test_who_asks_in_the_same_moment_gets_no_more_minutes_together(tmp_path: Path) -> None:
    with business(tmp_path, replace(OFF, destination=Budget(0, 10, 0))) as shop:
        accounts = [shop.account(str(number), funds="1000") for number in range(100, 108)]
        for account in accounts:
            assert asks(shop, account, number=f"44207{next(_numbers):07}") == ""
        together = threading.Barrier(len(accounts))

        def tries(account: AccountView) -> bool:
            (begun,) = shop.stores.requests.claim(1)
            rate = shop.stores.tariffs.match(account.tariff_id, FRIEND)
            assert rate is not None
            fare = Fare(account, FRIEND, rate)
            together.wait()
            try:
                return shop.stores.calls.open_leg(begun.leg_id("b", 1), begun.id, "b", fare, 10_000, 180)
            except OverBudget:
                return False

        with ThreadPoolExecutor(len(accounts)) as crowd:
            assert sum(crowd.map(tries, accounts)) == 3
        key = f"fraud:destination:{FRIEND}"
        assert shop.stores.limits.spent([key])[key] == Spent(0, 540, 30_000)


def test_a_leg_of_the_version_before_is_settled_by_this_one(tmp_path: Path) -> None:
    """It has counted its money ahead for its range, and no minutes."""
    with business(tmp_path, OFF) as shop:
        account = shop.account(funds="1000")
        leg_id = opens(shop, account, PREMIUM, hold="30")
        shop.sql("UPDATE leg SET reserved_s = NULL")
        ends(shop, leg_id, talked(20))
        key = "fraud:range:premium"
        assert shop.stores.limits.spent([key])[key] == Spent(1, 20, 20_000_000)


# --- alarms -------------------------------------------------------------------------------------------------------


def test_an_alarm_for_each_time_something_is_set_aside(tmp_path: Path) -> None:
    told = Alarms("crm", "callback@calls.example", ("noc@calls.example",))
    with business(tmp_path, replace(OFF, destination=Budget(1)), told) as shop:
        first, second = opens(shop, shop.account()), opens(shop, shop.account("200"))
        ends(shop, first, UNANSWERED)
        ends(shop, second, UNANSWERED)
        rows = shop.rows()["Notice"]
        assert [(row["medium"], row["instance"]) for row in rows] == [
            ("webhook", "crm"),
            ("mail", "callback@calls.example"),
        ]
        assert json.loads(rows[0]["about"]) == {
            "subject": f"number:{FRIEND}",
            "reason": "calls",
            "note": "1 of 1 calls in a day (destination)",
            "until_us": NOON_US + 86_400 * US_PER_S,
        }
        shop.stores.fraud.set_aside("total", "by hand: whoever does that knows it", "Jana", None)
        assert len(shop.rows()["Notice"]) == 2


# --- the migration ------------------------------------------------------------------------------------------------


def test_what_was_there_before_the_migration_goes_on(tmp_path: Path) -> None:
    """A call that is live, a notice that waits, a counter; then alarms, which belong to no account, have a place."""
    with old_database(tmp_path, "old", "0028_") as url:
        with open_shop(tmp_path) as shop:
            # What is counted ahead is of later versions.
            shop.stores.fraud.budgets = replace(Budgets(), destination=Budget())
            shop.stores.accounts.set_low_balance("callback", micros=9_500_000, webhook="crm", mail="")
            account, other = shop.account(), shop.account("200")
            ends(shop, opens(shop, account, hold="2"), talked(100))
            shop.stores.limits.take("web:shop:number:1", Limit(2, 60))
            live = opens(shop, other, hold="2")
            before = shop.rows()
            for row in before["Request"]:
                row["alive_mark"] = ""  # of later versions too
            move(shop, url)
        with opened(url, tmp_path) as shop:
            assert "0029_fraud" in shop.stores.database.migrate()
            after = shop.rows()
            for table in ("Notice", "Request", "LegRow"):
                assert after[table] == before[table]
            assert [row["key"] for row in after["Allowance"]] == [row["key"] for row in before["Allowance"]]
            assert shop.stores.limits.take("web:shop:number:1", Limit(2, 60))
            shop.stores.fraud.budgets = replace(OFF, account=Budget(1))
            shop.stores.fraud.alarms = Alarms("crm")
            ends(shop, live, talked(1))
            assert held_back(shop) == {"account:200": "1 of 1 calls in a day (account)"}
            assert [row["account"] for row in shop.rows()["Notice"]] == [account.id, None]


# --- rules --------------------------------------------------------------------------------------------------------


def test_budgets_as_they_are_written() -> None:
    assert Budget.parse("600/3000/12.5") == Budget(600, 3000, 12_500_000)
    assert [str(Budget.parse(text)) for text in ("0", "0/0/0", "1/0/0", "0/0/0.5")] == [
        "0",
        "0",
        "1/0/0",
        "0/0/0.50",
    ]
    for text in ("", "1", "1/2", "1/2/3/4", "-1/2/3", "1/2/x", "1/2/3.1234567", "٣/2/3"):
        with pytest.raises(InvalidInput, match="calls/minutes/amount"):
            Budget.parse(text)
    assert parse_prefixes("25=0, 252=1/2/3") == (("252", Budget(1, 2, 3_000_000)), ("25", Budget()))
    for text in ("252", "x=1/2/3", "252=1", "00252=1/2/3"):
        with pytest.raises(InvalidInput):
            parse_prefixes(text)
    assert [parse_subject(text) for text in ("total", "number:44", "source:2001:db8::1")] == [
        "total",
        "number:44",
        "source:2001:db8::1",
    ]
    for text in ("", "total:1", "number", "number:", "phone:44"):
        with pytest.raises(InvalidInput, match="cannot be set aside"):
            parse_subject(text)


def test_the_ranges_of_numbers() -> None:
    budgets = Budgets(prefixes=parse_prefixes("44901=7/7/7, 8816=0"))

    def ranges_of(number: str) -> str:
        return " ".join(counter.subject for counter in budgets.ranges_of(number))

    assert [ranges_of(number) for number in (FRIEND, "420811234567", "881612345678", "881712345678", PREMIUM)] == [
        "", "range:shared_cost", "", "range:satellite", "range:44901",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("prefixes", "number", "counted"),
    [
        ("44=2000/10000/1000", PREMIUM, ["range:44", "range:premium"]),
        ("44=2000/10000/1000", FRIEND, ["range:44"]),
        ("44=0", PREMIUM, ["range:premium"]),
        # Nothing ordinary begins with 449: who names it means its premium numbers, but not what is unassigned.
        ("449=1/1/1", PREMIUM, ["range:449"]),
        ("449=0", "449212345678", ["range:unassigned"]),
        ("420=1/1/1, 4=0", PREMIUM, ["range:premium"]),
    ],
)
def test_a_budget_for_a_country_leaves_those_of_its_dear_numbers(
    prefixes: str, number: str, counted: list[str]
) -> None:
    budgets = Budgets(prefixes=parse_prefixes(prefixes), destination=_NONE)
    assert [counter.subject for counter in budgets.ahead(number, "b")] == counted
    found = [counter.subject for counter in budgets.counters(Cause("100", number, "b"))]
    assert [subject for subject in found if subject.startswith("range:")] == counted


def test_premium_calls_stop_at_their_own_budget_below_a_prefix_with_a_larger_one(tmp_path: Path) -> None:
    budgets = replace(OFF, premium=Budget(2), prefixes=parse_prefixes("44=2000/10000/1000"))
    with business(tmp_path, budgets) as shop:
        account = shop.account("100", funds="1000")
        for to in (PREMIUM, PREMIUM, FRIEND):
            calls(shop, account, 1, to)
        assert held_back(shop) == {"range:premium": "2 of 2 calls in a day (range)"}
        with pytest.raises(NotAllowed):
            opens(shop, account, PREMIUM)


@pytest.mark.parametrize(
    ("currency", "micros"), [("USD", 700_000), ("CZK", 70_000), ("JPY", 7_000), ("VND", 70)]
)
def test_amounts_of_all_currencies_count_in_about_the_same_unit(currency: str, micros: int) -> None:
    assert worth_micros(700_000, currency) == micros


def test_the_meter_counts_like_the_database() -> None:
    meter = Meter(replace(OFF, account=Budget(2)))
    cause = Cause("100", FRIEND, "b")
    times = [0, 10, 20, 86_400, 86_410]
    reached = [at for at in times for _ in meter.count(cause, at, Spent(1, 1, 1))]
    assert reached == [10, 86_410]


def test_stores_have_the_usual_budgets(shop: Shop) -> None:
    stores: Stores = shop.stores
    assert stores.fraud.budgets == Budgets()
