"""The service as a process with its web server, started as a test likes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from pydantic import SecretStr
from world import ANI, FRIEND, World

from stasis_callback.settings import AriSettings, AsteriskSettings, LimitSettings, Settings
from stasis_callback.testing.phones import Network

PASSWORD = "1ak45"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Node:
    """Settings of one process; `run` starts it, as often as a test likes."""

    def __init__(self, world: World, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.world = world
        self.port = free_port()
        self.config = folder / "node.toml"
        self.log = folder / "node.log"
        self.log.touch()
        self.config.touch(mode=0o600)
        self.config.write_text(
            world._toml()
            + f"""
[web]
enabled = true
port = {self.port}
secret = "a secret of tests, long enough to be one"
"""
        )

    def usual(self) -> None:
        """The usual business, and a form and a key for the web."""
        self.world.usual()
        stores = self.world.stores
        stores.accounts.change(ANI, password=PASSWORD)
        stores.web_instances.add("calls", {"type": "extended", "dedupe_window_s": "0"})

    @contextmanager
    def run(self, *options: str, stderr: Any = None, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start the process; it is killed at the end of the block if it is still running."""
        command = [sys.executable, "-m", "stasis_callback", "--config", str(self.config), "run", *options]
        with self.log.open("ab") as log:
            target = log if stderr is None else stderr
            process = subprocess.Popen(command, stderr=target, stdout=log, env=os.environ | environment)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def code(self, *options: str) -> int:
        """Run it until it exits; the exit code."""
        with self.run(*options) as process:
            return process.wait(timeout=60)

    def events(self, name: str) -> list[Any]:
        """Lines of the log with this event, of all processes."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    # --- the web ------------------------------------------------------------------------------------------------

    def ready(self) -> tuple[int, str]:
        """The status of `/readyz`; 0 without a response."""
        try:
            answer = requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5)
        except requests.RequestException:
            return 0, ""
        return answer.status_code, answer.text.strip()

    def until_ready(self) -> None:
        self.world.until(lambda: self.ready() == (200, "ready"), timeout_s=40)

    def posts(self, first: str = ANI, second: str = FRIEND) -> int:
        """Send a form; the status of the response."""
        fields = {"account": ANI, "password": PASSWORD, "first_number": first, "second_number": second}
        url = f"http://127.0.0.1:{self.port}/web/calls"
        return requests.post(url, fields, allow_redirects=False, timeout=30).status_code

    def figures(self) -> str:
        """The text of `/metrics`."""
        return requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=10).text


# --- several nodes on one database ---------------------------------------------------------------------------------


def settings_of(
    world: World, node: str, network: Network | None = None, *, dead_after_s: int = 300
) -> Settings:
    """The settings of a node on the world's database, on its Asterisk or another."""
    at: Any = network or world.network
    return Settings(
        node=node,
        database=world.settings.database,
        ari=AriSettings(
            url=at.ari_url, username=at.ari_username, password=SecretStr(at.ari_password), app=at.ari_app
        ),
        asterisk=AsteriskSettings(trunk=at.trunk_name, cel_path=at.cel_path),
        limits=LimitSettings(node_dead_after_s=dead_after_s),
    )


@contextmanager
def node(world: World, folder: Path, settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A node as a process, connected."""
    folder.mkdir(exist_ok=True)
    usual, world.settings = world.settings, settings
    try:
        context = world.process(
            folder, STASIS_CALLBACK_LIMITS__NODE_DEAD_AFTER_S=str(settings.limits.node_dead_after_s)
        )
        with context as process:
            world.settings = usual
            yield process
    finally:
        world.settings = usual


def written(world: World, folder: Path, settings: Settings) -> Path:
    """The settings file of a node, without a process."""
    folder.mkdir(exist_ok=True)
    usual, world.settings = world.settings, settings
    (config := folder / "stasis-callback.toml").write_text(world._toml())
    world.settings = usual
    return config


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command on the machine of a node."""
    config = str(folder / "stasis-callback.toml")
    words = (sys.executable, "-m", "stasis_callback", "--config", config, *words)
    return subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ)


def log(folder: Path) -> list[dict[str, Any]]:
    lines = [line for file in sorted(folder.glob("service-*.log")) for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def logged(folder: Path, event: str) -> list[dict[str, Any]]:
    return [line for line in log(folder) if line["event"] == event]
