"""What the doctor says of a service that is a process: well, frozen, dead with a call, cut off from Asterisk."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nodes import Node
from world import ANI, new_world

from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork


@pytest.fixture
def fake() -> Iterator[FakeAsterisk]:
    with FakeAsterisk(speed=4) as made:
        yield made


@pytest.fixture
def node(fake: FakeAsterisk, tmp_path: Path) -> Iterator[Node]:
    with new_world(FakeNetwork(fake), tmp_path) as world:
        node = Node(world, tmp_path)
        node.usual()
        yield node


def problems(node: Node) -> list[str]:
    """The problems that `doctor` reports; its exit code agrees."""
    words = [sys.executable, "-m", "stasis_callback", "--config", str(node.config), "doctor", "--json"]
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    wrong = [finding["what"] for finding in found["findings"] if finding["level"] == "problem"]
    assert done.returncode == (1 if wrong else 0)
    return wrong


def test_of_a_service_that_is_well_frozen_and_well_again(node: Node) -> None:
    with node.run() as process:
        node.until_ready()
        assert problems(node) == []
        process.send_signal(signal.SIGSTOP)
        assert problems(node) == [f"the service does not answer at 127.0.0.1:{node.port} within 3 s"]
        process.send_signal(signal.SIGCONT)
        node.until_ready()
        assert problems(node) == []


def test_of_a_service_that_was_killed_while_a_call_was_up(node: Node) -> None:
    subscriber = node.world.phone(ANI).answers()
    with node.run() as process:
        node.until_ready()
        node.world.rings()
        node.world.until(lambda: any(leg.answered_at_us for leg in node.world.stores.calls.open_legs()))
        process.kill()
        process.wait()
    wrong = problems(node)
    subscriber.hang_up()
    assert any("is dead and has 1 live call(s)" in sentence for sentence in wrong)
    assert any("the service does not answer" in sentence for sentence in wrong)


def test_of_a_service_that_is_cut_off_from_asterisk(node: Node, fake: FakeAsterisk) -> None:
    with node.run():
        node.until_ready()
        fake.password, right = "another one", fake.password
        fake.faults.drop_websocket()
        node.world.until(lambda: node.ready()[0] == 503, timeout_s=30)
        assert "the service reports: not connected to Asterisk" in problems(node)
        fake.password = right
        node.until_ready()
