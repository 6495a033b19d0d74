"""The totals that reports read are those of the call records, at any time, in any time zone, however far they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop import NOON_US, Shop, open_shop
from test_reports import CALLS, HOUR_US, Calls

from stasis_callback.admin.calls.reports import days
from stasis_callback.admin.days import day_start_us
from stasis_callback.clock import US_PER_S
from stasis_callback.store.audit import verify
from stasis_callback.store.calls import ranking, sums
from stasis_callback.store.calls.pseudonyms import pseudonymise
from stasis_callback.store.calls.reports import GROUPS, OTHERS, CallsFilter, CallsLine, ReportTooLong
from stasis_callback.store.calls.tables import CallClass, TotalOfAccount
from stasis_callback.store.calls.times import BLOCK_US, LEVELS, pieces
from stasis_callback.store.calls.totals import XDRS_AT_ONCE

ZONES = ("UTC", "Europe/Prague", "America/St_Johns", "Asia/Kathmandu", "Pacific/Chatham")
FILTERS: tuple[dict[str, str], ...] = (
    {}, {"trunk": "first"}, {"prefix": "44"}, {"prefix": "4"}, {"prefix": "4420"}, {"prefix": "442071"},
    {"prefix": "49151"}, {"account": "200"}, {"prefix": "44", "trunk": "second"},
    {"prefix": "4420", "trunk": "first"},
    {"prefix": "4420", "account": "100"}, {"account": "100", "trunk": "first"}, {"account": "100", "prefix": "49"},
    {"trunk": "nothing of that name"},
)  # fmt: skip

_, COLUMN = ranking.places(NOON_US // BLOCK_US * BLOCK_US)[0]
"""That of the block in which it is noon."""
NUMBERS = ("442071234567", "4915112345", "44207123", "442080000000", "44")
"""Of two rates; in full, and shorter, so that fewer digits stay when they are forgotten."""


@pytest.fixture
def made(shop: Shop) -> Calls:
    return Calls(shop)


@given(st.integers(0, 10**16), st.integers(0, 3000 * HOUR_US))
def test_a_time_is_cut_into_pieces_that_follow_one_another(from_us: int, length_us: int) -> None:
    found = list(pieces(from_us, from_us + length_us))
    ends = [from_us, *(piece.to_us for piece in found)]
    assert [piece.from_us for piece in found] == ends[:-1]
    assert ends[-1] == from_us + length_us
    assert all(piece.from_us % (piece.hours * HOUR_US) == 0 for piece in found if piece.hours)
    assert sum(piece.to_us - piece.from_us for piece in found if not piece.hours) < 2 * HOUR_US
    assert len(found) <= 2 * len(LEVELS) + 1


def without_totals(made: Calls, ask: Callable[[], list[CallsLine]]) -> list[CallsLine]:
    """What a report says that reads the call records alone."""
    before = made.shop.stores.totals._until()
    made.shop.sql("UPDATE totals_until SET xdr_id = 0")
    try:
        return ask()
    finally:
        made.shop.sql(f"UPDATE totals_until SET xdr_id = {before}")


@settings(max_examples=15)  # each has a database of its own
@given(
    calls=CALLS, later=CALLS, zone=st.sampled_from(ZONES), only=st.sampled_from(FILTERS), few=st.booleans(),
    days_before=st.integers(0, 80),
)  # fmt: skip
def test_a_report_is_the_same_with_totals_and_without(
    calls: list[dict[str, Any]],
    later: list[dict[str, Any]],
    zone: str,
    only: dict[str, str],
    few: bool,
    days_before: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "FEW_XDRS", 5000 if few else 0)
        made = Calls(shop)
        for n, call in enumerate(calls):
            ended_us = call["ended_us"] - n % 3 * days_before * 24 * HOUR_US
            made.call(**call | {"ended_us": ended_us, "number": NUMBERS[n % len(NUMBERS)]})
        shop.stores.totals.catch_up()
        for call in later:
            made.call(**call)
        spans = days("2026-10-20", "2027-01-16", zone)
        for by in GROUPS:

            def ask(by: str = by, limit: int | None = None, groups: Sequence[str] = ()) -> list[CallsLine]:
                return shop.stores.reports.calls(by, spans, CallsFilter(**only), limit, groups)

            said = ask()
            assert said == without_totals(made, ask), by
            of_one = ask(limit=1) if by != "day" else []
            assert not of_one or of_one[:1] == said[:1]
            of_named = ask(groups=[said[-1].group, "no such"]) if said and by != "day" else []
            assert not of_named or of_named[0] == said[-1]
            for some in filter(None, (of_one, of_named)):
                assert sum(line.amount_micros for line in some) == sum(line.amount_micros for line in said)
        assert verify(shop.stores.database, shop.stores.tariffs, whole=True) is not None


@given(st.integers(0, 10**16), st.integers(0, 3000 * 24 * HOUR_US))
def test_a_long_time_is_whole_blocks_and_what_it_has_more_or_less(from_us: int, length_us: int) -> None:
    to_us = from_us + length_us
    time = ranking.ranked_time(from_us, to_us)
    if time is None:
        assert length_us < (ranking.LEAST_BLOCKS + 1) * BLOCK_US
        return
    blocks = [
        row_us + ranking.COLUMNS.index(name) * BLOCK_US for row_us, columns in time.rows for name in columns
    ]
    assert blocks == list(range(blocks[0], blocks[-1] + 1, BLOCK_US))
    whole_us = len(blocks) * BLOCK_US
    assert whole_us + length(time.more) - length(time.less) == length_us
    assert length(time.more) + length(time.less) <= BLOCK_US
    for begin_us, end_us in (*time.more, *time.less):
        assert any(row_us <= begin_us and end_us <= row_us + 24 * BLOCK_US for row_us, _ in time.rows)
    for block_us in blocks:
        assert any(
            (row_us, name) in ranking.places(block_us) for row_us, names in time.rows for name in names
        )
    assert length_us > 385 * 24 * HOUR_US or len(time.rows) == 1


def length(times: Sequence[tuple[int, int]]) -> int:
    return sum(end_us - begin_us for begin_us, end_us in times)


PAID = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 1200 * 24), st.integers(0, 3)), min_size=1, max_size=60
)
"""Calls: of which account, how many hours ago, and what it paid."""


@settings(max_examples=25)
@given(
    paid=PAID, later=PAID, zone=st.sampled_from(ZONES), first=st.integers(0, 900), length_days=st.integers(64, 1300),
    limit=st.integers(1, 4),
)  # fmt: skip
def test_those_with_the_greatest_revenue_of_a_long_time_are_the_same_with_totals_and_without(
    paid: list[tuple[int, int, int]], later: list[tuple[int, int, int]], zone: str, first: int, length_days: int,
    limit: int, tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        made = Calls(shop)
        for n in range(9):
            shop.account(f"30{n}")

        def call(some: list[tuple[int, int, int]]) -> None:
            for account, hours, amount in some:
                made.call(f"30{account}", talked_s=1, amount=amount, ended_us=NOON_US - hours * HOUR_US)

        call(paid)
        shop.stores.totals.catch_up()
        call(later)  # some of them in days long ago
        end = datetime.fromtimestamp(NOON_US / US_PER_S, UTC).date() - timedelta(days=max(first - 300, 0))
        spans = days(str(end - timedelta(days=length_days)), str(end), zone)

        def ask(limit: int | None = None) -> list[CallsLine]:
            return shop.stores.reports.calls("account", spans, limit=limit)

        for added in (False, True):
            if added:
                shop.stores.totals.catch_up()
            said, of_all = ask(limit), without_totals(made, ask)
            shown = [line for line in said if line.group != OTHERS]
            # Of those that paid the same, whichever.
            assert [line.revenue_micros for line in shown] == [line.revenue_micros for line in of_all[:limit]]
            assert all(line in of_all for line in shown)
            assert sum(line.amount_micros for line in said) == sum(line.amount_micros for line in of_all)
            assert sum(line.attempts for line in said) == sum(line.attempts for line in of_all)
        assert [sentence for sentence in wrong(made) if sentence.startswith("reports")] == []


@pytest.mark.parametrize("days_later", range(0, 33, 4))
@pytest.mark.parametrize("counted", [True, False])
def test_what_was_paid_just_beside_a_long_time_ranks_nobody(
    made: Calls, days_later: int, counted: bool
) -> None:
    """Wherever in a block of totals the time begins and ends."""
    first, last = (
        date(2026, 1, 1) + timedelta(days=days_later),
        date(2026, 11, 1) + timedelta(days=2 * days_later),
    )
    zone = ZoneInfo("Europe/Prague")
    begin_us, end_us = day_start_us(first, zone), day_start_us(last + timedelta(days=1), zone)
    paid = {
        "300": begin_us - 1,
        "301": begin_us,
        "302": end_us - 1,
        "303": end_us,
        "304": (begin_us + end_us) // 2,
    }
    for n, (account, at_us) in enumerate(paid.items()):
        made.shop.account(account)
        made.call(account, talked_s=1, amount=1000 - n, ended_us=at_us)
    if counted:
        made.shop.stores.totals.catch_up()
    spans = days(str(first), str(last), str(zone))
    for limit, shown in enumerate((["301"], ["301", "302"], ["301", "302", "304"]), start=1):
        said = made.shop.stores.reports.calls("account", spans, limit=limit)
        assert [line.group for line in said if line.group != OTHERS] == shown
        assert sum(line.amount_micros for line in said) == 999 + 998 + 996


def wrong(made: Calls) -> list[str]:
    return list(verify(made.shop.stores.database, made.shop.stores.tariffs, whole=True))


@pytest.mark.parametrize("prefix", ["4", "44", "442", "4420", "44207", "442071", "49", "491", "1"])
@pytest.mark.parametrize("before", [True, False])
def test_of_a_number_that_is_forgotten_the_same_digits_count(made: Calls, prefix: str, before: bool) -> None:
    """Whether it is forgotten before its call record is in the totals, or after that."""
    for n, number in enumerate(NUMBERS * 3):
        made.call(number=number, talked_s=60, amount=10**n, ended_us=NOON_US - n * 24 * HOUR_US)
    made.call(number="442071999999", prefix="442071", talked_s=60, amount=5)
    spans = days("2026-12-01", "2027-01-16", "UTC")
    known = {by: made.report(by, spans, prefix=prefix) for by in GROUPS}
    if not before:
        made.shop.stores.totals.catch_up()
        assert {by: made.report(by, spans, prefix=prefix) for by in GROUPS} == known
    list(pseudonymise(made.shop.stores.database, NOON_US + 1))
    made.shop.stores.totals.catch_up()
    assert [sentence for sentence in wrong(made) if sentence.startswith("reports")] == []
    kept = {by: made.report(by, spans, prefix=prefix) for by in GROUPS}
    assert kept == {by: without_totals(made, partial(made.report, by, spans, prefix=prefix)) for by in GROUPS}
    if len(prefix) <= 2:
        assert kept == known


@pytest.mark.parametrize("few", [True, False])
def test_numbers_that_begin_with_more_digits_than_the_totals_have_are_read_themselves(
    made: Calls, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "FEW_NUMBERS", 5000 if few else 0)
    for n, number in enumerate(NUMBERS * 2):
        made.call(number=number, talked_s=60, amount=10**n)
    made.shop.stores.totals.catch_up()
    made.call(number="442071234567", talked_s=60, amount=1)
    for by in GROUPS:
        spans = days("2027-01-14", "2027-01-16", "UTC")
        (line,) = made.report(by, spans, prefix="4420712345")
        assert (line.attempts, line.amount_micros) == (3, 100_002), by
        assert made.report(by, spans, prefix="4420799") == []


def test_a_call_that_ended_long_ago_is_counted_in_the_hour_it_ended_in(made: Calls) -> None:
    made.call(talked_s=60, amount=600_000)
    made.shop.stores.totals.catch_up()
    made.call(talked_s=60, amount=600_000, ended_us=NOON_US - 100 * HOUR_US)
    made.shop.stores.totals.catch_up()
    assert made.shop.stores.totals.behind() == 0
    spans = days("2027-01-01", "2027-01-20", "UTC")
    assert [(line.group, line.amount_micros) for line in made.report("day", spans)] == [
        ("2027-01-11", 600_000),
        ("2027-01-15", 600_000),
    ]


def test_those_that_a_limit_leaves_out_are_one_line(made: Calls) -> None:
    for n in range(5):
        made.shop.account(f"30{n}")
        made.call(f"30{n}", talked_s=10, amount=100 * (n + 1), cost=n)
    made.shop.stores.totals.catch_up()
    made.call("300", talked_s=10, amount=1000)
    lines = made.shop.stores.reports.calls("account", days("2027-01-14", "2027-01-16", "UTC"), limit=2)
    assert [(line.group, line.attempts, line.amount_micros, line.cost_micros) for line in lines] == [
        ("300", 2, 1100, 0),
        ("304", 1, 500, 4),
        (OTHERS, 3, 900, 6),
    ]


def test_named_groups_are_lines_and_all_others_are_one(made: Calls) -> None:
    for n in range(4):
        made.shop.account(f"30{n}")
        made.call(f"30{n}", talked_s=10, amount=100 * (n + 1))
    made.shop.stores.totals.catch_up()
    made.call("100", talked_s=10, amount=5)
    spans = days("2027-01-14", "2027-01-16", "UTC")

    def said(by: str, *groups: str) -> list[tuple[str, int]]:
        lines = made.shop.stores.reports.calls(by, spans, groups=groups)
        return [(line.group, line.amount_micros) for line in lines]

    assert said("account", "301", "100", "nobody") == [("301", 200), ("100", 5), (OTHERS, 800)]
    assert said("account", "nobody") == [(OTHERS, 1005)]
    assert said("trunk", "first") == [("first", 1005)]
    assert said("trunk", "second") == [(OTHERS, 1005)]


@pytest.mark.parametrize(
    ("of",                                                         "totals", "xdrs"),
    [
        ({"by": "account"},                                        4,        0),  # one row of each for the whole year
        ({"by": "account", "only": {"trunk": "first"}},            8,        0),  # by class
        ({"by": "account", "only": {"trunk": "first"}, "names": ("300",)}, 0, 0),
        ({"by": "trunk"},                                          0,        0),  # they are few
        ({"by": "day"},                                            0,        0),
        ({"by": "day", "only": {"prefix": "4420712345"}},          0,        8),  # only they have so many digits
        ({"by": "account", "only": {"prefix": "4420712345"}},      0,        8),
        ({"by": "prefix", "only": {"account": "300"}},             0,        2),  # by their index
    ],
)  # fmt: skip
def test_a_report_is_long_where_more_totals_or_call_records_are_read(
    made: Calls, of: dict[str, Any], totals: int, xdrs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four accounts with two calls each, to two prefixes, in one day of a year."""
    for n in range(8):
        if n < 4:
            made.shop.account(f"30{n}")
        made.call(f"30{n % 4}", talked_s=10, amount=5, number=NUMBERS[n // 4])
    monkeypatch.setattr(sums, "FEW_NUMBERS", 0)
    year = days("2026-02-01", "2027-01-31", "UTC")

    def is_long(totals: int, xdrs: int) -> bool:
        monkeypatch.setattr(sums, "MANY_TOTALS", totals)
        monkeypatch.setattr(sums, "MANY_XDRS", xdrs)
        only = CallsFilter(**of.get("only", {}))
        try:
            made.shop.stores.reports.calls(of["by"], year, only, None, of.get("names", ()), waits=True)
        except ReportTooLong:
            return True
        return False

    assert is_long(8, 1 if "account" in of.get("only", {}) else 7)  # nothing is counted yet
    made.shop.stores.totals.catch_up()
    assert not is_long(totals, xdrs)
    assert not totals or is_long(totals - 1, xdrs)
    assert not xdrs or is_long(totals, xdrs - 1)


def test_a_class_of_calls_has_one_number_however_often_it_comes(made: Calls) -> None:
    for _ in range(3):
        for trunk in ("first", "second", ""):
            made.call(trunk=trunk, talked_s=60, amount=600_000)
        made.shop.stores.totals.catch_up()
    with made.shop.stores.database.reading():
        found = [(row.id, row.prefix, row.trunk_id) for row in CallClass.select().order_by(CallClass.id)]
    assert [number for number, *_ in found] == [1, 2, 3]
    assert len({trunk_id for *_, trunk_id in found}) == 3


def test_many_call_records_are_added_some_at_a_time_and_each_once(made: Calls) -> None:
    for n in range(XDRS_AT_ONCE + 10):
        made.call(talked_s=1, amount=1, ended_us=NOON_US + n * US_PER_S)
    steps = iter((True, True, False))
    assert made.shop.stores.totals.catch_up(goes_on=lambda: next(steps, False)) in (0, XDRS_AT_ONCE)
    assert made.report("account")[0].amount_micros == XDRS_AT_ONCE + 10
    made.shop.stores.totals.catch_up()
    made.shop.stores.totals.catch_up()
    assert made.report("account")[0].amount_micros == XDRS_AT_ONCE + 10
    with made.shop.stores.database.reading():
        assert sum(row.attempts for row in TotalOfAccount.select()) == (XDRS_AT_ONCE + 10) * len(LEVELS[:-1])


def test_totals_are_made_anew_from_the_call_records(made: Calls) -> None:
    made.call(talked_s=60, amount=600_000)
    made.shop.stores.totals.catch_up()
    made.shop.sql("UPDATE total_of_account SET amount_micros = 5")
    assert made.report("account", days("2027-01-14", "2027-01-16", "UTC"))[0].amount_micros == 5
    made.shop.stores.totals.recount()
    assert made.report("account", days("2027-01-14", "2027-01-16", "UTC"))[0].amount_micros == 600_000
    made.shop.stores.totals.catch_up()
    assert made.report("account", days("2027-01-14", "2027-01-16", "UTC"))[0].amount_micros == 600_000
    assert made.shop.stores.totals.behind() == 0


@pytest.mark.parametrize(
    ("table", "change", "why"),
    [
        (
            "total_of_customer",
            "SET amount_micros = amount_micros + 1 WHERE hours = 24",
            "reports of 2027-01-15",
        ),
        ("total_of_account", "SET attempts = 7 WHERE hours = 24", "reports of 2027-01-15"),
        ("total_of_account", "SET class_id = 7 WHERE hours = 768", "reports of the 32 days from 2027-01-14"),
        ("total_of_account", "SET class_id = 7", "reports of 2027-01-15"),
        ("total", "SET attempts = 7 WHERE hours = 768", "reports of the 32 days from 2027-01-14"),
        ("total_of_digits", "SET first_digits = '44' WHERE hours = 1", "reports of 2027-01-15"),
        ("account_revenue", f"SET {COLUMN} = {COLUMN} + 1", "reports of the 32 days from 2027-01-14"),
        ("account_revenue", f"SET {COLUMN} = NULL", "reports of the 32 days from 2027-01-14"),
        ("total_of_trunk", "SET from_us = from_us + 86400000000 WHERE hours = 1", "reports of 2027-01-16"),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_totals_that_differ_from_the_call_records_are_found(
    made: Calls, table: str, change: str, why: str, whole: bool
) -> None:
    def said() -> list[str]:
        found = verify(made.shop.stores.database, made.shop.stores.tariffs, whole=whole)
        return [sentence for sentence in found if sentence.startswith("reports of")]

    made.call(talked_s=60, amount=600_000)
    made.call(talked_s=60, amount=600_000, ended_us=NOON_US + 3 * HOUR_US)
    made.shop.stores.totals.catch_up()
    made.call(talked_s=60, amount=600_000)
    assert said() == []
    made.shop.sql(f"UPDATE {table} {change}")
    found = said()
    assert why in " ".join(found)
    assert all(table in sentence for sentence in found)
    made.shop.stores.totals.recount()
    made.shop.stores.totals.catch_up()
    assert said() == []
