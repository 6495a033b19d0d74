"""A real process with its metrics port, beside a service manager, and asked what its threads do."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from world import new_world

from stasis_callback.clock import wait_until
from stasis_callback.testing.asterisk import free_port
from stasis_callback.testing.fake import FakeNetwork
from stasis_callback.testing.phones import DECLINED


def told(manager: socket.socket) -> list[str]:
    """What the service manager was told since it was last asked."""
    found = []
    while True:
        try:
            found.append(manager.recv(4096).decode())
        except BlockingIOError:
            return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the world; its process writes its log beside it."""
    made = tmp_path / "world"
    made.mkdir()
    return made


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(str(tmp_path / "notify"))
        one.setblocking(False)
        yield one


def test_a_node_without_a_web_server_is_watched(
    fake_network: FakeNetwork, tmp_path: Path, folder: Path, manager: socket.socket
) -> None:
    port = free_port(socket.SOCK_STREAM)
    environment = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "200000",
        "STASIS_CALLBACK_METRICS__ENABLED": "true",
        "STASIS_CALLBACK_METRICS__PORT": str(port),
    }
    heard: list[str] = []

    def heard_that_it_lives() -> bool:
        heard.extend(told(manager))
        return heard.count("WATCHDOG=1") > 1

    with new_world(fake_network, folder) as world:
        world.usual()
        world.phone().refuses(DECLINED)
        with world.process(tmp_path, **environment) as process:
            world.rings()
            (request,) = world.finished()
            assert wait_until(heard_that_it_lives, timeout_s=20)
            assert heard.index("READY=1") < heard.index("STATUS=node test")
            figures, ready, alive, nothing = (
                requests.get(f"http://127.0.0.1:{port}/{page}", timeout=20)
                for page in ("metrics", "readyz", "healthz", "etc/passwd")
            )
            ended = f'stasis_callback_callbacks_ended_total{{outcome="{request.outcome}",trigger="ani"}} 1.0'
            assert ended in figures.text, figures.text
            assert 'stasis_callback_worker_up{worker="metrics"} 1.0' in figures.text
            assert (ready.status_code, ready.text, alive.text) == (200, "ready\n", "alive\n")
            assert nothing.status_code == 404
            process.terminate()
            assert process.wait(20) == 0
            assert "STOPPING=1" in told(manager)


def test_a_process_says_what_its_threads_do(fake_network: FakeNetwork, tmp_path: Path, folder: Path) -> None:
    with new_world(fake_network, folder) as world, world.process(tmp_path) as process:
        process.send_signal(signal.SIGUSR1)
        log_path = tmp_path / "service-0.log"

        def threads() -> dict[str, str]:
            lines = [json.loads(line) for line in log_path.read_text().splitlines() if line.endswith("}")]
            return {line["thread"]: line["stack"] for line in lines if line["event"] == "process.thread"}

        assert wait_until(lambda: {"MainThread", "dialer"} <= threads().keys(), timeout_s=20)
        assert "in keep_house" in threads()["MainThread"] or "in get" in threads()["MainThread"]
        assert process.poll() is None
