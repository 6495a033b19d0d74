"""Reports one looks at: the figures of `report calls`, as plots made here (SVG), beside those of the time before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from starlette.datastructures import QueryParams

from stasis_callback.admin.calls.reports import GROUPS as GROUPS
from stasis_callback.admin.commands import Command, Done, described, run
from stasis_callback.admin.days import operators_zone, parse_day, today
from stasis_callback.admin.output import published
from stasis_callback.console.rendering import address
from stasis_callback.console.visits import Caller
from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.calls.reports import OTHERS
from stasis_callback.store.stores import Stores

USUAL_DAYS = 30
BARS_LIMIT = 20
LINES_LIMIT = 200
"""The most groups in the table; the others are one line together."""
WIDTH, HEIGHT = 640, 160
FIGURES = ("attempts", "asr_percent", "acd_s", "charged_minutes", "revenue", "cost", "margin")
MONEY = ("revenue", "cost", "margin")
FILTERS = ("account", "prefix", "trunk")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: an upright one of a plot by day, or a lying one that begins at the left of a line of its own.

    Lengths are in the units of the plot; `mark` is where the value before would end.
    """

    label: str
    value: float
    value_before: float | None
    width: float
    mark: float | None
    x: float = 0.0
    y: float = 0.0
    height: float = 0.0


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure by day (upright bars) or by group (lying ones). A total is None if it is not known for all calls."""

    figure: str
    currency: str
    total: float | None
    total_before: float | None
    upright: bool
    bars: tuple[Bar, ...] = ()
    zero: float = 0.0
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def top(self) -> float:
        """The greatest value."""
        return max((bar.value for bar in self.bars), default=0.0)

    @property
    def change_percent(self) -> float | None:
        """How much more this is than before, in percent; None where there was nothing."""
        if not self.total_before or self.total is None:
            return None
        return round((self.total - self.total_before) / abs(self.total_before) * 100, 1)


@dataclass(frozen=True, slots=True)
class Report:
    """What the page shows. Of what the command refuses: its words, the days as they were written, and no figures."""

    by: str
    first: str
    last: str
    first_before: str
    last_before: str
    filters: Mapping[str, str]
    plots: tuple[Plot, ...]
    command: Command
    done: Done
    csv: str


def made(query: QueryParams, visit: Caller, stores: Stores) -> Report:
    """The report that a query asks for; with nothing given, the last days by day."""
    by = query.get("by", "day").strip()[:64]
    filters = {name: query.get(name, "").strip()[:64] for name in FILTERS}
    only = {name: text for name, text in filters.items() if text}
    given = {name: [text] for name, text in only.items()}
    first, last = _range(query)
    shown = _report(by, first, last, given, visit, stores)
    csv = address("report calls", by=by, first=first, last=last, format="--csv", **only)
    if shown.code:
        # What was asked for stays in the form, beside what the command says about it.
        as_file = csv if shown.is_long else ""
        return Report(by, first, last, "", "", filters, (), described()["report calls"], shown, as_file)
    begin, end = (parse_day(text, operators_zone()) for text in (first, last))
    days = (end - begin).days + 1
    before = begin - timedelta(days=days), begin - timedelta(days=1)
    names = [str(row[by]) for row in _rows(shown)]
    # Of many groups those that are shown, whatever they were among those of before.
    same = {"groups": [name for name in names if name != OTHERS]} if OTHERS in names else {}
    earlier = _report(by, str(before[0]), str(before[1]), given | same, visit, stores)
    plots = tuple(_plots(by, _rows(shown), _rows(earlier), begin, before[0], days))
    compared = ("", "") if earlier.is_long else (str(before[0]), str(before[1]))
    return Report(
        by, str(begin), str(end), *compared, filters, plots, described()["report calls"], shown, csv
    )  # fmt: skip


def _range(query: QueryParams) -> tuple[str, str]:
    """The days that are asked for; what is none as it is written: the command says what is wrong with it."""
    zone = operators_zone()
    first, last = (_day(query.get(name, "").strip()[:64], zone) for name in ("from", "to"))
    last = last or str(today(zone))
    try:
        return first or str(parse_day(last, zone) - timedelta(days=USUAL_DAYS - 1)), last
    except InvalidInput:
        return first, last


def _day(text: str, zone: ZoneInfo) -> str:
    """A day as the field of a form shows it: no `today`."""
    try:
        return str(parse_day(text, zone))
    except InvalidInput:
        return text


def _report(
    by: str, first: str, last: str, given: Mapping[str, Sequence[str]], visit: Caller, stores: Stores
) -> Done:
    command = described()["report calls"]
    limit = {} if by == "day" else {"limit": [str(LINES_LIMIT)]}
    values = {"by": [by], "first": [first], "last": [last], **limit, **given}
    return run(command.words(values), visit.name, stores)


def _rows(report: Done) -> list[Row]:
    """The records of the table, as JSON has them."""
    return [published(record) for table in report.tables for record in table.records]


def _plots(
    by: str, rows: Sequence[Row], earlier: Sequence[Row], first: date, first_before: date, days: int
) -> list[Plot]:
    currencies = sorted({str(row["currency"]) for row in (*rows, *earlier) if row["currency"]}) or [""]
    made_ones = []
    for figure in FIGURES:
        # Money of two currencies cannot be added up: a plot for each.
        for currency in currencies if figure in MONEY else [""]:
            now, before = (_values(by, some, figure, currency) for some in (rows, earlier))
            total = _total(figure, now) if _is_known(rows, figure, currency) else None
            known = before and _is_known(earlier, figure, currency)
            total_before = _total(figure, before) if known else None
            now, before = (_shown(figure, values) for values in (now, before))
            plot = Plot(figure, currency, total, total_before, upright=by == "day")
            if plot.upright:
                made_ones.append(_by_day(plot, now, before, first, first_before, days))
            else:
                made_ones.append(_by_group(plot, now, before))
    return made_ones


def _is_known(rows: Sequence[Row], figure: str, currency: str) -> bool:
    """Whether a figure is known for all calls: what a carrier takes may not be for some."""
    return all(row[figure] is not None for row in rows if not currency or row["currency"] == currency)


def _values(by: str, rows: Sequence[Row], figure: str, currency: str) -> dict[str, tuple[float, float]]:
    """The figure of each group, and its weight where groups of several currencies are one."""
    found: dict[str, tuple[float, float]] = {}
    for row in rows:
        if (currency and row["currency"] != currency) or row[figure] is None:
            continue
        # Not what is rounded for each line: the same calls would add up to other minutes by day than by trunk.
        value = row["charged_s"] / 60 if figure == "charged_minutes" else float(row[figure])
        weight = float(row["answered" if figure == "acd_s" else "attempts"] or 0)
        old, old_weight = found.get(str(row[by]), (0.0, 0.0))
        if figure in ("asr_percent", "acd_s"):
            both = old_weight + weight
            found[str(row[by])] = ((old * old_weight + value * weight) / both if both else 0.0, both)
        else:
            found[str(row[by])] = old + value, old_weight + weight
    return found


def _shown(figure: str, values: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """The figures as each line shows them, once they are added up or of several currencies."""
    if figure in MONEY:
        return values
    return {group: (round(value, 1), weight) for group, (value, weight) in values.items()}


def _total(figure: str, values: Mapping[str, tuple[float, float]]) -> float:
    """All groups together: a sum, or for rates and durations the mean by weight."""
    if figure not in ("asr_percent", "acd_s"):
        return round(sum(value for value, _ in values.values()), 1 if figure == "charged_minutes" else 4)
    weights = sum(weight for _, weight in values.values())
    return round(sum(value * weight for value, weight in values.values()) / weights, 1) if weights else 0.0


def _by_day(
    plot: Plot, now: Mapping[str, tuple[float, float]], before: Mapping[str, tuple[float, float]],
    first: date, first_before: date, days: int,
) -> Plot:  # fmt: skip
    pairs = []
    for n in range(days):
        day, earlier = (start + timedelta(days=n) for start in (first, first_before))
        pairs.append((day.isoformat(), now.get(str(day), (0.0, 0))[0], before.get(str(earlier), (0.0, 0))[0]))
    top = max([0.0, *(value for _, *values in pairs for value in values)])
    bottom = min([0.0, *(value for _, *values in pairs for value in values)])
    scale = HEIGHT / ((top - bottom) or 1.0)
    zero, step = top * scale if top > bottom else HEIGHT, WIDTH / days
    bars = tuple(
        Bar(
            label, value, earlier, round(step * 0.8, 2), round(zero - earlier * scale, 2) if before else None,
            round(n * step + step * 0.1, 2), round(min(zero, zero - value * scale), 2),
            round(abs(value) * scale, 2),
        )
        for n, (label, value, earlier) in enumerate(pairs)
    )  # fmt: skip
    return replace(plot, bars=bars, zero=round(zero, 2))


def _by_group(
    plot: Plot, now: Mapping[str, tuple[float, float]], before: Mapping[str, tuple[float, float]]
) -> Plot:
    single = now.keys() - {OTHERS}
    names = sorted(single, key=lambda name: (-abs(now[name][0]), name))[:BARS_LIMIT]
    top = max(
        [1e-9, *(abs(now[name][0]) for name in names), *(abs(before[n][0]) for n in names if n in before)]
    )

    def length(values: Mapping[str, tuple[float, float]], name: str) -> float:
        return round(abs(values[name][0]) / top * WIDTH, 2)

    bars = tuple(
        Bar(
            name, now[name][0], before[name][0] if name in before else None, length(now, name),
            length(before, name) if name in before else None,
        )
        for name in names
    )  # fmt: skip
    return replace(plot, bars=bars)
