"""Output of commands: tables for people, JSON for programs.

A record is a dict of raw values. Its JSON form keeps `balance_micros` and adds `balance` as text ("1.50"); a time
`ended_at_us` becomes `ended_at` in ISO 8601. Piped tables are plain columns that are never truncated; on a terminal
they are folded to its width.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path

import typer

from stasis_callback.clock import iso
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import format_amount, format_price

Record = Mapping[str, object]

FOLDED_ROWS_LIMIT = 500
"""Larger tables are not folded to the terminal, because that takes too long."""


def published(record: Record) -> dict[str, object]:
    """A record in its public form, as in JSON output. The field names are a public interface."""
    result: dict[str, object] = {}
    for name, value in record.items():
        if name.endswith("_micros") and isinstance(value, Fraction):  # a price with more than six decimals
            result[name.removesuffix("_micros")] = format_price(value.numerator, value.denominator)
            result[name] = float(value)
        elif name.endswith("_micros"):
            result[name.removesuffix("_micros")] = format_amount(value) if isinstance(value, int) else None
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


def print_list(records: Sequence[Record], columns: Sequence[str], *, as_json: bool) -> None:
    """Print records as JSON with all fields, or as a table of `columns`."""
    rows = [published(record) for record in records]
    if as_json:
        print_json(rows)
        return
    _print_table([name.replace("_", " ") for name in columns], [[_cell(r[c]) for c in columns] for r in rows])
    if not rows:
        typer.echo("none", err=True)


def print_one(record: Record, *, as_json: bool) -> None:
    """Print one record as a JSON object, or with one field per line."""
    fields = published(record)
    if as_json:
        print_json(fields)
        return
    shown = {name: value for name, value in fields.items() if not name.endswith("_micros")}
    width = max(len(name) for name in shown)
    for name, value in shown.items():
        typer.echo(f"{name.replace('_', ' '):<{width}}  {_cell(value)}".rstrip())


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


def must_be_new(path: Path) -> None:
    """Raises InvalidInput if the file exists or its folder does not."""
    if path.exists():
        raise InvalidInput(f"{path} already exists: choose a new file name")
    if not path.parent.is_dir():
        raise InvalidInput(f"{path} cannot be written: folder {path.parent} does not exist")


def write_private(path: Path, text: str) -> None:
    """Create a file readable only by its owner, and sync it to disk."""
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def complain(message: str) -> None:
    """Print an error to standard error: one line of limited length, without control characters."""
    text = one_line(message)
    typer.echo("error: " + (text if len(text) <= 600 else f"{text[:400]} ... {text[-150:]}"), err=True)


def one_line(text: str) -> str:
    """`text` with whitespace and control characters replaced, safe to print on a terminal."""
    return "".join(c if c.isprintable() else ("?", " ")[c.isspace()] for c in text)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_cell(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return one_line(str(value))


def _print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if sys.stdout.isatty() and len(rows) <= FOLDED_ROWS_LIMIT:
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, header_style="bold")
        for header in headers:
            table.add_column(header, overflow="fold")
        for row in rows:
            table.add_row(*row)
        Console(markup=False, emoji=False, highlight=False).print(table)
        return
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    for row in (headers, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
