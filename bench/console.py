"""`python -m bench.console`: what the pages of the console ask of a large database, and what ten browsers cost calls.

1. Pages: a database of 100,000 accounts and 1,000,000 call records over a year, put in by the database itself, on
   SQLite and PostgreSQL. Every page that reads is opened three times, above the goal nine, lists also in the middle
   and at the end, with each filter for what is frequent and for what is rare. The figure is the processor time that
   all its statements take, the least of these, as the machine may do other things: on SQLite of the console, with the
   reading of their rows, on PostgreSQL of its server. The worst page comes first. The goal is 100 ms.
2. Beside calls: callbacks on the simulated Asterisk with ten browsers that follow the page *Now*, and with none, in
   turns: the processor time of the service for each callback, that of the console, and the time from an event to the
   next command.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path
from statistics import median
from typing import Any

import requests

from bench.business import ACCESS, ACCOUNT, BUSY, FRIEND, Size, fill, found_size, settle_down
from bench.conversations import Bench, subscriber
from bench.report import Row, machine, show_rows, write_json
from bench.rig import Usage, open_business, service
from bench.work import CACHE, work_folder
from stasis_callback import __main__, logs  # noqa: F401 - registers `run`
from stasis_callback.clock import Clock, wait_until
from stasis_callback.console.app import Console
from stasis_callback.console.rendering import address
from stasis_callback.console.server import as_web
from stasis_callback.listening import Port
from stasis_callback.settings import ConsoleSettings
from stasis_callback.store.database.tables import bound_database
from stasis_callback.store.stores import Stores, open_stores
from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork
from stasis_callback.testing.postgres import PostgresUnavailable, postgres_server
from stasis_callback.web.serving import Serving

AS_FILE = "or take it as a file"
"""What a page says in place of a report that takes too long."""
GOAL_MS = 100.0
CALLBACKS = 20
"""That are measured in each turn with and without browsers, and that go before."""
TURNS = 3
MORE_TURNS = 9
"""A page above the goal is opened so often: the machine may have been busy three times."""
PASSWORD = "correct horse battery"  # noqa: S105 - of nobody
BROWSERS = 10


def filters(size: Size) -> dict[str, Sequence[dict[str, str]]]:
    """Each list with each of its filters, for what is frequent and for what is rare."""
    that_day = {"since": size.day, "until": size.day}
    return {
        "account list": (
            {"customer": "large"}, {"customer": "small"}, {"customer": "idle"}, {"product": "callback"},
            {"batch": "batch1"}, {"status": "active"}, {"status": "closed"}, {"text": ACCOUNT}, {"text": "nothing"},
            {"text": "42077"},
        ),
        "request list": (
            {"account": ACCOUNT}, {"account": BUSY}, {"ani": ACCOUNT}, {"ani": "42077"}, {"ani": "1"},
            {"number": "44"},
            {"number": ACCOUNT}, {"number": FRIEND}, {"number": "442071"}, {"number": "681"}, {"state": "done"},
            {"state": "refused"}, {"state": "queued"}, {"outcome": "completed"}, {"outcome": "too_late"},
            {"trigger": "ani"}, {"trigger": "email"}, that_day, {"state": "done", "until": size.day},
            {"outcome": "no_answer", "number": "442071"},
        ),
        "xdr list": (
            {"account": ACCOUNT}, {"account": BUSY}, {"customer": "large"}, {"customer": "small"},
            {"customer": "idle"}, {"number": "44"}, {"number": FRIEND}, {"number": "681"}, {"trunk": "frequent"},
            {"trunk": "seldom"}, {"outcome": "answered"}, {"outcome": "unallocated"}, that_day,
            {"request": size.request()}, {"outcome": "busy", "trunk": "seldom"},
        ),
        "ledger entries": (
            {"account": ACCOUNT}, {"account": BUSY}, {"customer": "large"}, {"customer": "small"}, {"kind": "settle"},
            {"kind": "adjustment"}, that_day, {"kind": "topup", "until": size.day},
        ),
        "audit list": (
            {"noun": "account"}, {"noun": "account", "name": ACCOUNT}, {"operator": "nobody"}, that_day,
        ),
    }  # fmt: skip


def others(size: Size) -> Iterator[str]:
    """Pages that are no list."""
    yield from ("/", "/me", "/second", f"/find?q={ACCOUNT}", f"/find?q={size.request()}")
    # A leg, a customer, a batch, numbers that many or few callbacks have, a part of an id, and nothing.
    for text in (
        f"{size.request()}-A1", "small", "batch1", "lar", FRIEND, "442071", "44", "681", "42077", "077", "nothing",
    ):  # fmt: skip
        yield f"/find?q={text}"
    yield from reports(size)
    for subject in (size.request(), ACCOUNT, FRIEND):
        yield address("why", subject=subject)
    yield address("account topup", number=ACCOUNT)
    yield address("report calls", run="1", first="today")
    yield address("rate explain", number=FRIEND, seconds="60", account=ACCOUNT)
    yield address("route explain", number=FRIEND, account=ACCOUNT)
    yield address("access-number test", ani=ACCOUNT, dnis=ACCESS)
    yield address("rate list", tariff="retail", prefix="44")
    for given in ({}, {"prefix": "23"}, {"after": "2250000"}, {"scheduled": "1"}, {"prefix": "9"}):
        yield address("rate list", tariff="wholesale", **given)
    for name, key in (
        ("account list", size.account), ("request list", size.request), ("ledger entries", size.transfer),
        ("xdr list", lambda share: f"{size.request(share)}-b1"),
    ):  # fmt: skip
        for share in (0.01, 0.5, 1.0):
            yield address(name, run="1", after=key(share))


def reports(size: Size) -> Iterator[str]:
    """Reports of thirty days, a quarter and a year, which begin anywhere in a block of totals; with each filter."""
    times = ("", *(f"from={size.day_of(day)}" for day in (273, 18, 9, 1)))
    only = (
        "", "trunk=frequent", "prefix=44", "trunk=frequent&prefix=44", "prefix=4420", "prefix=442071", "prefix=6811",
        f"account={ACCOUNT}", f"account={BUSY}", f"account={BUSY}&trunk=frequent", f"account={BUSY}&prefix=44",
        f"account={BUSY}&prefix=4420",
    )  # fmt: skip
    for by in ("day", "trunk", "prefix", "customer", "account", "vendor", "outcome"):
        for time_ in times:
            for filter_ in only if time_ in (times[0], times[1], times[-1]) else only[:1]:
                yield f"/reports?{'&'.join(part for part in (f'by={by}', time_, filter_) if part)}"


def main() -> int:
    """Measure and print; 1 when PostgreSQL cannot be started."""
    parser = argparse.ArgumentParser(prog="python -m bench.console", description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000, help="accounts (100,000)")
    parser.add_argument("--xdrs", type=int, default=1_000_000, help="call records (1,000,000)")
    parser.add_argument("--only", choices=("sqlite", "postgres", "beside"), help="a part of it")
    parser.add_argument(
        "--url",
        action="append",
        default=[],
        help="open this database in place of a new one, and fill it if it is empty",
    )
    parser.add_argument("--rows", type=int, default=15, help="how many pages to print of each database (15)")
    parser.add_argument("--turns", type=int, default=4, help="turns with browsers and without (4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    logs.silence()
    rows: list[Row] = []
    try:
        with work_folder("console") as folder:
            for url in options.url:
                rows += pages("SQLite" if url.startswith("sqlite") else "PostgreSQL", url, options)
            if options.only in (None, "sqlite") and not options.url:
                rows += pages("SQLite", f"sqlite:///{folder}/console.db", options)
            if options.only in (None, "postgres") and not options.url:
                with postgres_server(durable=False) as server:
                    rows += pages("PostgreSQL", server.create("console"), options)
            if options.only in (None, "beside"):
                rows += beside(folder, options.turns)
    except PostgresUnavailable as why:
        print(why, file=sys.stderr)
        return 1
    show_rows(rows)
    if options.json:
        write_json(options.json, machine("simulated", CACHE), rows)
    return 0


# --- 1. pages -----------------------------------------------------------------------------------------------------


@dataclass
class Meter:
    """What the database has taken since it was last read: all statements, and the reading of their rows."""

    clock: Callable[[], float]
    seconds: float = 0.0
    statements: int = 0
    slowest: tuple[float, str] = (0.0, "")

    def read(self) -> tuple[float, int, str]:
        """Milliseconds, statements and the slowest of them, from zero again."""
        found = self.seconds * 1000, self.statements, self.slowest[1]
        self.seconds, self.statements, self.slowest = 0.0, 0, (0.0, "")
        return found

    def attach(self) -> None:
        """Measure the database that is open."""
        database = bound_database.obj
        plain = database.execute_sql

        def measured(sql: str, *values: Any, **more: Any) -> Any:
            start_s = self.clock()
            cursor = plain(sql, *values, **more)
            answer = _Answer(cursor, cursor.fetchall()) if cursor.description else cursor
            took_s = self.clock() - start_s
            self.seconds += took_s
            self.statements += 1
            self.slowest = max(self.slowest, (took_s, sql))
            return answer

        database.execute_sql = measured


def _server_s() -> float:
    """The processor time of the server's process that works for this thread."""
    pid = bound_database.obj.connection().info.backend_pid
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


