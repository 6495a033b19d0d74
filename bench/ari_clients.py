"""One client of ARI making and destroying bridges: `python bench/ari_clients.py CLIENT URL COUNT`.

User and password come on standard input. Prints what a command took of its processor time, in microseconds.

A script of its own, which imports nothing of the project but where ours is measured: the other clients live in an
environment of theirs. Each is used as its own documentation shows it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import resource
import socket
import sys
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit
from uuid import uuid4

WARM_UP = 20
RUN = uuid4().hex[:8]
"""Asterisk says for a moment that a bridge exists that was destroyed: each has a name that no other has."""


def cpu_us() -> float:
    """User and system time of the whole process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1_000_000


def measured(make_and_destroy: Callable[[str], object], count: int) -> float:
    """Microseconds of processor time per command."""
    for n in range(WARM_UP):
        make_and_destroy(f"{RUN}-w{n}")
    began_us = cpu_us()
    for n in range(count):
        make_and_destroy(f"{RUN}-{n}")
    return (cpu_us() - began_us) / (2 * count)


async def measured_async(make_and_destroy: Callable[[str], Awaitable[None]], count: int) -> float:
    """The same of a client of coroutines."""
    for n in range(WARM_UP):
        await make_and_destroy(f"{RUN}-w{n}")
    began_us = cpu_us()
    for n in range(count):
        await make_and_destroy(f"{RUN}-{n}")
    return (cpu_us() - began_us) / (2 * count)


def ours(url: str, username: str, password: str, count: int) -> float:
    """The client of this project."""
    from stasis_callback.ari.client import AriClient

    client = AriClient(url, username, password, app="bench")

    def make_and_destroy(name: str) -> None:
        assert client.bridges.create(name).destroy()

    return measured(make_and_destroy, count)


def with_requests(url: str, username: str, password: str, count: int) -> float:
    """What one writes with `requests`."""
    import requests

    session = requests.Session()
    session.auth = (username, password)

    def make_and_destroy(name: str) -> None:
        made = session.post(f"{url}/ari/bridges/{name}", params={"type": "mixing"}, timeout=5)
        made.raise_for_status()
        assert made.json()["id"] == name
        session.delete(f"{url}/ari/bridges/{name}", timeout=5).raise_for_status()

    return measured(make_and_destroy, count)


def bare_socket(url: str, username: str, password: str, count: int) -> float:
    """The floor: bytes that are ready, one kept socket, and an answer of which only the first line is looked at."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    connection = socket.create_connection((parts.hostname, parts.port), timeout=5)
    credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
    rest = (
        f"HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Basic {credentials}\r\nContent-Length: 0\r\n\r\n"
    )

    def send(method: str, target: str) -> None:
        connection.sendall(f"{method} {target} {rest}".encode())
        answer = connection.recv(65536)
        assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 204")), answer

    def make_and_destroy(name: str) -> None:
        send("POST", f"/ari/bridges/{name}?type=mixing")
        send("DELETE", f"/ari/bridges/{name}")

    return measured(make_and_destroy, count)


def ari_client(url: str, username: str, password: str, count: int) -> float:
    """`ari-client` of PyPI."""
    from ari_client import AriClient  # type: ignore[import-not-found]

    async def run() -> float:
        parts = urlsplit(url)
        client = AriClient(parts.hostname, parts.port, username, password)
        await client.connect("bench-ari-client")

        async def make_and_destroy(name: str) -> None:
            await client.ari.create_bridge_with_id(name, type="mixing")
            await client.ari.stop_bridge(name)

        return await measured_async(make_and_destroy, count)

    return asyncio.run(run())


def asyncari(url: str, username: str, password: str, count: int) -> float:
    """`asyncari` of PyPI."""
    import asyncari as library  # type: ignore[import-not-found]

    async def run() -> float:
        async with library.connect(f"{url}/", "bench-asyncari", username, password) as client:

            async def make_and_destroy(name: str) -> None:
                bridge = await client.bridges.createWithId(bridgeId=name, type="mixing")
                await bridge.destroy()

            return await measured_async(make_and_destroy, count)

    return asyncio.run(run())


CLIENTS = {
    "ours": ours,
    "bare socket": bare_socket,
    "requests": with_requests,
    "ari-client": ari_client,
    "asyncari": asyncari,
}

if __name__ == "__main__":
    _, chosen, where, how_many = sys.argv
    user, secret = sys.stdin.read().split()
    print(json.dumps(CLIENTS[chosen](where, user, secret, int(how_many))))
