"""`python -m bench.books`: what proving the books costs, and what it costs those who write beside it.

Makes a business of many settled legs (rows put in at once), then measures, each in a process of its own: the
migration that seals them, `ledger verify --whole`, the usual run after it, and the usual run after a thousand more
legs. Then, on SQLite, how long proving has the lock for writing, and so keeps others from it; and a writer settles
legs while the whole is proven, and while nothing else is done, in turns: its slowest writes, and how long the
write-ahead log got.
"""

from __future__ import annotations

import argparse
import resource
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

from playhouse.migrations import Runner

from bench.rig import open_bench_stores
from bench.work import work_folder
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.words import Ending
from stasis_callback.store.audit import verify
from stasis_callback.store.calls.legs import Fare, LegEnd
from stasis_callback.store.database.backends import open_engine
from stasis_callback.store.database.database import MIGRATIONS
from stasis_callback.store.money.chain import lines_hash
from stasis_callback.store.stores import Stores
from stasis_callback.testing.postgres import PostgresUnavailable, postgres_server

BEFORE = "0008_email"
NOON_US = 1_700_000_000 * US_PER_S
NUMBER = "442071234567"
REVENUE, CASH = 1, 2
FUNDS = 10**12
COST = 61_000
BATCH = 5000

SETUP = (
    "INSERT INTO customer VALUES (1, 'people', 'USD', 0, NULL)",
    "INSERT INTO tariff (id, name, currency, created_at_us, revision) VALUES (1, 'retail', 'USD', 0, 1)",
    """INSERT INTO tariff_terms VALUES (1, 1, 0, 0, 0, 0, 1, 'up', '', 'UTC', 0)""",
    """INSERT INTO rate (id, tariff_id, prefix, description, connect_fee_micros, first_interval_s, first_price_micros,
        next_interval_s, next_price_micros, forbidden, from_us, discontinued, revision)
        VALUES (1, 1, '44', '', 0, 1, 60000, 1, 60000, {false}, 0, {false}, 1)""",
    "INSERT INTO product VALUES (1, 'callback', 1, 0)",
    "INSERT INTO book VALUES (1, 'house:revenue:USD', 'USD', {true}, 0, 0, 0, NULL, 0, 0)",
    "INSERT INTO book VALUES (2, 'house:cash:USD', 'USD', {true}, 0, 0, 0, NULL, 0, 0)",
)
ACCOUNT_COLUMNS = (
    "id, number, customer_id, product_id, book_id, status, callback_number, language, password_hash, "
    "created_at_us, simultaneous_calls"
)


def build(url: str, legs: int, accounts: int) -> None:
    """A business with this number of settled legs, without chains, inserted at once."""
    engine = open_engine(url)
    db = engine.peewee
    db.connect()
    Runner(db, str(MIGRATIONS)).up(BEFORE)
    sqlite = engine.kind == "sqlite"
    words = {"false": "0" if sqlite else "FALSE", "true": "1" if sqlite else "TRUE"}

    def put(table: str, rows: Sequence[tuple[object, ...]], columns: str = "") -> None:
        places = ", ".join([db.param] * len(rows[0]))
        into = f"{table} ({columns})" if columns else table
        db.cursor().executemany(f"INSERT INTO {into} VALUES ({places})", rows)  # noqa: S608 - our own names

    with db.atomic():
        for statement in SETUP:
            db.execute_sql(statement.format(**words))
        books = range(3, 3 + accounts)
        each = legs // accounts
        day = NOON_US // US_PER_S // 86_400
        spent = each * COST
        put(
            "book",
            [(b, f"account:{b}", "USD", False, FUNDS - spent, 0, 0, None, day, spent) for b in books],
        )
        put("account", [(b, str(b), 1, 1, b, "active", "", "", "", 0, 1) for b in books], ACCOUNT_COLUMNS)
        _put_top_ups(put, books)
        numbered = [(n, 3 + n % accounts) for n in range(each * accounts)]
        for start in range(0, len(numbered), BATCH):
            _put_legs(put, numbered[start : start + BATCH], accounts)
    if not sqlite:
        for table in ("book", "account", "transfer", "entry", "rate", "tariff", "tariff_terms"):
            engine.go_on_after(table, has_counter=True)
    db.close_all()


def _put_top_ups(put: Callable[..., None], books: range) -> None:
    lines = {b: [(b, FUNDS), (CASH, -FUNDS)] for b in books}
    columns = "id, key, input_hash, kind, note, operator, reverses_id, created_at_us"
    put(
        "transfer",
        [(b, f"topup:{b}", lines_hash("topup", lines[b]), "topup", "", "", None, NOON_US) for b in books],
        columns,
    )
    entries = [(b, book, amount) for b in books for book, amount in lines[b]]
    put("entry", entries, "transfer_id, book_id, amount_micros")


