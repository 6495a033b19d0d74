"""Three nodes behind a front, each a machine of its own in the network: what a test needs to break them one by one.

The telephone network and PostgreSQL are at the hub, where the test is too; they are what nothing happens to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from front import Front
from world import World

from stasis_callback.clock import Clock, wait_until
from stasis_callback.core.states import LIVE, UNDER_WAY
from stasis_callback.resources import asterisk_conf_dir
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.testing.asterisk import AsteriskInstance
from stasis_callback.testing.networks import HUB, NETWORK, PluggedIn
from stasis_callback.testing.pstn import TRUNK, RealNetwork

SIP_PORT = 5060
DEAD_AFTER_S = 3

TRUNKS = f"""
[{TRUNK}](carrier)
aors = {TRUNK}

[{TRUNK}]
type = aor
contact = sip:{HUB}:{SIP_PORT}
qualify_frequency = 1
qualify_timeout = 20

[{TRUNK}-in](incoming)

[{TRUNK}]
type = identify
endpoint = {TRUNK}-in
match = FRONT
"""


class Exchange(RealNetwork):
    """The telephone network at the hub, whose calls go to the front; the Asterisks of the nodes are theirs."""

    def __init__(self, folder: Path, front: str) -> None:
        super().__init__(folder)
        local = self.pstn.local
        local["pjsip.conf"] = (
            local["pjsip.conf"]
            .replace(f"contact = sip:127.0.0.1:{self.product.sip_port}", f"contact = sip:{front}:{SIP_PORT}")
            .replace(f"bind = 127.0.0.1:{self.pstn.sip_port}", f"bind = {HUB}:{SIP_PORT}")
            .replace("match = 127.0.0.1", f"match = {NETWORK}.0/24")
            .replace("media_address = 127.0.0.1", f"media_address = {HUB}")
        )

    def start(self) -> None:
        """Start it and connect the phones."""
        self.pstn.start()
        self._link.start()
        assert self._link.wait_connected(20)


class ClusterNode:
    """One machine with an Asterisk, a service, and what forwards the journal."""

    def __init__(self, number: int, folder: Path, front: str, database_url: str) -> None:
        self.name = f"n{number}"
        self.machine = PluggedIn(10 + number)
        self.folder = folder
        folder.mkdir()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.hurt: list[list[int]] = []
        """From when to when something was wrong with it, in microseconds."""
        with self.machine.inside():
            self.asterisk = AsteriskInstance(
                folder / "asterisk",
                [asterisk_conf_dir()],
                ari_user="stasis-callback",
                ari_password="secret of tests",
            )
        local = self.asterisk.local
        local["pjsip.conf"] = f"[transport-udp](+)\nbind = {self.machine.address}:{SIP_PORT}\n"
        local["pjsip.conf"] += TRUNKS.replace("FRONT", front)
        local["extensions.conf"] = "[globals](+)\nAWAY_S = 1\n"
        (folder / "asterisk").mkdir()
        self.config = folder / "stasis-callback.toml"
        self.config.write_text(f"""
node = "{self.name}"
log_format = "json"
[database]
url = "{database_url}"
[ari]
url = "{self.asterisk.ari_url}"
username = "stasis-callback"
password = "secret of tests"
[asterisk]
trunk = "{TRUNK}"
cel_path = "{self.asterisk.cel_path}"
console_path = "/nonexistent/asterisk.ctl"
[limits]
node_dead_after_s = {DEAD_AFTER_S}
""")

    def start_asterisk(self) -> None:
        with self.machine.inside():
            self.asterisk.start()

    def start(self, part: str = "") -> None:
        """Start the service, or `journal` alone, until it is connected."""
        log = self.folder / f"{part or 'service'}-{len(list(self.folder.glob('*.log')))}.log"
        words = [sys.executable, "-m", "stasis_callback", "--config", str(self.config), "run"]
        with log.open("wb") as output, self.machine.inside():
            self._processes[part] = subprocess.Popen(
                [*words, *(["--only", part] if part else [])], stdout=output, stderr=output, env=os.environ
            )
        started = "service.started" if part else "asterisk.connected"
        assert wait_until(lambda: started in log.read_text(), timeout_s=60), log.read_text()[-3000:]

    def kill(self, part: str = "") -> None:
        """What a power cut does to the service."""
        process = self._processes.pop(part)
        process.kill()
        process.wait()

    def events(self, name: str) -> list[dict[str, Any]]:
        """What its services have logged under this name."""
        lines = [line for log in sorted(self.folder.glob("*.log")) for line in log.read_text().splitlines()]
        return [
            found for line in lines if line.startswith("{") and (found := json.loads(line))["event"] == name
        ]

    def stop(self) -> None:
        """End all of it."""
        for part in list(self._processes):
            self.kill(part)
        self.asterisk.stop()
        self.machine.unplug()


class Cluster(World):
    """A business on three nodes."""

    def __init__(self, folder: Path, database_url: str, count: int = 3) -> None:
        """Everything is prepared, and nothing started."""
        self.front_machine = PluggedIn(2)
        front = self.front_machine.address
        super().__init__(Exchange(folder / "exchange", front), folder, database_url)
        self.nodes = [ClusterNode(n + 1, folder / f"n{n + 1}", front, database_url) for n in range(count)]
        self.front = Front(
            folder / "front",
            f"{front}:{SIP_PORT}",
            [f"{node.machine.address}:{SIP_PORT}" for node in self.nodes],
            [HUB],
        )

    def start(self) -> None:
        """Start everything, the services last."""
        assert isinstance(self.network, Exchange)
        self.network.start()
        for node in self.nodes:
            node.start_asterisk()
        with self.front_machine.inside():
            self.front.start()
        for node in self.nodes:
            node.start("journal")
            node.start()

    def under_way(self, node: ClusterNode) -> list[RequestView]:
        """The callbacks that a node has not ended."""
        return [r for r in self.requests() if r.state in UNDER_WAY and r.claimed_by == node.name]

    def open_requests(self) -> list[RequestView]:
        """All that have not ended."""
        return [request for request in self.requests() if request.state in LIVE]

    def requests(self) -> list[RequestView]:
        return self.stores.requests.newest(limit=5000)

    def hurts(self, node: ClusterNode) -> None:
        """From now on something is wrong with a node."""
        node.hurt.append([Clock().now_us(), 1 << 62])

    def heals(self, node: ClusterNode) -> None:
        """It is whole again."""
        node.hurt[-1][1] = Clock().now_us()

    def was_touched(self, request: RequestView) -> bool:
        """Whether something was wrong with the node of a callback while that was under way."""
        node = next((node for node in self.nodes if node.name == request.claimed_by), None)
        ended_us = request.finished_at_us or 1 << 62
        return node is None or any(a < ended_us and request.created_at_us < b for a, b in node.hurt)

    def close(self) -> None:
        self.front.stop()
        for node in self.nodes:
            with suppress(Exception):
                node.stop()
        self.front_machine.unplug()
        assert isinstance(self.network, Exchange)
        self.network.stop()
        self.stores.database.close()