@dataclass
class _Answer:
    """A cursor whose rows have been read."""

    cursor: Any
    rows: list[Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cursor, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())

    def fetchone(self) -> Any:
        return self.rows.pop(0) if self.rows else None

    def fetchall(self) -> list[Any]:
        found, self.rows = self.rows, []
        return found


@dataclass(order=True)
class Page:
    """A page and the best times of its database, in milliseconds; or the file that a report is where it is too long
    for a page.
    """

    ms: float
    statements: int
    path: str
    slowest: str = field(compare=False)
    is_file: bool = False


def pages(name: str, url: str, options: argparse.Namespace) -> list[Row]:
    """Fill a database, open every page, and print the worst."""
    # Commands open the database of the settings, which must be the one that is open.
    os.environ |= {"STASIS_CALLBACK_DATABASE__URL": url, "STASIS_CALLBACK_ARI__URL": "http://127.0.0.1:9"}
    stores = open_stores(url, "console", Clock())
    stores.database.migrate()
    start_s = time.perf_counter()
    size = found_size(stores, options.accounts) or fill(stores, options.accounts, options.xdrs)
    filled_s = time.perf_counter() - start_s
    start_s, added = time.perf_counter(), stores.totals.catch_up()
    print(
        f"{added:,} call records added up for reports in {time.perf_counter() - start_s:.0f} s, rests included"
    )
    settle_down(stores)
    if not stores.operators.any():
        stores.operators.add("owner", "owner", PASSWORD)
    meter = Meter(time.thread_time if stores.database.kind == "sqlite" else _server_s)
    meter.attach()
    try:
        with served(stores) as base, requests.Session() as browser:
            browser.cookies["console"] = stores.sessions.open("owner")
            opened = sorted(_measured(browser, base, meter, size), reverse=True)
    finally:
        stores.database.close()
    print(
        f"{name}, {options.accounts:,} accounts, {size.xdrs:,} call records (put in in {filled_s:.0f} s), "
        f"load {os.getloadavg()[0]:.0f}"
    )
    found, files = ([page for page in opened if page.is_file is are_files] for are_files in (False, True))
    for page in found[: options.rows]:
        print(f"{page.ms:>9.1f} ms {page.statements:>4} statements  {page.path[:90]}")
        if page.ms > GOAL_MS:
            print(f"{'':>14}{' '.join(page.slowest.split())[:300]}")
    over = sum(page.ms > GOAL_MS for page in found)
    print(f"{over} of {len(found)} pages take the database more than {GOAL_MS:.0f} ms")
    if files:
        print(f"{len(files)} reports are too long for a page: as files they take up to {files[0].ms:.0f} ms")
    rows = [Row(f"{name}: {page.path[:60]}", "ms", page.ms) for page in found[:5]]
    rows.append(Row(f"{name}: reports that are had as files only", "", len(files)))
    return [*rows, Row(f"{name}: pages above {GOAL_MS:.0f} ms", "", over)]


