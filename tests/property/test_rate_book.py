"""The rates in memory and those in the database agree, whatever was changed, scheduled, ended and taken back."""

from __future__ import annotations

import tempfile
from pathlib import Path

from databases import Databases
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from profiles import count
from shop import UK_RATE, Shop

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.rating import Rate
from stasis_callback.store.rates.tariffs import NewRate, Tariffs

PREFIXES = st.text("12", min_size=1, max_size=4)
DELAYS_S = st.sampled_from([0, 0, 0, 60, 3600])

Stored = list[list[tuple[Rate, str]]]


class Hasty(Clock):
    """Another process's clock, on which a second passes between any two looks: it asks at every match what is new.

    Its index lives through the whole history and is only ever brought up to date.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._looks = clock, 0

    def now_us(self) -> int:
        return self._clock.now_us()

    def monotonic_s(self) -> float:
        self._looks += 1
        return float(self._looks)


class RateBookMachine(RuleBasedStateMachine):
    """Random histories of one tariff. The model is the database, asked for each prefix of a number."""

    @initialize()
    def open(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._shop = Shop(Path(self._folder.name))
        self._tariffs = self._shop.stores.tariffs
        self._kept = Tariffs(
            self._shop.stores.database, Hasty(self._shop.clock), self._shop.stores.accounts.tariffs_sold
        )
        self._after: dict[int, Stored] = {}

    def teardown(self) -> None:
        if hasattr(self, "_shop"):
            self._shop.stores.database.close()
            Databases.remove(self._shop.url)
            self._folder.cleanup()

    def _from_us(self, delay_s: int) -> int | None:
        return self._shop.clock.now_us() + delay_s * 1_000_000 if delay_s else None

    def _remember(self) -> None:
        revision = self._tariffs.history("standard", 1)[0].number
        self._after[revision] = self._contents()

    def _contents(self) -> Stored:
        """The rates in force now, and when everything that is scheduled has come."""
        now_us = self._shop.clock.now_us()
        at = [self._tariffs.rates("standard", now_us + later_s * 1_000_000) for later_s in (0, 60, 3600)]
        return [[(view.rate, view.description) for view in views] for views in at]

    @rule(
        rates=st.dictionaries(PREFIXES, st.integers(0, 5), min_size=1, max_size=4),
        delay_s=DELAYS_S,
        no=st.booleans(),
    )
    def put(self, rates: dict[str, int], delay_s: int, no: bool) -> None:
        new = [
            NewRate(Rate(prefix, first_price_micros=price, forbidden=no), "", self._from_us(delay_s))
            for prefix, price in rates.items()
        ]
        self._tariffs.put_rates("standard", new)
        self._remember()

    @rule(prefix=PREFIXES, delay_s=DELAYS_S)
    def remove(self, prefix: str, delay_s: int) -> None:
        try:
            self._tariffs.remove_rate("standard", prefix, self._from_us(delay_s))
        except InvalidInput:
            return
        self._remember()

    @rule(seconds=st.sampled_from([1, 60, 3600]))
    def time_passes(self, seconds: int) -> None:
        self._shop.clock.passes(seconds)
        self._after.clear()  # what was scheduled may have begun

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        newest = self._tariffs.history("standard", 1)[0].number
        older = [number for number in self._after if number < newest]
        if older:
            number = data.draw(st.sampled_from(older))
            self._tariffs.roll_back("standard", number)
            assert self._contents() == self._after[number]
            self._remember()

    @invariant()
    def every_number_leads_to_the_same_rate(self) -> None:
        if not hasattr(self, "_shop"):
            return
        now_us = self._shop.clock.now_us()
        for number in ("1111", "1212", "2121", "2211", "12", "441"):
            fitting = self._tariffs.fitting(1, number, now_us)
            expected = fitting[0].id if fitting and not fitting[0].rate.forbidden else None
            for tariffs in (self._tariffs, self._kept):
                found = tariffs.match(1, number)
                assert (found.id if found else None) == expected, number
        assert UK_RATE in [view.rate for view in self._tariffs.rates("standard")]


TestRateBook = RateBookMachine.TestCase
TestRateBook.settings = settings(max_examples=count(20, 400), stateful_step_count=20, deadline=None)
