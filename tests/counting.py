"""Counts what threads of a service ask of an SQLite database: statements, and commits that wrote something."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stasis_callback.store.database.sqlite_files import sqlite_path


@dataclass
class Counted:
    """What is counted of the threads whose names begin with `threads`."""

    wal: Path
    threads: tuple[str, ...]
    statements: list[str] = field(default_factory=list)
    writers: dict[int, str] = field(default_factory=dict)
    """The thread that writes what a commit has: there is one writer at a time."""

    @property
    def commits(self) -> int:
        """Commits by these threads."""
        return sum(thread.startswith(self.threads) for thread in self.writers.values())

    @property
    def beside(self) -> int:
        """Commits by others."""
        return len(self.writers) - self.commits


class _Statements(logging.Handler):
    """Hears of each statement before it is run."""

    def __init__(self, counted: Counted) -> None:
        super().__init__()
        self._counted = counted

    def emit(self, record: logging.LogRecord) -> None:
        if not isinstance(record.msg, tuple):
            return
        statement, thread = record.msg[0], record.threadName or ""
        if not statement.startswith("SELECT"):
            self._counted.writers[len(commits_in(self._counted.wal))] = thread
        if thread.startswith(self._counted.threads):
            self._counted.statements.append(statement)


@contextmanager
def counting(database_url: str, *threads: str) -> Iterator[Counted]:
    """Count what threads do whose names begin so."""
    counted = Counted(Path(f"{sqlite_path(database_url)}-wal"), threads)
    logger, handler = logging.getLogger("peewee"), _Statements(counted)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield counted
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True


def commits_in(wal: Path) -> list[int]:
    """The frames of SQLite's log that end a commit: those that name the size of the database (file format 4.1)."""
    data = wal.read_bytes()
    page = struct.unpack(">I", data[8:12])[0]
    frames = range(32, len(data) - page - 23, page + 24)
    return [at for at in frames if struct.unpack(">I", data[at + 4 : at + 8])[0]]
