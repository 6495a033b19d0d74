"""What is PostgreSQL's own: its tables, its guards, a server that goes away, nodes that take from one queue."""

from __future__ import annotations

import multiprocessing
import threading
from contextlib import closing
from multiprocessing.synchronize import Barrier

import peewee
import pytest
from databases import Databases, server
from shop import SetClock, Shop, talked

from stasis_callback.clock import Clock, wait_until
from stasis_callback.core.errors import CallbackError, StoreUnavailable
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.store import models
from stasis_callback.store.accounts.tables import Account
from stasis_callback.store.database.database import MIGRATIONS, Database
from stasis_callback.store.database.statements import run
from stasis_callback.store.database.tables import bound_database
from stasis_callback.store.rates.tables import Tariff
from stasis_callback.store.stores import open_stores

pytestmark = pytest.mark.postgres

KINDS = {
    "text": "TextField",
    "bigint": "BigIntegerField",
    "integer": "IntegerField",
    "boolean": "BooleanField",
}
NOT_OURS = {"schema_migration"}


def select(sql: str) -> list[tuple[object, ...]]:
    return list(bound_database.execute_sql(sql).fetchall())


# --- tables --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", models.ALL, ids=lambda model: model.__name__)
def test_a_table_has_the_columns_of_its_model(shop: Shop, model: type[peewee.Model]) -> None:
    def kind(field: peewee.Field) -> str:
        while isinstance(field, peewee.ForeignKeyField):
            field = field.rel_field
        return "BigIntegerField" if isinstance(field, peewee.AutoField) else type(field).__name__

    with shop.stores.database.reading():
        rows = select(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns"
            f" WHERE table_name = '{model._meta.table_name}' AND table_schema = 'public'"
        )
    made = {name: (KINDS[str(data_type)], nullable == "YES") for name, data_type, nullable in rows}
    assert made == {f.column_name: (kind(f), bool(f.null)) for f in model._meta.sorted_fields}


