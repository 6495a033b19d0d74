"""What a command prints, taken by a caller in this process: the console runs the very commands of the shell.

Tables and fields are taken as they are, before they are folded to the width of a terminal; all else as text.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from stasis_callback.core.errors import InvalidInput

if TYPE_CHECKING:
    from stasis_callback.store.stores import Stores


@dataclass(frozen=True, slots=True)
class TakenText:
    """Lines on standard output, or on standard error."""

    text: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class TakenFile:
    """A file on standard output, in an encoding of its own."""

    content: bytes


@dataclass(frozen=True, slots=True)
class TakenTable:
    """A table with its rows."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    records: Sequence[Mapping[str, object]] = ()
    """What the rows were made of, where they are of records."""


@dataclass(frozen=True, slots=True)
class TakenFields:
    """Names and texts, one of each in a line."""

    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TakenPicture:
    """A drawing, as SVG that was made here."""

    svg: str


Block = TakenText | TakenFile | TakenTable | TakenFields | TakenPicture


@dataclass
class Taken:
    """One command of this context: what it printed, in order, and what its caller has for it."""

    stores: Stores
    secret: str | None = None
    """What a person would type without being seen."""
    wanted: str = ""
    """What the command asked for and was not given."""
    is_long: bool = False
    """Whether the command refused what takes too long for a page."""
    printed: list[Block] = field(default_factory=list)
    """What it printed, in as many pieces as it did."""

    def blocks(self) -> tuple[Block, ...]:
        """What it printed, with the pieces of a text as one."""
        joined: list[Block] = []
        # All at once: joined one by one, each would copy all that came before it.
        for (kind, is_error), pieces in groupby(self.printed, _stream):
            if kind is TakenText:
                joined.append(
                    TakenText("".join(p.text for p in pieces if isinstance(p, TakenText)), is_error)
                )
            elif kind is TakenFile:
                joined.append(TakenFile(b"".join(p.content for p in pieces if isinstance(p, TakenFile))))
            else:
                joined += pieces
        return tuple(joined)

    def write(self, text: str, *, is_error: bool) -> None:
        """Add to the text."""
        if text:
            self.printed.append(TakenText(text, is_error))

    def write_file(self, content: bytes) -> None:
        """Add to the file."""
        if content:
            self.printed.append(TakenFile(content))

    def table(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[str]],
        records: Sequence[Mapping[str, object]] = (),
    ) -> None:
        """Add a table."""
        self.printed.append(TakenTable(tuple(headers), tuple(tuple(row) for row in rows), tuple(records)))

    def fields(self, fields: Sequence[tuple[str, str]]) -> None:
        """Add fields."""
        self.printed.append(TakenFields(tuple(fields)))

    def picture(self, svg: str) -> None:
        """Add a drawing."""
        self.printed.append(TakenPicture(svg))

    def asked(self, what: str) -> str:
        """The secret that the command asks for. Raises InvalidInput if there is none: nothing was changed then."""
        if not self.secret:
            self.wanted = what
            raise InvalidInput(f"the {what} is missing: type it into its field")
        return self.secret

    def refuse_long(self) -> NoReturn:
        """Nobody waits so long for a page. Raises InvalidInput."""
        self.is_long = True
        raise InvalidInput("this takes too long for a page: choose fewer days, or take it as a file")


def _stream(piece: Block) -> tuple[type, bool]:
    """What is one with the pieces before and behind it."""
    return type(piece), isinstance(piece, TakenText) and piece.is_error


_TAKEN: ContextVar[Taken | None] = ContextVar("taken", default=None)


def taken() -> Taken | None:
    """Who takes what this command prints; None on a terminal."""
    return _TAKEN.get()


@contextmanager
def taking(caller: Taken) -> Iterator[None]:
    """Within the block, commands of this context print to `caller`."""
    share_streams()
    token = _TAKEN.set(caller)
    try:
        yield
    finally:
        _TAKEN.reset(token)


class _Shared(io.TextIOBase):
    """A stream of the process that each context may take for itself."""

    errors = "replace"

    def __init__(self, own: TextIO, *, is_error: bool) -> None:
        self._own = own
        self._is_error = is_error

    @property
    def buffer(self) -> object:
        """Where bytes are written to, as those of a process have it; typer looks for it."""
        caller = taken()
        return getattr(self._own, "buffer", None) if caller is None else _Bytes(caller)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError("text, not bytes: typer tries this to find out what a stream takes")
        caller = taken()
        if caller is None:
            return self._own.write(text)
        caller.write(text, is_error=self._is_error)
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return taken() is None and self._own.isatty()

    def flush(self) -> None:
        if taken() is None:
            self._own.flush()


class _Bytes(io.RawIOBase):
    """Where a command writes a file that it has encoded itself."""

    def __init__(self, caller: Taken) -> None:
        self._caller = caller

    def write(self, content: Any) -> int:
        self._caller.write_file(bytes(content))
        return len(content)

    def writable(self) -> bool:
        return True


def share_streams() -> None:
    """From now on commands of each context may take what they print; all others print as before."""
    if not isinstance(sys.stdout, _Shared):
        sys.stdout = _Shared(sys.stdout, is_error=False)
    if not isinstance(sys.stderr, _Shared):
        sys.stderr = _Shared(sys.stderr, is_error=True)
