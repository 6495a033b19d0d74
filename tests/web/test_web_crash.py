"""`kill -9` of the web server at any moment of a request: asked again with the same key, there is one callback."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import requests
from shop import Shop, open_shop
from web_process import serve_web
from web_site import ACCOUNT, PASSWORD, SECOND, SECRET, free_port

from stasis_callback.clock import Clock, wait_until

WIDE = {f"limit_{name}": "100000/3600" for name in ("source", "account", "instance", "number")}


class Server:
    """The process, started again whenever it was killed."""

    def __init__(self, shop: Shop) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["pytest", "stasis_callback.web.server"])
        self._url = shop.url
        self.port = free_port()
        self.process: BaseProcess | None = None

    def start(self, **environment: str) -> None:
        """Start it, and wait until it answers. What is said in the environment holds for this start alone."""
        arguments = (self._url, self.port, SECRET, environment)
        self.process = self._context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()

        def connects() -> bool:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            return False

        assert wait_until(connects, timeout_s=30, every_s=0.02)

    def kill(self) -> None:
        if self.process is not None and self.process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.join()

    def ask(self, key: str, order: str, first: str) -> requests.Response | None:
        """One request of a program; None when the connection breaks."""
        try:
            return requests.post(
                f"http://127.0.0.1:{self.port}/api/v1/callbacks",
                json={
                    "instance": "calls", "account": ACCOUNT, "password": PASSWORD,
                    "first_number": first, "second_number": SECOND,
                },
                headers={"Authorization": f"Bearer {key}", "Idempotency-Key": order},
                timeout=30,
            )  # fmt: skip
        except requests.RequestException:
            return None


def _serve(url: str, port: int, secret: str, environment: dict[str, str]) -> None:
    if environment:
        from stasis_callback import crashpoint

        crashpoint._CRASH_AT = environment["STASIS_CALLBACK_CRASH_AT"]
    serve_web(url, port, secret)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Shop, Server, str]]:
    with open_shop(folder, Clock().now_us()) as shop:
        shop.account(ACCOUNT)
        shop.stores.accounts.change(ACCOUNT, password=PASSWORD, simultaneous_calls=1000)
        shop.stores.web_instances.add("calls", {"type": "extended", **WIDE})
        key = shop.stores.api_keys.add("program", ["create"])
        server = Server(shop)
        try:
            yield shop, server, key
        finally:
            server.kill()


def callbacks(shop: Shop) -> list[Any]:
    return [row for row in shop.rows()["Request"] if row["state"] != "refused"]


def test_killed_between_the_commit_and_the_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as (shop, server, key):
        server.start(STASIS_CALLBACK_CRASH_AT="web-decided")
        assert server.ask(key, "order-1", "+442079400001") is None
        (made,) = callbacks(shop)
        server.kill()
        server.start()
        again = server.ask(key, "order-1", "+442079400001")
        assert again is not None
        assert (again.status_code, again.json()["id"]) == (201, made["id"])
        third = server.ask(key, "order-1", "+442079400001")
        assert third is not None
        assert third.json() == again.json()
        other = server.ask(key, "order-1", "+442079400002")
        assert other is not None
        assert other.status_code == 422
        assert len(callbacks(shop)) == 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kills", [4, pytest.param(40, marks=pytest.mark.nightly)])
def test_requests_each_killed_at_some_moment_make_as_many_callbacks(tmp_path: Path, kills: int) -> None:
    rng = random.Random(0)
    with serving(tmp_path) as (shop, server, key):
        for n in range(kills):
            server.start()
            killer = threading.Timer(rng.uniform(0.0, 0.15), server.kill)
            killer.start()
            answer = server.ask(key, f"order-{n}", f"+4420794{n:05d}")
            killer.join()
            if answer is None:
                server.start()
                answer = server.ask(key, f"order-{n}", f"+4420794{n:05d}")
                server.kill()
            assert answer is not None
            assert answer.status_code == 201
        rows = callbacks(shop)
    assert sorted(row["leg_a_number"] for row in rows) == [f"4420794{n:05d}" for n in range(kills)]
