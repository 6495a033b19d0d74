"""Rules of money, numbers, rates and options that hold for every value."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from stasis_callback.core.cost_parts import cost_parts
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import AMOUNT_LIMIT_MICROS, divide_up, format_amount, parse_amount
from stasis_callback.core.numbers import clean, dialable, is_dialable, mask, parse_rules, translate
from stasis_callback.core.options import CallOptions, describe_options
from stasis_callback.core.periods import Dates, parse_off_peak
from stasis_callback.core.rating import (
    US_PER_S,
    Price,
    Rate,
    Terms,
    charged_seconds,
    cost_micros,
    joint_longest_s,
    longest_s,
)

# --- money ---------------------------------------------------------------------------------------------------


def test_the_profile_that_is_asked_for_counts(pytestconfig: pytest.Config) -> None:
    assert settings.get_current_profile_name() == (pytestconfig.getoption("--hypothesis-profile") or "shared")


@given(st.integers(-AMOUNT_LIMIT_MICROS, AMOUNT_LIMIT_MICROS))
def test_an_amount_that_is_shown_can_be_entered_again(micros: int) -> None:
    shown = format_amount(micros)
    assert re.fullmatch(r"-?[0-9]+\.[0-9]{2,6}", shown)
    assert parse_amount(shown) == micros


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("0123456789.,+-e ")))
def test_any_text_is_an_amount_within_the_limit_or_refused(text: str) -> None:
    try:
        micros = parse_amount(text)
    except InvalidInput:
        return
    assert abs(micros) <= AMOUNT_LIMIT_MICROS
    assert parse_amount(format_amount(micros)) == micros


@given(st.integers(-(10**20), 10**20), st.integers(1, 10**6))
def test_dividing_up_is_the_least_number_that_covers_it(amount: int, by: int) -> None:
    assert (divide_up(amount, by) - 1) * by < amount <= divide_up(amount, by) * by


# --- numbers -------------------------------------------------------------------------------------------------

number_like = st.text(st.sampled_from("0123456789+-. ()/*#;&@anix\x00\n٣１²") | st.characters(), max_size=40)


@given(number_like)
def test_cleaning_gives_digits_or_nothing_and_is_done_at_once(text: str) -> None:
    cleaned = clean(text)
    if cleaned is not None:
        assert re.fullmatch(r"\+?[0-9]{1,31}", cleaned)
        assert clean(cleaned) == cleaned


@given(number_like)
def test_what_is_dialled_is_three_to_fifteen_digits(text: str) -> None:
    digits = dialable(text)
    if digits is not None:
        assert re.fullmatch("[0-9]{3,15}", digits)
        assert is_dialable(digits)
        assert dialable(digits) == digits


@given(st.from_regex(r"\+?[0-9]{1,40}", fullmatch=True))
def test_a_masked_number_keeps_its_length_and_hides_something(number: str) -> None:
    masked = mask(number)
    assert len(masked) == len(number)
    assert "x" in masked


# --- translation rules ---------------------------------------------------------------------------------------

rule_like = st.text(st.sampled_from(r"s///^$\\d+*?{1,2}()[0-9]abc.#;|" + "\n") | st.characters(), max_size=60)
atoms = st.sampled_from(["0", "4", "a", ".", "#", r"\d", r"\+", r"\*", r"\.", "[0-9]", "[^0]", "[#*]"])
repeats = st.sampled_from(["", "", "", "?", "*", "+", "{2}", "{1,3}", "{2,}"])
pieces = st.tuples(st.sampled_from(["", "", "("]), atoms, repeats, st.sampled_from(["", "", ")"])).map(
    "".join
)
replacements = st.text(st.sampled_from("0123456789ani+"), max_size=8) | st.just("$1")
rules = st.builds(
    "s/{}{}{}/{}/".format,
    st.sampled_from(["", "^"]),
    st.lists(pieces, min_size=1, max_size=8).map("".join),
    st.sampled_from(["", "$"]),
    replacements,
)
# What reaches a rule: a number, and what other rules made of it. The kind that makes bad patterns run away included.
translatable = st.from_regex(r"\+?[0-9*#]{0,32}", fullmatch=True) | st.sampled_from(
    ["1" * 32, "a" * 32, "0" * 31 + "x"]
)


@given(rule_like | rules, translatable)
@example(r"s/(\d+)+#/x/", "1" * 32)
@example("s/" + r"\d?" * 30 + "#/x/", "1" * 32)
@example("s/a" + "+" * 90 + "!/x/", "1")
@example("s/" + r"\d*" * 3 + "#/x/", "1" * 32)
def test_any_text_is_rules_that_work_or_is_refused(text: str, number: str) -> None:
    try:
        parsed = parse_rules(text)
    except InvalidInput:
        return
    assert len(translate(parsed, number)) <= 64


@given(st.lists(rules, max_size=5), translatable)
def test_rules_do_what_pythons_own_substitution_does(texts: list[str], number: str) -> None:
    accepted = []
    for text in texts:
        try:
            parse_rules(text)
        except InvalidInput:
            continue
        accepted.append(text)
    expected = number
    for text in accepted:
        _, pattern, replacement, _ = re.split(r"(?<!\\)/", text)
        expected = re.sub(pattern, replacement.replace("$1", r"\g<1>"), expected, count=1)[:64]
    assert translate(parse_rules("; ".join(accepted)), number) == expected


# --- rating --------------------------------------------------------------------------------------------------

micros = st.integers(0, 3_000_000)
rates = st.builds(
    Rate,
    prefix=st.just("44"),
    connect_fee_micros=micros,
    first_interval_s=st.sampled_from([1, 6, 30, 60]) | st.integers(1, 3600),
    first_price_micros=micros,
    next_interval_s=st.sampled_from([1, 6, 30, 60]) | st.integers(1, 3600),
    next_price_micros=micros,
    off_peak_first_price_micros=st.none() | micros,
    off_peak_next_price_micros=st.none() | micros,
    price_minutes=st.sampled_from([1, 1, 1, 100, 1_000_000]),
)
limits = st.tuples(st.just(0) | micros, st.just(0) | micros)
terms = st.just(Terms()) | st.builds(
    lambda limits, **others: Terms(
        minimum_micros=limits[0], maximum_micros=limits[1] and sum(limits), **others
    ),
    limits,
    free_s=st.integers(0, 120),
    grace_s=st.integers(0, 30),
    surcharge_bp=st.integers(0, 5000),
    rounding_micros=st.sampled_from([1, 100, 10_000]),
    rounding=st.sampled_from(["up", "nearest", "down"]),
    off_peak=st.sampled_from(
        [
            "",
            "sat; sun",
            "mon-fri 19:00-07:00; sat; sun",
            "01:30-02:30",
            "00:00-24:00",
            "10-20..03-30 22:00-03:00",
        ]
    ),
    off_peak_by=st.sampled_from(["interval", "interval", "answer"]),
    time_zone=st.sampled_from(["UTC", "Europe/Prague", "America/New_York", "Asia/Kathmandu"]),
    disconnect_fee_micros=st.just(0) | micros,
    disconnect_fee_after_s=st.just(0) | st.integers(0, 300),
)
prices = st.builds(Price, rates, terms)
seconds = st.integers(0, 10_000)
funds = st.integers(0, 50_000_000)
# Around 2026: the hours in which clocks go forward and back are drawn more often than others.
starts_us = st.integers(1_760_000_000, 1_800_000_000).map(lambda s: s * US_PER_S) | st.sampled_from(
    [1774744200, 1792886400, 1772953200, 1793512800]
).flatmap(lambda s: st.integers(s - 7200, s + 7200).map(lambda t: t * US_PER_S))


@given(prices, seconds, seconds, starts_us, st.integers(0, 120))
def test_a_longer_call_never_costs_less(
    price: Price, shorter: int, more: int, start_us: int, slack_s: int
) -> None:
    assert cost_micros(price, shorter, start_us, slack_s) >= 0
    assert cost_micros(price, shorter, start_us, slack_s) <= cost_micros(
        price, shorter + more, start_us, slack_s
    )


def cost_by_hand(price: Price, talk_s: int, start_us: int) -> int:
    """One interval after the other, the long way, with fractions and the wall clock of the tariff's zone."""
    rate, terms = price.rate, price.terms
    if talk_s <= terms.grace_s:
        return 0
    total, covered_s = Fraction(rate.connect_fee_micros), terms.free_s
    while covered_s < talk_s:
        first = covered_s == terms.free_s
        off = is_off_peak(terms, start_us + (covered_s * US_PER_S if terms.off_peak_by == "interval" else 0))
        peak_price = rate.first_price_micros if first else rate.next_price_micros
        off_price = rate.off_peak_first_price_micros if first else rate.off_peak_next_price_micros
        interval_s = rate.first_interval_s if first else rate.next_interval_s
        counts = off_price if off and off_price is not None else peak_price
        total += Fraction(counts * interval_s, 60 * rate.price_minutes)
        covered_s += interval_s
    if talk_s > terms.disconnect_fee_after_s:
        total += terms.disconnect_fee_micros
    total = max(total * (1 + Fraction(terms.surcharge_bp, 10_000)), Fraction(terms.minimum_micros))
    units = total / terms.rounding_micros
    rounded = {"up": ceil(units), "down": floor(units), "nearest": floor(units + Fraction(1, 2))}[
        terms.rounding
    ]
    cost = rounded * terms.rounding_micros
    return cost if not terms.maximum_micros or cost < terms.maximum_micros else terms.maximum_micros


