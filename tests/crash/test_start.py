"""How a process begins: ports first, then the database, then a look at Asterisk; calls last."""

from __future__ import annotations

import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from disks import SmallDisk, small_disk
from nodes import Node
from world import ANI, new_world

from stasis_callback.testing.fake import FakeNetwork


@pytest.fixture
def node(fake_network: FakeNetwork, tmp_path: Path) -> Iterator[Node]:
    with new_world(fake_network, tmp_path) as world:
        yield Node(world, tmp_path)


@pytest.mark.parametrize("port", ["web", "email"])
def test_a_port_in_use_is_said_before_any_call_is_touched(node: Node, port: str) -> None:
    """Each start of a crash loop would burn an attempt, and call somebody to drop him."""
    node.usual()
    assert node.world.asks().reason == ""
    with socket.socket() as other:
        other.bind(("127.0.0.1", node.port if port == "web" else 0))
        other.listen()
        number = other.getsockname()[1]
        if port == "email":
            text = node.config.read_text()
            mail = f"[email]\nenabled = true\nport = {number}\n"
            node.config.write_text(text.replace(text[text.index("[email]") : text.index("[web]")], mail))
        for _ in range(2):
            assert node.code() == 2
    refused = node.events("service.not_started")
    assert len(refused) == 2
    for line in refused:
        assert f"cannot listen on 127.0.0.1:{number}: Address already in use" in line["reason"]
        assert f"{port}.port" in line["reason"]
    (request,) = node.world.stores.requests.newest()
    assert (request.state, request.attempts) == ("queued", 0)
    assert node.world.phone(ANI).calls == []


def test_a_second_process_refuses_and_the_first_works_on(node: Node, tmp_path: Path) -> None:
    node.usual()
    with node.run():
        node.until_ready()
        second = Node(node.world, tmp_path / "second")
        assert second.code() == 4
        assert "--take-over" in second.events("service.not_started")[0]["reason"]
        assert node.ready() == (200, "ready")
        node.world.phone(ANI).answers().hangs_up(after_s=1)
        node.world.rings()
        assert node.world.finished()[0].outcome == "hung_up"


def test_whoever_takes_over_has_the_name_and_the_port_of_the_other(node: Node) -> None:
    node.usual()
    with node.run() as first:
        node.until_ready()
        with node.run("--take-over") as second:
            assert first.wait(timeout=60) == 3
            node.world.until(lambda: len(node.events("asterisk.connected")) == 2, timeout_s=60)
            node.until_ready()
            node.world.phone(ANI).answers().hangs_up(after_s=1)
            node.world.rings()
            assert node.world.finished()[0].outcome == "hung_up"
            second.send_signal(signal.SIGINT)
            assert second.wait(timeout=20) == 0


@pytest.mark.sqlite
def test_the_web_alone_outlives_a_locked_database(node: Node) -> None:
    node.usual()
    database = node.world.settings.database.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with node.run("--only", "web") as process:
            node.world.until(lambda: "web-tidy" in str(node.events("worker.failed")), timeout_s=60)
            status, reason = node.ready()
            assert (status, "web-tidy failed" in reason) == (503, True)
            other.execute("ROLLBACK")
            assert process.poll() is None
            assert node.posts() == 303
            process.terminate()
            assert process.wait(timeout=20) == 0


def _waits_for_the_database(node: Node) -> None:
    """It says so to whoever asks, and takes no posts."""
    node.world.until(lambda: node.ready()[0] == 503, timeout_s=60)
    assert node.ready()[1].startswith("waiting for the database: ")
    assert node.posts() == 503


@pytest.mark.sqlite
def test_a_database_that_is_not_to_be_had_is_waited_for_and_the_web_says_so(node: Node) -> None:
    node.usual()
    node.world.stores.database.close()
    database = node.world.settings.database.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        with node.run() as process:
            _waits_for_the_database(node)
            other.execute("ROLLBACK")
            other.close()
            node.until_ready()
            process.terminate()
            assert process.wait(timeout=20) == 0
    assert len(node.events("database.away")) == len(node.events("database.there")) == 1


@pytest.mark.sqlite
def test_a_database_that_can_be_read_but_not_written_is_waited_for_too(node: Node) -> None:
    """Write-ahead logging lets readers in: the first who is refused is the start, when it takes the node's name."""
    node.usual()
    database = node.world.settings.database.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with node.run() as process:
            _waits_for_the_database(node)
            other.execute("ROLLBACK")
            node.until_ready()
            process.terminate()
            assert process.wait(timeout=20) == 0
    assert len(node.events("database.away")) == len(node.events("database.there")) == 1
    assert len(node.events("node.entered")) == len(node.events("service.started")) == 1


@pytest.mark.sqlite
def test_a_process_that_waits_to_write_can_be_stopped(node: Node) -> None:
    node.usual()
    database = node.world.settings.database.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with node.run() as process:
            node.world.until(lambda: node.ready()[0] == 503, timeout_s=60)
            process.terminate()
            assert process.wait(timeout=8) == 0  # less than a thread's patience with the database
    assert node.events("service.not_started") == []


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "small", size_bytes=8 << 20) as disk:
        yield disk


@pytest.mark.sqlite
def test_a_disk_that_is_full_is_waited_for(
    small: SmallDisk, fake_network: FakeNetwork, tmp_path: Path
) -> None:
    (small.folder / "world").mkdir()
    with new_world(fake_network, small.folder / "world") as world:
        node = Node(world, tmp_path / "log")
        node.usual()
        world.stores.database.close()
        small.fill()
        with node.run() as process:
            node.world.until(lambda: node.ready()[0] == 503, timeout_s=60)
            assert "full" in node.ready()[1]
            small.free()
            node.world.until(
                lambda: node.ready()[1] != "" and bool(node.events("service.started")), timeout_s=40
            )
            assert node.posts() == 303
            process.terminate()
            assert process.wait(timeout=20) == 0
    assert node.events("service.not_started") == []


def test_a_process_that_waits_for_its_database_can_be_stopped(node: Node) -> None:
    url = node.world.settings.database.url
    node.config.write_text(node.config.read_text().replace(url, "postgresql://nobody@127.0.0.1:1/nothing"))
    with node.run() as process:
        node.world.until(lambda: node.ready()[0] == 503, timeout_s=60)
        assert "127.0.0.1" in node.ready()[1]
        process.terminate()
        assert process.wait(timeout=20) == 0


def test_what_is_wrong_with_the_settings_is_said_at_once(node: Node, tmp_path: Path) -> None:
    text = node.config.read_text()
    node.config.write_text(
        text + f'tls_certificate = "{tmp_path}/none.pem"\ntls_key = "{tmp_path}/none.pem"\n'
    )
    assert node.code() == 2
    assert "web.tls_certificate" in node.events("service.not_started")[0]["reason"]
    node.config.write_text(text.replace(f"port = {node.port}", f'port = {node.port}\nhost = "192.0.2.1"'))
    assert node.code() == 2
    assert "192.0.2.1" in node.events("service.not_started")[1]["reason"]
