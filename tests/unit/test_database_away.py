"""A PostgreSQL that is frozen, gone, unreachable or read-only: nobody waits longer than they like, nobody in a queue
behind others, and when it is there again everything works at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from proxy import Proxy, proxy_of

from stasis_callback.clock import Clock, wait_until
from stasis_callback.core.errors import CallbackError, StoreUnavailable
from stasis_callback.store.database.database import Database
from stasis_callback.store.stores import Stores, open_stores
from stasis_callback.testing.postgres import PostgresServer, PostgresUnavailable, postgres_server

pytestmark = pytest.mark.postgres

AT_ONCE = 12
PATIENCE_S = 2.0
IN_TURN_S = AT_ONCE * PATIENCE_S / 2
"""Much less than it takes when one waits after the other, and much more than side by side."""


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that may be killed: the one of all tests has other databases."""
    try:
        with postgres_server() as made:
            yield made
    except PostgresUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def proxy(own_server: PostgresServer) -> Iterator[Proxy]:
    with proxy_of(own_server.port) as made:
        yield made


@pytest.fixture
def stores(own_server: PostgresServer, proxy: Proxy) -> Iterator[Stores]:
    """An empty business, seen through the proxy."""
    name = f"away_{Clock().now_us()}"
    url = own_server.create(name).replace(str(own_server.port), str(proxy.port))
    made = open_stores(url, "node1", Clock())
    made.database.migrate()
    # The pool has an idle connection for every thread of the tests.
    at_once(lambda n: made.tariffs.add(f"warm-{n}", "USD"))
    yield made
    made.database.close()
    own_server.drop(name)


def at_once(work: Callable[[int], object]) -> list[str]:
    """What becomes of it in threads that start together: "" or the error of each."""

    def one(number: int) -> str:
        gate.wait(30)
        try:
            work(number)
        except StoreUnavailable as error:
            return str(error)
        return ""

    gate = threading.Barrier(AT_ONCE)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(one, range(AT_ONCE)))


def names(stores: Stores) -> list[object]:
    return [tariff["name"] for tariff in stores.tariffs.all() if not str(tariff["name"]).startswith("warm")]


def nobody_waits_long(stores: Stores) -> None:
    """Readers and writers give up after their time limit."""

    def work(number: int) -> None:
        with stores.database.patience(PATIENCE_S):
            if number % 2:
                stores.tariffs.all()
            else:
                stores.tariffs.add(f"never-{number}", "USD")

    began_s = Clock().monotonic_s()
    errors = at_once(work)
    assert all("the database is unavailable" in error for error in errors)
    assert Clock().monotonic_s() - began_s < IN_TURN_S


def everything_works(stores: Stores) -> None:
    assert at_once(lambda number: stores.tariffs.add(f"again-{number}", "USD")) == [""] * AT_ONCE
    found = names(stores)
    assert [f"again-{n}" for n in sorted(range(AT_ONCE), key=str)] == sorted(found, key=str)


def test_a_frozen_server(own_server: PostgresServer, stores: Stores) -> None:
    with own_server.frozen():
        nobody_waits_long(stores)
    everything_works_or_was_done(stores)


def everything_works_or_was_done(stores: Stores) -> None:
    """What a frozen server had been sent it may do when it thaws: nobody was told that it was not."""
    assert at_once(lambda number: stores.tariffs.add(f"again-{number}", "USD")) == [""] * AT_ONCE
    assert {f"again-{n}" for n in range(AT_ONCE)} <= set(names(stores))


def test_a_server_that_is_gone(own_server: PostgresServer, stores: Stores) -> None:
    own_server.kill()
    try:
        nobody_waits_long(stores)
    finally:
        own_server.start()
    everything_works(stores)


def test_a_network_that_swallows_everything(proxy: Proxy, stores: Stores) -> None:
    with proxy.silent():
        nobody_waits_long(stores)
    everything_works_or_was_done(stores)


def test_connections_that_were_swallowed_are_replaced_within_the_patience(
    proxy: Proxy, stores: Stores
) -> None:
    """As after a fail-over to another machine, or when a firewall has forgotten them: no RST says so."""
    proxy.swallow()
    everything_works_or_was_done(stores)


def test_a_server_that_freezes_for_a_moment_loses_nothing(own_server: PostgresServer, stores: Stores) -> None:
    with ThreadPoolExecutor(1) as other:
        with own_server.frozen():
            waiting = other.submit(at_once, lambda number: stores.tariffs.add(f"again-{number}", "USD"))
            wait_until(waiting.done, timeout_s=2)
            assert not waiting.done()
        assert waiting.result(60) == [""] * AT_ONCE
    assert {f"again-{n}" for n in range(AT_ONCE)} == set(names(stores))


