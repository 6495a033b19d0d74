"""Holds, settlements and top-ups, as scenarios in cents: `balance/held` after each step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from shop import Shop

from stasis_callback.core.errors import InvalidInput, InvariantBroken
from stasis_callback.core.money import AMOUNT_LIMIT_MICROS
from stasis_callback.store.audit import verify
from stasis_callback.store.money.ledger import Ledger
from stasis_callback.store.money.views import Settlement
from stasis_callback.testing.hiccups import Moment, hiccups

CENT = 10_000
Step = tuple[str, object, int, int]


def pay(ledger: Ledger, leg: str, micros: int) -> str:
    return paid(ledger.settle(leg, micros))


def run(shop: Shop, steps: list[Step], **account: int) -> None:
    """Each step: what is done (`verb leg cents`), what it answers, balance and held funds afterwards."""
    ledger = shop.stores.ledger
    who = shop.account("100", funds="0", **account)
    request = shop.request(who)
    keys = iter(range(1000))
    for what, answer, balance, held in steps:
        verb, *rest = what.split()
        leg, micros = rest[0], int(rest[-1]) * CENT if len(rest) > 1 or rest[0].isdigit() else 0
        actions: dict[str, Callable[[], object]] = {
            "topup": partial(ledger.top_up, who.book_id, micros, key=f"k{next(keys)}"),
            "open": partial(shop.leg, leg, who, request, hold=str(micros / 1_000_000)),
            "change": partial(ledger.change_hold, leg, micros),
            "settle": partial(pay, ledger, leg, micros),
            "void": partial(ledger.void, leg),
        }
        assert (actions[verb](), *shop.money(who)) == (answer, balance, held), what


def paid(settlement: Settlement) -> str:
    return f"{settlement.paid_micros // CENT}+{settlement.overrun_micros // CENT}"


def test_a_call_that_costs_less_than_was_held(shop: Shop) -> None:
    run(shop, [
        ("topup 1000",    True,    1000,    0),
        ("open b1 300",   True,    1000,  300),
        ("change b1 500", True,    1000,  500),
        ("settle b1 420", "420+0",  580,    0),
    ])  # fmt: skip


def test_settling_again_changes_nothing_and_says_the_same(shop: Shop) -> None:
    run(shop, [
        ("topup 1000",    True,    1000,    0),
        ("open b1 300",   True,    1000,  300),
        ("settle b1 200", "200+0",  800,    0),
        ("settle b1 200", "200+0",  800,    0),
        ("void b1",       None,     800,    0),
        ("settle b1 200", "200+0",  800,    0),
    ])  # fmt: skip
    assert [row["kind"] for row in shop.rows()["Transfer"]] == ["topup", "settle"]


def test_more_than_was_held_is_the_houses_loss(shop: Shop) -> None:
    run(shop, [
        ("topup 1000",    True,    1000,    0),
        ("open b1 300",   True,    1000,  300),
        ("settle b1 350", "300+50", 700,    0),
        ("settle b1 350", "300+50", 700,    0),
    ])  # fmt: skip
    entries = {row["id"]: row["name"] for row in shop.rows()["Book"]}
    booked = {entries[row["book"]]: row["amount_micros"] // CENT for row in shop.rows()["Entry"][-3:]}
    assert booked == {"account:100": -300, "house:overrun:USD": -50, "house:revenue:USD": 350}


def test_parallel_legs_share_the_funds_and_cannot_take_more(shop: Shop) -> None:
    run(shop, [
        ("topup 1000",    True,    1000,    0),
        ("open a1 400",   True,    1000,  400),
        ("open b1 601",   False,   1000,  400),
        ("open b1 600",   True,    1000, 1000),
        ("open b2 1",     False,   1000, 1000),
        ("change a1 401", False,   1000, 1000),
        ("change b1 599", True,    1000,  999),
        ("change a1 401", True,    1000, 1000),
        ("settle b1 100", "100+0",  900,  401),
        ("change a1 900", True,     900,  900),
        ("void a1",       None,     900,    0),
    ])  # fmt: skip


def test_credit_is_funds_too_down_to_its_limit(shop: Shop) -> None:
    run(shop, [
        ("open b1 501",   False,      0,    0),
        ("open b1 500",   True,       0,  500),
        ("settle b1 500", "500+0", -500,    0),
        ("open b2 1",     False,   -500,    0),
        ("topup 200",     True,    -300,    0),
        ("open b2 200",   True,    -300,  200),
        ("settle b2 250", "200+50", -500,   0),
    ], credit_limit_micros=500 * CENT)  # fmt: skip


def test_a_leg_that_costs_nothing_needs_no_funds(shop: Shop) -> None:
    run(shop, [
        ("open b1 0",     True,       0,    0),
        ("change b1 0",   True,       0,    0),
        ("change b1 1",   False,      0,    0),
        ("settle b1 0",   "0+0",      0,    0),
    ])  # fmt: skip


def test_a_hold_is_given_back_once(shop: Shop) -> None:
    run(shop, [
        ("topup 1000",    True,    1000,    0),
        ("open a1 100",   True,    1000,  100),
        ("open b1 300",   True,    1000,  400),
        ("void b1",       None,    1000,  100),
        ("void b1",       None,    1000,  100),
    ])  # fmt: skip


BROKEN: list[tuple[str, Callable[[Ledger], object], str]] = [
    ("settled with another amount",    lambda s: s.settle("posted", 101 * CENT), "other amounts"),
    ("charged after it was voided",    lambda s: s.settle("voided", 1 * CENT), "already closed"),
    ("charged nothing after voided",   lambda s: s.settle("voided", 0),   "already closed"),
    ("nobody's leg given back",    lambda s: s.void("nobody"),            "has no hold"),
    ("a negative charge",              lambda s: s.settle("open", -1),    "cannot be charged"),
    ("a settled hold changed",         lambda s: s.change_hold("posted", 1), "is closed"),
    ("a voided hold changed",          lambda s: s.change_hold("voided", 1), "is closed"),
    ("a top-up key with other money",  lambda s: s.top_up(1, 7, key="first-100"), "other amounts"),
]  # fmt: skip


@pytest.mark.parametrize(("attempt", "why"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_what_would_break_the_books_stops_and_changes_nothing(
    shop: Shop, attempt: Callable[[Ledger], object], why: str
) -> None:
    account = shop.account("100")
    request = shop.request(account)
    for leg in ("open", "posted", "voided"):
        shop.leg(leg, account, request, hold="2.00")
    shop.stores.ledger.settle("posted", 100 * CENT)
    shop.stores.ledger.void("voided")
    before = shop.rows()
    with pytest.raises(InvariantBroken, match=why):
        attempt(shop.stores.ledger)
    assert shop.rows() == before


def test_a_top_up_happens_once_per_key(shop: Shop) -> None:
    account = shop.account("100", funds="0")
    ledger = shop.stores.ledger
    assert ledger.top_up(account.book_id, 500 * CENT, key="receipt-1", note="cash") is True
    assert ledger.top_up(account.book_id, 500 * CENT, key="receipt-1") is False
    assert ledger.top_up(account.book_id, 500 * CENT, key="receipt-2") is True
    assert shop.money(account) == (1000, 0)


@pytest.mark.parametrize("amount", [0, -1, AMOUNT_LIMIT_MICROS + 1])
def test_a_top_up_of_nothing_or_too_much_is_refused(shop: Shop, amount: int) -> None:
    account = shop.account("100")
    before = shop.rows()
    with pytest.raises(InvalidInput, match=r"more than 0 and at most 1000000000$"):
        shop.stores.ledger.top_up(account.book_id, amount, key="k")
    assert shop.rows() == before


def test_what_a_leg_holds_is_known_until_it_is_closed(shop: Shop) -> None:
    account = shop.account()
    assert shop.stores.ledger.held_micros("b1") == 0
    shop.leg("b1", account, shop.request(account), hold="3.00")
    assert shop.stores.ledger.held_micros("b1") == 300 * CENT
    shop.stores.ledger.settle("b1", 100 * CENT)
    assert shop.stores.ledger.held_micros("b1") == 0


def test_a_charge_that_was_all_the_houses_loss_can_be_reversed(shop: Shop) -> None:
    """The account has no entry in it, so nothing of it moves."""
    who = shop.account("100", funds="1.00")
    shop.leg("b1", who, shop.request(who), hold="0")
    assert shop.stores.ledger.settle("b1", 5 * CENT) == Settlement(0, 5 * CENT)
    before = verify(shop.stores.database, shop.stores.tariffs)
    shop.stores.ledger.reverse(shop.rows()["Transfer"][-1]["id"], reason="because", operator="anna")
    assert shop.money(who) == (100, 0)
    assert verify(shop.stores.database, shop.stores.tariffs) == before


def test_a_credit_limit_covers_what_is_spent_and_held(shop: Shop) -> None:
    account, ledger = shop.account("100", funds="1.00", credit_limit_micros=500 * CENT), shop.stores.ledger
    assert shop.leg("b1", account, shop.request(account), hold="4.00")
    with pytest.raises(InvalidInput, match="already used more"):
        ledger.set_credit_limit(account.book_id, 300 * CENT - 1)
    ledger.set_credit_limit(account.book_id, 300 * CENT)


def test_an_adjustment_may_use_credit_to_its_limit(shop: Shop) -> None:
    account, ledger = shop.account("100", funds="1.00", credit_limit_micros=500 * CENT), shop.stores.ledger
    assert ledger.adjust(account.book_id, -600 * CENT, key="1", reason="a charge by hand", operator="ann")
    assert shop.money(account) == (-500, 0)
    with pytest.raises(InvalidInput, match="insufficient funds"):
        ledger.adjust(account.book_id, -1, key="2", reason="a charge by hand", operator="ann")


def test_a_new_book_is_empty_and_a_micro_can_be_paid_in(shop: Shop) -> None:
    ledger = shop.stores.ledger
    book_id = ledger.open_book("new", "USD")
    assert ledger.funds_micros(book_id) == 0
    assert ledger.top_up(book_id, 1, key="1")
    assert ledger.funds_micros(book_id) == 1


def test_the_largest_amounts(shop: Shop) -> None:
    account, ledger = shop.account("100", funds="0"), shop.stores.ledger
    assert ledger.top_up(account.book_id, AMOUNT_LIMIT_MICROS, key="1")
    assert ledger.adjust(account.book_id, -AMOUNT_LIMIT_MICROS, key="2", reason="back", operator="ann")
    assert shop.money(account) == (0, 0)
    ledger.set_credit_limit(account.book_id, AMOUNT_LIMIT_MICROS)
    ledger.set_daily_cap(account.book_id, AMOUNT_LIMIT_MICROS)
    for change in (ledger.set_credit_limit, ledger.set_daily_cap):
        change(account.book_id, 0)
        for amount in (-1, AMOUNT_LIMIT_MICROS + 1):
            with pytest.raises(InvalidInput, match="the amount must be 0 to"):
                change(account.book_id, amount)


def test_what_two_legs_may_spend_is_what_is_free_and_what_is_held_for_them(shop: Shop) -> None:
    account, ledger = shop.account("100", funds="10.00"), shop.stores.ledger
    request = shop.request(account)
    for leg, hold in (("a1", "1.00"), ("b1", "2.00"), ("b2", "4.00")):
        assert shop.leg(leg, account, request, hold=hold)
    assert ledger.funds_micros(account.book_id) == 300 * CENT
    assert ledger.funds_micros(account.book_id, "b1") == 500 * CENT
    assert ledger.funds_micros(account.book_id, "a1", "b1") == 600 * CENT
    shop.stores.accounts.change("100", daily_cap_micros=800 * CENT)
    assert ledger.funds_micros(account.book_id, "a1", "b1") == 400 * CENT, (
        "8.00 less 7.00 held, and 3.00 of it"
    )


def test_the_cap_limits_only_when_it_leaves_less_than_the_funds(shop: Shop) -> None:
    account, ledger = shop.account("100", funds="10.00"), shop.stores.ledger
    assert not ledger.capped(account.book_id)
    for cap, capped in ((1001, False), (1000, False), (999, True)):
        shop.stores.accounts.change("100", daily_cap_micros=cap * CENT)
        assert ledger.capped(account.book_id) == capped


def test_a_free_leg_needs_no_funds_even_above_the_cap(shop: Shop) -> None:
    account = shop.account("100", funds="10.00")
    request = shop.request(account)
    assert shop.leg("b1", account, request, hold="2.00")
    shop.stores.accounts.change("100", daily_cap_micros=100 * CENT)
    assert not shop.leg("b2", account, request, hold="0.01")
    assert shop.leg("b2", account, request, hold="0.00")


@pytest.mark.parametrize(
    "look",
    [
        lambda ledger, book_id: ledger.held_micros("b1"),
        lambda ledger, book_id: ledger.funds_micros(book_id, "b1"),
        lambda ledger, book_id: ledger.statement(book_id, 10),
    ],
    ids=["held", "funds", "statement"],
)
def test_what_is_read_while_the_database_hiccups_is_read_again(
    shop: Shop, look: Callable[[Ledger, int], object]
) -> None:
    account, ledger = shop.account("100", funds="10.00"), shop.stores.ledger
    assert shop.leg("b1", account, shop.request(account), hold="2.00")
    expected = look(ledger, account.book_id)
    moments: list[Moment] = ["statement"]
    with hiccups(shop.stores.database, lambda asked: moments.pop() if moments and asked == "read" else None):
        assert look(ledger, account.book_id) == expected
    assert moments == []


def test_a_balance_that_the_database_cannot_keep_is_refused(shop: Shop) -> None:
    """Nine million millions are far from what a 64 bit number has, so that a credit limit can be added to them."""
    who, ledger = shop.account("100", funds="0"), shop.stores.ledger
    # As 9000 of the largest top-ups would, which take ten seconds.
    assert ledger._pay_in("cash", who.book_id, 9000 * AMOUNT_LIMIT_MICROS, "topup:k", "topup", "", "")
    for once in (
        partial(ledger.top_up, who.book_id, 1, key="more"),
        partial(ledger.adjust, who.book_id, 1, key="more", reason="more", operator=""),
    ):
        with pytest.raises(InvalidInput, match="the balance would be more than 9000000000000"):
            once()
    assert shop.stores.accounts.get(who.id).balance_micros == 9000 * AMOUNT_LIMIT_MICROS
    assert verify(shop.stores.database, shop.stores.tariffs) == []
    ledger.adjust(who.book_id, -1, key="less", reason="less", operator="")
    assert ledger.top_up(who.book_id, 1, key="again")
