"""What calls cost, and how long funds last: the examples people work out on paper."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import AMOUNT_LIMIT_MICROS, MICROS, format_amount, parse_amount
from stasis_callback.core.periods import parse_off_peak, time_zone
from stasis_callback.core.rating import (
    Charge,
    Price,
    Rate,
    Terms,
    billed_seconds,
    charge,
    charged_seconds,
    cost_micros,
    intervals,
    joint_longest_s,
    least_micros,
    longest_s,
)

TERMS = Terms()


def rate(
    first_interval_s: int,
    next_interval_s: int,
    price: str = "0.10",
    *,
    then: str | None = None,
    fee: str = "0",
    terms: Terms = TERMS,
) -> Price:
    """A price from its intervals and its price per minute; `then` is the price of the next intervals."""
    return Price(
        Rate(
            "44",
            connect_fee_micros=parse_amount(fee),
            first_interval_s=first_interval_s,
            first_price_micros=parse_amount(price),
            next_interval_s=next_interval_s,
            next_price_micros=parse_amount(then if then is not None else price),
        ),
        terms,
    )


BY_MINUTE = rate(60, 60)
BY_SIX = rate(60, 6)
BY_SECOND = rate(1, 1)
FREE = Price(Rate("420"))


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
        (Price(Rate("44")),                        7200, "0.00"),
    ],
)  # fmt: skip
def test_the_cost_of_a_call(charged_by: Price, seconds: int, cost: str) -> None:
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
        (rate(60, 1),         1,           (1, 0),         60),
        (BY_MINUTE,          67,           (1, 1),        120),
        (rate(60, 6, terms=Terms(grace_s=5)), 5, (0, 0),    0),
        (rate(60, 6, terms=Terms(grace_s=5)), 6, (1, 0),   60),
        (rate(60, 6, terms=Terms(free_s=5)),  5, (0, 0),    0),
        (rate(60, 6, terms=Terms(free_s=5)), 66, (1, 1),   66),
    ],
)  # fmt: skip
def test_a_call_is_billed_in_whole_intervals(
    charged_by: Price, seconds: int, first_and_next: tuple[int, int], billed_s: int
) -> None:
    assert intervals(charged_by, seconds) == first_and_next
    assert billed_seconds(charged_by, seconds) == billed_s


@pytest.mark.parametrize(
    # 60 s at 0.10 a minute, then 6 s at 0.10 a minute, and what the tariff's terms make of it.
    ("terms",                                       "fee",  "seconds", "cost"),
    [
        (Terms(grace_s=5),                          "0.02",         5, "0.00"),
        (Terms(grace_s=5),                          "0.02",         6, "0.12"),
        (Terms(free_s=30),                          "0.02",         1, "0.02"),  # free seconds spare no connect fee
        (Terms(free_s=30),                          "0.02",        30, "0.02"),
        (Terms(free_s=30),                          "0.02",        31, "0.12"),
        (Terms(free_s=30),                          "0.02",        90, "0.12"),
        (Terms(free_s=30),                          "0.02",        91, "0.13"),
        (Terms(surcharge_bp=1000),                  "0.02",        66, "0.143"),
        (Terms(surcharge_bp=1),                     "0",            1, "0.10001"),
        (Terms(minimum_micros=150_000),             "0.02",         1, "0.15"),
        (Terms(minimum_micros=150_000),             "0.02",       120, "0.22"),
        (Terms(minimum_micros=150_000),             "0.02",         0, "0.00"),
        (Terms(rounding_micros=50_000),             "0",           66, "0.15"),
        (Terms(rounding_micros=50_000, rounding="nearest"), "0",   66, "0.10"),
        (Terms(rounding_micros=20_000, rounding="nearest"), "0",   66, "0.12"),  # a half goes up
        (Terms(rounding_micros=50_000, rounding="down"), "0",      90, "0.15"),
        (Terms(rounding_micros=50_000, rounding="down"), "0",      84, "0.10"),
        (Terms(disconnect_fee_micros=500_000),      "0.02",         1, "0.62"),
        (Terms(disconnect_fee_micros=500_000),      "0.02",         0, "0.00"),
        (Terms(disconnect_fee_micros=500_000, grace_s=9), "0.02",   9, "0.00"),
        (Terms(disconnect_fee_micros=500_000, disconnect_fee_after_s=60), "0.02", 60, "0.12"),
        (Terms(disconnect_fee_micros=500_000, disconnect_fee_after_s=60), "0.02", 61, "0.63"),
        (Terms(disconnect_fee_micros=500_000, free_s=99), "0.02",  99, "0.52"),  # as for the connect fee
        (Terms(maximum_micros=150_000),             "0.02",       120, "0.15"),
        (Terms(maximum_micros=150_000),             "0.02",        78, "0.15"),
        (Terms(maximum_micros=150_000),             "0.02",        72, "0.14"),
        (Terms(maximum_micros=150_000, rounding_micros=100_000), "0.02", 66, "0.15"),  # not rounded beyond it
        (Terms(maximum_micros=150_000, minimum_micros=150_000), "0.02", 1, "0.15"),
        # All of them: (0.02 + 0.10 + 2 x 0.01) + 10 % = 0.154, to the next cent.
        (Terms(5, 2, 1000, 10_000, 10_000),         "0.02",        75, "0.16"),
        # And 0.30 at the end: 0.44 + 10 % = 0.484.
        (Terms(5, 2, 1000, 10_000, 10_000, disconnect_fee_micros=300_000), "0.02", 75, "0.49"),
    ],
)  # fmt: skip
def test_the_terms_of_a_tariff(terms: Terms, fee: str, seconds: int, cost: str) -> None:
    assert format_amount(cost_micros(rate(60, 6, fee=fee, terms=terms), seconds)) == cost


OFF_PEAK = Price(
    Rate(
        "44",
        first_price_micros=600_000,
        next_price_micros=600_000,
        off_peak_first_price_micros=60_000,
        off_peak_next_price_micros=60_000,
    ),
    Terms(off_peak="mon-fri 19:00-07:00; sat; sun", time_zone="Europe/Prague"),
)
"""One cent a second, a tenth of that in the evening, at night and at the weekend, by Prague's clock."""