@contextmanager
def served(stores: Stores) -> Iterator[str]:
    """The console over a database, in this process; where it listens."""
    settings = ConsoleSettings()
    port = Port("127.0.0.1", 0, what="the console", settings="console.port")
    serving = Serving(Console(settings, stores, Clock()).asgi, as_web(settings), Clock())
    serving.start(port)
    try:
        yield "http://" + ":".join(map(str, port.address))
    finally:
        serving.stop()
        port.close()


def _measured(browser: requests.Session, base: str, meter: Meter, size: Size) -> Iterator[Page]:
    """Each page, and of lists the pages that follow."""
    lists = (address(name, run="1", **given) for name, some in filters(size).items() for given in some)
    waiting = [*others(size), *_of_nouns(size), *lists]
    for path in dict.fromkeys(waiting):
        page, html = _open(browser, base, path, meter)
        yield page
        links = [unescape(link) for link in re.findall(r'href="([^"]*)"', html)]
        files = [link for link in links if "format=--csv" in link]
        if AS_FILE in html:
            yield replace(_open(browser, base, files[0], meter)[0], is_file=True)
        following = [link for link in links if re.search("[?&]after=", link) and "format=" not in link]
        if following:
            yield _open(browser, base, following[0], meter)[0]


def _open(browser: requests.Session, base: str, path: str, meter: Meter) -> tuple[Page, str]:
    times: list[tuple[float, int, str]] = []
    html = ""
    for turn in range(TURNS if "format=" in path else MORE_TURNS):
        if turn >= TURNS and min(times)[0] <= GOAL_MS:
            break
        meter.read()
        answer = browser.get(base + path, timeout=600)
        times.append(meter.read())
        html = answer.text
        said = re.search(r'role="alert"[^>]*>([^<]*)', html)
        if AS_FILE not in html and (said or answer.status_code != 200):
            print(f"{path} is answered {answer.status_code}: {said[1] if said else html[:200]}")
            break
        if path == "/":
            time.sleep(2.1)  # or it is shown again
    ms, statements, slowest = min(times)
    return Page(ms, statements, path, slowest), html