def is_off_peak(terms: Terms, at_us: int) -> bool:
    """Looked up on the wall: does the clock show a time of a period of this day, or of yesterday's night?"""
    wall = datetime.fromtimestamp(at_us / US_PER_S, ZoneInfo(terms.time_zone))
    minute, today = wall.hour * 60 + wall.minute, wall.date()
    off_peak = parse_off_peak(terms.off_peak, terms.time_zone)
    return any(
        period.from_minute <= shown < period.until_minute and period.begins_on(day)
        for period in (off_peak.periods if off_peak else ())
        for shown, day in ((minute, today), (minute + 24 * 60, today - timedelta(days=1)))
    )


times_of_day = st.builds(
    "{:02}:{:02}".format, st.integers(0, 3) | st.integers(0, 23), st.sampled_from([0, 15, 30])
)
periods = st.builds(
    "{}{}-{}".format, st.sampled_from(["", "", "sun ", "sat ", "mon-fri "]), times_of_day, times_of_day
).filter(lambda text: text[-11:-6] != text[-5:])
# When clocks change in 2026: at two or three, at midnight, back over midnight, by half an hour.
NIGHTS = {
    "Europe/Prague": (1774746000, 1792890000),
    "America/New_York": (1772953200, 1793512800),
    "Africa/Cairo": (1776981600, 1793307600),
    "America/Havana": (1772946000, 1793509200),
    "Australia/Lord_Howe": (1775314800, 1791041400),
}


