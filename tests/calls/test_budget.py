"""What one callback asks of Asterisk and of the database, counted: a budget that nothing may grow out of unseen.

    .venv/bin/pytest -s tests/calls/test_budget.py

prints the counts. Counts and not times: they are the same on every machine. What goes on beside calls (price lists,
the node's signs of life, the dialler's look at the queue every five seconds) is counted apart.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from counting import Counted, counting
from test_trigger_table import TABLE, Line, asks, open_business
from world import ANI, FRIEND, World, new_world

from stasis_callback.testing.fake import FakeNetwork
from stasis_callback.testing.fake.faults import Entry

pytestmark = pytest.mark.sqlite

BUDGET = {
    # trigger: statements, commits, ARI commands
    "ani": (40, 5, 18),
    "ani, in the talk": (40, 5, 17),
    "dnis": (40, 5, 18),
    "pin": (46, 6, 18),
    "web": (56, 7, 14),
}
OF_CALLS = ("call-", "trigger-", "dialer", "asker")
LOOK_AT_THE_QUEUE = "SELECT MIN(due_at_us)"


@contextmanager
def counting_calls(world: World) -> Iterator[tuple[Counted, list[str]]]:
    """Count what the threads of calls do, and those that request a callback; and the commands to Asterisk."""
    commands: list[str] = []
    network = world.network
    assert isinstance(network, FakeNetwork)

    def note(entry: Entry) -> None:
        if entry.kind == "request":
            commands.append(entry.name)

    network.fake.watchers.append(note)
    try:
        with counting(world.settings.database.url, *OF_CALLS) as counted:
            yield counted, commands
    finally:
        network.fake.watchers.remove(note)


@pytest.fixture
def world(fake_network: Any, tmp_path: Path) -> Iterator[World]:
    with new_world(fake_network, tmp_path) as made:
        yield made


WEB = Line("web", asks(account=ANI, options={"dedupe_window_s": "0"}), ANI, ANI, ANI)
MEASURED = [*(one for one in TABLE if one.name in BUDGET), WEB]
IN_THE_TALK = [replace(one, name="ani, in the talk") for one in MEASURED if one.name == "ani"]
"""The subscriber hangs up first, in the talk; in the others the friend, and the subscriber at the next question."""


@pytest.mark.parametrize("line", MEASURED + IN_THE_TALK, ids=lambda line: line.name)
def test_a_callback_asks_for_no_more_than_its_budget(world: World, line: Line) -> None:
    open_business(world, line, dedupe_window_s="0")
    with world.running():
        _call_back(world, line)  # once before: what is read at the first call only is not of a callback
        with counting_calls(world) as (counted, commands):
            _call_back(world, line)
    statements = [one for one in counted.statements if not one.startswith(LOOK_AT_THE_QUEUE)]
    found = len(statements), counted.commits, len(commands)
    counts = f"{found[0]:4} statements {found[1]:3} commits {found[2]:3} commands"
    print(f"\n{line.name:17} {counts}, and {counted.beside} commits beside")  # noqa: T201
    within = [count <= most for count, most in zip(found, BUDGET[line.name], strict=True)]
    assert all(within), "\n".join([str(found), *statements, *commands])


def test_the_page_of_the_bench_has_the_budget() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "bench.md").read_text()
    rows = (" | ".join([trigger, *map(str, counts)]) for trigger, counts in BUDGET.items())
    assert [row for row in rows if f"| {row} |" not in page] == []


def _call_back(world: World, line: Line) -> None:
    calls, said = len(world.phone(FRIEND).calls), len(world.said)
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
        if line.name != "web":  # it knows its only number, and says goodbye
            world.until(lambda: len(world.said) > said and "another number" in world.said[-1])
    subscriber.hang_up()
    asker.join()
    world.until(lambda: not world.call_threads())