@pytest.mark.parametrize(
    ("start",                      "seconds", "cost"),
    [
        ("2026-01-26T12:00:00Z",           10, "0.10"),
        ("2026-01-26T17:59:50Z",           10, "0.10"),   # 18:59:50 in Prague
        ("2026-01-26T17:59:50Z",           20, "0.11"),   # ten seconds of each
        ("2026-01-26T18:00:00Z",           10, "0.01"),
        ("2026-01-27T05:59:55Z",           10, "0.055"),  # the night ends at seven
        ("2026-01-30T22:00:00Z",       3600*3, "10.80"),  # Friday night into Saturday, without a gap
        ("2026-02-02T05:59:59Z",            2, "0.02"),   # Sunday ends at midnight, its night is no weekday's
        ("2026-07-27T16:59:50Z",           20, "0.11"),   # in summer the evening begins an hour earlier by UTC
    ],
)  # fmt: skip
def test_peak_and_off_peak_by_the_clock_of_the_tariff(start: str, seconds: int, cost: str) -> None:
    start_us = int(datetime.fromisoformat(start).timestamp()) * 1_000_000
    assert format_amount(cost_micros(OFF_PEAK, seconds, start_us)) == cost


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


EVENING = at("2026-01-26T18:00:00Z")
"""When Prague's evening begins."""


