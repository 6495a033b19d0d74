"""Files with tables: CSV in all its forms, and .xlsx. Rows of text, read one after the other: a file may be large.

What can be found out about a file is (its encoding); what has several possibilities is offered as candidates (its
delimiter, its sheets), among which the reader of the list decides by the columns that it finds.
"""

from __future__ import annotations

import codecs
import csv
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO

from stasis_callback.core.errors import InvalidInput

Row = list[str] | str
"""The fields of a line, or what is wrong with it."""

PIPE_LIMIT = 64 * 1024 * 1024
"""The limit for pipes, which are kept in memory, because a list is read twice."""
_BLOCK = 1024 * 1024
DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "|"}
_NOT_TEXT = (
    (b"\xd0\xcf\x11\xe0", "an old Excel file (.xls)"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "compressed"),
    (b"<", "HTML or XML"),
)


@dataclass(frozen=True)
class Sheet:
    """One way to read a file as a table."""

    rows: Callable[[], Iterator[tuple[int, Row]]]
    """The lines that are not empty, with their numbers, from the beginning."""
    said: tuple[str, ...] = ()
    """What was found out about the file, in words."""
    name: str = ""
    """The sheet of a workbook."""
    delimiter: str = ""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file that can be read more than once. Raises InvalidInput if a pipe has too much in it."""
    with path.open("rb") as source:
        if path.is_file():
            yield source
            return
        with tempfile.TemporaryFile() as copy:
            while block := source.read(_BLOCK):
                copy.write(block)
                if copy.tell() > PIPE_LIMIT:
                    raise InvalidInput(
                        f"{path} is too large: the limit for pipes is {PIPE_LIMIT // _BLOCK} MiB"
                    )
            yield copy


def sheets(path: Path, file: BinaryIO, encoding: str, delimiter: str, sheet: str) -> list[Sheet]:
    """The possible tables of a file; encoding, delimiter and sheet where they are known. Raises InvalidInput."""
    file.seek(0)
    head = file.read(4096)
    if not head.strip():
        raise InvalidInput(f"{path} is empty")
    if zipfile.is_zipfile(file):
        return _sheets_of_workbook(path, file, sheet)
    if sheet:
        raise InvalidInput(f"{path} is not an .xlsx file: leave out --sheet")
    for beginning, what in _NOT_TEXT:
        if head.lstrip(b"\xef\xbb\xbf \r\n").startswith(beginning):
            raise InvalidInput(f"{path} is {what}: save it as CSV or .xlsx")
    found, said = (encoding, ()) if encoding else _encoding(path, file, head)
    first = _first_line(path, file, found)
    if not delimiter and first.lower().startswith("sep=") and len(first) == 5:
        delimiter = first[4]
    return [
        _text(path, file, found, one, said, delimiter == "")
        for one in ([delimiter] if delimiter else DELIMITERS)
    ]


# --- text ------------------------------------------------------------------------------------------------------


def _encoding(path: Path, file: BinaryIO, head: bytes) -> tuple[str, tuple[str, ...]]:
    """The encoding of a text, and what to say about it."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", ("encoding: UTF-16",)
    if b"\0" in head:
        for name, zeros, others in (
            ("utf-16-le", head[1::2], head[::2]),
            ("utf-16-be", head[::2], head[1::2]),
        ):
            if b"\0" not in others and zeros.count(0) * 2 > len(zeros):
                return name, ("encoding: UTF-16",)
        raise InvalidInput(f"{path} is not a text file: save it as CSV in UTF-8")
    if _decodes(file, "utf-8"):
        return "utf-8-sig", ()
    return "cp1252", _western(path, file)


def _western(path: Path, file: BinaryIO) -> tuple[str, ...]:
    """What to say about a text in Windows-1252. Raises InvalidInput if it is more likely in another encoding.

    Digits are the same in all of them: only names could be wrong. Names of western Europe are mostly ASCII letters.
    """
    plain = other = 0
    example = b""
    file.seek(0)
    for line in file:
        beyond = sum(byte >= 0x80 for byte in line)
        other += beyond
        plain += sum(chr(byte).isalpha() for byte in line if byte < 0x80) if beyond else 0
        example = example or (line if beyond else b"")
    if not _decodes(file, "cp1252") or other > plain:
        raise InvalidInput(
            f"{path} is not in UTF-8, and its encoding is not known: add --encoding, for example --encoding cp1251"
        )
    shown = example.decode("cp1252").strip()[:60]
    return (f"encoding: Windows-1252, because it is not UTF-8; for example {shown!r}",)


