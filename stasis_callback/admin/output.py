"""Output of commands: tables for people, JSON for programs.

A record is a dict of raw values. Its JSON form keeps `balance_micros` and adds `balance` as text ("1.50"); a time
`ended_at_us` becomes `ended_at` in ISO 8601. Tables show times in the operator's time zone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from zoneinfo import ZoneInfo

import typer

from stasis_callback.admin.days import local_time, operators_zone
from stasis_callback.admin.tables import UNBROKEN, cell, fits, print_fields, print_table
from stasis_callback.admin.tables import one_line as one_line
from stasis_callback.clock import iso
from stasis_callback.core.money import format_number, format_price

Record = Mapping[str, object]


FEW = 20
_CURRENCIES = ("currency", "cost_currency")
_TO_THE_MINUTE = len("2026-11-23 22:04")


def published(record: Record) -> dict[str, object]:
    """A record in its public form, as in JSON output. The field names are a public interface."""
    result: dict[str, object] = {}
    for name, value in record.items():
        if name.endswith("_micros") and isinstance(value, Fraction):  # a price with more than six decimals
            result[name.removesuffix("_micros")] = format_price(value.numerator, value.denominator)
            result[name] = float(value)
        elif name.endswith("_micros"):
            currency = record.get("currency")
            if name == "cost_micros":
                currency = record.get("cost_currency", currency)
            text = None if value is None else f"{value} (no whole number)"  # as SQLite takes it from a shell
            if isinstance(value, int):
                text = format_number(value, str(currency or ""))
            result[name.removesuffix("_micros")] = text
            result[name] = value
        elif name == "at_us" or name.endswith("_at_us"):
            result[name.removesuffix("_us")] = iso(value) if isinstance(value, int) else None
        else:
            result[name] = value
    return result


def print_json(value: object) -> None:
    """Print one JSON document to standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_array(records: Iterable[Record], indent: str = "", end: str = "\n") -> None:
    """Print the records as one JSON array, as `print_json` would, without holding them in memory."""
    published_ones, between = (published(record) for record in records), "["
    while some := list(islice(published_ones, 1000)):
        texts = (json.dumps(one, indent=2, ensure_ascii=False) for one in some)
        lines = (f"\n{text}".replace("\n", f"\n{indent}  ") for text in texts)
        typer.echo(between + ",".join(lines), nl=False)
        between = ","
    typer.echo(f"[]{end}" if between == "[" else f"\n{indent}]{end}", nl=False)


def print_json_parts(parts: Mapping[str, object]) -> None:
    """Print one JSON object. A part that is an iterator of records is printed as an array while it is read."""
    typer.echo("{")
    for number, (name, value) in enumerate(parts.items(), start=1):
        end = "\n" if number == len(parts) else ",\n"
        typer.echo(f"  {json.dumps(name)}: ", nl=False)
        if isinstance(value, Iterator):
            print_json_array(value, "  ", end)
        else:
            text = json.dumps(value, indent=2, ensure_ascii=False)
            typer.echo(text.replace("\n", "\n  ") + end, nl=False)
    typer.echo("}")


def print_list(
    records: Sequence[Record],
    columns: Sequence[str],
    *,
    as_json: bool,
    below: Mapping[str, str] | None = None,
) -> None:
    """Print records as JSON with all fields, or as a table of `columns`.

    Where the lines are too short for it, a column that is a key of `below` goes below the one that it names.
    """
    if as_json:
        print_json([published(record) for record in records])
        return
    zone = _zone_of(records)
    table = [[name.replace("_", " ") for name in columns]]
    table += ([_cell(record, name, zone) for name in columns] for record in records)
    if below and not fits(table):
        table = [_stacked(dict(zip(columns, row, strict=True)), below) for row in table]
    rows = table[1:]
    print_table(table[0], rows, records)
    if not rows:
        typer.echo("none", err=True)


def _stacked(row: Mapping[str, str], below: Mapping[str, str]) -> list[str]:
    """The cells of a row, some with what belongs below them; what is missing there is a dash."""
    lower = {above: row[name] for name, above in below.items()}
    return [
        f"{text or '-'} {lower[name]}" if lower.get(name) else text
        for name, text in row.items()
        if name not in below
    ]


def _zone_of(records: Collection[Record]) -> ZoneInfo:
    """The operator's zone where a time is shown; elsewhere the settings are not read for it."""
    has_times = any(name.endswith("_us") for record in records for name in record)
    return operators_zone() if has_times else ZoneInfo("UTC")


def _cell(record: Record, name: str, zone: ZoneInfo) -> str:
    text = cell(shown(record, name, zone))
    # A time to the minute, so that there is room for what it happened to.
    return text[:_TO_THE_MINUTE].replace(" ", UNBROKEN) if f"{name}_us" in record else text


def print_one(record: Record, *, as_json: bool, hidden: Collection[str] = ()) -> None:
    """Print one record as a JSON object, or with one field per line, but for `hidden` ones."""
    fields = published(record)
    if as_json:
        print_json(fields)
        return
    zone = _zone_of([record])
    names = [name for name in fields if not name.endswith("_micros") and name not in hidden]
    print_fields([(name.replace("_", " "), cell(shown(record, name, zone))) for name in names])


def few(names: Sequence[str], see: str, count: int | None = None) -> Sequence[str] | str:
    """Names to show among other fields: themselves, or how many there are (`count`) and which command lists them."""
    return names if len(names) <= FEW else f"{len(names) if count is None else count}, see `{see}`"


def shown(record: Record, name: str, zone: ZoneInfo) -> object:
    """A field as tables and CSV have it: like the published one, but times are local ones of the operator."""
    if name in record:
        return record[name]
    if isinstance(at_us := record.get(f"{name}_us"), int):
        return local_time(at_us, zone)
    needed = (f"{name}_us", f"{name}_micros", *_CURRENCIES)
    return published({field: record[field] for field in needed if field in record}).get(name)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, if that is a terminal. Yields a function of (done, total)."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def complain(message: str) -> None:
    """Print an error to standard error: one line of limited length, without control characters."""
    text = one_line(message)
    typer.echo("error: " + (text if len(text) <= 600 else f"{text[:400]} ... {text[-150:]}"), err=True)
