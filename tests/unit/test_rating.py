"""What calls cost, and how long funds last: the examples people work out on paper."""

from __future__ import annotations

import pytest

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import format_amount, parse_amount
from stasis_callback.core.rating import (
    Rate,
    billed_seconds,
    charged_seconds,
    cost_micros,
    intervals,
    joint_longest_s,
    longest_s,
)


def rate(
    first_interval_s: int,
    next_interval_s: int,
    price: str = "0.10",
    *,
    then: str | None = None,
    fee: str = "0",
) -> Rate:
    """A rate from its intervals and its price per minute; `then` is the price of the next intervals."""
    return Rate(
        "44",
        connect_fee_micros=parse_amount(fee),
        first_interval_s=first_interval_s,
        first_price_micros=parse_amount(price),
        next_interval_s=next_interval_s,
        next_price_micros=parse_amount(then if then is not None else price),
    )


BY_MINUTE = rate(60, 60)
BY_SIX = rate(60, 6)
BY_SECOND = rate(1, 1)


@pytest.mark.parametrize(
    ("charged_by",                            "seconds", "cost"),
    [
        (BY_MINUTE,                                   0, "0.00"),
        (BY_MINUTE,                                   1, "0.10"),
        (BY_MINUTE,                                  60, "0.10"),
        (BY_MINUTE,                                  61, "0.20"),
        (BY_MINUTE,                                3000, "5.00"),
        (BY_SIX,                                      0, "0.00"),
        (BY_SIX,                                      1, "0.10"),
        (BY_SIX,                                     60, "0.10"),
        (BY_SIX,                                     61, "0.11"),
        (BY_SIX,                                     66, "0.11"),
        (BY_SIX,                                     67, "0.12"),
        (BY_SIX,                                    120, "0.20"),
        (BY_SECOND,                                   0, "0.00"),
        (BY_SECOND,                                   1, "0.001667"),
        (BY_SECOND,                                   2, "0.003334"),
        (BY_SECOND,                                   3, "0.005"),
        (BY_SECOND,                                  60, "0.10"),
        (BY_SECOND,                                  61, "0.101667"),
        (rate(30, 6),                                 1, "0.05"),
        (rate(30, 6),                                31, "0.06"),
        (rate(60, 60, "0.30", then="0.10"),          61, "0.40"),
        (rate(60, 1, "0.00", then="0.06"),           60, "0.00"),
        (rate(60, 1, "0.00", then="0.06"),           61, "0.001"),
        (rate(60, 60, fee="0.25"),                    0, "0.00"),
        (rate(60, 60, fee="0.25"),                    1, "0.35"),
        (rate(60, 60, fee="0.25"),                   61, "0.45"),
        (rate(1, 1, "0.00", fee="0.25"),           7200, "0.25"),
        (Rate("44"),                               7200, "0.00"),
    ],
)  # fmt: skip
def test_the_cost_of_a_call(charged_by: Rate, seconds: int, cost: str) -> None:
    assert format_amount(cost_micros(charged_by, seconds)) == cost


@pytest.mark.parametrize(
    ("charged_by", "seconds", "first_and_next", "billed_s"),
    [
        (BY_SIX,              0,           (0, 0),          0),
        (BY_SIX,             -5,           (0, 0),          0),
        (BY_SIX,              1,           (1, 0),         60),
        (BY_SIX,             60,           (1, 0),         60),
        (BY_SIX,             61,           (1, 1),         66),
        (BY_SIX,             67,           (1, 2),         72),
        (BY_SECOND,          67,          (1, 66),         67),
        (BY_MINUTE,          67,           (1, 1),        120),
    ],
)  # fmt: skip
def test_a_call_is_billed_in_whole_intervals(
    charged_by: Rate, seconds: int, first_and_next: tuple[int, int], billed_s: int
) -> None:
    assert intervals(charged_by, seconds) == first_and_next
    assert billed_seconds(charged_by, seconds) == billed_s


@pytest.mark.parametrize(
    ("duration_us", "seconds"),
    [(-1, 0), (0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2), (9_012_000, 10)],
)
def test_a_started_second_is_a_whole_one(duration_us: int, seconds: int) -> None:
    assert charged_seconds(duration_us) == seconds


