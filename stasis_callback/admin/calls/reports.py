"""`report`: traffic, revenue and cost as tables, JSON, CSV, or an HTML page with plots."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from stasis_callback.admin.context import AsJson, store
from stasis_callback.admin.output import Record, print_list, published
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core import periods
from stasis_callback.core.errors import InvalidInput

if TYPE_CHECKING:
    from stasis_callback.store.calls.reports import CallsLine, Span
    from stasis_callback.store.stores import Stores

app = typer.Typer(name="report", help="Reports on traffic, revenue and cost.")

DAYS_LIMIT = 3660
USUAL_DAYS = 30
GROUPS = ("day", "account", "customer", "prefix", "trunk", "vendor", "side", "outcome")
CALLS_COLUMNS = (
    "attempts", "answered", "asr_percent", "acd_s", "minutes", "charged_minutes", "revenue", "overrun", "cost",
    "margin", "margin_percent", "currency",
)  # fmt: skip
REFUSALS_COLUMNS = ("reason", "trigger", "count")

From = Annotated[
    str,
    typer.Option("--from", help="First day, for example 2026-11-01 [default: 30 days ago].", metavar="DAY"),
]
To = Annotated[
    str, typer.Option("--to", help="Last day, for example 2026-11-30 [default: today].", metavar="DAY")
]
Zone = Annotated[
    str, typer.Option("--time-zone", help="Time zone of the days, for example Europe/Rome.", metavar="NAME")
]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")]
Account = Annotated[str, typer.Option(help="Only this account.", metavar="ID")]
Prefix = Annotated[str, typer.Option(help="Only numbers with this prefix.", metavar="DIGITS")]
Trunk = Annotated[str, typer.Option(help="Only this trunk.", metavar="NAME")]


@app.command()
def calls(
    by: Annotated[str, typer.Option(help=f"Group by: {', '.join(GROUPS)}.", metavar="GROUP")] = "day",
    first: From = "",
    last: To = "",
    time_zone: Zone = "UTC",
    account: Account = "",
    prefix: Prefix = "",
    trunk: Trunk = "",
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Report legs by day, account, prefix, trunk etc.: attempts, ASR, ACD, minutes, revenue, cost, margin."""
    from stasis_callback.store.calls.reports import CallsFilter

    if by not in GROUPS:
        raise InvalidInput(f"--by {by!r} is unknown: use one of {', '.join(GROUPS)}")
    spans = days(first, last, time_zone)
    with store() as s:
        only = CallsFilter(
            s.accounts.named(account).number if account else "",
            prefix,
            s.trunks.named(trunk).name if trunk else "",
        )
        rows = [calls_record(by, line) for line in s.reports.calls(by, spans, only)]
    _print(rows, (by, *CALLS_COLUMNS), as_csv=as_csv, as_json=as_json)


@app.command()
def refusals(
    first: From = "",
    last: To = "",
    time_zone: Zone = "UTC",
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Report refused requests by reason. Requests over a rate limit are only in the log."""
    spans = days(first, last, time_zone)
    with store() as s:
        rows = [asdict(line) for line in s.reports.refusals(whole(spans))]
    _print(rows, REFUSALS_COLUMNS, as_csv=as_csv, as_json=as_json)


@app.command()
def page(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="Output file, for example report.html.")],
    first: From = "",
    last: To = "",
    time_zone: Zone = "UTC",
    title: Annotated[str, typer.Option(help="Page title.", metavar="TEXT")] = "Calls",
) -> None:
    """Write all reports, with plots, to one self-contained HTML file."""
    try:
        from stasis_callback.admin.calls.report_page import render
    except ImportError:
        raise InvalidInput(
            "plots require matplotlib: install it with `pip install 'stasis-callback[reports]'`"
        ) from None
    spans = days(first, last, time_zone)
    with store() as s:
        text = render(title, spans, tables(s, spans), time_zone)
    output.write_text(text, encoding="utf-8")
    typer.echo(f"{output} written")


def tables(s: Stores, spans: Sequence[Span]) -> dict[str, list[Record]]:
    """The records of each table of the page, keyed by grouping (and `refusals`)."""
    found: dict[str, list[Record]] = {
        by: [calls_record(by, line) for line in s.reports.calls(by, spans)]
        for by in ("day", "account", "prefix", "trunk")
    }
    return found | {"refusals": [asdict(line) for line in s.reports.refusals(whole(spans))]}


def calls_record(by: str, line: CallsLine) -> Record:
    """The fields that commands show for a line; None if unknown. The trunk of the settings has no name."""
    group = line.group or ("(settings)" if by == "trunk" else "(unknown)")
    return {
        by: group,
        "attempts": line.attempts,
        "answered": line.answered,
        "asr_percent": round(line.asr_percent, 1),
        "acd_s": round(line.acd_s, 1),
        "minutes": round(line.duration_us / US_PER_S / 60, 1),
        "charged_minutes": round(line.charged_s / 60, 1),
        "revenue_micros": line.revenue_micros,
        "overrun_micros": line.overrun_micros,
        "cost_micros": line.cost_micros,
        "margin_micros": line.margin_micros,
        "margin_percent": None if line.margin_percent is None else round(line.margin_percent, 1),
        "currency": line.currency,
    }


def days(first: str, last: str, time_zone: str) -> list[Span]:
    """The days from `first` to `last` inclusive, in the given time zone. Raises InvalidInput.

    A day has 23 or 25 hours when the clocks change.
    """
    from stasis_callback.store.calls.reports import Span

    zone = periods.time_zone(time_zone)
    today = datetime.fromtimestamp(Clock().now_us() / US_PER_S, zone).date()
    end = _day(last) if last else today
    begin = _day(first) if first else end - timedelta(days=USUAL_DAYS)
    if not 0 <= (end - begin).days < DAYS_LIMIT:
        raise InvalidInput(
            f"from {begin} to {end}: --from must not be after --to, and the period is limited to {DAYS_LIMIT} days"
        )
    starts = [begin + timedelta(days=n) for n in range((end - begin).days + 2)]
    return [
        Span(day.isoformat(), _start_us(day, zone), _start_us(following, zone))
        for day, following in pairwise(starts)
    ]


def whole(spans: Sequence[Span]) -> Span:
    """One span from the beginning of the first to the end of the last of `spans`."""
    from stasis_callback.store.calls.reports import Span

    return Span("", spans[0].from_us, spans[-1].to_us)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text[:40]!r} is not a date: write, for example, 2026-11-30") from None


def _start_us(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * US_PER_S


def _print(rows: Sequence[Record], columns: Sequence[str], *, as_csv: bool, as_json: bool) -> None:
    if not as_csv:
        print_list(rows, columns, as_json=as_json)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in map(published, rows):
        writer.writerow(["" if row[name] is None else _cell(row[name]) for name in columns])
    typer.echo(text.getvalue(), nl=False)


def _cell(value: object) -> object:
    """Escape text that a spreadsheet would execute as a formula: names may come from strangers."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "@", "\t", "\r") else value