@pytest.mark.parametrize(
    ("price", "seconds", "start_us", "steps"),
    [
        (BY_SIX,                                    67, 0, Charge(67, 1, False, 2, 0, 7_200_000)),
        (rate(60, 6, terms=Terms(grace_s=5)),        5, 0, Charge(0, 0, False, 0, 0, 0)),
        (rate(60, 6, terms=Terms(grace_s=5)),        6, 0, Charge(6, 1, False, 0, 0, 6_000_000)),
        (rate(60, 6, terms=Terms(free_s=30)),       30, 0, Charge(0, 0, False, 0, 0, 0)),
        (rate(60, 6, terms=Terms(free_s=30)),       20, 0, Charge(0, 0, False, 0, 0, 0)),
        (rate(60, 6, terms=Terms(free_s=30)),       31, 0, Charge(1, 1, False, 0, 0, 6_000_000)),
        (OFF_PEAK,                         1, EVENING, Charge(1, 1, True, 0, 0, 60_000)),
        (OFF_PEAK,           20, EVENING - 10_000_000, Charge(20, 1, False, 19, 10, 6_600_000)),
        (OFF_PEAK,                        10, EVENING, Charge(10, 1, True, 9, 9, 600_000)),
        (OFF_PEAK,            2, EVENING -  1_000_000, Charge(2, 1, False, 1, 1, 660_000)),
    ],
)  # fmt: skip
def test_the_steps_of_a_charge(price: Price, seconds: int, start_us: int, steps: Charge) -> None:
    assert charge(price, seconds, start_us) == steps


MORNING = at("2026-01-27T06:00:00Z")
"""When Prague's night ends."""


def dearer(first: tuple[int, int | None], following: tuple[int, int | None]) -> Price:
    """Peak and off-peak prices of the first and of the next intervals."""
    return replace(OFF_PEAK, rate=Rate("44", 0, 1, first[0], 1, following[0], first[1], following[1]))


@pytest.mark.parametrize(
    # Ten seconds from five before the evening, of a leg that may ring for ten more.
    ("price", "steps"),
    [
        (dearer((600, 1200), (2000, 60)),    Charge(10, 1, True, 9, 5, 1200 + 5 * 60 + 4 * 2000)),
        (dearer((2000, 60), (600, 1200)),    Charge(10, 1, False, 9, 9, 2000 + 9 * 1200)),
        (dearer((600, None), (600, 60)),     Charge(10, 1, False, 9, 5, 600 + 5 * 60 + 4 * 600)),
        (dearer((600, 60), (600, None)),     Charge(10, 1, False, 9, 5, 600 + 9 * 600)),
    ],
)  # fmt: skip
def test_first_and_next_intervals_each_have_their_dearer_price(price: Price, steps: Charge) -> None:
    assert charge(price, 10, EVENING - 5_000_000, 10) == steps


def test_without_an_off_peak_price_the_peak_price_is_charged() -> None:
    assert charge(dearer((700, None), (600, 60)), 2, EVENING).intervals_sixtieths == 700 + 60
    assert charge(dearer((600, 60), (700, None)), 2, EVENING).intervals_sixtieths == 60 + 700


def test_a_call_from_one_night_into_the_next() -> None:
    """By the hour, from ten seconds before seven in the morning, of a leg that may ring for thirty more."""
    by_hour = replace(OFF_PEAK, rate=replace(OFF_PEAK.rate, next_interval_s=3600))
    steps = charge(by_hour, 1 + 14 * 3600, MORNING - 11_000_000, 30)
    assert (steps.first_off_peak, steps.following, steps.following_off_peak) == (False, 14, 1)


def test_without_more_a_call_begins_with_the_epoch_and_at_once() -> None:
    price = replace(OFF_PEAK, terms=Terms(off_peak="thu 00:00-01:00"))  # the first of January 1970
    assert charge(price, 1).first_off_peak
    assert joint_longest_s(FREE, 0, 0, price, 10_000, 7200) == 10
    assert cost_micros(price, 1) == 1000
    assert charge(OFF_PEAK, 10, MORNING - 5_000_000) == Charge(10, 1, True, 9, 4, 5 * 60_000 + 5 * 600_000)


