"""Codes handed over once: as CSV for a printing house, or as a page of cards to print and cut."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from html import escape, unescape
from pathlib import Path
from typing import Annotated

import typer

from stasis_callback.admin.files import must_be_new, write_private
from stasis_callback.core.errors import InvalidInput

OutFile = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FILE",
        writable=True,
        help="New file for the codes, readable only by you: CSV, or HTML with cards to print (its name ends in "
        ".html). They cannot be retrieved later.",
    ),
]

_STYLE = """
@page { margin: 10mm }
body { margin: 0; font: 11pt sans-serif; color: #000; background: #fff }
ul { list-style: none; margin: 0; padding: 0; display: grid; grid-template-columns: repeat(3, 1fr) }
li { padding: 5mm 3mm; border: 1px dashed #888; text-align: center; break-inside: avoid }
strong { display: block; margin: 2mm 0; font: bold 14pt monospace; overflow-wrap: anywhere }
"""
_TOGETHER = 4
"""How many characters of a code stand together, so that it is read without losing one's place."""


def write_codes(path: Path, column: str, codes: Sequence[str], says: Sequence[str]) -> None:
    """Write a new file, readable only by its owner: one code in each line, or on each card, below what that `says`.

    Raises InvalidInput if the file exists.
    """
    must_be_new(path)
    if _is_sheet(path):
        write_private(path, sheet(codes, says))
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column])
    writer.writerows([code] for code in codes)
    write_private(path, text.getvalue())


def read_codes(path: Path, column: str, count: int) -> list[str]:
    """The codes in a file that an interrupted run has written. Raises InvalidInput."""
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError):
        raise InvalidInput(f"{path} cannot be read: give the file of the run that was interrupted") from None
    on_cards = [unescape(code).replace(" ", "") for code in re.findall("<strong>([^<]*)</strong>", text)]
    header, *codes = [column, *on_cards] if _is_sheet(path) else text.split() or [""]
    if header != column or len(codes) != count:
        raise InvalidInput(f"{path} has {len(codes)} ids, not {count}: give the file and number of that run")
    return codes


def _is_sheet(path: Path) -> bool:
    return path.suffix.lower() in (".html", ".htm")


def sheet(codes: Sequence[str], says: Sequence[str]) -> str:
    """A page of cards that needs nothing else: the first of `says`, the code, and the others."""
    head, *others = map(escape, says)
    below = "".join(f"<br>{line}" for line in others if line).removeprefix("<br>")
    cards = "\n".join(f"<li>{head}<strong>{escape(grouped(code))}</strong>{below}</li>" for code in codes)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{head}</title>\n'
        f"<style>{_STYLE}</style></head><body>\n<ul>\n{cards}\n</ul>\n</body></html>\n"
    )


def grouped(code: str) -> str:
    """A code in groups, for reading; none is left with a single character."""
    groups = [code[start : start + _TOGETHER] for start in range(0, len(code), _TOGETHER)]
    if len(groups) > 1 and len(groups[-1]) == 1:
        groups[-2:] = [groups[-2] + groups[-1]]
    return " ".join(groups)