def _put_legs(put: Callable[..., None], numbered: list[tuple[int, int]], accounts: int) -> None:
    requests, legs, holds, transfers, entries, xdrs = [], [], [], [], [], []
    for n, book in numbered:
        request, leg, at, number = f"{n:016x}", f"{n:016x}-b1", NOON_US + n, 3 + accounts + n
        end = at + 61 * US_PER_S
        requests.append(
            (
                request,
                f"key-{n}",
                "ani",
                "",
                "",
                book,
                book,
                NUMBER,
                "{}",
                "done",
                Ending.COMPLETED,
                1,
                at,
                at,
                "",
                0,
                end,
            )
        )
        legs.append((leg, request, "b", NUMBER, book, 1, "settled", at, at, 1))
        holds.append((leg, book, COST, "posted", at, end))
        lines = [(book, -COST), (REVENUE, COST)]
        hashed = lines_hash("settle", lines)
        transfers.append((number, f"settle:{leg}", hashed, "settle", "", "", None, at))
        entries += [(number, *line) for line in lines]
        xdrs.append(
            (
                *(leg, request, "b", book, NUMBER, "44", at, at, end, end - at, 61, COST, 0, "USD"),
                *("answered", 16, "events", at),
            )
        )
    put(
        "request",
        requests,
        "id, key, triggered_by, ani, dnis, account_id, subscriber_id, leg_a_number, options, state, outcome, "
        "attempts, created_at_us, due_at_us, claimed_by, lease_until_us, finished_at_us",
    )
    put(
        "leg",
        legs,
        "id, request_id, side, number, account_id, rate_id, state, dialed_at_us, answered_at_us, terms_id",
    )
    put("hold", holds)
    put("transfer", transfers, "id, key, input_hash, kind, note, operator, reverses_id, created_at_us")
    put("entry", entries, "transfer_id, book_id, amount_micros")
    put(
        "xdr",
        xdrs,
        "leg_id, request_id, side, account_id, number, prefix, dialed_at_us, answered_at_us, ended_at_us, "
        "duration_us, charged_s, amount_micros, overrun_micros, currency, outcome, cause, source, created_at_us",
    )


# --- measuring -----------------------------------------------------------------------------------------------------


def _proven(url: str, whole: bool) -> tuple[float, float, int]:
    """One run of `ledger verify` in this process: seconds, seconds of the processor, megabytes at most."""
    stores = open_bench_stores(url)
    start_s, cpu_s = time.perf_counter(), time.process_time()
    found = verify(stores.database, stores.tariffs, whole=whole)
    took = time.perf_counter() - start_s, time.process_time() - cpu_s
    stores.database.close()
    assert found == [], found[:3]
    return *took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _migrated(url: str) -> tuple[float, float, int]:
    start_s, cpu_s = time.perf_counter(), time.process_time()
    stores = open_bench_stores(url)
    stores.database.migrate()
    stores.database.close()
    took = time.perf_counter() - start_s, time.process_time() - cpu_s
    return *took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def alone(what: Callable[..., tuple[float, float, int]], *words: object) -> tuple[float, float, int]:
    """Run it in a new process, so that its memory is its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(what, words)


def show(name: str, measured: tuple[float, float, int]) -> None:
    """A line of figures."""
    seconds, cpu_s, megabytes = measured
    print(f"  {name:<34} {seconds:7.2f} s   {cpu_s:7.2f} s of the processor   {megabytes:4d} MB", flush=True)


class Writer:
    """Settles legs of one account, one after the other."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.account = stores.accounts.named("3")
        stores.nodes.enter()
        refused = stores.requests.accept(
            CallbackRequest(f"bench-{Clock().now_us()}", "ani", "3", "800"),
            account_id=self.account.id,
            subscriber_id=self.account.id,
            leg_a_number="3",
            stored_options={"dedupe_window_s": "0"},
            queue_limit=10,
        )
        assert refused == "", refused
        (self.request,) = stores.requests.claim(1)
        self.legs = 0

    def write(self) -> list[float]:
        """One leg of 61 seconds: how long each of its two writes took."""
        self.legs += 1
        leg_id, now_us = f"{self.request.id}-b{self.legs}", Clock().now_us()
        rate = self.stores.tariffs.match(self.account.tariff_id, NUMBER)
        assert rate is not None
        start_s = time.perf_counter()
        assert self.stores.calls.open_leg(
            leg_id, self.request.id, "b", Fare(self.account, NUMBER, rate), COST
        )
        held_s = time.perf_counter()
        self.stores.calls.settle(
            leg_id, LegEnd(now_us, now_us + 61 * US_PER_S, Outcome.ANSWERED, 16, "events")
        )
        return [held_s - start_s, time.perf_counter() - held_s]


