"""The auditor's idea of what a call costs, against the product's: two programs that share nothing."""

from hypothesis import given
from hypothesis import strategies as st

from stasis_callback.core.rating import Price, Rate, Terms, billed_seconds, cost_micros
from stasis_callback.testing.simulation.money import PriceList

prices = st.builds(
    PriceList,
    prefix=st.just("44"),
    fee=st.integers(0, 1_000_000),
    first_s=st.integers(1, 90),
    first_price=st.integers(0, 2_000_000),
    next_s=st.integers(1, 90),
    next_price=st.integers(0, 2_000_000),
    free_s=st.integers(0, 30),
    grace_s=st.integers(0, 30),
    surcharge_bp=st.integers(0, 3000),
    minimum=st.integers(0, 500_000),
    unit=st.sampled_from([1, 100, 10_000]),
    end_fee=st.just(0) | st.integers(0, 1_000_000),
    end_fee_after_s=st.integers(0, 90),
    maximum=st.just(0) | st.integers(500_000, 3_000_000),
)


@given(prices, st.integers(0, 400))
def test_both_come_to_the_same_amount(price: PriceList, seconds: int) -> None:
    rate = Rate("44", price.fee, price.first_s, price.first_price, price.next_s, price.next_price)
    terms = Terms(
        price.free_s, price.grace_s, price.surcharge_bp, price.minimum, price.unit,
        disconnect_fee_micros=price.end_fee, disconnect_fee_after_s=price.end_fee_after_s,
        maximum_micros=price.maximum,
    )  # fmt: skip
    product = Price(rate, terms)
    assert price.cost(seconds) == cost_micros(product, seconds)
    assert price.billed_s(seconds) == billed_seconds(product, seconds)