@given(st.lists(periods, min_size=1, max_size=3), st.sampled_from([(z, n) for z in NIGHTS for n in (0, 1)]))
def test_off_peak_is_what_the_clock_on_the_wall_says_also_in_the_nights_it_is_changed(
    texts: list[str], night: tuple[str, int]
) -> None:
    zone, changes_at_s = night[0], NIGHTS[night[0]][night[1]]
    assert len({datetime.fromtimestamp(changes_at_s - s, ZoneInfo(zone)).utcoffset() for s in (0, 1)}) == 2
    tariff = Terms(off_peak="; ".join(texts), time_zone=zone)
    off_peak = parse_off_peak(tariff.off_peak, zone)
    assert off_peak is not None
    first_us, last_us = ((changes_at_s + hours * 3600) * US_PER_S for hours in (-4, 5))
    spans = off_peak.spans(first_us, last_us)
    for at_us in range(first_us, last_us, 60 * US_PER_S):
        assert any(begin <= at_us < end for begin, end in spans) == is_off_peak(tariff, at_us), at_us


dates = st.dates(date(2024, 1, 1), date(2028, 12, 31))
YEAR = [(date(2028, 1, 1) + timedelta(n)).isoformat()[5:] for n in range(366)]


@given(dates, dates, dates)
def test_dates_with_a_year_are_all_days_from_one_to_the_other(first: date, last: date, day: date) -> None:
    assume(first <= last)
    assert Dates(str(first), str(last)).include(str(day)) == (first <= day <= last)


@given(st.integers(0, 365), st.integers(0, 365), dates)
def test_dates_without_a_year_are_walked_through_every_year(first: int, days: int, day: date) -> None:
    walked = [YEAR[(first + n) % 366] for n in range(days + 1)]
    assert Dates(walked[0], walked[-1]).include(str(day)) == (str(day)[5:] in walked)


@given(prices, st.integers(0, 4000), starts_us)
def test_the_cost_is_that_of_every_started_interval_rounded_once(
    price: Price, talk_s: int, start_us: int
) -> None:
    cost = cost_by_hand(price, talk_s, start_us)
    assert cost_micros(price, talk_s, start_us) == cost
    assert sum(part.micros for part in cost_parts(price, talk_s, start_us)) == cost


