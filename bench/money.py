"""`python -m bench.money`: authorise, hold and settle one leg, on SQLite and PostgreSQL, next to bare transactions.

One cycle is what a leg costs the database: its funds are looked at, the leg and its hold are committed, then its end
is charged and its call record committed: two durable transactions. The floor is two durable transactions of the same
database that insert one row each, by the bare driver. Blocks of both alternate in one run.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

from bench.report import Row, machine, write_json
from bench.rig import open_bench_stores
from bench.work import CACHE, work_folder
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.rating import Rate, cost_micros, longest_s
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.store.calls.legs import Fare, LegEnd
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.store.stores import Stores
from stasis_callback.testing.postgres import PostgresUnavailable, postgres_server

NUMBER = "442071234567"


class Shop:
    """A business with one account that can pay for everything."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        stores.nodes.enter()
        stores.tariffs.add("retail", "USD")
        stores.tariffs.put_rates(
            "retail", [NewRate(Rate("44", first_price_micros=60_000, next_price_micros=60_000))]
        )
        stores.accounts.add_product("callback", "retail")
        stores.accounts.add_customer("people", "USD")
        account = stores.accounts.add("100", customer="people", product="callback")
        stores.ledger.top_up(account.book_id, 10**12, key="all")
        stores.requests.accept(
            CallbackRequest("key", "ani", "100", "800"),
            account_id=account.id,
            subscriber_id=account.id,
            leg_a_number="100",
            stored_options={},
            queue_limit=1,
        )
        (self.request,) = stores.requests.claim(1)
        self.account = account
        self.legs = 0

    def cycle(self) -> None:
        """One leg of 61 seconds."""
        stores, now_us = self.stores, Clock().now_us()
        self.legs += 1
        leg_id = f"leg-{self.legs}"
        rate = stores.tariffs.match(self.account.tariff_id, NUMBER)
        assert rate is not None
        price = rate.price

        def authorise() -> bool:
            funds = stores.ledger.available_micros(self.account.book_id)
            seconds = longest_s(lambda t: cost_micros(price, t, now_us), funds, 180)
            hold = cost_micros(price, seconds, now_us)
            return stores.calls.open_leg(leg_id, self.request.id, "b", Fare(self.account, NUMBER, rate), hold)

        assert stores.database.unit(authorise)
        end = LegEnd(now_us, now_us + 61 * US_PER_S, Outcome.ANSWERED, 16, "events")
        assert stores.calls.settle(leg_id, end).amount_micros == 61_000


@contextmanager
def sqlite_floor(path: Path) -> Iterator[Callable[[], None]]:
    """Two durable one-row transactions, by the standard library's driver."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = full")
        connection.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, leg TEXT, amount INTEGER)")

        def twice() -> None:
            for _ in range(2):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO bare (leg, amount) VALUES ('leg', 61000)")
                connection.execute("COMMIT")

        yield twice


@contextmanager
def postgres_floor(url: str) -> Iterator[Callable[[], None]]:
    """Two durable one-row transactions, by psycopg."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE bare (id BIGSERIAL PRIMARY KEY, leg TEXT, amount BIGINT)")

        def twice() -> None:
            for _ in range(2):
                with connection.transaction():
                    connection.execute("INSERT INTO bare (leg, amount) VALUES ('leg', 61000)")

        yield twice


def per_second(action: Callable[[], None], count: int) -> float:
    """How often a second."""
    start_s = time.perf_counter()
    for _ in range(count):
        action()
    return count / (time.perf_counter() - start_s)


def compare(name: str, shop: Shop, floor: Callable[[], None], count: int, pairs: int) -> Row:
    """Print both, and their ratio, medians of alternating blocks.

    One block of each goes first, and a longer one of the floor: SQLite is half as fast until its log is as long as it
    gets, which takes the floor five hundred of its small transactions and us forty legs.
    """
    per_second(shop.cycle, count)
    per_second(floor, 5 * count)
    ours: list[float] = []
    bare: list[float] = []
    ratios: list[float] = []
    for pair in range(pairs):
        order = ((ours, shop.cycle), (bare, floor))
        for into, action in order if pair % 2 == 0 else order[::-1]:
            into.append(per_second(action, count))
        ratios.append(ours[-1] / bare[-1])
    print(
        f"{name:<12} {statistics.median(ours):7.0f} legs/s   floor {statistics.median(bare):7.0f}/s"
        f"   ratio {statistics.median(ratios):.2f} (pairs: {', '.join(f'{r:.2f}' for r in ratios)})"
    )
    figures = statistics.median(ours), statistics.median(bare), statistics.median(ratios)
    return Row(f"authorise, hold, settle, {name}", "legs/s", *figures, ratios)


def main() -> int:
    """Measure both databases; 1 when PostgreSQL cannot be started."""
    parser = argparse.ArgumentParser(prog="python -m bench.money", description=__doc__)
    parser.add_argument("--legs", type=int, default=400, help="legs of a block (400)")
    parser.add_argument("--pairs", type=int, default=5, help="alternations between both (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    rows = []
    try:
        with work_folder("money") as folder:
            stores = open_bench_stores(f"sqlite:///{folder}/bench.db")
            stores.database.migrate()
            with sqlite_floor(folder / "floor.db") as floor:
                rows.append(compare("SQLite", Shop(stores), floor, options.legs, options.pairs))
            stores.database.close()
            with postgres_server(durable=True) as server:
                stores = open_bench_stores(server.create("bench"))
                stores.database.migrate()
                with postgres_floor(server.create("floor")) as floor:
                    rows.append(compare("PostgreSQL", Shop(stores), floor, options.legs, options.pairs))
                stores.database.close()
            if options.json:
                write_json(options.json, machine("none", CACHE), rows)
    except PostgresUnavailable as why:
        print(why, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
