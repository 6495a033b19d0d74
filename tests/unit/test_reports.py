"""Reports add up what the call records say, whatever they are grouped by."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop import NOON_US, Shop, open_shop

from stasis_callback.admin.calls.reports import days
from stasis_callback.clock import US_PER_S
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.words import Refusal
from stasis_callback.store.accounts.tables import Account
from stasis_callback.store.calls.reports import GROUPS, CallsFilter, CallsLine, Span
from stasis_callback.store.calls.tables import LegRow, Xdr
from stasis_callback.store.rates.tables import Trunk

HOUR_US = 3600 * US_PER_S
ALL_TIME = [Span("", 0, 10 * NOON_US)]


class Calls:
    """A shop with two accounts, two trunks of two vendors, and as many call records as a test wants."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        for number in ("100", "200"):
            shop.account(number)
        self.request = shop.request(shop.stores.accounts.named("100"))
        shop.stores.trunks.add_vendor("alpha", "USD")
        shop.stores.trunks.add_vendor("beta", "EUR")
        shop.stores.tariffs.add("in euros", "EUR")
        shop.stores.trunks.add("first", vendor="alpha", tariff="standard")
        shop.stores.trunks.add("second", vendor="beta", tariff="in euros")
        self.count = 0

    def call(
        self,
        account: str = "100",
        *,
        trunk: str = "first",
        talked_s: int = 0,
        amount: int = 0,
        cost: int = 0,
        overrun: int = 0,
        ended_us: int = NOON_US,
        number: str = "442071234567",
        prefix: str = "",
    ) -> None:
        """A call record of a leg; `talked_s` 0 is an attempt that nobody answered."""
        self.count += 1
        with self.shop.stores.database.transaction():
            of_trunk = Trunk.get_or_none(Trunk.name == trunk)
            who = Account.get(Account.number == account)
            rate = self.shop.stores.tariffs.match(self.shop.stores.tariffs.named("standard").id, "44")
            assert rate is not None
            leg = LegRow.create(
                id=f"leg-{self.count}", request=self.request.id, side="b", number=number, account=who, rate=rate.id,
                terms=rate.terms_id, state="settled", dialed_at_us=ended_us, trunk=of_trunk,
            )  # fmt: skip
            Xdr.create(
                leg=leg, request=self.request.id, side="b", account=who, number=number, prefix=prefix or number[:2],
                dialed_at_us=ended_us, answered_at_us=ended_us - talked_s * US_PER_S if talked_s else None,
                ended_at_us=ended_us, duration_us=talked_s * US_PER_S, charged_s=talked_s, amount_micros=amount,
                overrun_micros=overrun, currency="USD", outcome="answered" if talked_s else "busy", cause=16,
                source="events", created_at_us=ended_us, trunk=of_trunk, cost_micros=cost,
                cost_currency={"first": "USD", "second": "EUR"}.get(trunk, ""), number_salt=f"salt {self.count}",
            )  # fmt: skip

    def report(self, by: str, spans: list[Span] | None = None, **only: str) -> list[CallsLine]:
        return self.shop.stores.reports.calls(by, spans or ALL_TIME, CallsFilter(**only))


@pytest.fixture
def made(shop: Shop) -> Calls:
    return Calls(shop)


def test_the_figures_of_a_line(made: Calls) -> None:
    made.call(talked_s=60, amount=600_000, cost=100_000)
    made.call(talked_s=120, amount=1_200_000, cost=200_000, overrun=200_000)
    made.call()
    made.call()
    (line,) = made.report("account")
    assert (line.group, line.currency, line.attempts, line.answered) == ("100", "USD", 4, 2)
    assert (line.asr_percent, line.acd_s, line.charged_s) == (50.0, 90.0, 180)
    assert (line.revenue_micros, line.cost_micros, line.margin_micros) == (1_600_000, 300_000, 1_300_000)
    assert line.margin_percent == pytest.approx(81.25)


@pytest.mark.parametrize("trunk", ["", "second"])
def test_a_cost_that_is_not_known_or_in_another_currency_makes_no_margin(made: Calls, trunk: str) -> None:
    made.call(talked_s=60, amount=600_000, cost=100_000)
    made.call(trunk=trunk, talked_s=60, amount=600_000, cost=7)
    (line,) = made.report("account")
    assert (line.revenue_micros, line.cost_micros, line.margin_micros, line.margin_percent) == (
        1_200_000, None, None, None
    )  # fmt: skip
    assert {one.group: one.cost_micros for one in made.report("trunk")} == {"first": 100_000, trunk: None}