@given(prices, st.integers(0, 4000), starts_us, st.integers(0, 120), st.data())
def test_what_is_held_while_a_leg_rings_pays_for_it_whenever_it_is_answered(
    price: Price, talk_s: int, dialed_at_us: int, ring_s: int, data: st.DataObject
) -> None:
    rang_us = data.draw(st.integers(0, ring_s * US_PER_S))
    held = cost_micros(price, talk_s, dialed_at_us, ring_s)
    assert cost_micros(price, talk_s, dialed_at_us + rang_us) <= held


@given(prices, funds, st.integers(0, 10_000), starts_us)
def test_funds_last_exactly_as_long_as_they_pay(
    price: Price, funds_micros: int, limit_s: int, start_us: int
) -> None:
    lasts_s = longest_s(lambda t: cost_micros(price, t, start_us), funds_micros, limit_s)
    assert 0 <= lasts_s <= limit_s
    assert cost_micros(price, lasts_s, start_us) <= funds_micros
    assert lasts_s == limit_s or cost_micros(price, lasts_s + 1, start_us) > funds_micros


@given(prices, seconds, starts_us)
def test_the_funds_for_a_duration_last_at_least_that_long(price: Price, talk_s: int, start_us: int) -> None:
    def cost_of(t: int) -> int:
        return cost_micros(price, t, start_us)

    assert longest_s(cost_of, cost_of(talk_s), 20_000) >= talk_s


@given(
    prices,
    st.integers(0, 90),
    st.integers(0, 60),
    prices,
    st.integers(0, 6_000_000),
    st.integers(0, 200),
    starts_us,
)
def test_the_joint_duration_is_the_longest_that_both_legs_can_pay(
    price_a: Price,
    elapsed_s: int,
    ring_s: int,
    price_b: Price,
    funds_micros: int,
    limit_s: int,
    start_us: int,
) -> None:
    """Compared with trying every duration."""

    def together(talk_s: int) -> int:
        leg_b = cost_micros(price_b, talk_s, start_us + elapsed_s * US_PER_S, ring_s)
        return cost_micros(price_a, elapsed_s + ring_s + talk_s, start_us) + leg_b

    paid = [talk_s for talk_s in range(limit_s + 1) if together(talk_s) <= funds_micros]
    talk_s = joint_longest_s(price_a, elapsed_s, ring_s, price_b, funds_micros, limit_s, start_us)
    assert talk_s == max(paid, default=0)


@given(
    prices,
    st.integers(0, 3600),
    st.integers(0, 180),
    prices,
    funds,
    st.integers(1, 86_400),
    starts_us,
    st.data(),
)
def test_both_legs_never_overspend_whatever_is_talked(
    price_a: Price,
    elapsed_s: int,
    ring_s: int,
    price_b: Price,
    more: int,
    limit_s: int,
    start_us: int,
    data: st.DataObject,
) -> None:
    """The funds pay at least for leg A until leg B answers."""
    funds_micros = cost_micros(price_a, elapsed_s + ring_s, start_us) + more
    longest = joint_longest_s(price_a, elapsed_s, ring_s, price_b, funds_micros, limit_s, start_us)
    rang_s, talked_s = data.draw(st.integers(0, ring_s)), data.draw(st.integers(0, longest))
    leg_a = cost_micros(price_a, elapsed_s + rang_s + talked_s, start_us)
    answered_at_us = start_us + (elapsed_s + rang_s) * US_PER_S
    assert leg_a + cost_micros(price_b, talked_s, answered_at_us) <= funds_micros


@given(st.integers(-(10**9), 10**12))
def test_a_started_second_is_charged_and_no_more(duration_us: int) -> None:
    whole_s = charged_seconds(duration_us)
    assert whole_s >= 0
    assert duration_us <= whole_s * 1_000_000 < max(duration_us, 0) + 1_000_000


# --- options -------------------------------------------------------------------------------------------------


@given(
    st.dictionaries(
        st.sampled_from([o.name for o in describe_options()]) | st.text(), st.text() | number_like
    )
)
def test_any_options_are_read_or_refused(stored: dict[str, str]) -> None:
    try:
        options = CallOptions.parse(stored)
    except InvalidInput:
        return
    assert CallOptions.parse(stored) == options


@given(st.data())
def test_a_number_within_its_limits_is_taken_as_it_is(data: st.DataObject) -> None:
    limited = [o for o in describe_options() if " to " in o.values]
    option = data.draw(st.sampled_from(limited))
    least, most = (float(limit) for limit in option.values.split(" to "))
    value = data.draw(st.integers(int(least), int(most)))
    assert getattr(CallOptions.parse({option.name: str(value)}), option.name) == value
