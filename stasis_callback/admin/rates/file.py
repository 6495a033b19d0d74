"""Reads and writes rates as CSV files. All lines are checked before any is used, and all invalid ones are reported.

The first line names the columns in any order. UTF-8 with or without a byte order mark, any line endings, quoting
as in spreadsheets; empty lines are skipped.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

from stasis_callback.admin.context import instant_us, printable
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import format_amount, parse_amount
from stasis_callback.core.numbers import checked_prefix
from stasis_callback.core.rating import Rate

if TYPE_CHECKING:
    from stasis_callback.store.rates.book import RateView
    from stasis_callback.store.rates.tariffs import NewRate

T = TypeVar("T")
D = TypeVar("D")

REQUIRED = ("prefix", "first_price")
OPTIONAL = (
    "description", "connect_fee", "first_interval", "next_interval", "next_price", "off_peak_first_price",
    "off_peak_next_price", "forbidden", "discontinued", "from",
)  # fmt: skip
UNWRITTEN = ("discontinued", "from")
"""Columns that effective rates do not have, and exports therefore omit."""

SIZE_LIMIT = 64 * 1024 * 1024
_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


class BadLines(InvalidInput):
    """Some lines are invalid; `lines` has one sentence for each, with its number."""

    def __init__(self, path: Path, lines: list[str], read: int) -> None:
        super().__init__(f"{path}: {len(lines)} of {read} lines are invalid, so nothing was changed")
        self.lines = lines


def read_rates(
    path: Path, from_us: int | None = None, progress: Callable[[int], None] = lambda _done: None
) -> list[NewRate]:
    """All rates in a file; `from_us` is the start of rates that give no time.

    `progress` is called with the number of rates read so far. Raises BadLines, or InvalidInput if it is not a rate
    file.
    """
    from stasis_callback.store.rates.tariffs import NewRate

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
                raise InvalidInput(f"prefix {rate.prefix} is already on line {first}")
            own_us = _column(row, "from", instant_us, from_us)
            rates.append(NewRate(rate, printable(row.get("description", ""), "description"), own_us))
        except InvalidInput as error:
            bad.append(f"line {line}: {error}")
        progress(read)
    if bad:
        raise BadLines(path, bad, read)
    if not rates:
        raise InvalidInput(f"{path} has no rates: write one line per rate below the column names")
    return rates


def rate_of(fields: Mapping[str, str]) -> Rate:
    """A rate from text fields; missing or empty ones get defaults. Raises InvalidInput, which names the column.

    Defaults: no connect fee, intervals of 1 second, next price equal to the first price, off-peak prices equal to
    peak prices, not forbidden. A discontinued rate needs no price.
    """
    discontinued = _column(fields, "discontinued", _yes_or_no, False)
    if discontinued or fields.get("first_price", "").strip():
        first_price_micros = _column(fields, "first_price", parse_amount, 0)
    else:
        raise InvalidInput("first_price is missing: write an amount, for example 0.12")
    return Rate(
        prefix=fields["prefix"] if discontinued else checked_prefix(fields["prefix"]),
        connect_fee_micros=_column(fields, "connect_fee", parse_amount, 0),
        first_interval_s=_column(fields, "first_interval", _seconds, 1),
        first_price_micros=first_price_micros,
        next_interval_s=_column(fields, "next_interval", _seconds, 1),
        next_price_micros=_column(fields, "next_price", parse_amount, first_price_micros),
        off_peak_first_price_micros=_column(fields, "off_peak_first_price", parse_amount, None),
        off_peak_next_price_micros=_column(fields, "off_peak_next_price", parse_amount, None),
        forbidden=_column(fields, "forbidden", _yes_or_no, False),
        discontinued=discontinued,
    )


def texts_of(rate: Rate) -> dict[str, str]:
    """The text fields of a rate; the inverse of `rate_of`."""
    return {
        "prefix": rate.prefix,
        "connect_fee": format_amount(rate.connect_fee_micros),
        "first_interval": str(rate.first_interval_s),
        "first_price": format_amount(rate.first_price_micros),
        "next_interval": str(rate.next_interval_s),
        "next_price": format_amount(rate.next_price_micros),
        "off_peak_first_price": _amount_or_nothing(rate.off_peak_first_price_micros),
        "off_peak_next_price": _amount_or_nothing(rate.off_peak_next_price_micros),
        "forbidden": "yes" if rate.forbidden else "no",
    }


def write_rates(rates: Iterable[RateView], file: TextIO) -> None:
    """Write a CSV file of rates; the inverse of `read_rates`."""
    names = [
        name for name in REQUIRED[:1] + OPTIONAL[:1] + REQUIRED[1:] + OPTIONAL[1:] if name not in UNWRITTEN
    ]
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    for view in rates:
        writer.writerow(texts_of(view.rate) | {"description": view.description})


def _amount_or_nothing(micros: int | None) -> str:
    return "" if micros is None else format_amount(micros)


def _column(fields: Mapping[str, str], name: str, parse: Callable[[str], T], default: D) -> T | D:
    text = fields.get(name, "").strip()
    try:
        return parse(text) if text else default
    except InvalidInput as error:
        raise InvalidInput(f"{name} {error}") from None


def _seconds(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise InvalidInput(f"{text!r} is not a whole number of seconds")
    return int(text)


def _yes_or_no(text: str) -> bool:
    if text.lower() not in _YES + _NO:
        raise InvalidInput(f"{text!r} is invalid: write yes or no")
    return text.lower() in _YES


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str] | str]]:
    """The number of each line below the header, with its fields or with what is wrong with it."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield line, f"{error}; the lines after it were not read"
            return
        if not any(cell.strip() for cell in row):
            continue
        if header is None:
            header = _header(path, row)
        elif len(row) != len(header):
            yield line, f"it has {len(row)} fields, but the first line names {len(header)} columns"
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
            f"{', '.join(OPTIONAL)}, each once; it is {','.join(names)[:80]!r}"
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
