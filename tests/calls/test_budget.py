"""What one callback asks of Asterisk and of the database, counted: a budget that nothing may grow out of unseen.

    .venv/bin/pytest -s tests/calls/test_budget.py

prints the counts. Counts and not times: they are the same on every machine. What goes on beside calls (price lists,
the node's signs of life) is not counted, but for a commit or two.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from test_trigger_table import TABLE, Line, asks, open_business
from world import ANI, FRIEND, World, new_world

from stasis_callback.store.database.backends import sqlite_path
from stasis_callback.testing.fake import FakeNetwork
from stasis_callback.testing.fake.faults import Entry

pytestmark = pytest.mark.sqlite

BUDGET = {
    # trigger: statements, commits, ARI commands
    "ani": (55, 10, 22),
    "dnis": (55, 10, 22),
    "pin": (61, 11, 23),
    "web": (66, 12, 21),
}
OF_CALLS = ("call-", "trigger-", "dialer", "asker")


@dataclass
class Counted:
    """The statements, commits and commands of one callback."""

    wal: Path
    statements: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    commits: int = 0


class _Statements(logging.Handler):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.msg, tuple) and (record.threadName or "").startswith(OF_CALLS):
            self._found.append(record.msg[0])


@contextmanager
def counting(world: World) -> Iterator[Counted]:
    """Count what the threads of calls do, and the threads that request a callback."""
    counted = Counted(Path(f"{sqlite_path(world.settings.database.url)}-wal"))
    network = world.network
    assert isinstance(network, FakeNetwork)

    def note(entry: Entry) -> None:
        if entry.kind == "request":
            counted.commands.append(entry.name)

    logger, handler = logging.getLogger("peewee"), _Statements(counted.statements)
    before = len(commits_in(counted.wal))
    network.fake.watchers.append(note)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield counted
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
        network.fake.watchers.remove(note)
        counted.commits = len(commits_in(counted.wal)) - before


def commits_in(wal: Path) -> list[int]:
    """The frames of SQLite's log that end a commit: those that name the size of the database (file format 4.1)."""
    data = wal.read_bytes()
    page = struct.unpack(">I", data[8:12])[0]
    frames = range(32, len(data) - page - 23, page + 24)
    return [at for at in frames if struct.unpack(">I", data[at + 4 : at + 8])[0]]


@pytest.fixture
def world(fake_network: Any, tmp_path: Path) -> Iterator[World]:
    with new_world(fake_network, tmp_path) as made:
        yield made


WEB = Line("web", asks(account=ANI, options={"dedupe_window_s": "0"}), ANI, ANI, ANI)


@pytest.mark.parametrize(
    "line", [*(one for one in TABLE if one.name in BUDGET), WEB], ids=lambda line: line.name
)
def test_a_callback_asks_for_no_more_than_its_budget(world: World, line: Line) -> None:
    open_business(world, line, dedupe_window_s="0")
    with world.running():
        _call_back(world, line)  # once before: what is read at the first call only is not of a callback
        with counting(world) as counted:
            _call_back(world, line)
    found = len(counted.statements), counted.commits, len(counted.commands)
    print(f"\n{line.name:12} {found[0]:4} statements {found[1]:3} commits {found[2]:3} commands")  # noqa: T201
    within = [count <= most for count, most in zip(found, BUDGET[line.name], strict=True)]
    assert all(within), "\n".join([str(found), *counted.statements, *counted.commands])


def _call_back(world: World, line: Line) -> None:
    calls = len(world.phone(FRIEND).calls)
    subscriber = world.phone(line.leg_a_number).forget().answers()
    for keys in line.keys:
        subscriber.dials(keys, after_s=1)
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    asker = threading.Thread(target=line.happens, args=(world,), name="asker")
    asker.start()
    friend.wait_for("ended", call=calls + 1, timeout_s=30)
    subscriber.hang_up()
    asker.join()
    world.until(lambda: not world.call_threads())
