"""Rates from a CSV file: every line is checked before any is used, and every bad one is named.

The first line names the columns, in any order. UTF-8, with or without a byte order mark; any line ends; quotes as
spreadsheets write them; empty lines are skipped.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from stasis_callback.admin.context import printable
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import parse_amount
from stasis_callback.core.rating import Rate

if TYPE_CHECKING:
    from stasis_callback.store.tariffs import NewRate

T = TypeVar("T")

REQUIRED = ("prefix", "first_price")
OPTIONAL = ("description", "connect_fee", "first_interval", "next_interval", "next_price", "forbidden")
SIZE_LIMIT = 64 * 1024 * 1024
_YES, _NO = ("yes", "true", "on", "1"), ("", "no", "false", "off", "0")


class BadLines(InvalidInput):
    """Some lines cannot be used; `lines` has a sentence for each, with its number."""

    def __init__(self, path: Path, lines: list[str], read: int) -> None:
        super().__init__(f"{path}: {len(lines)} of {read} lines cannot be used, so nothing was changed")
        self.lines = lines


def read_rates(path: Path) -> list[NewRate]:
    """All rates of a file. Raises BadLines, or InvalidInput when it is no such file at all."""
    from stasis_callback.store.tariffs import NewRate

    rates: list[NewRate] = []
    bad: list[str] = []
    line_of: dict[str, int] = {}
    read = 0
    for line, row in _rows(path):
        read += 1
        try:
            if isinstance(row, str):
                raise InvalidInput(row)
            rate = rate_of(row | {"prefix": row["prefix"].strip()})
            if (first := line_of.setdefault(rate.prefix, line)) != line:
                raise InvalidInput(f"prefix {rate.prefix} stands on line {first} already")
            rates.append(NewRate(rate, printable(row.get("description", ""), "description")))
        except InvalidInput as error:
            bad.append(f"line {line}: {error}")
    if bad:
        raise BadLines(path, bad, read)
    if not rates:
        raise InvalidInput(f"{path} has no rates: write a line for each below the names of the columns")
    return rates


def rate_of(fields: dict[str, str]) -> Rate:
    """A rate from texts; what is missing or empty gets its default. Raises InvalidInput that names the column.

    Defaults: no connect fee, intervals of 1 second, the next price equal to the first, not forbidden.
    """
    first_price_micros = _column(fields, "first_price", parse_amount, None)
    return Rate(
        prefix=fields["prefix"],
        connect_fee_micros=_column(fields, "connect_fee", parse_amount, 0),
        first_interval_s=_column(fields, "first_interval", _seconds, 1),
        first_price_micros=first_price_micros,
        next_interval_s=_column(fields, "next_interval", _seconds, 1),
        next_price_micros=_column(fields, "next_price", parse_amount, first_price_micros),
        forbidden=_column(fields, "forbidden", _yes_or_no, False),
    )


def _column(fields: dict[str, str], name: str, parse: Callable[[str], T], default: T | None) -> T:
    text = fields.get(name, "").strip()
    try:
        return default if default is not None and not text else parse(text)
    except InvalidInput as error:
        raise InvalidInput(f"{name} {error}") from None


def _seconds(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise InvalidInput(f"{text!r} is not a whole number of seconds")
    return int(text)


def _yes_or_no(text: str) -> bool:
    if text.lower() not in _YES + _NO:
        raise InvalidInput(f"{text!r}: write yes or no")
    return text.lower() in _YES


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Line number and fields of each line below the header, or the number and what is wrong with it."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield line, f"{error}; what follows was not read"
            return
        if not any(cell.strip() for cell in row):
            continue
        if header is None:
            header = _header(path, row)
        elif len(row) != len(header):
            yield line, f"it has {len(row)} fields, the first line names {len(header)}"
        else:
            yield line, dict(zip(header, row, strict=True))
    if header is None:
        raise InvalidInput(f"{path} is empty")


def _header(path: Path, row: list[str]) -> list[str]:
    names = [name.strip().lower() for name in row]
    unknown = [name for name in names if name not in REQUIRED + OPTIONAL]
    if unknown or len(set(names)) != len(names) or not set(REQUIRED) <= set(names):
        raise InvalidInput(
            f"{path}: the first line must name the columns, separated by commas: {', '.join(REQUIRED)}, and any of "
            f"{', '.join(OPTIONAL)}, each once; it says {','.join(names)[:80]!r}"
        )
    return names


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(SIZE_LIMIT + 1)
    if len(content) > SIZE_LIMIT:
        raise InvalidInput(f"{path} is too large: the limit is {SIZE_LIMIT // 1024 // 1024} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text: save it as CSV in UTF-8") from None
