"""What carriers answer, on a real Asterisk: which answers lead to the next trunk, for leg A and for leg B.

The carriers are bare sockets, so that they can say anything, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from carrier_rig import CarrierNetwork, CarrierWorld, carriers_or_skip

from stasis_callback.testing.raw_carrier import Reply

pytestmark = pytest.mark.real

FRIEND = "442071234567"
QUIET = {"announce_balance": "off", "announce_duration": "off"}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CarrierNetwork]:
    with carriers_or_skip(tmp_path_factory.mktemp("carriers")) as made:
        yield made


@pytest.fixture
def world(network: CarrierNetwork, tmp_path: Path) -> Iterator[CarrierWorld]:
    with closing(CarrierWorld(network, tmp_path)) as made:
        yield made


class Row(NamedTuple):
    """What the first trunk answers, whether the second one is tried, and the outcome of the first leg."""

    replies: tuple[Reply, ...]
    next_trunk: bool
    outcome: str
    ending: str
    """How the callback ends when it is leg A that is answered so, and no other trunk is tried."""


def last_word(*statuses: int, outcome: str, ending: str = "") -> list[Row]:
    """Answers after which no other trunk is tried."""
    return [Row((Reply(status),), False, outcome, ending or outcome) for status in statuses]


def next_trunk(*statuses: int, outcome: str) -> list[Row]:
    """Answers after which the next trunk is tried."""
    return [Row((Reply(status),), True, outcome, "") for status in statuses]


ROWS = [
    *last_word(486, 600, outcome="busy"),
    *last_word(603, 607, 608, outcome="rejected"),
    *last_word(484, 604, 410, outcome="unallocated"),
    *last_word(480, outcome="no_answer"),
    *last_word(302, outcome="rejected"),
    *next_trunk(404, outcome="unallocated"),
    *next_trunk(401, 403, 407, 428, 436, outcome="failed"),
    *next_trunk(408, outcome="failed"),
    *next_trunk(400, 402, 405, 406, 415, 433, 481, 482, 483, 487, outcome="failed"),
    *next_trunk(488, 491, 493, 501, 504, 505, 606, outcome="failed"),
    *next_trunk(420, 500, 502, 503, 580, outcome="congestion"),
    Row((Reply(180), Reply(408, after_s=0.2)), False, "no_answer", "no_answer"),
    Row((Reply(183), Reply(408, after_s=0.2)), False, "no_answer", "no_answer"),
    Row((Reply(180), Reply(503, after_s=0.2)), True, "congestion", ""),
    Row((Reply(183), Reply(480, after_s=0.2)), False, "no_answer", "no_answer"),
    Row((Reply(100), Reply(500, after_s=0.2)), True, "congestion", ""),
    Row((Reply(180), Reply(486, after_s=0.2)), False, "busy", "busy"),
    Row((Reply(181), Reply(180, after_s=6.5), Reply(486, after_s=0.2)), False, "busy", "busy"),
    Row((Reply(100), Reply(182), Reply(486, after_s=6.5)), False, "busy", "busy"),
    Row((), True, "congestion", ""),
    Row((Reply(100),), True, "congestion", ""),
]  # fmt: skip


def test_the_table_is_whole() -> None:
    assert len(ROWS) >= 46


def test_each_answer_to_leg_a(world: CarrierWorld, network: CarrierNetwork) -> None:
    world.open(trunk_failures=0)
    numbers = [f"420601{row:06}" for row in range(len(ROWS))]
    for number, row in zip(numbers, ROWS, strict=True):
        network.first.says(number, *row.replies)
        network.second.says(number, Reply(180), Reply(486))
    with world.running():
        ids = [world.asks_for(number, FRIEND) for number in numbers]
        world.finished(len(ROWS), timeout_s=120)
    for number, row, request_id in zip(numbers, ROWS, ids, strict=True):
        legs = {name: xdr.outcome for name, xdr in world.legs_of(request_id).items()}
        ending = world.stores.requests.get(request_id).outcome
        if row.next_trunk:
            assert (legs, ending) == ({"a1": row.outcome, "a1.2": "busy"}, "busy"), row
        else:
            assert (legs, ending) == ({"a1": row.outcome}, row.ending), row
        assert len(network.second.calls(number)) == row.next_trunk, row


def test_each_answer_to_leg_b(world: CarrierWorld, network: CarrierNetwork) -> None:
    world.open(trunk_failures=0)
    numbers = [f"44200{row:07}" for row in range(len(ROWS))]
    subscribers = [f"420200{row:06}" for row in range(len(ROWS))]
    for subscriber, number, row in zip(subscribers, numbers, ROWS, strict=True):
        network.first.says(subscriber, Reply(200))
        network.first.says(number, *row.replies)
        network.second.says(number, Reply(180), Reply(603))
    with world.running():
        ids = [world.asks_for(*pair, **QUIET) for pair in zip(subscribers, numbers, strict=True)]
        world.finished(len(ROWS), timeout_s=120)
    for number, row, request_id in zip(numbers, ROWS, ids, strict=True):
        legs = {name: xdr.outcome for name, xdr in world.legs_of(request_id).items()}
        expected = {"a1": "answered", "b1": row.outcome}
        assert legs == (expected | {"b1.2": "rejected"} if row.next_trunk else expected), row
        assert len(network.second.calls(number)) == row.next_trunk, row
