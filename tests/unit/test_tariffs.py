"""Tariffs: the longest prefix wins, versions stay, imports are all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from shop import UK_RATE, SetClock, Shop

from stasis_callback.clock import US_PER_S, wait_until
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.rating import Rate, Terms
from stasis_callback.store.database.drafts import Draft, drafting
from stasis_callback.store.database.pace import ROWS_AT_ONCE
from stasis_callback.store.rates.book import RateView
from stasis_callback.store.rates.tables import RateRow, Tariff
from stasis_callback.store.rates.tariffs import ImportDiff, NewRate, Tariffs


def priced(prefix: str, price: int = 1, **values: Any) -> NewRate:
    return NewRate(Rate(prefix, first_price_micros=price, next_price_micros=price, **values), f"to {prefix}")


@pytest.fixture
def world_tariff(shop: Shop) -> int:
    """The world without 4420 (London costs more) and 447 (mobiles are forbidden but for 44777)."""
    shop.stores.tariffs.put_rates(
        "standard",
        [
            priced("1"),
            priced("4420", 2),
            priced("447", forbidden=True),
            priced("44777", 3),
            priced("123456789012345", 4),
        ],
    )
    return shop.account().tariff_id


@pytest.mark.parametrize(
    ("number",              "prefix"),
    [
        ("441611234567",        "44"),
        ("442071234567",        "4420"),
        ("447012345678",        None),        # forbidden, though 44 is not
        ("447771234567",        "44777"),
        ("12125551234",         "1"),
        ("123456789012345",     "123456789012345"),
        ("1234567890123456789", "123456789012345"),
        ("12345678901234",      "1"),
        ("44",                  "44"),
        ("4",                   None),
        ("420212345678",        None),        # not in the tariff: never dialled
        ("",                    None),
        ("0044",                None),
        ("+44",                 None),
        ("44' OR '1'='1",       "44"),
    ],
)  # fmt: skip
def test_the_longest_prefix_wins(shop: Shop, world_tariff: int, number: str, prefix: str | None) -> None:
    found = shop.stores.tariffs.match(world_tariff, number)
    assert (found.rate.prefix if found else None) == prefix


def test_another_tariff_has_nothing_to_say(shop: Shop, world_tariff: int) -> None:
    shop.stores.tariffs.add("empty", "USD")
    assert shop.stores.tariffs.match(world_tariff + 1, "442071234567") is None


def test_a_new_price_counts_for_new_calls_only(shop: Shop) -> None:
    tariff = shop.account().tariff_id
    old = shop.stores.tariffs.match(tariff, "442071234567")
    shop.clock.passes(60)
    shop.stores.tariffs.put_rates("standard", [priced("44", 5)])
    new = shop.stores.tariffs.match(tariff, "442071234567")
    assert old is not None
    assert new is not None
    assert (old.rate, new.rate.next_price_micros) == (UK_RATE, 5)
    assert shop.stores.tariffs.version(old.id, old.terms_id) == old
    assert shop.stores.tariffs.version(new.id, new.terms_id) == new
    assert shop.stores.tariffs.rates("standard") == [new]


def told(diff: ImportDiff) -> tuple[list[str], list[str], list[str], int]:
    """The prefixes added, changed and removed, and how many stay."""
    added, changed, removed = ([c.prefix for c in part] for part in (diff.added, diff.changed, diff.removed))
    return added, changed, removed, diff.same


def test_an_import_says_what_is_different(shop: Shop) -> None:
    put = shop.stores.tariffs.put_rates
    new = [NewRate(UK_RATE), priced("1"), priced("420")]
    assert told(put("standard", new)) == (["1", "420"], [], [], 1)
    assert told(put("standard", new)) == ([], [], [], 3)
    newer = [NewRate(UK_RATE, "now with a name"), priced("1", 9), priced("49")]
    diff = put("standard", newer)
    assert told(diff) == (["49"], ["1", "44"], [], 0)
    assert diff.changed[1].old == NewRate(UK_RATE)
    gone = [replace(new, rate=replace(new.rate, discontinued=True)) for new in (priced("49"), priced("7"))]
    assert told(put("standard", gone, dry_run=True)) == ([], [], ["49"], 1)
    assert [view.rate.prefix for view in shop.stores.tariffs.rates("standard")] == ["1", "420", "44", "49"]
    assert shop.stores.tariffs.all() == [{"name": "standard", "currency": "USD", "rates": 4}]


def test_a_dry_run_says_the_same_and_changes_nothing(shop: Shop) -> None:
    before = shop.rows()
    diff = shop.stores.tariffs.put_rates("standard", [priced("44"), priced("1")], dry_run=True)
    assert told(diff) == (["1"], ["44"], [], 0)
    assert shop.rows() == before


def test_a_large_import_reports_each_rate_and_is_complete(shop: Shop) -> None:
    done: list[int] = []
    shop.stores.tariffs.put_rates(
        "standard", [priced(str(n)) for n in range(1000, 2501)], progress=done.append
    )
    assert done == list(range(1, 1502))
    shop.stores.tariffs.put_rates("standard", [priced(str(n), 2) for n in range(1000, 2501)])
    rates = shop.stores.tariffs.rates("standard")
    assert len(rates) == 1502
    assert {view.rate.next_price_micros for view in rates if view.rate != UK_RATE} == {2}


def test_an_import_that_fails_half_way_leaves_everything_as_it_was(shop: Shop) -> None:
    def cancelled(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    before = shop.rows()
    with pytest.raises(KeyboardInterrupt):
        shop.stores.tariffs.put_rates(
            "standard", [priced("44"), priced("1"), priced("2")], progress=cancelled
        )
    with pytest.raises(InvalidInput, match="prefix 1 is given twice"):
        shop.stores.tariffs.put_rates("standard", [priced("44"), priced("1"), priced("1")])
    with pytest.raises(InvalidInput, match="unknown tariff 'none'"):
        shop.stores.tariffs.put_rates("none", [priced("1")])
    assert shop.rows() == before


def test_a_rate_taken_out_is_gone_for_new_calls_and_kept_for_old_ones(shop: Shop) -> None:
    tariff = shop.account().tariff_id
    old = shop.stores.tariffs.match(tariff, "442071234567")
    assert old is not None
    shop.stores.tariffs.remove_rate("standard", "44")
    assert shop.stores.tariffs.match(tariff, "442071234567") is None
    assert shop.stores.tariffs.version(old.id, old.terms_id).rate == UK_RATE
    with pytest.raises(InvalidInput, match="has no rate for prefix '44'"):
        shop.stores.tariffs.remove_rate("standard", "44")
    shop.stores.tariffs.put_rates("standard", [NewRate(UK_RATE)])
    assert shop.stores.tariffs.match(tariff, "442071234567") is not None


DAY_US = 86_400 * US_PER_S


def price_of(shop: Shop, number: str) -> int | None:
    """The price a call to `number` would be rated by now."""
    view = shop.stores.tariffs.match(1, number)
    return view.rate.next_price_micros if view else None


def test_a_price_that_begins_later_counts_from_its_time_on(shop: Shop) -> None:
    tomorrow_us = shop.clock.now_us() + DAY_US
    new = [replace(priced("44", 7), from_us=tomorrow_us), replace(priced("1", 8), from_us=tomorrow_us)]
    assert told(shop.stores.tariffs.put_rates("standard", new)) == (["1"], ["44"], [], 0)
    assert (price_of(shop, "441"), price_of(shop, "112")) == (UK_RATE.next_price_micros, None)
    assert [view.rate.prefix for view in shop.stores.tariffs.scheduled("standard")] == ["1", "44"]
    shop.clock.passes(86_400 - 0.000001)
    assert (price_of(shop, "441"), price_of(shop, "112")) == (UK_RATE.next_price_micros, None)
    shop.clock.passes(0.000001)
    assert (price_of(shop, "441"), price_of(shop, "112")) == (7, 8)
    assert shop.stores.tariffs.scheduled("standard") == []
    assert [v.rate.next_price_micros for v in shop.stores.tariffs.rates("standard")] == [8, 7]


def test_a_price_given_after_another_was_scheduled_ends_when_that_one_begins(shop: Shop) -> None:
    shop.stores.tariffs.put_rates("standard", [replace(priced("1", 7), from_us=shop.clock.now_us() + DAY_US)])
    shop.stores.tariffs.put_rates("standard", [priced("1", 3)])
    assert price_of(shop, "112") == 3
    shop.clock.passes(86_400)
    fresh = Tariffs(shop.stores.database, shop.clock, shop.stores.accounts.tariffs_sold).match(1, "112")
    assert fresh is not None
    assert (fresh.rate.next_price_micros, price_of(shop, "112")) == (7, 7)


def test_a_change_committed_after_a_later_price_began_does_not_hide_it(shop: Shop) -> None:
    """An import of a minute is read after its end by a process that has read the tariff meanwhile."""
    begun_us = shop.clock.now_us()
    shop.stores.tariffs.put_rates("standard", [replace(priced("1", 7), from_us=begun_us + 10 * US_PER_S)])
    shop.clock.passes(20)
    theirs = Tariffs(shop.stores.database, shop.clock, shop.stores.accounts.tariffs_sold)
    assert theirs.match(1, "112") is not None
    shop.clock.at_us = begun_us + 5 * US_PER_S
    shop.stores.tariffs.put_rates("standard", [priced("1", 3), priced("2", 4)])
    shop.clock.passes(15)
    assert wait_until(lambda: theirs.match(1, "212") is not None, timeout_s=2.0)
    found = theirs.match(1, "112")
    assert found is not None
    assert found.rate.next_price_micros == 7


def test_a_rate_can_be_discontinued_at_a_later_time_and_then_the_shorter_prefix_counts(shop: Shop) -> None:
    shop.stores.tariffs.put_rates("standard", [priced("447", 3)])
    shop.stores.tariffs.remove_rate("standard", "447", shop.clock.now_us() + DAY_US)
    assert price_of(shop, "4477") == 3
    shop.clock.passes(86_400)
    assert price_of(shop, "4477") == UK_RATE.next_price_micros
    forbidden = NewRate(Rate("447", forbidden=True))
    shop.stores.tariffs.put_rates("standard", [forbidden])
    assert price_of(shop, "4477") is None  # a forbidden one stops the search


def test_a_time_in_the_past_means_at_once(shop: Shop) -> None:
    past = replace(priced("1"), from_us=shop.clock.now_us() - 1)
    diff = shop.stores.tariffs.put_rates("standard", [past])
    assert [change.new for change in diff.added] == [priced("1")]
    [view] = [one for one in shop.stores.tariffs.rates("standard") if one.rate.prefix == "1"]
    assert view.from_us >= shop.clock.now_us()


def test_the_rates_as_if_nothing_had_changed_after_a_revision(shop: Shop) -> None:
    tariffs, tomorrow_us = shop.stores.tariffs, shop.clock.now_us() + DAY_US
    tariffs.put_rates("standard", [priced("1", 1), replace(priced("2", 2), from_us=tomorrow_us)])
    tariffs.put_rates("standard", [priced("1", 9)])
    tariffs.remove_rate("standard", "44")

    def prices(**when: int) -> dict[str, int]:
        return {v.rate.prefix: v.rate.next_price_micros for v in tariffs.rates("standard", **when)}

    assert prices(revision=4) == prices() == {"1": 9}
    assert prices(revision=3) == {"1": 9, "44": 600_000}
    assert prices(revision=2) == {"1": 1, "44": 600_000}
    assert prices(revision=2, at_us=tomorrow_us) == {"1": 1, "2": 2, "44": 600_000}
    assert prices(revision=0) == {}
    for number in (-1, 5):
        with pytest.raises(InvalidInput, match="has no revision"):
            tariffs.rates("standard", revision=number)


def test_a_change_can_be_taken_back_with_what_it_scheduled(shop: Shop) -> None:
    tariffs, tomorrow_us = shop.stores.tariffs, shop.clock.now_us() + DAY_US
    tariffs.put_rates("standard", [priced("1", 1), priced("2", 2)], note="spring list")
    tariffs.put_rates("standard", [replace(priced("2", 22), from_us=tomorrow_us)])
    before, before_later = tariffs.rates("standard"), tariffs.rates("standard", tomorrow_us)
    tariffs.put_rates("standard", [priced("1", 9), priced("3", 9)], note="a mistake")
    tariffs.put_rates("standard", [replace(priced("2", 99), from_us=tomorrow_us)], note="another")
    tariffs.remove_rate("standard", "44")
    rows = shop.rows()
    planned = tariffs.roll_back("standard", 3, dry_run=True)
    assert shop.rows() == rows
    assert tariffs.roll_back("standard", 3) == planned
    assert sorted(change.prefix for change in planned) == ["1", "2", "3", "44"]
    assert contents(tariffs.rates("standard")) == contents(before)
    assert contents(tariffs.rates("standard", tomorrow_us)) == contents(before_later)
    kinds = [(r.number, r.kind, r.note, r.rates) for r in tariffs.history("standard")]
    assert kinds[0] == (7, "roll back", "to revision 3", 4)
    assert kinds[-2:] == [(2, "import", "spring list", 2), (1, "import", "", 1)]
    for number in (7, 8, -1):
        with pytest.raises(InvalidInput, match="has no revision"):
            tariffs.roll_back("standard", number)


def test_what_was_scheduled_and_taken_back_never_comes(shop: Shop) -> None:
    """Not the scheduled price, and not the one in force at the time of the rollback either."""
    tariffs, tomorrow_us = shop.stores.tariffs, shop.clock.now_us() + DAY_US
    tariffs.put_rates("standard", [priced("1", 1), priced("2", 2)])
    listed = [priced("1", 11), priced("2", 22), priced("3", 33)]
    tariffs.put_rates("standard", [replace(one, from_us=tomorrow_us) for one in listed])
    tariffs.put_rates("standard", [replace(priced("1", 111), from_us=tomorrow_us + DAY_US)])
    tariffs.roll_back("standard", 2)
    assert tariffs.scheduled("standard") == []
    tariffs.put_rates("standard", [priced("1", 7), priced("3", 9)])
    tariffs.remove_rate("standard", "2")
    assert tariffs.scheduled("standard") == []
    for days in (0, 1, 2):
        found = contents(tariffs.rates("standard", shop.clock.now_us() + days * DAY_US))
        priced_now = {rate.prefix: rate.next_price_micros for rate, _ in found}
        assert (priced_now["1"], priced_now["3"], "2" in priced_now) == (7, 9, False)


def test_what_was_scheduled_on_purpose_stays_although_it_changes_nothing_meanwhile(shop: Shop) -> None:
    tariffs, tomorrow_us = shop.stores.tariffs, shop.clock.now_us() + DAY_US
    tariffs.put_rates("standard", [priced("1", 1)])
    tariffs.put_rates("standard", [replace(priced("1", 2), from_us=tomorrow_us)])
    for price in (2, 1):
        tariffs.put_rates("standard", [priced("1", price)])
        assert [view.rate.next_price_micros for view in tariffs.scheduled("standard")] == [2]
    shop.clock.passes(86_400)
    assert price_of(shop, "1123") == 2


def twice_the_same(shop: Shop) -> list[tuple[int, int]]:
    """A price that is scheduled, then the same one for an earlier day: the days and prices of both."""
    tariffs, days_us = shop.stores.tariffs, [shop.clock.now_us() + days * DAY_US for days in (14, 1)]
    tariffs.put_rates("standard", [priced("1", 1)])
    for from_us in days_us:
        tariffs.put_rates("standard", [replace(priced("1", 2), from_us=from_us)])
    assert coming(shop, "standard") == [(1, 2), (14, 2)]
    return [(1, 2), (14, 2)]


def coming(shop: Shop, tariff: str) -> list[tuple[int, int]]:
    """In how many days scheduled prices begin, and which they are."""
    found = shop.stores.tariffs.scheduled(tariff)
    return [
        ((view.from_us - shop.clock.now_us()) // DAY_US, view.rate.next_price_micros)
        for view in found
        if not view.rate.discontinued
    ]


@pytest.mark.parametrize("how", ["untouched", "copied", "rolled back", "rolled back to the copied"])
def test_a_price_scheduled_on_purpose_stays_in_a_copy_and_after_a_rollback(shop: Shop, how: str) -> None:
    """Although it equals the one that comes before it by now: if that is changed, it is a change again."""
    tariffs, name = shop.stores.tariffs, "standard"
    both = twice_the_same(shop)
    if how == "rolled back":
        tariffs.roll_back(name, 2)
        assert coming(shop, name) == []
        tariffs.roll_back(name, 4)
    elif how != "untouched":
        tariffs.copy(name, "second")
        name = "second"
    if how == "rolled back to the copied":
        tariffs.put_rates(name, [replace(priced("1", 3), from_us=shop.clock.now_us() + 14 * DAY_US)])
        tariffs.put_rates(name, [replace(priced("1", 2), from_us=shop.clock.now_us() + 14 * DAY_US)])
        assert coming(shop, name) == both[:1]  # that took it back
        tariffs.roll_back(name, 1)
        assert tariffs.roll_back(name, 1, dry_run=True) == ()
    assert coming(shop, name) == both
    tariffs.put_rates(name, [replace(priced("1", 9), from_us=shop.clock.now_us() + DAY_US)])
    assert coming(shop, name) == [(1, 9), (14, 2)]


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ([(14, 2), (1, 2)], [(1, 2), (14, 2)]),
        ([(14, 2), (14, 1)], []),  # that took it back
    ],
)
def test_what_takes_back_is_known_of_rows_that_do_not_say_it(
    shop: Shop, later: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    """As older releases wrote them: by whether they changed anything when they were written."""
    with shop.stores.database.transaction():
        for revision, (days, price) in enumerate([(0, 1), *later], start=2):
            values = asdict(priced("1", price).rate) | {"from_us": shop.clock.now_us() + days * DAY_US}
            RateRow.create(tariff=1, revision=revision, description="", **values)
            Tariff.update(revision=revision).execute()
    assert coming(shop, "standard") == expected
    shop.stores.tariffs.copy("standard", "second")
    assert coming(shop, "second") == expected


def contents(views: list[RateView]) -> list[tuple[Rate, str]]:
    return [(view.rate, view.description) for view in views]


def test_terms_count_for_new_calls_and_old_ones_keep_theirs(shop: Shop) -> None:
    old = shop.stores.tariffs.match(1, "441")
    assert old is not None
    terms = Terms(grace_s=5, off_peak="sat; sun", time_zone="Europe/London")
    changes = {"grace_s": 5, "off_peak": "sat; sun", "time_zone": "Europe/London"}
    assert shop.stores.tariffs.change_terms("standard", changes) == (Terms(), terms)
    new = shop.stores.tariffs.match(1, "441")
    assert new is not None
    assert (old.terms, new.terms, new.rate) == (Terms(), terms, old.rate)
    assert shop.stores.tariffs.version(old.id, old.terms_id).terms == Terms()
    assert shop.stores.tariffs.terms("standard") == terms
    assert shop.stores.tariffs.history("standard")[0].kind == "terms"
    before = shop.rows()
    assert shop.stores.tariffs.change_terms("standard", changes) == (terms, terms)
    assert shop.rows() == before


def test_another_process_sees_a_change_within_a_second(shop: Shop) -> None:
    """Its rates in memory are those of a second `Tariffs`."""
    theirs = Tariffs(shop.stores.database, shop.clock, shop.stores.accounts.tariffs_sold)
    match = theirs.match(1, "441")
    assert match is not None
    shop.stores.tariffs.put_rates("standard", [priced("44", 5), priced("1", 6)])

    def seen() -> list[int]:
        found = [theirs.match(1, number) for number in ("441", "112")]
        return [view.rate.next_price_micros for view in found if view]

    assert wait_until(lambda: seen() == [5, 6], timeout_s=1.0), seen()


def test_what_was_rolled_back_by_the_database_is_not_remembered(shop: Shop) -> None:
    def changed_his_mind() -> None:
        with shop.stores.database.transaction():
            shop.stores.tariffs.put_rates("standard", [priced("1", 6)])
            assert price_of(shop, "112") == 6
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        changed_his_mind()
    shop.stores.tariffs.put_rates("standard", [priced("2", 7)])
    assert (price_of(shop, "112"), price_of(shop, "212")) == (None, 7)


def test_bad_tariffs_are_refused(shop: Shop) -> None:
    before = shop.rows()
    for name, currency, why in [
        ("standard", "USD",    "already exists"),
        ("",         "USD",    "is not a valid name"),
        ("new",      "dollar", "is not a currency"),
    ]:  # fmt: skip
        with pytest.raises(InvalidInput, match=why):
            shop.stores.tariffs.add(name, currency)
    for ask in (shop.stores.tariffs.named, shop.stores.tariffs.rates):
        with pytest.raises(InvalidInput, match="unknown tariff"):
            ask("none")
    assert shop.stores.tariffs.named("standard").currency == "USD"
    assert shop.rows() == before


class MeanwhileClock(SetClock):
    """Does something once, as soon as a copy has written so many rates of its draft, and is between transactions."""

    def __init__(self, written: int, act: Callable[[], None], shop: Shop) -> None:
        super().__init__(shop.clock.now_us())
        self._written, self._act, self._database = written, act, shop.stores.database
        self._looks = True

    def monotonic_s(self) -> float:
        if self._looks and not self._database.in_transaction:
            self._looks = False
            drafts = self._database.read(lambda: [draft.written for draft in Draft.select()])
            self._looks = drafts != [self._written]
            if not self._looks:
                self._act()
        return super().monotonic_s()


def test_a_copy_that_fails_leaves_nothing(shop: Shop) -> None:
    tariffs, before = shop.stores.tariffs, shop.rows()
    clock = MeanwhileClock(0, lambda: tariffs.add("second", "JPY"), shop)
    theirs = Tariffs(shop.stores.database, clock, shop.stores.accounts.tariffs_sold)
    with pytest.raises(InvalidInput, match="already exists: it was added meanwhile"):
        theirs.copy("standard", "second")
    after = shop.rows()
    assert [row["name"] for row in after["Tariff"]] == ["standard", "second"]
    assert after["RateRow"] == before["RateRow"]
    assert after["Draft"] == []
    assert tariffs.copy("standard", "third") == 1
    named = {tariff["name"]: tariff for tariff in tariffs.all()}
    assert named["third"] | {"name": "standard"} == named["standard"]


@pytest.mark.parametrize("written", [0, ROWS_AT_ONCE])
def test_a_copy_that_is_refused_leaves_the_one_that_is_being_written(shop: Shop, written: int) -> None:
    tariffs = shop.stores.tariffs
    tariffs.add("yen", "JPY")
    tariffs.put_rates("yen", [priced("81", 7)])
    tariffs.put_rates("standard", [priced(str(prefix)) for prefix in range(500, 500 + ROWS_AT_ONCE)])
    refused: list[str] = []

    def another_copies() -> None:
        with pytest.raises(InvalidInput) as error:
            tariffs.copy("yen", "second")
        refused.append(str(error.value))

    clock = MeanwhileClock(written, another_copies, shop)
    theirs = Tariffs(shop.stores.database, clock, shop.stores.accounts.tariffs_sold)
    assert theirs.copy("standard", "second") == 1 + ROWS_AT_ONCE
    assert refused == ["tariff 'second' is being copied by another command: wait until that is over"]
    assert tariffs.named("second").currency == "USD"
    assert len(tariffs.rates("second")) == 1 + ROWS_AT_ONCE


def test_a_copy_that_was_left_behind_gets_the_currency_of_the_next(shop: Shop) -> None:
    tariffs = shop.stores.tariffs
    tariffs.add("yen", "JPY")
    tariffs.put_rates("yen", [priced("81", 7)])
    with (
        drafting(shop.stores.database, shop.clock, "tariff:3", busy="", remove_some=lambda: 0),
        pytest.raises(InvalidInput, match="is being copied by another command"),
    ):
        tariffs.copy("yen", "second")
    assert tariffs.copy("standard", "second") == 1
    assert tariffs.named("second").currency == "USD"
    assert [view.rate.prefix for view in tariffs.rates("second")] == ["44"]