BY_ANSWER = replace(OFF_PEAK, terms=replace(OFF_PEAK.terms, off_peak_by="answer"))
"""The same, but the whole call costs what it costs when it is answered."""


@pytest.mark.parametrize(
    ("start_us",             "seconds", "slack_s", "cost"),
    [
        (EVENING,                   20,         0, "0.02"),
        (EVENING - 1_000_000,       20,         0, "0.20"),
        (MORNING - 1_000_000,     7200,         0, "7.20"),
        (MORNING,                 7200,         0, "72.00"),
        (MORNING - 10_000_000,      20,         5, "0.02"),   # answered at night for sure
        (MORNING - 10_000_000,      20,        10, "0.20"),   # perhaps in the morning
    ],
)  # fmt: skip
def test_a_call_may_cost_throughout_what_it_costs_at_its_answer(
    start_us: int, seconds: int, slack_s: int, cost: str
) -> None:
    assert format_amount(cost_micros(BY_ANSWER, seconds, start_us, slack_s)) == cost


def test_free_seconds_do_not_move_a_call_out_of_the_night_of_its_answer() -> None:
    price = replace(BY_ANSWER, terms=replace(BY_ANSWER.terms, free_s=600))
    assert charge(price, 602, MORNING - 1_000_000) == Charge(2, 1, True, 1, 1, 120_000)


def test_a_disconnect_fee_shortens_what_funds_pay_for_only_where_it_is_due() -> None:
    terms = Terms(disconnect_fee_micros=100_000, disconnect_fee_after_s=120)
    price = rate(60, 60, terms=terms)
    for funds, lasts_s in (("0.10", 60), ("0.20", 120), ("0.30", 120), ("0.39", 120), ("0.40", 180)):
        assert longest_s(lambda t: cost_micros(price, t), parse_amount(funds), 7200) == lasts_s


def test_who_can_pay_the_maximum_can_talk_for_ever() -> None:
    price = rate(60, 60, terms=Terms(maximum_micros=250_000))
    for funds, lasts_s in (("0.24", 120), ("0.25", 7200)):
        assert longest_s(lambda t: cost_micros(price, t), parse_amount(funds), 7200) == lasts_s


@pytest.mark.parametrize(
    ("periods",                            "day",        "off_peak"),
    [
        ("12-25",                          "2026-12-25", True),
        ("12-25",                          "2026-12-24", False),
        ("2026-12-25",                     "2026-12-25", True),
        ("2026-12-25",                     "2027-12-25", False),
        ("12-24..01-01",                   "2026-12-23", False),
        ("12-24..01-01",                   "2026-12-24", True),
        ("12-24..01-01",                   "2027-01-01", True),
        ("12-24..01-01",                   "2027-01-02", False),
        ("2026-12-30..2027-01-02",         "2026-12-29", False),
        ("2026-12-30..2027-01-02",         "2027-01-02", True),
        ("2026-12-30..2027-01-02",         "2027-12-31", False),
        ("02-29",                          "2028-02-29", True),
        ("mon-fri 19:00-07:00; 05-01,12-25", "2026-12-25", True),
        ("sun,12-25",                      "2026-12-27", True),
        ("sun,12-25",                      "2026-12-26", False),
        ("Sun,12-25 10:00-14:00",          "2026-12-25", True),
        ("sun,12-25 13:00-14:00",          "2026-12-25", False),
        ("12-25 22:00-13:00",              "2026-12-26", True),   # what begins on Christmas Day
        ("12-25 22:00-13:00",              "2026-12-25", False),
    ],
)  # fmt: skip
def test_holidays_are_dates_at_noon_in_prague(periods: str, day: str, off_peak: bool) -> None:
    found = parse_off_peak(periods, "Europe/Prague")
    assert found is not None
    noon_us = at(f"{day}T12:00:00+01:00")
    assert bool(found.spans(noon_us, noon_us)) == off_peak


