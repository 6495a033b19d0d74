"""Tables for people: plain columns that fit the width of the terminal, or 80 characters in a pipe.

Nothing is left out: what does not fit goes on in the next line of its cell. Where not even the words would fit, each
row is printed as fields, one below the other.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

import typer

from stasis_callback.admin.taking import taken

PIPED_WIDTH = 80
_GAP = 2
_HALF = "\0"
"""Stands behind a character that takes two columns (UAX 11), so that a text is as long as it is wide; `one_line`
lets none through.
"""
UNBROKEN = "\N{NO-BREAK SPACE}"
"""A space at which no line ends, for `print_table`; `one_line` lets none through."""


def width() -> int:
    """The characters of a line: those of the terminal, or 80 if the output is not a terminal."""
    return max(shutil.get_terminal_size().columns, 20) if sys.stdout.isatty() else PIPED_WIDTH


def cell(value: object) -> str:
    """A value as text in one line, safe to print on a terminal."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={cell(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    return one_line(str(value))


def one_line(text: str) -> str:
    """`text` with whitespace and control characters replaced, safe to print on a terminal."""
    return "".join(c if c.isprintable() else ("?", " ")[c.isspace()] for c in text)


def _spread(text: str) -> str:
    """A text that is as long as it is wide on a terminal."""
    if text.isascii():
        return text
    return "".join(c + _HALF if unicodedata.east_asian_width(c) in "WF" else c for c in text)


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], records: Sequence[Mapping[str, object]] = ()
) -> None:
    """Print a table to standard output; `records` are what it is made of."""
    if caller := taken():
        caller.table(headers, [[text.replace(UNBROKEN, " ") for text in row] for row in rows], records)
        return
    bold = sys.stdout.isatty()
    table = [[_spread(text) for text in row] for row in (headers, *rows)]
    widths = column_widths(table, width())
    if not widths:
        _print_stacked(headers, rows)
        return
    for number, row in enumerate(table):
        for line in _lines(row, widths):
            said = line.replace(UNBROKEN, " ").replace(_HALF, "")
            typer.echo(typer.style(said, bold=True) if bold and number == 0 else said)


def _print_stacked(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Each row as fields, with an empty line between two."""
    for number, row in enumerate(rows):
        if number:
            typer.echo()
        print_fields(
            [(name, text.replace(UNBROKEN, " ")) for name, text in zip(headers, row, strict=True) if text]
        )


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Print one name and text per line; a long text goes on below itself."""
    if caller := taken():
        caller.fields(fields)
        return
    spread = [(_spread(name), _spread(text)) for name, text in fields]
    widest = max(len(name) for name, _ in spread)
    for row in spread:
        for line in _lines(row, (widest, max(width() - widest - _GAP, 20))):
            typer.echo(line.replace(_HALF, ""))


def fits(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a table needs no cell of several lines; one that is taken by another program has all the room."""
    widest = [max(len(_spread(text)) for text in column) for column in zip(*rows, strict=True)]
    return bool(taken()) or sum(widest) + _GAP * (len(widest) - 1) <= width()


def column_widths(rows: Sequence[Sequence[str]], limit: int) -> list[int]:
    """How wide each column is, so that a line has at most `limit` characters: the widest ones give way.

    No word is broken: where that cannot be, there are no columns.
    """
    columns = list(zip(*rows, strict=True))
    whole = [max(map(len, column)) for column in columns]
    room = limit - _GAP * (len(whole) - 1)
    if sum(whole) <= room:
        return whole
    # A time is broken before an id is, and so is a code of several words.
    for spaces in (" ", f" {UNBROKEN}", f" {UNBROKEN}_"):
        words = [max(_longest_word(text, spaces) for text in column) for column in columns]
        if sum(words) <= room:
            level = _level(words, whole, room)
            return [max(word, min(size, level)) for word, size in zip(words, whole, strict=True)]
    return []


def _longest_word(text: str, spaces: str) -> int:
    for space in spaces:
        text = text.replace(space, f"{space.strip()}\n")
    return max(map(len, text.split("\n")))


def _level(least: Sequence[int], most: Sequence[int], room: int) -> int:
    """The greatest width that columns of `least` to `most` characters may have, for all of them to fit."""
    low, high = 0, max(most)
    while low < high:
        middle = (low + high + 1) // 2
        taken = sum(max(few, min(many, middle)) for few, many in zip(least, most, strict=True))
        low, high = (middle, high) if taken <= room else (low, middle - 1)
    return low


def _lines(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    parts = [_folded(text, size) for text, size in zip(row, widths, strict=True)]
    for number in range(max(map(len, parts))):
        cells = (part[number] if number < len(part) else "" for part in parts)
        yield (" " * _GAP).join(text.ljust(size) for text, size in zip(cells, widths, strict=True)).rstrip()


def _folded(text: str, size: int) -> list[str]:
    if len(text) <= size:
        return [text]
    if _longest_word(text, " ") > size:
        text = text.replace(UNBROKEN, " ")
    wrapper = _OfCodes if _longest_word(text, " ") > size else _Wrapper
    return wrapper(size, break_on_hyphens=False).wrap(text)


class _Wrapper(textwrap.TextWrapper):
    """Does not break a line within a character that takes two columns."""

    def _handle_long_word(
        self, reversed_chunks: list[str], cur_line: list[str], cur_len: int, width: int
    ) -> None:
        left = width - cur_len
        if reversed_chunks[-1][left : left + 1] == _HALF:
            width -= 1
        super()._handle_long_word(reversed_chunks, cur_line, cur_len, width)


class _OfCodes(_Wrapper):
    """Breaks lines in `destination_not_in_tariff` too, behind a `_`."""

    wordsep_simple_re = re.compile(r"( +|(?<=_)(?=[^ ]))")
