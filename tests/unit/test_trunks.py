"""Which trunk carries a call: rules as tables, and what holds for any set of offers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import NOON_US, SetClock, Shop, talked

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.options import CallOptions
from stasis_callback.core.rating import Price, Rate, Terms, cost_micros
from stasis_callback.core.routing import COMPARED_TALK_S, Margin, Offer, rank
from stasis_callback.engine.routing import Router
from stasis_callback.store.calls.legs import Fare
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.store.rates.trunks import Carrier, TrunkView

NUMBER = "442071234567"


def price(per_minute_micros: int, **values: Any) -> Price:
    """A price by the second."""
    rate = Rate("44", first_price_micros=per_minute_micros, next_price_micros=per_minute_micros, **values)
    return Price(rate, Terms())


RETAIL = price(60_000)
GUARDED = Margin()


def order(offers: Sequence[Offer], margin: Margin = GUARDED) -> list[str]:
    """Names in the order they are tried."""
    return [r.offer.trunk for r in rank(offers, RETAIL, "USD", margin, NOON_US) if not r.passed_over]


def offer(
    name: str, per_minute_micros: int, preference: int = 50, currency: str = "USD", **values: int
) -> Offer:
    return Offer(name, preference, price(per_minute_micros, **values), currency)


@pytest.mark.parametrize(
    ("offers", "margin", "tried"),
    [
        ([offer("a", 20_000), offer("b", 10_000)],                            Margin(),            ["b", "a"]),
        ([offer("b", 10_000), offer("a", 10_000)],                            Margin(),            ["a", "b"]),
        ([offer("a", 20_000, 60), offer("b", 10_000)],                        Margin(),            ["a", "b"]),
        ([offer("a", 60_000), offer("b", 60_001)],                            Margin(),            ["a"]),
        ([offer("a", 60_001)],                                                Margin(guard=False), ["a"]),
        ([offer("a", 48_000), offer("b", 48_001)],                            Margin(True, 20),    ["a"]),
        ([offer("a", 1, currency="EUR"), offer("b", 2)],                      Margin(),            ["b"]),
        ([offer("a", 1, currency="EUR")],                                     Margin(guard=False), ["a"]),
        ([offer("a", 10_000, connect_fee_micros=200_000), offer("b", 50_000)], Margin(),           ["b"]),
        ([offer("a", 10_000, first_interval_s=3600), offer("b", 59_000)],     Margin(),            ["b"]),
        ([],                                                                  Margin(),            []),
    ],
)  # fmt: skip
def test_the_order_of_trunks(offers: list[Offer], margin: Margin, tried: list[str]) -> None:
    assert order(offers, margin) == tried


OFFERS = st.lists(
    st.builds(
        offer,
        st.text("abcdef", min_size=1, max_size=4),
        st.integers(0, 200_000),
        st.integers(0, 100),
        st.sampled_from(["USD", "EUR"]),
    ),
    unique_by=lambda one: one.trunk,
    max_size=8,
)
MARGINS = st.builds(Margin, st.booleans(), st.integers(0, 99))


@given(OFFERS, MARGINS, st.randoms(use_true_random=False))
def test_the_order_depends_on_nothing_but_the_offers(
    offers: list[Offer], margin: Margin, random: Random
) -> None:
    shuffled = list(offers)
    random.shuffle(shuffled)
    assert order(shuffled, margin) == order(offers, margin)


@given(OFFERS, MARGINS)
def test_every_offer_is_ranked_and_no_call_is_sold_at_a_loss(offers: list[Offer], margin: Margin) -> None:
    ranked = rank(offers, RETAIL, "USD", margin, NOON_US)
    assert sorted(r.offer.trunk for r in ranked) == sorted(one.trunk for one in offers)
    earned = cost_micros(RETAIL, COMPARED_TALK_S, NOON_US)
    tried = [r for r in ranked if not r.passed_over]
    assert tried == ranked[: len(tried)]
    for before, after in pairwise(tried):
        assert (-before.offer.preference, before.cost_micros) <= (-after.offer.preference, after.cost_micros)
    if margin.guard:
        for r in tried:
            assert r.offer.currency == "USD"
            assert earned - r.cost_micros >= earned * margin.min_percent / 100


# --- trunks in the database --------------------------------------------------------------------------------


@pytest.fixture
def trunked(shop: Shop) -> Shop:
    """A vendor with the trunks `cheap` (1 cent a minute) and `dear` (2), both to 44."""
    shop.stores.trunks.add_vendor("carrier", "USD")
    for name, micros in (("cheap", 10_000), ("dear", 20_000)):
        shop.stores.tariffs.add(name, "USD")
        shop.stores.tariffs.put_rates(
            name, [NewRate(Rate("44", first_price_micros=micros, next_price_micros=micros))]
        )
        shop.stores.trunks.add(name, vendor="carrier", tariff=name)
    return shop


def ways(shop: Shop, number: str = NUMBER, **options: str) -> list[str]:
    rate = shop.stores.tariffs.match(shop.stores.tariffs.named("standard").id, NUMBER)
    assert rate is not None
    router = Router(shop.stores.trunks, shop.stores.tariffs, SetClock(), "settings")
    found = router.ways(number, rate, "USD", CallOptions.parse(options))
    return [way.endpoint for way in found]


def test_without_trunks_the_one_of_the_settings_carries_everything(shop: Shop) -> None:
    assert ways(shop) == ["settings"]


def test_with_trunks_only_they_do(trunked: Shop) -> None:
    assert ways(trunked) == ["cheap", "dear"]
    for name in ("cheap", "dear"):
        trunked.stores.trunks.change(name, enabled=False)
    assert ways(trunked) == []


def test_a_trunk_leads_where_its_tariff_has_a_rate(trunked: Shop) -> None:
    assert ways(trunked, "33123456789") == []
    forbidden = Rate("44207", forbidden=True)
    trunked.stores.tariffs.put_rates("cheap", [NewRate(forbidden)])
    assert ways(trunked) == ["dear"]


def test_the_longest_route_decides_about_the_preference(trunked: Shop) -> None:
    trunks = trunked.stores.trunks
    trunks.add_route("dear", "44", 60)
    assert ways(trunked) == ["dear", "cheap"]
    trunks.add_route("dear", "44207", 10)
    assert ways(trunked) == ["cheap", "dear"]
    trunks.add_route("dear", "44207", 90)  # once more: the preference is changed
    assert ways(trunked) == ["dear", "cheap"]
    trunks.remove_route("dear", "44")
    assert ways(trunked, "441") == ["cheap"]
    trunks.remove_route("dear", "44207")
    assert ways(trunked, "441") == ["cheap", "dear"]


def leg(shop: Shop, leg_id: str, trunk: TrunkView) -> bool:
    """Note a leg on a trunk, if that is not full."""
    account = shop.stores.accounts.named("100")
    rate, cost = (shop.stores.tariffs.match(t, NUMBER) for t in (account.tariff_id, trunk.tariff_id))
    assert rate is not None
    assert cost is not None
    with shop.stores.database.transaction():
        if not shop.stores.trunks.has_room(trunk, leg_id):
            return False
        (request,) = shop.stores.requests.newest()
        return shop.stores.calls.open_leg(
            leg_id, request.id, "b", Fare(account, NUMBER, rate, Carrier(trunk, cost)), 1
        )


def test_a_trunk_carries_no_more_calls_than_its_limit(trunked: Shop) -> None:
    trunked.request(trunked.account("100"))
    trunk = trunked.stores.trunks.change("cheap", calls_limit=2)
    assert [leg(trunked, f"b{n}", trunk) for n in range(3)] == [True, True, False]
    trunked.stores.calls.settle("b0", talked(60))
    assert [leg(trunked, f"c{n}", trunk) for n in range(2)] == [True, False]
    (xdr,) = trunked.stores.calls.xdrs()
    assert (xdr.trunk, xdr.cost_micros, xdr.cost_currency) == ("cheap", 10_000, "USD")


@pytest.mark.parametrize("limits", [{"calls_limit": 5}, {"calls_per_s": 5}], ids=str)
def test_no_race_gets_a_trunk_above_its_limit(trunked: Shop, limits: dict[str, Any]) -> None:
    trunked.request(trunked.account("100"))
    trunk = trunked.stores.trunks.change("cheap", **limits)

    def taken(number: int) -> int:
        return sum(leg(trunked, f"b{number}-{n}", trunk) for n in range(4))

    with ThreadPoolExecutor(8) as crowd:
        assert sum(crowd.map(taken, range(8))) == 5
    assert len(trunked.stores.calls.open_legs()) == 5


def test_a_trunk_takes_no_more_new_calls_a_second_than_its_limit(trunked: Shop) -> None:
    trunked.request(trunked.account("100"))
    trunk = trunked.stores.trunks.change("cheap", calls_per_s=2)
    assert [leg(trunked, f"b{n}", trunk) for n in range(3)] == [True, True, False]
    trunked.clock.passes(1)
    assert leg(trunked, "c", trunk)


def test_the_cost_is_that_of_the_rate_at_the_time_of_dialling(trunked: Shop) -> None:
    trunked.request(trunked.account("100"))
    assert leg(trunked, "b1", trunked.stores.trunks.named("cheap"))
    trunked.stores.tariffs.put_rates(
        "cheap", [NewRate(Rate("44", first_price_micros=1, next_price_micros=1))]
    )
    assert trunked.stores.calls.settle("b1", talked(60)).cost_micros == 10_000


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"name": "cheap"},                   "already exists"),
        ({"name": "a@b"},                     "not a valid name of a PJSIP endpoint"),
        ({"vendor": "nobody"},                "unknown vendor 'nobody'"),
        ({"tariff": "nothing"},               "unknown tariff 'nothing'"),
        ({"tariff": "euros"},                 "bills in USD, tariff 'euros' is in EUR"),
        ({"preference": 101},                 "0 to 100"),
        ({"calls_limit": -1},                 "0 for no limit"),
        ({"calls_per_s": 100_001},            "0 for no limit"),
        ({"number_rules": "s/x"},             "not a translation rule"),
    ],
)  # fmt: skip
def test_a_trunk_that_cannot_be_is_not_added(trunked: Shop, values: dict[str, object], why: str) -> None:
    trunked.stores.tariffs.add("euros", "EUR")
    before = trunked.rows()
    with pytest.raises(InvalidInput, match=why):
        trunked.stores.trunks.add(**{"name": "new", "vendor": "carrier", "tariff": "cheap", **values})  # type: ignore[arg-type]
    assert trunked.rows() == before


@pytest.mark.parametrize("prefix", ["", "+44", "44x", "1234567890123456", "٤٤"])
def test_a_prefix_is_one_to_fifteen_digits(trunked: Shop, prefix: str) -> None:
    with pytest.raises(InvalidInput, match="not a prefix"):
        trunked.stores.trunks.add_route("cheap", prefix)
