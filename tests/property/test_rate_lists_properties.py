"""What holds for every list, whatever stands in its cells."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import format_price, in_micros, parse_price
from stasis_callback.core.rate_cells import (
    How,
    decimal_sign,
    neat,
    read_date,
    read_intervals,
    read_prefixes,
    read_price,
)
from stasis_callback.core.rate_columns import Profile, find_columns

CELLS = st.text(st.sampled_from("0123456789.,;-+/ $€Ee'=\"()x\xa0"), max_size=12) | st.text(max_size=12)
PRICES = st.integers(0, 10**14).map(lambda n: Decimal(n).scaleb(-12))


@given(CELLS, st.sampled_from(".,"), st.booleans())
@example("1,234", ".", False)
@example("1.234", ",", False)
@example("−1", ".", False)
def test_a_price_is_what_its_digits_say_or_is_refused(text: str, decimal: str, per_second: bool) -> None:
    try:
        price = read_price(neat(text), How("USD", decimal=decimal, per_second=per_second))
    except InvalidInput:
        return
    if price is None:
        return
    whole, _, rest = neat(text).partition(decimal)
    digits = ["".join(c for c in part if c.isdigit()) for part in (whole, rest)]
    assert price == Decimal(f"{digits[0] or 0}.{digits[1] or 0}") * (60 if per_second else 1)


@given(CELLS)
def test_prefixes_are_digits_that_stand_in_the_cell_or_are_refused(text: str) -> None:
    try:
        found = read_prefixes(neat(text))
    except InvalidInput:
        return
    assert found
    for prefix in found:
        assert prefix.isascii()
        assert prefix.isdigit()
        assert prefix[0] != "0"
        assert len(prefix) <= 15
    if "-" not in text and "–" not in text:
        assert all(set(prefix) <= set(text) for prefix in found)


@given(CELLS | st.text(st.sampled_from("0123456789/.- "), min_size=8, max_size=10))
def test_a_date_without_an_order_has_one_reading_only(text: str) -> None:
    try:
        plain = read_date(text, How("USD"))
    except InvalidInput:
        return
    for order in ("dmy", "mdy"):
        try:
            assert read_date(text, How("USD", dates=order)) == plain
        except InvalidInput:
            continue


@given(CELLS)
def test_nothing_else_is_raised_for_any_cell(text: str) -> None:
    for read in (read_intervals, decimal_sign, neat):
        try:
            read(text)
        except InvalidInput:
            continue
    assert neat(neat(text)) == neat(text)


@given(
    st.lists(
        st.sampled_from(["Code", "Rate", "Destination", "Effective date", "?", "", "Rate (cents)"]) | CELLS
    )
)
def test_any_line_is_a_line_of_names_or_none(row: list[str]) -> None:
    try:
        columns = find_columns(row, Profile())
    except InvalidInput:
        return
    if columns:
        assert len(set(columns.places.values())) == len(columns.places)
        assert {"prefix", "first_price"} <= set(columns.places)


@given(st.lists(PRICES, min_size=1, max_size=4))
def test_prices_of_any_decimals_are_kept_exactly(prices: list[Decimal]) -> None:
    minutes, micros = in_micros(prices)
    for price, one in zip(prices, micros, strict=True):
        assert one is not None
        assert Decimal(one) / (10**6 * minutes) == price
        assert parse_price(format_price(one, minutes)) == price
