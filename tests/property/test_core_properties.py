"""Rules of money, numbers, rates and options that hold for every value."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import AMOUNT_LIMIT_MICROS, divide_up, format_amount, parse_amount
from stasis_callback.core.numbers import clean, dialable, is_dialable, mask, parse_rules, translate
from stasis_callback.core.options import CallOptions, describe_options
from stasis_callback.core.rating import Rate, charged_seconds, cost_micros, joint_longest_s, longest_s

# --- money ---------------------------------------------------------------------------------------------------


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
)
seconds = st.integers(0, 10_000)
funds = st.integers(0, 50_000_000)


@given(rates, seconds, seconds)
def test_a_longer_call_never_costs_less(rate: Rate, shorter: int, more: int) -> None:
    assert 0 <= cost_micros(rate, shorter) <= cost_micros(rate, shorter + more)


@given(rates, seconds)
def test_the_cost_is_that_of_every_started_interval_rounded_up_once(rate: Rate, talk_s: int) -> None:
    """Counted one interval after the other, the long way."""
    sixtieths, covered_s = 0, 0
    while covered_s < talk_s:
        interval_s = rate.next_interval_s if covered_s else rate.first_interval_s
        sixtieths += interval_s * (rate.next_price_micros if covered_s else rate.first_price_micros)
        covered_s += interval_s
    whole, started = divmod(sixtieths, 60)
    assert cost_micros(rate, talk_s) == (rate.connect_fee_micros + whole + bool(started) if talk_s else 0)


@given(rates, funds, st.integers(0, 10_000))
def test_funds_last_exactly_as_long_as_they_pay(rate: Rate, funds_micros: int, limit_s: int) -> None:
    lasts_s = longest_s(lambda t: cost_micros(rate, t), funds_micros, limit_s)
    assert 0 <= lasts_s <= limit_s
    assert cost_micros(rate, lasts_s) <= funds_micros
    assert lasts_s == limit_s or cost_micros(rate, lasts_s + 1) > funds_micros


@given(rates, seconds)
def test_the_funds_for_a_duration_last_at_least_that_long(rate: Rate, talk_s: int) -> None:
    assert longest_s(lambda t: cost_micros(rate, t), cost_micros(rate, talk_s), 20_000) >= talk_s


@given(rates, st.integers(0, 90), st.integers(0, 60), rates, st.integers(0, 6_000_000), st.integers(0, 200))
def test_the_joint_duration_is_the_longest_that_both_legs_can_pay(
    rate_a: Rate, elapsed_s: int, ring_s: int, rate_b: Rate, funds_micros: int, limit_s: int
) -> None:
    """Compared with trying every duration."""

    def together(talk_s: int) -> int:
        return cost_micros(rate_a, elapsed_s + ring_s + talk_s) + cost_micros(rate_b, talk_s)

    paid = [talk_s for talk_s in range(limit_s + 1) if together(talk_s) <= funds_micros]
    talk_s = joint_longest_s(rate_a, elapsed_s, ring_s, rate_b, funds_micros, limit_s)
    assert talk_s == max(paid, default=0)


@given(rates, st.integers(0, 3600), st.integers(0, 180), rates, funds, st.integers(1, 86_400), st.data())
def test_both_legs_never_overspend_whatever_is_talked(
    rate_a: Rate, elapsed_s: int, ring_s: int, rate_b: Rate, more: int, limit_s: int, data: st.DataObject
) -> None:
    """The funds pay at least for leg A until leg B answers."""
    funds_micros = cost_micros(rate_a, elapsed_s + ring_s) + more
    longest = joint_longest_s(rate_a, elapsed_s, ring_s, rate_b, funds_micros, limit_s)
    rang_s, talked_s = data.draw(st.integers(0, ring_s)), data.draw(st.integers(0, longest))
    leg_a = cost_micros(rate_a, elapsed_s + rang_s + talked_s)
    assert leg_a + cost_micros(rate_b, talked_s) <= funds_micros


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
