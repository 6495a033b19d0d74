"""`report`: what was called, earned and paid, for people, programs and spreadsheets, and as a page with plots."""

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

app = typer.Typer(name="report", help="What was called, earned and paid.")

DAYS_LIMIT = 3660
USUAL_DAYS = 30
GROUPS = ("day", "account", "customer", "prefix", "trunk", "vendor", "side", "outcome")
CALLS_COLUMNS = (
    "attempts", "answered", "asr_percent", "acd_s", "minutes", "charged_minutes", "revenue", "overrun", "cost",
    "margin", "margin_percent", "currency",
)  # fmt: skip
REFUSALS_COLUMNS = ("reason", "trigger", "count")

From = Annotated[str, typer.Option("--from", help="First day, like 2026-11-01 (30 days ago).", metavar="DAY")]
To = Annotated[str, typer.Option("--to", help="Last day, like 2026-11-30 (today).", metavar="DAY")]
Zone = Annotated[str, typer.Option("--time-zone", help="Where days begin, like Europe/Rome.", metavar="NAME")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")]
Account = Annotated[str, typer.Option(help="Only of this account.", metavar="ID")]
Prefix = Annotated[str, typer.Option(help="Only to numbers that begin so.", metavar="DIGITS")]
Trunk = Annotated[str, typer.Option(help="Only over this trunk.", metavar="NAME")]


@app.command()
def calls(
    by: Annotated[str, typer.Option(help=f"Add up by: {', '.join(GROUPS)}.", metavar="GROUP")] = "day",
    first: From = "",
    last: To = "",
    time_zone: Zone = "UTC",
    account: Account = "",
    prefix: Prefix = "",
    trunk: Trunk = "",
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Legs by day, account, prefix or trunk: attempts, ASR, ACD, minutes, revenue, cost, margin."""
    from stasis_callback.store.calls.reports import CallsFilter

    if by not in GROUPS:
        raise InvalidInput(f"{by!r}: add up by one of {', '.join(GROUPS)}")
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
    """Refused requests by reason. Those over a limit are only in the log."""
    spans = days(first, last, time_zone)
    with store() as s:
        rows = [asdict(line) for line in s.reports.refusals(whole(spans))]
    _print(rows, REFUSALS_COLUMNS, as_csv=as_csv, as_json=as_json)


@app.command()
def page(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it, like report.html.")],
    first: From = "",
    last: To = "",
    time_zone: Zone = "UTC",
    title: Annotated[str, typer.Option(help="The headline.", metavar="TEXT")] = "Calls",
) -> None:
    """Write all reports with plots as one HTML file that needs nothing else."""
    try:
        from stasis_callback.admin.calls.report_page import render
    except ImportError:
        raise InvalidInput(
            "plots need matplotlib: install it with `pip install 'stasis-callback[reports]'`"
        ) from None
    spans = days(first, last, time_zone)
    with store() as s:
        text = render(title, spans, tables(s, spans), time_zone)
    output.write_text(text, encoding="utf-8")
    typer.echo(f"{output} written")


def tables(s: Stores, spans: Sequence[Span]) -> dict[str, list[Record]]:
    """The records of every table of the page, by what they are added up by; `refusals` too."""
    found: dict[str, list[Record]] = {
        by: [calls_record(by, line) for line in s.reports.calls(by, spans)]
        for by in ("day", "account", "prefix", "trunk")
    }
    return found | {"refusals": [asdict(line) for line in s.reports.refusals(whole(spans))]}


def calls_record(by: str, line: CallsLine) -> Record:
    """A line as commands show it; what is not known is None. A trunk without a name is that of the settings."""
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
    """The days from `first` to `last`, both included, as the time zone has them. Raises InvalidInput.

    A day is as long as it is: 23 or 25 hours where the clocks change.
    """
    from stasis_callback.store.calls.reports import Span

    zone = periods.time_zone(time_zone)
    today = datetime.fromtimestamp(Clock().now_us() / US_PER_S, zone).date()
    end = _day(last) if last else today
    begin = _day(first) if first else end - timedelta(days=USUAL_DAYS)
    if not 0 <= (end - begin).days < DAYS_LIMIT:
        raise InvalidInput(f"from {begin} to {end}: write the first day first, {DAYS_LIMIT} days at most")
    starts = [begin + timedelta(days=n) for n in range((end - begin).days + 2)]
    return [
        Span(day.isoformat(), _start_us(day, zone), _start_us(following, zone))
        for day, following in pairwise(starts)
    ]


def whole(spans: Sequence[Span]) -> Span:
    """The time from the first to the last of `spans`."""
    from stasis_callback.store.calls.reports import Span

    return Span("", spans[0].from_us, spans[-1].to_us)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text[:40]!r} is not a day: write it like 2026-11-30") from None


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
    """A spreadsheet takes text that begins so for a formula: a name may come from a stranger."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "@", "\t", "\r") else value
