"""Reads the rows of some tables from a database dump: of mysqldump, phpMyAdmin or pg_dump, or a folder of CSV files.

A dump is read statement by statement, so its size does not matter. No database server is needed: nothing of it is
executed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from stasis_callback.core.errors import InvalidInput

Row = dict[str, str]
"""A row's values by column; NULL is the empty text."""

STATEMENT_LIMIT = 64 << 20
"""Characters of one statement; MySQL itself reads 16 MiB by default."""

_QUOTED = r"'(?:[^'\\]|\\.|'')*'"
_CREATE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?[`\"]?(?:\w+\.)?(\w+)[`\"]?", re.IGNORECASE)
_COLUMN = re.compile(r"^\s*[`\"](\w+)[`\"]\s", re.MULTILINE)
_INTO = r"(?:INSERT|REPLACE)(?: IGNORE)? INTO [`\"]?(?:\w+\.)?(\w+)[`\"]?"
_BEGINS = re.compile(_INTO, re.IGNORECASE)
_INSERT = re.compile(rf"{_INTO}\s*(?:\(([^)]*)\))?\s*VALUES\s*", re.IGNORECASE)
_COPY = re.compile(r"COPY (?:\w+\.)?\"?(\w+)\"? \(([^)]*)\) FROM stdin;")
_VALUE = re.compile(rf"\s*(?:(?:_binary\s*)?({_QUOTED})|([^,()'\s]+))\s*([,)])\s*", re.DOTALL)
_NEXT_ROW = re.compile(r"\s*,?\s*\(")
_ESCAPED = re.compile(r"\\(.)|''", re.DOTALL)
_MEANS = {"0": "\0", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "b": "\b"}
_ENDS = re.compile(rf"(?:{_QUOTED}|[^';]|;(?!\s*\Z))*;\s*\Z", re.DOTALL)


def rows(source: Path, tables: Collection[str]) -> Iterator[tuple[str, Row]]:
    """Each row of these tables, with the name of its table. Raises InvalidInput when it cannot be read."""
    if source.is_dir():
        for table in tables:
            file = source / f"{table}.csv"
            if file.exists():
                with _opened(file) as lines:
                    yield from (
                        (table, {k: v or "" for k, v in row.items()}) for row in csv.DictReader(lines)
                    )
        return
    columns: dict[str, list[str]] = {}
    with _opened(source) as lines:
        for line in lines:
            copy = _COPY.match(line)
            if copy and copy[1] in tables:
                names = [name.strip('" ') for name in copy[2].split(",")]
                yield from ((copy[1], row) for row in _copied(lines, names))
            elif (created := _CREATE.match(line)) and created[1] in tables:
                columns[created[1]] = _COLUMN.findall(_statement(line, lines))
            elif (begun := _BEGINS.match(line)) and begun[1] in tables:
                yield from ((begun[1], row) for row in _inserted(_statement(line, lines), columns))


def small_tables(source: Path, tables: Collection[str], needed: str) -> dict[str, list[Row]]:
    """All rows of tables that fit into memory. Raises InvalidInput when `needed`, one of them, has none."""
    found: dict[str, list[Row]] = {table: [] for table in tables}
    for table, row in rows(source, tables):
        found[table].append(row)
    if not found[needed]:
        raise InvalidInput(f"{source} has no rows of {needed}: is it a dump of that system, with its data?")
    return found


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="\n") as lines:
            yield lines
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None


def _statement(text: str, lines: Iterator[str]) -> str:
    """The statement that begins with this line; a text in it may have lines, and semicolons at their ends."""
    parts, length = [text], len(text)
    while not (parts[-1].rstrip().endswith(";") and _ENDS.match("".join(parts))):
        line = next(lines, None)
        if line is None:
            raise InvalidInput("the dump ends within a statement: it is cut off, export it again")
        parts.append(line)
        length += len(line)
        if length > STATEMENT_LIMIT:
            raise InvalidInput(
                "a statement of the dump is larger than 64 MiB: export it with --extended-insert=0"
            )
    return "".join(parts)


def _inserted(statement: str, columns: dict[str, list[str]]) -> Iterator[Row]:
    head = _INSERT.match(statement)
    if head is None:
        raise InvalidInput(
            f"an INSERT of the dump cannot be read, at {statement[:40]!r}: export it as INSERT ... VALUES"
        )
    table, named = head[1], head[2]
    names = [name.strip(' `"\n') for name in named.split(",")] if named else columns.get(table, [])
    place = head.end()
    while start := _NEXT_ROW.match(statement, place):
        values, place = _values(statement, start.end(), table)
        if len(values) != len(names):
            raise InvalidInput(
                f"a row of {table} has {len(values)} values for {len(names)} columns: export the structure "
                "(CREATE TABLE) along with the data"
            )
        yield dict(zip(names, values, strict=True))


def _values(statement: str, place: int, table: str) -> tuple[list[str], int]:
    values: list[str] = []
    while True:
        found = _VALUE.match(statement, place)
        if found is None:
            raise InvalidInput(f"a row of {table} cannot be read, at {statement[place : place + 40]!r}")
        quoted, bare, then = found.groups()
        if quoted is not None:
            values.append(
                _ESCAPED.sub(lambda m: "'" if m[1] is None else _MEANS.get(m[1], m[1]), quoted[1:-1])
            )
        else:
            values.append("" if bare.upper() == "NULL" else bare)
        place = found.end()
        if then == ")":
            return values, place


def _copied(lines: Iterator[str], names: list[str]) -> Iterator[Row]:
    for line in lines:
        line = line.rstrip("\n")
        if line == "\\.":
            return
        values = ["" if value == "\\N" else _ESCAPED.sub(_copy_escape, value) for value in line.split("\t")]
        yield dict(zip(names, values, strict=False))
    raise InvalidInput("the dump ends within a table: it is cut off, export it again")


def _copy_escape(found: re.Match[str]) -> str:
    return "''" if found[1] is None else _MEANS.get(found[1], found[1])