def test_an_unanswered_attempt_costs_nothing_on_any_trunk(made: Calls) -> None:
    made.call(talked_s=60, amount=600_000, cost=100_000)
    made.call(trunk="")
    assert made.report("account")[0].cost_micros == 100_000


def test_filters_leave_the_rest_out(made: Calls) -> None:
    made.call("100", talked_s=1)
    made.call("200", talked_s=2)
    made.call("200", talked_s=4, trunk="second", number="33123456789")

    def talked_s(**only: str) -> int:
        return sum(line.charged_s for line in made.report("side", None, **only))

    assert talked_s() == 7
    assert talked_s(account="200") == 6
    assert talked_s(trunk="second") == 4
    assert talked_s(prefix="44") == 3
    assert talked_s(account="100", trunk="second") == 0


def test_refusals_by_reason_the_most_frequent_first(shop: Shop) -> None:
    for n, reason in enumerate((Refusal.NO_ANI, Refusal.BAD_ANI, Refusal.NO_ANI)):
        shop.stores.requests.refuse(CallbackRequest(f"k{n}", "ani", "", "800"), reason)
    found = shop.stores.reports.refusals(Span("", NOON_US, NOON_US + 1))
    assert [(line.reason, line.trigger, line.count) for line in found] == [
        ("no_ani", "ani", 2),
        ("bad_ani", "ani", 1),
    ]
    assert shop.stores.reports.refusals(Span("", 0, NOON_US)) == []


CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "account": st.sampled_from(["100", "200"]),
            "trunk": st.sampled_from(["", "first", "second"]),
            "talked_s": st.sampled_from([0, 0, 1, 59, 3600]),
            "amount": st.integers(0, 10**7),
            "cost": st.integers(0, 10**7),
            "ended_us": st.integers(NOON_US - 48 * HOUR_US, NOON_US + 48 * HOUR_US),
        }
    ),
    max_size=12,
)


@settings(max_examples=20)  # each has a database of its own
@given(calls=CALLS)
def test_every_grouping_adds_up_to_the_same(
    calls: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        made = Calls(shop)
        for call in calls:
            made.call(**call)
        spans = days("2027-01-10", "2027-01-20", "UTC")
        inside = [c for c in calls if spans[0].from_us <= c["ended_us"] < spans[-1].to_us]
        for by in GROUPS:
            lines = made.report(by, spans)
            assert sum(line.attempts for line in lines) == len(inside)
            assert sum(line.answered for line in lines) == sum(c["talked_s"] > 0 for c in inside)
            assert sum(line.charged_s for line in lines) == sum(c["talked_s"] for c in inside)
            assert sum(line.revenue_micros for line in lines) == sum(c["amount"] for c in inside)
            assert len({line.group for line in lines}) == len(lines)
        of_days = Counter(
            datetime.fromtimestamp(c["ended_us"] / US_PER_S, UTC).date().isoformat() for c in inside
        )
        assert {line.group: line.attempts for line in made.report("day", spans)} == of_days


def test_days_are_those_of_the_time_zone_also_where_the_clocks_change() -> None:
    spans = days("2026-10-24", "2026-10-26", "Europe/Prague")
    assert [span.name for span in spans] == ["2026-10-24", "2026-10-25", "2026-10-26"]
    assert [(span.to_us - span.from_us) // HOUR_US for span in spans] == [24, 25, 24]
    assert all(before.to_us == after.from_us for before, after in pairwise(spans))
    assert [(s.to_us - s.from_us) // HOUR_US for s in days("2026-03-29", "2026-03-29", "Europe/Prague")] == [
        23
    ]


@pytest.mark.parametrize(
    ("first", "last", "zone", "why"),
    [
        ("last week",  "",           "UTC",       "not a date"),
        ("2026-11-02", "2026-11-01", "UTC",       "must not be after --to"),
        ("2010-01-01", "2026-11-01", "UTC",       "limited to 3660 days"),
        ("",           "",           "Mars/Base", "not a time zone"),
    ],
)  # fmt: skip
def test_days_that_make_no_sense(first: str, last: str, zone: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        days(first, last, zone)
