"""What one callback asks of Asterisk and of the database, counted: a budget that nothing may grow out of unseen.

    .venv/bin/pytest -s tests/calls/test_budget.py

prints the counts. Counts and not times: they are the same on every machine. What goes on beside calls (price lists,
the node's signs of life, the dialler's look at the queue every five seconds) is counted apart.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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
    "ani": (43, 6, 18),
    "ani, in the talk": (41, 5, 17),
    "dnis": (43, 6, 18),
    "pin": (49, 7, 19),
    "web": (59, 8, 16),
}
OF_CALLS = ("call-", "trigger-", "dialer", "asker")
LOOK_AT_THE_QUEUE = "SELECT MIN(due_at_us)"


@dataclass
class Counted:
    """The statements, commits and commands of one callback."""

    wal: Path
    statements: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    writers: dict[int, str] = field(default_factory=dict)
    """The thread that writes what a commit has: there is one writer at a time."""

    @property
    def commits(self) -> int:
        """Commits by calls."""
        return sum(thread.startswith(OF_CALLS) for thread in self.writers.values())

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
        if thread.startswith(OF_CALLS) and not statement.startswith(LOOK_AT_THE_QUEUE):
            self._counted.statements.append(statement)


@contextmanager
def counting(world: World) -> Iterator[Counted]:
    """Count what the threads of calls do, and the threads that request a callback."""
    counted = Counted(Path(f"{sqlite_path(world.settings.database.url)}-wal"))
    network = world.network
    assert isinstance(network, FakeNetwork)

    def note(entry: Entry) -> None:
        if entry.kind == "request":
            counted.commands.append(entry.name)

    logger, handler = logging.getLogger("peewee"), _Statements(counted)
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
MEASURED = [*(one for one in TABLE if one.name in BUDGET), WEB]
IN_THE_TALK = [replace(one, name="ani, in the talk") for one in MEASURED if one.name == "ani"]
"""The subscriber hangs up first, in the talk: both legs end at a time."""


@pytest.mark.parametrize("line", MEASURED + IN_THE_TALK, ids=lambda line: line.name)
def test_a_callback_asks_for_no_more_than_its_budget(world: World, line: Line) -> None:
    open_business(world, line, dedupe_window_s="0")
    with world.running():
        _call_back(world, line)  # once before: what is read at the first call only is not of a callback
        with counting(world) as counted:
            _call_back(world, line)
    found = len(counted.statements), counted.commits, len(counted.commands)
    counts = f"{found[0]:4} statements {found[1]:3} commits {found[2]:3} commands"
    print(f"\n{line.name:17} {counts}, and {counted.beside} commits beside")  # noqa: T201
    within = [count <= most for count, most in zip(found, BUDGET[line.name], strict=True)]
    assert all(within), "\n".join([str(found), *counted.statements, *counted.commands])


def test_the_page_of_the_bench_has_the_budget() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "bench.md").read_text()
    rows = (" | ".join([trigger, *map(str, counts)]) for trigger, counts in BUDGET.items())
    assert [row for row in rows if f"| {row} |" not in page] == []


def _call_back(world: World, line: Line) -> None:
    calls = len(world.phone(FRIEND).calls)
    subscriber = world.phone(line.leg_a_number).forget().answers()
    for keys in line.keys:
        subscriber.dials(keys, after_s=1)
    friend = world.phone(FRIEND).forget().answers()
    if line not in IN_THE_TALK:
        friend.hangs_up(after_s=1)
    asker = threading.Thread(target=line.happens, args=(world,), name="asker")
    asker.start()
    if line in IN_THE_TALK:
        world.until(
            lambda: [leg.answered_at_us is None for leg in world.stores.calls.open_legs()] == [False, False]
        )
    else:
        friend.wait_for("ended", call=calls + 1, timeout_s=30)
    subscriber.hang_up()
    asker.join()
    world.until(lambda: not world.call_threads())
