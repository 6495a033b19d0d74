"""`python -m bench.posts`: posts of web forms accepted per second, next to a bare endpoint that stores a row.

Ours is `run --only web` as a process of its own, on SQLite: each post is answered with 303 once its callback is
committed. The floor is a FastAPI endpoint under uvicorn, also a process of its own, that puts the number of the form
into one row of an SQLite database and commits it as durably. The same client posts to both in turns, from several
threads over kept connections. Where the form asks for a password, the floor compares one too (Argon2id). Beside the
rates stands what each post takes of its server's processor time, which says more on a busy machine.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Form, Response

from bench.report import Row, machine, write_json
from bench.rig import Usage, open_business
from bench.work import CACHE, work_folder
from stasis_callback.clock import Clock, wait_until
from stasis_callback.store.accounts.passwords import hash_password, password_matches
from stasis_callback.store.stores import Stores, open_stores

PASSWORD = "1ak45"  # noqa: S105  of the bench
SECRET = "a secret of the bench, long enough to be one"  # noqa: S105
DESTINATION = "442071234567"
KINDS = ("simple", "hosted", "extended")
UNLIMITED = {
    name: "1000000/1"
    for name in ("limit_source", "limit_account", "limit_number", "limit_instance", "limit_day")
}
HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


def bare(port: int, path: Path) -> None:
    """Serve the floor until the process is ended."""
    app, lock, hashed = FastAPI(), threading.Lock(), hash_password(PASSWORD)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("PRAGMA synchronous = full")
    connection.execute("CREATE TABLE post (id INTEGER PRIMARY KEY, number TEXT NOT NULL)")

    @app.post("/")
    def post(first_number: Annotated[str, Form()], password: Annotated[str, Form()] = "") -> Response:
        if password and not password_matches(password, hashed):
            return Response(status_code=403)
        with lock:
            connection.execute("INSERT INTO post (number) VALUES (?)", (first_number,))
        return Response(status_code=303, headers={"Location": "/"})

    uvicorn.run(app, port=port, log_level="error", access_log=False)


def accepted_per_s(port: int, path: str, forms: Sequence[Mapping[str, str]], threads: int) -> float:
    """Posts accepted in a second. RuntimeError when one was not."""
    bodies = [urlencode(form) for form in forms]

    def send(mine: Sequence[str]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for body in mine:
            connection.request("POST", path, body, HEADERS)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 303:
                raise RuntimeError(f"{path}: {answer.status} {said[:2000].decode()}")
        connection.close()

    start_s = time.perf_counter()
    with ThreadPoolExecutor(threads) as clients:
        list(clients.map(send, [bodies[n::threads] for n in range(threads)]))
    return len(bodies) / (time.perf_counter() - start_s)


@contextmanager
def serving(command: Sequence[str], port: int, log: Path, **environment: str) -> Iterator[int]:
    """A server as a process of its own, once it answers; its process id."""
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=os.environ | environment)
    try:
        if not wait_until(lambda: _answers(port), timeout_s=60):
            raise RuntimeError(f"no server on port {port}: {log.read_text()}")
        yield process.pid
    finally:
        process.terminate()
        process.wait(15)


def open_forms(stores: Stores, accounts: Mapping[str, Sequence[str]]) -> None:
    """A business with a form of each kind, and the accounts that use it: nobody has two callbacks at a time."""
    open_business(stores, ["house", *(number for numbers in accounts.values() for number in numbers)])
    for number in accounts["extended"]:
        stores.accounts.change(number, password=PASSWORD)
    options = {
        "simple": {"second_number": DESTINATION},
        "hosted": {
            "second_number": DESTINATION,
            "internal_account": "house",
            "allowed_addresses": "127.0.0.1",
        },
        "extended": {},
    }
    for kind in KINDS:
        stores.web_instances.add(kind, {"type": kind, **UNLIMITED, **options[kind]})


def form_of(kind: str, account: str, number: str) -> dict[str, str]:
    """What a browser sends for one kind of form."""
    if kind == "hosted":
        return {"first_number": number}
    form = {"account": account, "first_number": number}
    return form | {"password": PASSWORD, "second_number": DESTINATION} if kind == "extended" else form


def measure(folder: Path, posts: int, pairs: int, threads: int) -> list[Row]:
    """Print and return the rates of each kind of form next to those of the floor."""
    numbers = itertools.count(447400100000)
    warm_up = max(posts // 10, threads)
    counts = {"simple": warm_up + pairs * posts, "hosted": 0, "extended": warm_up + pairs * posts}
    accounts = {kind: [str(next(numbers)) for _ in range(count)] for kind, count in counts.items()}
    url = f"sqlite:///{folder}/posts.db"
    stores = open_stores(url, "bench", Clock())
    open_forms(stores, accounts)
    stores.database.close()
    ours, floor = _free_port(), _free_port()
    config = folder / "empty.toml"
    config.touch()
    rows: list[Row] = []
    with ExitStack() as stack:
        floor_pid = stack.enter_context(
            serving([sys.executable, "-m", "bench.posts", "--bare", str(floor), str(folder / "bare.db")],
                    floor, folder / "bare.log")
        )  # fmt: skip
        our_pid = stack.enter_context(
            serving(
                [sys.executable, "-m", "stasis_callback", "run", "--only", "web"],
                ours,
                folder / "web.log",
                STASIS_CALLBACK_CONFIG=str(config),
                STASIS_CALLBACK_DATABASE__URL=url,
                STASIS_CALLBACK_WEB__ENABLED="true",
                STASIS_CALLBACK_WEB__PORT=str(ours),
                STASIS_CALLBACK_WEB__SECRET=SECRET,
                STASIS_CALLBACK_LIMITS__QUEUE="100000",
            )
        )
        for kind in KINDS:
            people = iter(accounts[kind])
            blocks = [
                [form_of(kind, next(people, ""), str(next(numbers))) for _ in range(size)]
                for size in (warm_up, *[posts] * pairs)
            ]
            sides = {
                "ours": Side(our_pid, ours, f"/web/{kind}"),
                "floor": Side(floor_pid, floor, "/"),
            }
            found = [_in_turn(sides, forms, threads, n) for n, forms in enumerate(blocks)]
            rows += _rows(kind, found[1:])
    return rows


@dataclass(frozen=True, slots=True)
class Side:
    """A server that takes posts: its process, and where it takes them."""

    pid: int
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Found:
    """A block of posts to one side: how many were accepted in a second, and what one took of its server's time."""

    per_s: float
    cpu_ms: float


