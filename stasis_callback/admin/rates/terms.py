"""The terms of a tariff on the command line: the options of `tariff set`, and how terms are shown."""

from __future__ import annotations

from typing import Annotated

import typer

from stasis_callback.admin.context import whole
from stasis_callback.admin.days import today
from stasis_callback.admin.output import published
from stasis_callback.core import periods
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.kinds import OPENABLE, parse_kinds
from stasis_callback.core.money import parse_amount
from stasis_callback.core.periods import parse_off_peak
from stasis_callback.core.rating import INTERVAL_LIMIT_S, Terms

BP_MICROS = 10_000
"""A basis point is a hundredth of a percent; percentages are read and written like amounts."""

Grace = Annotated[
    int | None,
    typer.Option(
        "--grace", help="Calls of at most N seconds are free; 0: none.", metavar="N",
        parser=whole(0, INTERVAL_LIMIT_S),
    ),
]  # fmt: skip
Free = Annotated[
    int | None,
    typer.Option(
        "--free", help="The first N seconds of each call are free, except for fees; 0: none.",
        metavar="N", parser=whole(0, INTERVAL_LIMIT_S),
    ),
]  # fmt: skip
DisconnectFee = Annotated[
    str | None,
    typer.Option(help="Charged once per answered call, at its end; 0: none.", metavar="AMOUNT"),
]
DisconnectFeeAfter = Annotated[
    int | None,
    typer.Option(
        help="Only calls of more than N seconds have the disconnect fee; 0: all.", metavar="N",
        parser=whole(0, INTERVAL_LIMIT_S),
    ),
]  # fmt: skip
Surcharge = Annotated[
    str | None,
    typer.Option(
        help="Percent added to the cost of each call, with at most two decimals; 0: none.", metavar="PERCENT"
    ),
]
Minimum = Annotated[str | None, typer.Option(help="Minimum charge of a call; 0: none.", metavar="AMOUNT")]
Maximum = Annotated[
    str | None,
    typer.Option(help="Maximum charge of a call, however long it lasts; 0: no limit.", metavar="AMOUNT"),
]
RoundingUnit = Annotated[
    str | None,
    typer.Option(
        help="The cost of a call is a multiple of this amount, for example 0.01; 0.000001 is the finest.",
        metavar="AMOUNT",
    ),
]
Rounding = Annotated[
    str | None, typer.Option(help="How it is rounded to that: up, nearest or down.", metavar="HOW")
]
OffPeak = Annotated[
    str | None,
    typer.Option(
        help="Off-peak periods, for example 'mon-fri 19:00-07:00; sat,sun,12-25'; none: all day is peak.",
        metavar="PERIODS",
    ),
]
OffPeakBy = Annotated[
    str | None,
    typer.Option(
        help="What has to be in an off-peak period: the beginning of each interval (interval), or the answer, for "
        "the whole call (answer).",
        metavar="WHAT",
    ),
]
TimeZone = Annotated[
    str | None,
    typer.Option(help="Time zone of the off-peak periods, for example Europe/Prague.", metavar="ZONE"),
]
Opened = Annotated[
    str | None,
    typer.Option(
        "--open",
        help="Kinds of numbers that a rate of a shorter prefix sells too, separated by commas: "
        f"{', '.join(OPENABLE)}; none: only what a rate names. Replaces what was open before.",
        metavar="KINDS",
    ),
]


def given(**options: str | int | None) -> dict[str, object]:
    """The fields of `Terms` that options change. Raises InvalidInput, which names the option."""
    return {name: _value(name, text) for name, text in options.items() if text is not None}


def differences(old: Terms, new: Terms, currency: str) -> list[str]:
    """What changed, in words: `grace s 0 -> 5`."""
    from stasis_callback.store.rates.records import terms_record

    before, after = (published(terms_record(terms) | {"currency": currency}) for terms in (old, new))
    return [
        f"{name.replace('_', ' ')} {_word(before[name])} -> {_word(after[name])}"
        for name in before
        if before[name] != after[name] and not name.endswith("_micros")
    ]


def dates_over(terms: Terms) -> list[str]:
    """The off-peak dates of terms that never come again."""
    off_peak = parse_off_peak(terms.off_peak, terms.time_zone)
    return periods.dates_over(off_peak, today(periods.time_zone(terms.time_zone))) if off_peak else []


def _word(value: object) -> str:
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return "none" if value in (None, "") else str(value)


def _value(name: str, text: str | int) -> object:
    if isinstance(text, int):
        return text
    try:
        if name == "surcharge_bp":
            return _bp(text)
        if name.endswith("_micros"):
            return parse_amount(text)
    except InvalidInput as error:
        option = {"surcharge_bp": "surcharge", "rounding_micros": "rounding unit"}.get(name, name)
        raise InvalidInput(f"{option.removesuffix('_micros').replace('_', ' ')}: {error}") from None
    if name == "opened":
        return ",".join(parse_kinds("" if text == "none" else text))
    if name == "off_peak":
        return "" if text == "none" else _off_peak(text)
    return text.strip()


def _off_peak(text: str) -> str:
    if text.strip() and not text.replace(";", "").strip():
        raise InvalidInput(
            f"off peak: {text!r} has no period: write, for example, 'mon-fri 19:00-07:00; sat', or none"
        )
    return text.strip()


def _bp(text: str) -> int:
    micros = parse_amount(text.removesuffix("%"))
    if micros % BP_MICROS:
        raise InvalidInput(f"{text!r} has more than two decimals")
    return micros // BP_MICROS