def _of_nouns(size: Size) -> Iterator[str]:
    """The page of each noun, and of one thing of each."""
    from stasis_callback.admin.commands import described
    from stasis_callback.console import policy

    named = {
        "account": ACCOUNT, "customer": "small", "product": "callback", "tariff": "retail", "voucher": "spring",
        "vendor": "carrier", "trunk": "frequent", "request": size.request(), "call": size.request(),
        "access-number": ACCESS, "web": "shop",
    }  # fmt: skip
    for name, command in described().items():
        access = policy.access(name)
        if access is None or name in ("doctor", "config check", "sounds check", "access-number test"):
            continue  # these look at the machine, or want a number
        if command.noun:
            yield f"/noun/{command.noun}"
        required = [parameter for parameter in command.parameters if parameter.required]
        thing = named.get(command.noun)
        if access.reads and not required:
            yield address(name, run="1")
        elif (
            access.reads and thing and [parameter.option for parameter in required] == [""]
            and command.path[-1] not in ("form", "export", "check", "test")
        ):  # fmt: skip
            yield address(name, **{required[0].name: thing})


# --- 2. beside calls ----------------------------------------------------------------------------------------------


def beside(folder: Path, turns: int) -> list[Row]:
    """Callbacks with ten browsers at the page *Now* and with none, in turns: ratios of the pairs."""
    with FakeAsterisk(speed=2) as asterisk:
        network = FakeNetwork(asterisk)
        url = f"sqlite:///{folder}/beside.db"
        stores = open_stores(url, "bench", Clock())
        open_business(stores, [subscriber(n) for n in range(CALLBACKS * (2 * turns + 2))])
        stores.operators.add("owner", "owner", PASSWORD)
        tokens = [stores.sessions.open("owner") for _ in range(BROWSERS)]
        stores.database.close()
        port = _free_port()
        with service(network, url, folder, STASIS_CALLBACK_CONSOLE__PORT=str(port)) as process:
            if not wait_until(
                lambda: "console.started" in (folder / "service.log").read_text(), timeout_s=60
            ):
                raise RuntimeError("the console did not start")
            bench = Bench(asterisk, network, process.pid)
            console = _child(process.pid)
            bench.callbacks(CALLBACKS, stay=False)  # what is loaded once
            pairs = [_pair(bench, process.pid, console, port, tokens, turn) for turn in range(turns)]
    figures = (
        ("processor of the service per callback, ten browsers", "ms", "cpu_ms"),
        ("event to command, median, ten browsers", "ms", "delay_ms"),
    )
    rows = []
    for name, unit, what in figures:
        ratios = [getattr(with_, what) / getattr(without, what) for with_, without in pairs]
        values = [median(getattr(pair[n], what) for pair in pairs) for n in (0, 1)]
        rows.append(Row(name, unit, values[0], values[1], median(ratios), ratios))
    open_, none = (median(pair[n].console_ms_per_s for pair in pairs) for n in (0, 1))
    return [*rows, Row("processor of the console's process, ten browsers", "ms/s", open_, none)]