@pytest.mark.parametrize(
    ("funds",    "charged_by",                        "lasts_s"),
    [
        ("5.00",     BY_MINUTE,                          3000),  # PortaOne's example: $5 at $0.10 is 50 minutes
        ("5.05",     BY_MINUTE,                          3000),
        ("0.10",     BY_MINUTE,                            60),
        ("0.099999", BY_MINUTE,                             0),
        ("5.05",     BY_SIX,                             3030),
        ("5.00",     BY_SECOND,                          3000),
        ("0.001666", BY_SECOND,                             0),
        ("0.001667", BY_SECOND,                             1),
        ("5.00",     rate(60, 60, fee="0.25"),           2820),
        ("0.30",     rate(60, 60, fee="0.25"),              0),
        ("0",        rate(1, 1, "0.00"),                 7200),
        ("1000",     BY_MINUTE,                          7200),  # the limit
    ],
)  # fmt: skip
def test_how_long_funds_last(funds: str, charged_by: Rate, lasts_s: int) -> None:
    assert longest_s(lambda seconds: cost_micros(charged_by, seconds), parse_amount(funds), 7200) == lasts_s


def test_what_cannot_even_begin_is_told_apart_from_what_lasts_no_second() -> None:
    assert longest_s(lambda seconds: 5 + seconds, 4, 100) == -1
    assert longest_s(lambda seconds: 5 + seconds, 5, 100) == 0


@pytest.mark.parametrize(
    # Leg A has run for elapsed_s and runs on while leg B rings; both together may cost no more than the funds.
    ("funds",  "rate_a",  "elapsed_s", "ring_s", "rate_b",                    "talk_s"),
    [
        ("5.00", Rate("420"),       0,        0, BY_MINUTE,                       3000),
        ("5.00", BY_MINUTE,         0,        0, BY_MINUTE,                       1500),
        ("5.00", BY_MINUTE,        61,        0, BY_MINUTE,                       1440),
        ("5.00", BY_MINUTE,        60,        0, BY_MINUTE,                       1440),
        ("5.00", BY_MINUTE,        15,       45, BY_MINUTE,                       1440),
        ("5.00", BY_MINUTE,        15,       45, rate(60, 60, "0.40"),             540),
        ("5.00", BY_SECOND,        30,       30, BY_SECOND,                       1470),
        ("0.20", BY_MINUTE,         0,        0, BY_MINUTE,                         60),
        ("0.20", BY_MINUTE,         0,        1, BY_MINUTE,                         59),
        ("0.20", BY_MINUTE,        60,        0, BY_MINUTE,                          0),
        ("0.05", BY_MINUTE,        60,        0, BY_MINUTE,                          0),  # A alone is too dear
        ("99.0", BY_MINUTE,         0,        0, BY_MINUTE,                       7200),  # the limit
    ],
)  # fmt: skip
def test_both_legs_share_the_funds(
    funds: str, rate_a: Rate, elapsed_s: int, ring_s: int, rate_b: Rate, talk_s: int
) -> None:
    assert joint_longest_s(rate_a, elapsed_s, ring_s, rate_b, parse_amount(funds), 7200) == talk_s


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"prefix": ""},                           "'' is not a prefix"),
        ({"prefix": "+44"},                        "is not a prefix"),
        ({"prefix": "44a"},                        "is not a prefix"),
        ({"prefix": "٤٤"},                         "is not a prefix"),
        ({"prefix": "²"},                          "is not a prefix"),
        ({"prefix": "1234567890123456"},           "write 1 to 15 digits"),
        ({"first_interval_s": 0},                  "first interval 0 s: must be 1 to 3600"),
        ({"first_interval_s": 3601},               "first interval 3601 s"),
        ({"next_interval_s": -1},                  "next interval -1 s"),
        ({"connect_fee_micros": -1},               "connect fee must be 0 to"),
        ({"first_price_micros": -1},               "first price must be 0 to"),
        ({"next_price_micros": 10**15 + 1},        "next price must be 0 to 1000000000.00"),
    ],
)  # fmt: skip
def test_a_rate_that_means_nothing_is_refused(values: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Rate(**({"prefix": "44"} | values))  # type: ignore[arg-type]
    assert why in str(refused.value)