def _in_turn(
    sides: Mapping[str, Side], forms: Sequence[Mapping[str, str]], threads: int, turn: int
) -> tuple[Found, Found]:
    """What both sides do, ours and the floor; which comes first alternates."""
    order = list(sides) if turn % 2 else list(sides)[::-1]
    found = {side: _block(sides[side], forms, threads) for side in order}
    return found["ours"], found["floor"]


def _block(side: Side, forms: Sequence[Mapping[str, str]], threads: int) -> Found:
    before_s = Usage.of(side.pid).cpu_s
    per_s = accepted_per_s(side.port, side.path, forms, threads)
    return Found(per_s, (Usage.of(side.pid).cpu_s - before_s) / len(forms) * 1000)


def _rows(kind: str, found: Sequence[tuple[Found, Found]]) -> Iterator[Row]:
    rates = [(ours.per_s, floor.per_s) for ours, floor in found]
    yield _row(f"posts accepted, {kind}", "1/s", rates, [floor / ours for ours, floor in rates])
    times = [(ours.cpu_ms, floor.cpu_ms) for ours, floor in found]
    yield _row(f"processor of the server, {kind}", "ms", times, [ours / floor for ours, floor in times])


def _row(figure: str, unit: str, sides: Sequence[tuple[float, float]], ratios: Sequence[float]) -> Row:
    """`ratios` say of each pair how many times worse ours is."""
    ours, floor = (statistics.median(side) for side in zip(*sides, strict=True))
    ratio, pairs = statistics.median(ratios), ", ".join(f"{one:.1f}" for one in ratios)
    print(f"{figure}: {ours:.1f} {unit}, the floor {floor:.1f}: {ratio:.1f} times ({pairs})")
    return Row(figure, unit, ours, floor, ratio, ratios)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.posts", description=__doc__)
    parser.add_argument("--posts", type=int, default=300, help="posts of a block (300)")
    parser.add_argument("--pairs", type=int, default=3, help="blocks of each side (3)")
    parser.add_argument("--threads", type=int, default=4, help="clients at once (4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--bare", nargs=2, metavar=("PORT", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(int(options.bare[0]), Path(options.bare[1]))
        return 0
    with work_folder("posts") as folder:
        rows = measure(folder, options.posts, options.pairs, options.threads)
        if options.json:
            write_json(options.json, machine("none", CACHE), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