def test_there_is_no_other_table(shop: Shop) -> None:
    with shop.stores.database.reading():
        found = {name for (name,) in select("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert found - NOT_OURS == {model._meta.table_name for model in models.ALL}


@pytest.mark.parametrize("table", ["transfer", "entry", "xdr", "rate", "tariff_terms", "tariff_revision"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET id = id", "TRUNCATE {} CASCADE"])
def test_the_journal_can_only_grow(shop: Shop, table: str, change: str) -> None:
    account = shop.account()
    shop.leg("leg-1", account, shop.request(account), hold="1.00")
    shop.stores.calls.settle("leg-1", talked(10))
    before = shop.rows()
    with pytest.raises(peewee.IntegrityError, match="is append-only"):
        shop.sql(change.format(table))
    assert shop.rows() == before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE book SET held_micros = -1 WHERE NOT house",              "check constraint"),
        ("UPDATE book SET held_micros = balance_micros + 1",              "check constraint"),
        ("UPDATE account SET status = 'open'",                            "check constraint"),
        ("UPDATE leg SET side = 'c'",                                     "check constraint"),
        ("UPDATE hold SET amount_micros = -1",                            "check constraint"),
        ("INSERT INTO alias VALUES ('1', 999)",                           "foreign key"),
        ("UPDATE request SET key = NULL",                                 "null value"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_by_the_database_itself(shop: Shop, change: str, why: str) -> None:
    account = shop.account()
    shop.leg("leg-1", account, shop.request(account), hold="1.00")
    with pytest.raises(peewee.IntegrityError, match=why):
        shop.sql(change)


# --- a server that is not there ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://postgres@127.0.0.1:1/nothing", "the database server cannot be used: .*refused"),
        ("{server}/nothing",                          'cannot be used: .*database "nothing" does not exist'),
        ("postgresql://postgres@127.0.0.1:x/nothing", "cannot be used"),
        ("postgresql://postgres@one,two/nothing",     "add .target_session_attrs=read-write"),
        ("postgresql:///nothing?host=one,two&target_session_attrs=any", "add .target_session_attrs=read-write"),
        ("postgresql://postgres@127.0.0.1:1,127.0.0.1:2/nothing?target_session_attrs=primary", "refused"),
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_says_why(url: str, why: str) -> None:
    with pytest.raises(CallbackError, match=why):
        Database(url.format(server=server().url("x").rsplit("/", 1)[0]))


def test_after_a_restart_of_the_server_what_was_under_way_has_failed_and_the_next_works(shop: Shop) -> None:
    def in_the_middle_of_it() -> None:
        with shop.stores.database.transaction():
            shop.stores.tariffs.add("lost", "EUR")
            server().kill()
            shop.stores.tariffs.add("too late", "EUR")

    before = shop.rows()
    # Two connections that wait in the pool, and are broken afterwards.
    threads = [threading.Thread(target=shop.stores.tariffs.all) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(StoreUnavailable):
        in_the_middle_of_it()
    server().start()
    assert shop.rows() == before
    shop.stores.tariffs.add("kept", "EUR")


@pytest.mark.parametrize("last", [True, False], ids=["seen with the commit", "seen before"])
def test_a_statement_that_fails_on_its_way_fails_the_transaction_and_no_other(shop: Shop, last: bool) -> None:
    """Statements are not waited for one by one: the error comes later, and nothing that was sent after it counts."""
    account = shop.account()
    shop.leg("leg-1", account, shop.request(account), hold="1.00")
    before = shop.rows()

    def fails() -> None:
        with shop.stores.database.transaction():
            run("UPDATE book SET credit_limit_micros = 7 WHERE id = ?", account.book_id)
            run("UPDATE book SET held_micros = -1 WHERE id = ?", account.book_id)
            run("UPDATE book SET credit_limit_micros = 8 WHERE id = ?", account.book_id)
            if not last:
                shop.stores.ledger.available_micros(account.book_id)
                pytest.fail("went on")

    for _ in range(2):
        with pytest.raises(peewee.IntegrityError, match="check constraint"):
            fails()
        assert shop.rows() == before
    shop.stores.tariffs.add("next", "EUR")
    assert len(shop.rows()["Tariff"]) == len(before["Tariff"]) + 1


def test_what_python_raises_undoes_what_was_sent(shop: Shop) -> None:
    account = shop.account()
    before = shop.rows()

    def fails() -> None:
        with shop.stores.database.transaction():
            run("UPDATE book SET credit_limit_micros = 7 WHERE id = ?", account.book_id)
            raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        fails()
    assert shop.rows() == before


def test_how_many_rows_were_changed_is_known_within_a_transaction(shop: Shop) -> None:
    shop.account()
    with shop.stores.database.transaction():
        run("UPDATE account SET status = 'blocked'")
        assert Account.update(status="active").execute() == len(shop.stores.accounts.all())
        assert Account.update(status="active").where(Account.id == -1).execute() == 0


def test_a_commit_is_on_the_disk_when_it_is_reported(shop: Shop) -> None:
    with shop.stores.database.reading():
        assert select("SHOW synchronous_commit") == [("on",)]
        assert select("SHOW timezone") == [("UTC",)]


# --- several at once -----------------------------------------------------------------------------------------


def migrate(url: str, start: Barrier) -> int:
    database = Database(url)
    start.wait(60)
    done = database.migrate()
    database.close()
    return len(done)


def test_of_four_processes_that_migrate_at_once_one_does_it() -> None:
    url = server().create("migrated_at_once")
    try:
        with multiprocessing.get_context("spawn").Manager() as manager:
            start = manager.Barrier(4)
            with multiprocessing.get_context("spawn").Pool(4) as pool:
                done = pool.starmap(migrate, [(url, start)] * 4, chunksize=1)
    finally:
        server().drop("migrated_at_once")
    assert sorted(done) == [0, 0, 0, len(list(MIGRATIONS.glob("[0-9]*.py")))]


def claim_all(url: str, node: str, start: Barrier) -> list[str]:
    stores = open_stores(url, node, SetClock())
    stores.nodes.enter()
    start.wait(60)
    taken: list[str] = []
    while claimed := stores.requests.claim(3):
        taken += [request.id for request in claimed]
    stores.database.close()
    return taken


def test_nodes_that_take_from_one_queue_take_each_callback_once(shop: Shop) -> None:
    payer = shop.account(funds="10.00")
    for n in range(120):
        refused = shop.stores.requests.accept(
            CallbackRequest(f"key-{n}", "pin", f"44{n:05d}", "800"),
            account_id=payer.id,
            subscriber_id=None,
            leg_a_number=f"44{n:05d}",
            stored_options={},
            queue_limit=1000,
        )
        assert refused == ""
    with multiprocessing.get_context("spawn").Manager() as manager:
        start = manager.Barrier(4)
        with multiprocessing.get_context("spawn").Pool(4) as pool:
            taken = pool.starmap(claim_all, [(shop.url, f"taker{n}", start) for n in range(4)], chunksize=1)
    everything = [request for node in taken for request in node]
    assert len(everything) == len(set(everything)) == 120


def test_whoever_locks_a_name_keeps_others_off_until_the_commit(shop: Shop) -> None:
    entered = threading.Event()

    def second() -> None:
        with shop.stores.database.transaction():
            shop.stores.database.lock("b", "a")
            entered.set()

    thread = threading.Thread(target=second)
    with shop.stores.database.transaction():
        shop.stores.database.lock("a")
        thread.start()
        assert not entered.wait(0.2)
    assert wait_until(entered.is_set, timeout_s=5)
    thread.join()


def test_databases_of_tests_do_not_pile_up() -> None:
    """One that was given back is like new, and used again; one whose tables were changed is not."""
    first = Databases.new(MIGRATIONS, "short")
    name = first.rsplit("/", 1)[1]
    server().sql(
        "INSERT INTO tariff (name, currency, revision, created_at_us) VALUES ('left', 'USD', 0, 0)", name
    )
    Databases.remove(first)
    again = Databases.new(MIGRATIONS, "short")
    assert again == first
    with closing(open_stores(again, "node1", Clock()).database) as database:
        assert not database.read(Tariff.select().exists)
    server().sql("ALTER TABLE entry DISABLE TRIGGER ALL", name)
    Databases.remove(again)
    with pytest.raises(CallbackError, match="does not exist"):
        Database(first)