def test_a_server_that_restarts_loses_nothing(own_server: PostgresServer, stores: Stores) -> None:
    over = threading.Event()
    done: list[str] = []

    def work() -> None:
        while not over.is_set():
            name = f"again-{len(done)}"
            stores.tariffs.add(name, "USD")
            done.append(name)

    with ThreadPoolExecutor(1) as other:
        working = other.submit(work)
        assert wait_until(lambda: len(done) > 3, timeout_s=30)
        for _ in range(2):
            own_server.kill()
            own_server.start()
            before = len(done)
            assert wait_until(lambda before=before: len(done) > before + 3, timeout_s=30)  # type: ignore[misc]
        over.set()
        working.result(30)
    assert set(names(stores)) == set(done)
    assert stores.database.repeats > 0


def test_a_server_that_only_reads_since_a_fail_over(own_server: PostgresServer, stores: Stores) -> None:
    def only_reads(value: str) -> None:
        own_server.sql(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        own_server.sql("SELECT pg_reload_conf()")

        def is_so() -> bool:
            with psycopg.connect(own_server.url("postgres"), autocommit=True) as connection:
                row = connection.execute("SHOW default_transaction_read_only").fetchone()
                return row is not None and row[0] == value

        assert wait_until(is_so, timeout_s=30)

    only_reads("on")
    try:
        with stores.database.patience(0.5), pytest.raises(StoreUnavailable, match="read-only transaction"):
            stores.tariffs.add("never", "USD")
        assert names(stores) == []
    finally:
        # The server lets this very statement through: it is not about tables.
        only_reads("off")
    everything_works(stores)


def test_who_waits_for_a_lock_longer_than_the_server_lets_them_waits_on(
    own_server: PostgresServer, stores: Stores
) -> None:
    name = stores.database.url.rsplit("/", 1)[1]
    with psycopg.connect(own_server.url(name)) as other, ThreadPoolExecutor(1) as thread:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended('tariffs', 0))")
        waiting = thread.submit(stores.tariffs.add, "later", "USD")
        assert wait_until(lambda: stores.database.repeats > 0, timeout_s=30)
        other.rollback()
        waiting.result(30)
    assert names(stores) == ["later"]


def test_who_is_in_a_hurry_waits_no_more(own_server: PostgresServer, stores: Stores) -> None:
    """The service is to end: who waits for a frozen server is told at once, whatever their patience was."""
    with ThreadPoolExecutor(1) as other, own_server.frozen():
        waiting = other.submit(at_once, lambda number: patiently(stores, number))
        wait_until(waiting.done, timeout_s=1)
        stores.database.hurry()
        assert all(waiting.result(30))


def patiently(stores: Stores, number: int) -> None:
    with stores.database.patience(600):
        stores.tariffs.add(f"never-{number}", "USD")


# --- at the start ------------------------------------------------------------------------------------------------


def test_a_server_that_is_away_at_the_start_is_not_a_mistake(own_server: PostgresServer) -> None:
    """So a service waits for it; a wrong address would stay wrong."""
    own_server.kill()
    try:
        with pytest.raises(StoreUnavailable, match="the database server cannot be used"):
            Database(own_server.url("postgres"))
    finally:
        own_server.start()


def test_a_frozen_server_is_away_at_the_start(own_server: PostgresServer) -> None:
    with own_server.frozen(), pytest.raises(StoreUnavailable, match="the database server cannot be used"):
        Database(own_server.url("postgres"))


@pytest.mark.parametrize("wrong", ["postgresql://postgres@127.0.0.1:x/name", "{server}/missing"])
def test_what_is_wrong_for_good_is_a_mistake(own_server: PostgresServer, wrong: str) -> None:
    url = wrong.format(server=own_server.url("x").rsplit("/", 1)[0])
    with pytest.raises(CallbackError) as caught:
        Database(url)
    assert not isinstance(caught.value, StoreUnavailable)


def test_a_wrong_password_is_a_mistake(own_server: PostgresServer) -> None:
    rules = own_server.folder / "data" / "pg_hba.conf"
    own_server.sql("CREATE ROLE locked LOGIN PASSWORD 'right'")
    rules.write_text("host all locked 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
    own_server.sql("SELECT pg_reload_conf()")
    right, wrong = (
        own_server.url("postgres").replace("postgres@", f"locked:{word}@", 1) for word in ("right", "wrong")
    )
    Database(right).close()
    with pytest.raises(CallbackError, match="password authentication") as caught:
        Database(wrong)
    assert not isinstance(caught.value, StoreUnavailable)