def _decodes(file: BinaryIO, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    file.seek(0)
    try:
        while block := file.read(_BLOCK):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


@contextmanager
def _as_text(path: Path, file: BinaryIO, encoding: str) -> Iterator[io.TextIOWrapper]:
    file.seek(0)
    try:
        text = io.TextIOWrapper(file, encoding, newline="")
    except LookupError:
        raise InvalidInput(
            f"encoding {encoding!r} is not known: use, for example, utf-8, cp1252 or utf-16"
        ) from None
    try:
        yield text
    except UnicodeError:
        raise InvalidInput(f"{path} is not in encoding {encoding}: correct or leave out --encoding") from None
    finally:
        text.detach()


def _first_line(path: Path, file: BinaryIO, encoding: str) -> str:
    with _as_text(path, file, encoding) as text:
        return text.readline(1000).lstrip("\ufeff").strip()


def _text(
    path: Path, file: BinaryIO, encoding: str, delimiter: str, said: tuple[str, ...], guessed: bool
) -> Sheet:
    if guessed and delimiter != ",":
        said = (*said, f"delimiter: {DELIMITERS[delimiter]}")

    def rows() -> Iterator[tuple[int, Row]]:
        with _as_text(path, file, encoding) as text:
            reader = csv.reader(text, strict=True, delimiter=delimiter)
            while True:
                line = reader.line_num + 1
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield line, f"{error}; the lines after it were not read"
                    return
                if line == 1 and row:
                    row[0] = row[0].removeprefix("\ufeff")
                if any(cell.strip() for cell in row) and not (
                    line == 1 and row[0].lower().startswith("sep=")
                ):
                    yield line, row

    return Sheet(rows, said, delimiter=delimiter)


# --- workbooks -------------------------------------------------------------------------------------------------


def _sheets_of_workbook(path: Path, file: BinaryIO, wanted: str) -> list[Sheet]:
    from openpyxl import load_workbook

    try:
        book = load_workbook(file, read_only=True)
    except Exception:  # noqa: BLE001 - whatever a broken or foreign archive makes it raise
        raise InvalidInput(f"{path} is not an .xlsx file that can be read: save it as CSV or .xlsx") from None
    names = [one.title for one in book.worksheets if one.sheet_state == "visible"]
    if wanted and wanted not in names:
        raise InvalidInput(f"{path} has no sheet {wanted!r}: it has {', '.join(names)}")
    formulas = _has_formulas(file)
    return [_worksheet(file, name, formulas) for name in names if wanted in ("", name)]


def _has_formulas(file: BinaryIO) -> bool:
    """Whether any cell is a formula: then its value is what was stored with it, if anything was."""
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                with archive.open(name) as xml:
                    before = b""
                    while block := xml.read(_BLOCK):
                        if b"<f>" in before + block or b"<f " in before + block:
                            return True
                        before = block[-4:]
    return False


def _worksheet(file: BinaryIO, name: str, formulas: bool) -> Sheet:
    def rows() -> Iterator[tuple[int, Row]]:
        from openpyxl import load_workbook

        def values(data_only: bool) -> Iterator[tuple[object, ...]]:
            sheet = load_workbook(file, read_only=True, data_only=data_only)[name]
            sheet.reset_dimensions()  # what a file says about its size is often wrong
            return sheet.iter_rows(values_only=True)

        stored = values(data_only=True)
        written = values(data_only=False) if formulas else None
        for line, row in enumerate(stored, start=1):
            formula = next(written) if written else ()
            if any(
                one is None and isinstance(f, str) and f.startswith("=")
                for one, f in zip(row, formula, strict=False)
            ):
                yield (
                    line,
                    "a cell is a formula without a value: open the file in a spreadsheet, and save it again",
                )
            elif any(value is not None for value in row):
                cells = [_cell(value) for value in row]
                if any(cell.strip() for cell in cells):
                    yield line, cells

    return Sheet(rows, ("format: .xlsx", f"sheet: {name}"), name=name)


def _cell(value: object) -> str:
    """The text of a cell. Numbers as a spreadsheet shows them, with at most 15 digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        text = f"{value:.15g}"
        return f"{value:.20f}".rstrip("0") if "e-" in text else text
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)
