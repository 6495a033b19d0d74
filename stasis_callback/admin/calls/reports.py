"""`report`: traffic, revenue and cost as tables, JSON, CSV, or an HTML page with plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, digits, operator, store
from stasis_callback.admin.context import whole as whole_number
from stasis_callback.admin.days import day_start_us, operators_zone, parse_day, today
from stasis_callback.admin.files import new_file
from stasis_callback.admin.listing import ROWS_LIMIT, AsCsv, print_records
from stasis_callback.admin.output import Record
from stasis_callback.admin.taking import taken
from stasis_callback.clock import US_PER_S
from stasis_callback.core import periods
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.unnamed import SETTINGS, UNKNOWN

if TYPE_CHECKING:
    from stasis_callback.store.calls.reports import CallsLine, Span
    from stasis_callback.store.stores import Stores

app = typer.Typer(name="report", help="Reports on traffic, revenue and cost.")

DAYS_LIMIT = 3660
USUAL_DAYS = 30
LINES = 1000
"""The most lines of a table, if not told otherwise: there may be as many as there are accounts."""
GROUPS = ("day", "account", "customer", "prefix", "trunk", "vendor", "side", "outcome")
UNNAMED = (SETTINGS, UNKNOWN)
"""What the trunk of the settings is called, and any other group without a name."""
CALLS_COLUMNS = (
    "attempts", "asr_percent", "acd_s", "charged_minutes", "revenue", "cost", "margin", "currency",
)  # fmt: skip
MORE_COLUMNS = ("answered", "minutes", "charged_s", "overrun", "margin_percent")
REFUSALS_COLUMNS = ("reason", "trigger", "count")

From = Annotated[
    str,
    typer.Option("--from", help="First day, for example 2026-11-01 [default: 30 days ago].", metavar="DAY"),
]
To = Annotated[
    str, typer.Option("--to", help="Last day, for example 2026-11-30 [default: today].", metavar="DAY")
]
Zone = Annotated[
    str,
    typer.Option(
        "--time-zone",
        help="Time zone of the days, for example Europe/Rome [default: the operator's].",
        metavar="NAME",
    ),
]
Account = Annotated[str, typer.Option(help="Only this account.", metavar="ID")]
Prefix = Annotated[str, typer.Option(help="Only numbers with this prefix.", metavar="DIGITS", parser=digits)]
Trunk = Annotated[str, typer.Option(help="Only this trunk.", metavar="NAME")]
Group = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        help="Only this account, customer etc. of --by; repeatable. What the others have together is the last line.",
        metavar="NAME",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        help="Maximum number of lines, not by day; what the others have together is the last line [default: 1000; "
        "none for CSV and JSON].",
        metavar="N",
        parser=whole_number(1, ROWS_LIMIT),
    ),
]


@app.command()
def calls(
    by: Annotated[str, typer.Option(help=f"Group by: {', '.join(GROUPS)}.", metavar="GROUP")] = "day",
    first: From = "",
    last: To = "",
    time_zone: Zone = "",
    account: Account = "",
    prefix: Prefix = "",
    trunk: Trunk = "",
    groups: Group = None,
    limit: Limit = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Report legs by day, account, prefix, trunk etc.: attempts, ASR, ACD, minutes, revenue, cost, margin."""
    from stasis_callback.store.calls.reports import CallsFilter, ReportTooLong

    if by not in GROUPS:
        raise InvalidInput(f"--by {by!r} is unknown: use one of {', '.join(GROUPS)}")
    if by == "day" and (groups or limit):
        raise InvalidInput(
            f"--{'group' if groups else 'limit'} is for a report by account, customer etc.: days are chosen with "
            "--from and --to"
        )
    spans = days(first, last, time_zone)
    if limit is None and not (as_csv or as_json):
        limit = LINES
    with store() as s:
        only = CallsFilter(
            s.accounts.named(account).number if account else "",
            prefix,
            s.trunks.recorded(trunk) if trunk else "",
        )
        chosen = ["" if name in UNNAMED else name for name in groups or ()]
        page = None if as_csv or as_json else taken()
        try:
            lines = s.reports.calls(by, spans, only, limit, chosen, waits=page is not None)
        except ReportTooLong:
            assert page
            page.refuse_long()
    rows = [calls_record(by, line) for line in lines]
    print_records(rows, (by, *CALLS_COLUMNS), MORE_COLUMNS, as_csv=as_csv, as_json=as_json)


@app.command()
def refusals(
    first: From = "",
    last: To = "",
    time_zone: Zone = "",
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Report refused requests by reason. Requests over a rate limit are only in the log."""
    spans = days(first, last, time_zone)
    with store() as s:
        rows = [asdict(line) for line in s.reports.refusals(whole(spans))]
    print_records(rows, REFUSALS_COLUMNS, as_csv=as_csv, as_json=as_json)


@app.command()
def recount() -> None:
    """Make the totals that reports read anew from the call records, where `ledger verify` says that they differ.

    The service does it in the background; meanwhile reports read the call records, and take longer.
    """
    with store() as s, s.database.transaction():
        s.totals.recount()
        s.trail.note(operator(), "report", "totals", {"totals": "kept"}, {"totals": "to be made anew"})
    typer.echo("the totals are made anew by the service")


@app.command()
def page(
    output: Annotated[
        Path, typer.Argument(metavar="FILE", writable=True, help="New HTML file, for example report.html.")
    ],
    first: From = "",
    last: To = "",
    time_zone: Zone = "",
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
        text = render(title, spans, tables(s, spans), time_zone or str(operators_zone()))
    with new_file(output, replaces=True) as file:
        file.write(text.encode())
    typer.echo(f"{output} written")


def tables(s: Stores, spans: Sequence[Span]) -> dict[str, list[Record]]:
    """The records of each table of the page, keyed by grouping (and `refusals`)."""
    found: dict[str, list[Record]] = {
        by: [calls_record(by, line) for line in s.reports.calls(by, spans, limit=LINES)]
        for by in ("day", "account", "prefix", "trunk")
    }
    return found | {"refusals": [asdict(line) for line in s.reports.refusals(whole(spans))]}


def calls_record(by: str, line: CallsLine) -> Record:
    """The fields that commands show for a line; None if unknown. The trunk of the settings has no name."""
    group = line.group or UNNAMED[0 if by == "trunk" else 1]
    return {
        by: group,
        "attempts": line.attempts,
        "answered": line.answered,
        "asr_percent": round(line.asr_percent, 1),
        "acd_s": round(line.acd_s, 1),
        "minutes": round(line.duration_us / US_PER_S / 60, 1),
        "charged_minutes": round(line.charged_s / 60, 1),
        "charged_s": line.charged_s,
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

    zone = periods.time_zone(time_zone) if time_zone else operators_zone()
    end = parse_day(last, zone) if last else today(zone)
    begin = parse_day(first, zone) if first else end - timedelta(days=USUAL_DAYS)
    if not 0 <= (end - begin).days < DAYS_LIMIT:
        raise InvalidInput(
            f"from {begin} to {end}: --from must not be after --to, and the period is limited to {DAYS_LIMIT} days"
        )
    starts = [begin + timedelta(days=n) for n in range((end - begin).days + 2)]
    return [
        Span(day.isoformat(), day_start_us(day, zone), day_start_us(following, zone))
        for day, following in pairwise(starts)
    ]


def whole(spans: Sequence[Span]) -> Span:
    """One span from the beginning of the first to the end of the last of `spans`."""
    from stasis_callback.store.calls.reports import Span

    return Span("", spans[0].from_us, spans[-1].to_us)