@dataclass(frozen=True)
class Beside:
    """Some callbacks: the service's processor time for each, its delay, and the processor time of the console."""

    cpu_ms: float
    delay_ms: float
    console_ms_per_s: float


def _pair(
    bench: Bench, pid: int, console: int, port: int, tokens: Sequence[str], turn: int
) -> tuple[Beside, Beside]:
    found: dict[int, Beside] = {}
    for browsers in (BROWSERS, 0) if turn % 2 == 0 else (0, BROWSERS):
        with readers(port, tokens[:browsers]):
            bench.forget()
            before, console_before_s = Usage.of(pid), Usage.of(console).cpu_s
            took_s = bench.callbacks(CALLBACKS, stay=False)
            cpu_ms = (Usage.of(pid).cpu_s - before.cpu_s) / CALLBACKS * 1000
            console_ms = (Usage.of(console).cpu_s - console_before_s) / took_s * 1000
        found[browsers] = Beside(cpu_ms, median(bench.delays_ms()), console_ms)
    return found[BROWSERS], found[0]


@contextmanager
def readers(port: int, tokens: Sequence[str]) -> Iterator[None]:
    """Browsers that follow the page *Now*: each reads its stream of events until the block ends."""
    streams = []
    for token in tokens:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/live", headers={"Cookie": f"console={token}"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"the stream of events is answered {answer.status}")
        thread = threading.Thread(target=_read, args=(answer,), daemon=True)
        thread.start()
        streams.append((connection, thread))
    try:
        yield
    finally:
        for connection, thread in streams:
            if connection.sock:
                connection.sock.close()
            connection.close()
            thread.join(10)


def _read(answer: http.client.HTTPResponse) -> None:
    try:
        while answer.readline():
            pass
    except (OSError, ValueError, AttributeError):
        pass  # it was closed


def _child(pid: int) -> int:
    """The console: the child of the service's process."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return next(int(child) for task in tasks for child in task.read_text().split())


def _free_port() -> int:
    port = Port("127.0.0.1", 0, what="nothing", settings="none")
    number = int(port.address[1])
    port.close()
    return number


if __name__ == "__main__":
    sys.exit(main())
