"""What all listings have in common: `--csv` and `--json`, pages, and days in the operator's time zone.

A listing is a function that gives records; `listed` makes a command of it. Its table has the columns that people look
for, CSV has all of them, JSON every field of the records.
"""

from __future__ import annotations

import csv
import inspect
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from typing import Annotated, Any

import typer

from stasis_callback.admin.context import AsJson, whole
from stasis_callback.admin.days import operators_zone, since_us, until_us
from stasis_callback.admin.output import Record, print_list, shown
from stasis_callback.admin.tables import cell
from stasis_callback.core.errors import InvalidInput

ROWS_LIMIT = 1_000_000
MORE = "there are more: --after="
USUAL_ROWS = 100

AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")]
Since = Annotated[
    str | None,
    typer.Option(
        help="Only from this day or time on, for example 2026-11-01, 2026-11-01T18:00, today or yesterday.",
        metavar="WHEN",
    ),
]
Until = Annotated[
    str | None, typer.Option(help="Only up to this day (inclusive) or time (exclusive).", metavar="WHEN")
]
Limit = Annotated[
    int, typer.Option(help="Maximum number of rows of a page.", metavar="N", parser=whole(1, ROWS_LIMIT))
]
After = Annotated[
    str,
    typer.Option(help="Only what comes after this row, the last one of the page before.", metavar="KEY"),
]


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a listing are wanted. `after` is the key of the last row of the page before; "" for the first
    page. So a page costs the same wherever it is, and new rows move no others to the next one.
    """

    limit: int
    after: str = ""
    since_us: int | None = None
    until_us: int | None = None

    @property
    def fetched(self) -> int:
        """How many rows to read: one more than are printed tells whether there is another page."""
        return self.limit + 1


Listing = Callable[..., Iterable[Record]]


def listed(
    app: typer.Typer,
    columns: Sequence[str],
    also: Sequence[str] = (),
    *,
    name: str = "list",
    rows: int = 0,
    key: str = "",
    dated: bool = False,
    below: Mapping[str, str] | None = None,
) -> Callable[[Listing], Listing]:
    """Make a command of a function that gives records. `also` are further columns of its CSV, `below` is that of
    `print_list`.

    `rows`: it takes a `page`, of that many rows without `--limit`, and goes on after the field `key` of the last one;
    `dated`: with days.
    """

    def command(listing: Listing) -> Listing:
        @wraps(listing)
        def run(**given: Any) -> None:
            as_csv, as_json = given.pop("as_csv"), given.pop("as_json")
            for filtered in filters & given.keys():
                if given[filtered] == "":
                    raise InvalidInput(f"--{filtered} is empty: leave it out for any")
                given[filtered] = given[filtered] or ""
            page = _page(given) if rows else None
            records = list(listing(**given, **({"page": page} if page else {})))
            more = page is not None and len(records) > page.limit
            print_records(
                records[: page.limit] if page else records,
                columns,
                also,
                as_csv=as_csv,
                as_json=as_json,
                below=below,
            )
            if page and more:
                typer.echo(f"{MORE}{records[page.limit - 1][key]}", err=True)

        own = [p for p in inspect.signature(listing, eval_str=True).parameters.values() if p.name != "page"]
        # A filter that is left out is for any; an empty one is a mistake, perhaps of a script.
        filters = {p.name for p in own if p.default == ""}
        own = [p.replace(default=None) if p.name in filters else p for p in own]
        run.__signature__ = inspect.Signature([*own, *_shared(rows, dated)])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in run.__signature__.parameters.values()}  # type: ignore[attr-defined]
        app.command(name)(run)
        return listing

    return command


def _shared(rows: int, dated: bool) -> list[inspect.Parameter]:
    """The options that every listing has, and those of pages and days."""
    found: list[tuple[str, Any, object]] = []
    if dated:
        found += [("since", Since, None), ("until", Until, None)]
    if rows:
        found += [("limit", Limit, rows), ("after", After, "")]
    found += [("as_csv", AsCsv, False), ("as_json", AsJson, False)]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(n, keyword, default=d, annotation=a) for n, a, d in found]


def _page(given: dict[str, Any]) -> Page:
    """Take what belongs to pages and days out of the parameters. Raises InvalidInput."""
    since, until = given.pop("since", None), given.pop("until", None)
    zone = operators_zone()
    begin = None if since is None else since_us(since, zone)
    end = None if until is None else until_us(until, zone)
    if begin is not None and end is not None and begin >= end:
        raise InvalidInput(f"--since {since} is not before --until {until}")
    return Page(given.pop("limit"), given.pop("after"), begin, end)


def print_records(
    records: Sequence[Record],
    columns: Sequence[str],
    also: Sequence[str] = (),
    *,
    as_csv: bool,
    as_json: bool,
    below: Mapping[str, str] | None = None,
) -> None:
    """Print records as a table of `columns`, as CSV with `also` too, or as JSON with all fields."""
    if not as_csv:
        print_list(records, columns, as_json=as_json, below=below)
        return
    if as_json:
        raise InvalidInput("--csv and --json cannot be used together")
    print_csv(records, (*columns, *also))


def print_csv(records: Iterable[Record], names: Sequence[str]) -> None:
    """Print these fields of records as CSV, without holding them in memory."""
    zone, text, rest = operators_zone(), io.StringIO(), iter(records)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    while some := list(islice(rest, 1000)):
        writer.writerows([spreadsheet_cell(shown(record, name, zone)) for name in names] for record in some)
        typer.echo(text.getvalue(), nl=False)
        text.seek(0)
        text.truncate()
    typer.echo(text.getvalue(), nl=False)


def spreadsheet_cell(value: object) -> str:
    """A value for CSV. Text that a spreadsheet would run as a formula is escaped: names may be strangers'."""
    text = cell(value)
    harmless = not isinstance(value, str) or re.fullmatch(r"-[0-9.]+", text)
    return text if harmless or text[:1] not in ("=", "+", "-", "@", "\t", "\r") else f"'{text}"