def test_free_seconds_move_the_intervals_into_the_evening() -> None:
    price = replace(OFF_PEAK, terms=replace(OFF_PEAK.terms, free_s=10))
    assert charge(price, 12, EVENING - 10_000_000) == Charge(2, 1, True, 1, 1, 120_000)
    assert charge(price, 12, EVENING - 11_000_000) == Charge(2, 1, False, 1, 1, 660_000)


@pytest.mark.parametrize(
    ("terms", "shortest_s", "least"), [(TERMS, 1, 100_000), (Terms(grace_s=5), 6, 100_000)]
)
def test_the_shortest_call_that_is_charged(terms: Terms, shortest_s: int, least: int) -> None:
    price = rate(60, 6, terms=terms)
    assert price.shortest_paid_s == shortest_s
    assert least_micros(price, 0) == least


def test_a_rate_without_more_is_free_by_the_second_and_dialled() -> None:
    assert Rate("44") == Rate("44", 0, 1, 0, 1, 0, None, None, forbidden=False, discontinued=False)
    assert Terms() == Terms(0, 0, 0, 0, 1, "up", "", "UTC", "", "interval", 0, 0, 0)


@pytest.mark.parametrize(
    "values",
    [
        {"prefix": "123456789012345"},
        {"first_interval_s": 1, "next_interval_s": 3600},
        {"first_interval_s": 3600, "next_interval_s": 1},
        {"connect_fee_micros": AMOUNT_LIMIT_MICROS, "next_price_micros": 0},
    ],
)
def test_a_rate_at_its_limits(values: dict[str, object]) -> None:
    assert Rate(**({"prefix": "44"} | values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [
        {"free_s": 3600, "grace_s": 0},
        {"free_s": 0, "grace_s": 3600},
        {"surcharge_bp": 100_000, "minimum_micros": 0},
        {"surcharge_bp": 0, "minimum_micros": AMOUNT_LIMIT_MICROS},
        {"maximum_micros": AMOUNT_LIMIT_MICROS, "disconnect_fee_micros": AMOUNT_LIMIT_MICROS},
        {"maximum_micros": 5, "minimum_micros": 5, "disconnect_fee_after_s": 3600},
        {"rounding_micros": 1},
        {"rounding_micros": 1000 * MICROS},
    ],
)
def test_terms_at_their_limits(values: dict[str, object]) -> None:
    assert Terms(**values)  # type: ignore[arg-type]


def test_an_interval_is_off_peak_when_it_begins_so() -> None:
    by_minute = replace(OFF_PEAK, rate=replace(OFF_PEAK.rate, first_interval_s=60, next_interval_s=60))
    start_us = int(datetime.fromisoformat("2026-01-26T17:59:30Z").timestamp()) * 1_000_000
    assert format_amount(cost_micros(by_minute, 61, start_us)) == "0.66"


def test_a_leg_that_still_rings_is_priced_by_the_dearer_of_both() -> None:
    evening_us = int(datetime.fromisoformat("2026-01-26T18:00:05Z").timestamp()) * 1_000_000
    assert format_amount(cost_micros(OFF_PEAK, 10, evening_us, 30)) == "0.01"
    assert format_amount(cost_micros(OFF_PEAK, 10, evening_us - 10_000_000, 30)) == "0.055"
    morning_us = int(datetime.fromisoformat("2026-01-27T05:59:40Z").timestamp()) * 1_000_000
    assert format_amount(cost_micros(OFF_PEAK, 10, morning_us, 15)) == "0.055"


@pytest.mark.parametrize(
    # A whole night in Prague, by its own clock. In spring 2:00 to 3:00 does not exist, in autumn it is twice.
    ("night",                     "periods",                  "off_peak"),
    [
        ("2026-03-29T00:00:00+01:00", "01:30-02:30",              ["01:30-03:00"]),   # ends as the gap begins
        ("2026-03-29T00:00:00+01:00", "02:30-03:15",              ["03:00-03:15"]),   # begins as it ends
        ("2026-03-29T00:00:00+01:00", "02:15-02:45",              []),                # no clock shows it
        ("2026-03-29T00:00:00+01:00", "01:00-04:00",              ["01:00-04:00"]),
        ("2026-03-29T00:00:00+01:00", "01:30-02:30; 02:30-03:15", ["01:30-03:15"]),
        ("2026-10-25T00:00:00+02:00", "01:30-02:30",              ["01:30-02:30", "02:00-02:30"]),
        ("2026-10-25T00:00:00+02:00", "02:30-03:15",              ["02:30-02:00", "02:30-03:15"]),
        ("2026-10-25T00:00:00+02:00", "02:00-03:00",              ["02:00-03:00"]),   # two hours long
        ("2026-10-25T00:00:00+02:00", "01:00-04:00",              ["01:00-04:00"]),
    ],
)  # fmt: skip
def test_off_peak_is_what_the_clock_shows_in_the_nights_it_is_changed(
    night: str, periods: str, off_peak: list[str]
) -> None:
    found = parse_off_peak(periods, "Europe/Prague")
    assert found is not None
    spans = found.spans(at(night), at(night) + 6 * 3600 * 1_000_000)

    def shown(at_us: int) -> str:
        return f"{datetime.fromtimestamp(at_us // 1_000_000, time_zone('Europe/Prague')):%H:%M}"

    assert [f"{shown(begin)}-{shown(end)}" for begin, end in spans] == off_peak


def test_summer_time_within_a_call() -> None:
    """On 29 March 2026 Prague's clock goes from 2:00 to 3:00, on 25 October from 3:00 back to 2:00."""
    price = replace(OFF_PEAK, terms=Terms(off_peak="00:00-03:30", time_zone="Europe/Prague"))
    spring_us = int(datetime.fromisoformat("2026-03-29T00:30:00Z").timestamp()) * 1_000_000  # 1:30 in Prague
    assert cost_micros(price, 3600, spring_us) == 3600 * 1000  # until 3:30, an hour later
    assert cost_micros(price, 3601, spring_us) == 3600 * 1000 + 10_000
    autumn_us = (
        int(datetime.fromisoformat("2026-10-25T00:30:00Z").timestamp()) * 1_000_000
    )  # 2:30, the first one
    assert cost_micros(price, 2 * 3600, autumn_us) == 2 * 3600 * 1000  # two hours until 3:30
    assert cost_micros(price, 2 * 3600 + 1, autumn_us) == 2 * 3600 * 1000 + 10_000


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"free_s": -1},                                  "free seconds of -1 s is invalid: write 0 to 3600"),
        ({"grace_s": 3601},                               "grace period of 3601 s"),
        ({"surcharge_bp": 100_001},                       "the surcharge must be 0 to 1000 percent"),
        ({"surcharge_bp": -1},                            "the surcharge must be 0 to 1000 percent"),
        ({"minimum_micros": -1},                          "the minimum charge must be 0 to"),
        ({"minimum_micros": AMOUNT_LIMIT_MICROS + 1},     "the minimum charge must be 0 to"),
        ({"rounding_micros": 0},                          "the rounding unit must be"),
        ({"rounding_micros": 1000 * MICROS + 1},          "the rounding unit must be"),
        ({"rounding": "sideways"},                        "write up, nearest or down"),
        ({"time_zone": "Prague"},                         "'Prague' is not a time zone"),
        ({"time_zone": "../etc/passwd"},                  "is not a time zone"),
        ({"off_peak": "evenings"},                        "'evenings' is not a period: write, for example,"),
        ({"off_peak": "mon 25:00-26:00"},                 "is not a period"),
        ({"off_peak": "mon 19:00-19:00"},                 "is not a period"),
        ({"off_peak": "sat;" * 21},                       "at most 20 are allowed"),
        ({"off_peak": "02-30"},                           "'02-30' is not a date: write, for example, 12-25"),
        ({"off_peak": "2027-02-29"},                      "'2027-02-29' is not a date"),
        ({"off_peak": "12-24..2027-01-01"},               "one date with a year and one without"),
        ({"off_peak": "2027-02-01..2027-01-01"},          "ends before it begins"),
        ({"off_peak": "12-24.."},                         "is not a period"),
        ({"off_peak_by": "moon"},                         "write interval or answer"),
        ({"disconnect_fee_micros": -1},                   "the disconnect fee must be 0 to"),
        ({"disconnect_fee_after_s": 3601},                "time before the disconnect fee of 3601 s is invalid"),
        ({"maximum_micros": AMOUNT_LIMIT_MICROS + 1},     "the maximum charge must be 0 to"),
        ({"maximum_micros": 1, "minimum_micros": 2},      "less than the minimum of 0.000002"),
    ],
)  # fmt: skip
def test_terms_that_mean_nothing_are_refused(values: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Terms(**values)  # type: ignore[arg-type]
    assert why in str(refused.value)


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
        ("10.00",    rate(60, 60, fee="0.20"),           5880),  # PortaOne's example: 98 minutes
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
def test_how_long_funds_last(funds: str, charged_by: Price, lasts_s: int) -> None:
    assert longest_s(lambda seconds: cost_micros(charged_by, seconds), parse_amount(funds), 7200) == lasts_s


def test_what_cannot_even_begin_is_told_apart_from_what_lasts_no_second() -> None:
    assert longest_s(lambda seconds: 5 + seconds, 4, 100) == -1
    assert longest_s(lambda seconds: 5 + seconds, 5, 100) == 0


@pytest.mark.parametrize(
    # Leg A has run for elapsed_s and runs on while leg B rings; both together may cost no more than the funds.
    ("funds",  "rate_a",  "elapsed_s", "ring_s", "rate_b",                    "talk_s"),
    [
        ("5.00", FREE,              0,        0, BY_MINUTE,                       3000),
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
    funds: str, rate_a: Price, elapsed_s: int, ring_s: int, rate_b: Price, talk_s: int
) -> None:
    assert joint_longest_s(rate_a, elapsed_s, ring_s, rate_b, parse_amount(funds), 7200) == talk_s


def test_leg_b_is_priced_from_its_own_answer() -> None:
    """Leg A was answered a minute before the evening; leg B begins with it, for a tenth of a cent a second."""
    assert joint_longest_s(FREE, 60, 0, OFF_PEAK, 10_000, 7200, EVENING - 60_000_000) == 10
    assert joint_longest_s(FREE, 50, 0, OFF_PEAK, 10_000, 7200, EVENING - 60_000_000) == 1


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"prefix": ""},                           "'' is not a prefix"),
        ({"prefix": "+44"},                        "is not a prefix"),
        ({"prefix": "44a"},                        "is not a prefix"),
        ({"prefix": "٤٤"},                         "is not a prefix"),
        ({"prefix": "²"},                          "is not a prefix"),
        ({"prefix": "1234567890123456"},           "write 1 to 15 digits"),
        ({"first_interval_s": 0},                  "first interval of 0 s is invalid: write 1 to 3600"),
        ({"first_interval_s": 3601},               "first interval of 3601 s"),
        ({"next_interval_s": -1},                  "next interval of -1 s"),
        ({"connect_fee_micros": -1},               "connect fee must be 0 to"),
        ({"first_price_micros": -1},               "first price must be 0 to"),
        ({"next_price_micros": 10**15 + 1},        "next price must be 0 to 1000000000"),
    ],
)  # fmt: skip
def test_a_rate_that_means_nothing_is_refused(values: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Rate(**({"prefix": "44"} | values))  # type: ignore[arg-type]
    assert why in str(refused.value)