def more_legs(url: str, count: int) -> None:
    """Settle some more."""
    stores = open_bench_stores(url)
    writer = Writer(stores)
    for _ in range(count):
        writer.write()
    stores.requests.finish(writer.request.id, Ending.COMPLETED)
    stores.nodes.leave()
    stores.database.close()


def kept_from_writing(url: str, file: Path, *, whole: bool) -> list[float]:
    """How long the lock for writing was taken, each time, while the books were proven and nobody else wrote.

    It is asked for without waiting, over and over: what a writer beside would have waited for it, and nothing else.
    """
    taken: list[float] = []
    asking = sqlite3.connect(file, timeout=0, isolation_level=None)
    with closing(asking), get_context("spawn").Pool(1) as pool:
        proving = pool.apply_async(_proven, (url, whole))
        since_s = 0.0
        while not proving.ready():
            try:
                asking.execute("BEGIN IMMEDIATE")
                asking.execute("ROLLBACK")
            except sqlite3.OperationalError:
                since_s = since_s or time.perf_counter()
            else:
                if since_s:
                    taken.append(time.perf_counter() - since_s)
                since_s = 0.0
            time.sleep(0.001)
        proving.get()
    return sorted(taken)


def beside(url: str, file: Path, pairs: int, seconds: float) -> None:
    """Slowest writes while the books are proven, and while not, in turns."""
    stores = open_bench_stores(url)
    writer = Writer(stores)
    log = file.with_name(file.name + "-wal")
    log_size = 0
    for pair in range(pairs):
        for proving in (True, False) if pair % 2 == 0 else (False, True):
            pool = get_context("spawn").Pool(1) if proving else None
            at_it = pool.apply_async(_proven, (url, True)) if pool else None
            writes: list[float] = []
            end_s = time.perf_counter() + seconds
            while not at_it.ready() if at_it else time.perf_counter() < end_s:
                writes += writer.write()
                log_size = max(log_size, log.stat().st_size)
            if pool and at_it:
                took_s = at_it.get()[0]
                pool.terminate()
            writes.sort()
            worst = ", ".join(f"{1000 * s:.1f}" for s in writes[-3:])
            how = f"proving the whole for {took_s:.1f} s" if proving else "nothing else"
            middle, late = writes[len(writes) // 2], writes[int(len(writes) * 0.999)]
            print(
                f"  {len(writes):6d} writes beside {how:<32} median {1000 * middle:6.2f} ms, "
                f"99.9 % {1000 * late:6.2f} ms, slowest {worst} ms",
                flush=True,
            )
    print(f"  the write-ahead log was {log_size / 1e6:.1f} MB at most")
    stores.requests.finish(writer.request.id, Ending.COMPLETED)
    stores.database.close()


def measure(url: str, legs: int, accounts: int) -> None:
    """Everything but what goes on beside it."""
    build(url, legs, accounts)
    show("the migration", alone(_migrated, url))
    show("the whole", alone(_proven, url, True))
    show("the usual run, nothing is new", alone(_proven, url, False))
    more_legs(url, 1000)
    show("the usual run, 1,000 legs are new", alone(_proven, url, False))


def main() -> int:
    """Measure; 1 when PostgreSQL cannot be started."""
    parser = argparse.ArgumentParser(prog="python -m bench.books", description=__doc__)
    parser.add_argument("--legs", type=int, default=200_000, help="settled legs (200000)")
    parser.add_argument("--accounts", type=int, default=200, help="accounts that they are of (200)")
    parser.add_argument("--pairs", type=int, default=2, help="turns with and without proving (2)")
    parser.add_argument("--postgres", action="store_true", help="measure PostgreSQL too")
    options = parser.parse_args()
    try:
        with work_folder("books") as folder:
            file = folder / "books.db"
            print(f"SQLite, {options.legs} legs of {options.accounts} accounts:")
            measure(f"sqlite:///{file}", options.legs, options.accounts)
            for whole in (True, False):
                taken = kept_from_writing(f"sqlite:///{file}", file, whole=whole)
                print(
                    f"  {'proving the whole' if whole else 'the usual run'} kept others from writing "
                    f"{len(taken)} times, for {1000 * max(taken, default=0):.1f} ms at most"
                )
            beside(f"sqlite:///{file}", file, options.pairs, 10.0)
            if options.postgres:
                with postgres_server(durable=True) as server:
                    print(f"PostgreSQL, {options.legs} legs of {options.accounts} accounts:")
                    measure(server.create("books"), options.legs, options.accounts)
    except PostgresUnavailable as why:
        print(why, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
