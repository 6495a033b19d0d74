"""`db copy`: a business moves to another database, whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from command_line import SUBSCRIBER, CommandLine
from databases import Databases, server

from stasis_callback.store.tables import bound_database


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def other(request: pytest.FixtureRequest, shop: CommandLine) -> Iterator[str]:
    """The address of another database, empty, without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{shop.folder}/other.db"
        return
    yield server().create("moved_to")
    server().drop("moved_to")


def use(shop: CommandLine, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STASIS_CALLBACK_DATABASE__URL", url)
    shop.url = url


def test_a_business_moves_and_goes_on(
    shop: CommandLine, called: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.ok("account", "add", "1000", "--customer", "Acme", "--product", "callback")
    before = shop.dump() if shop.url.startswith("postgresql") == other.startswith("postgresql") else None
    shown = [shop.ok(*words).out for words in QUESTIONS]
    said = shop.ok("db", "copy", "--to", other).out
    assert "every row is the same, the ledger is in order" in said
    assert "xdr: 2\n" in said
    old = shop.url
    use(shop, other, monkeypatch)
    try:
        assert before is None or shop.dump() == before
        assert [shop.ok(*words).out for words in QUESTIONS] == shown
        # New rows get new numbers, and the journal is still closed to changes.
        shop.ok("account", "add", "1001", "--customer", "Acme", "--product", "callback")
        shop.ok("account", "topup", "1001", "5", "--key", "after the move")
        assert shop.ok("ledger", "verify").out == "the ledger is in order: every sum agrees\n"
        with pytest.raises(Exception, match="append-only"):
            shop.sql("DELETE FROM entry")
    finally:
        shop.url = old


QUESTIONS = (
    ("account", "list"),
    ("account", "show", SUBSCRIBER),
    ("xdr", "list", "--json"),
    ("rate", "list", "retail", "--json"),
    ("request", "list", "--json"),
)


def test_a_database_that_has_something_in_it_is_not_written_to(shop: CommandLine, other: str) -> None:
    shop.ok("db", "copy", "--to", other)
    assert "the other database is not empty" in shop.refused("db", "copy", "--to", other)
    assert "the database itself" in shop.refused("db", "copy", "--to", shop.url)


def test_while_calls_are_under_way_nothing_moves(shop: CommandLine, dialing: str, other: str) -> None:
    assert "calls are under way: stop the service" in shop.refused("db", "copy", "--to", other)


def test_a_copy_that_cannot_be_finished_leaves_nothing_behind(shop: CommandLine, called: str) -> None:
    """A row that the new database refuses, as a broken old one might have."""
    if Databases.kind == "postgres":
        shop.sql("ALTER TABLE leg DROP CONSTRAINT leg_side_check")
        shop.sql("UPDATE leg SET side = 'c'")
    else:
        with shop.stores() as stores, stores.database.transaction():
            bound_database.execute_sql("PRAGMA ignore_check_constraints = 1")
            bound_database.execute_sql("UPDATE leg SET side = 'c'")
    target = shop.folder / "half.db"
    result = shop("db", "copy", "--to", f"sqlite:///{target}")
    assert result.code == 1, result
    connection = sqlite3.connect(target)
    assert connection.execute("SELECT COUNT(*) FROM customer").fetchone() == (0,)
    connection.close()


@pytest.mark.postgres
def test_a_password_in_the_address_is_not_shown(shop: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    use(shop, shop.url.replace("postgres@", "postgres:hunter2@"), monkeypatch)
    for words in (("db", "status"), ("db", "status", "--json"), ("db", "upgrade"), ("config", "show")):
        out = shop.ok(*words).out
        assert "hunter2" not in out
        assert "postgres:***@127.0.0.1" in out or words[0] == "config"
