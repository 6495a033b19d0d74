"""The service as a process whose log cannot be written: work goes on as if nothing were wrong."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
from disks import small_disk
from nodes import Node
from world import ANI, FRIEND, new_world

from stasis_callback.testing.fake import FakeNetwork


@pytest.fixture
def node(fake_network: FakeNetwork, tmp_path: Path) -> Iterator[Node]:
    with new_world(fake_network, tmp_path) as world:
        made = Node(world, tmp_path)
        made.usual()
        yield made


@contextmanager
def _no_reader(_folder: Path) -> Iterator[int]:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextmanager
def _stopped_reader(_folder: Path) -> Iterator[int]:
    """A pipe that is not read, with room for a dozen lines."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield writer
    os.close(reader)
    os.close(writer)


@contextmanager
def _full_disk(folder: Path) -> Iterator[int]:
    """A file on a disk without a byte left."""
    with small_disk(folder / "small") as disk:
        writer = os.open(disk.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        disk.fill()
        yield writer
        os.close(writer)


@pytest.mark.parametrize("end", [_no_reader, _stopped_reader, _full_disk], ids=lambda end: end.__name__[1:])
def test_calls_and_web_go_on_when_the_log_cannot_be_written(
    node: Node, tmp_path: Path, end: Callable[[Path], AbstractContextManager[int]]
) -> None:
    world = node.world
    world.phone(ANI).answers().hangs_up(after_s=2)
    world.phone(FRIEND).answers().hangs_up(after_s=1)
    with end(tmp_path) as writer, node.run(stderr=writer) as process:
        node.until_ready()
        assert node.posts() == 303
        world.finished(1)
        world.rings()
        world.finished(2)
        assert node.ready() == (200, "ready")
        process.terminate()
        assert process.wait(timeout=20) == 0
    assert [request.outcome for request in world.finished(2)] == ["hung_up", "completed"]
    world.nothing_left()


def test_what_could_not_be_written_is_read_later(node: Node) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(reader, False)
    text = b""

    def seen(event: str) -> bool:
        nonlocal text
        with suppress(BlockingIOError):
            text += os.read(reader, 1 << 20)
        return f'"event": "{event}"'.encode() in text

    node.world.phone(ANI).answers().hangs_up(after_s=2)
    with node.run(stderr=writer) as process:
        os.close(writer)
        node.until_ready()
        assert node.posts() == 303
        node.world.finished(1)
        assert "stasis_callback_log_lines_dropped_total 0.0" in node.figures()
        process.terminate()
        node.world.until(lambda: seen("service.stopped"))
        assert process.wait(timeout=20) == 0
    os.close(reader)
    lines = [json.loads(line)["event"] for line in text.decode().splitlines()]
    story = [
        "service.started",
        "request.accepted",
        "leg.answered",
        "leg.settled",
        "call.ended",
        "service.stopped",
    ]
    assert [event for event in dict.fromkeys(lines) if event in story] == story
