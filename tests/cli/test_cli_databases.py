"""`db copy`: a business moves to another database, whole or not at all."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator

import pytest
from command_line import SUBSCRIBER, CommandLine
from databases import Databases, server

from stasis_callback.core.limits import Limit
from stasis_callback.store.database.tables import bound_database


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
    assert "all rows are identical and the ledger is consistent" in said
    assert "xdr: 2\n" in said
    old = shop.url
    use(shop, other, monkeypatch)
    try:
        assert before is None or shop.dump() == before
        assert [shop.ok(*words).out for words in QUESTIONS] == shown
        # New rows get new numbers, and the journal is still closed to changes.
        shop.ok("account", "add", "1001", "--customer", "Acme", "--product", "callback")
        shop.ok("account", "topup", "1001", "5", "--key", "after the move")
        assert shop.ok("ledger", "verify").out == "the ledger is consistent: no discrepancies\n"
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
    assert "the target database is not empty" in shop.refused("db", "copy", "--to", other)
    assert "the same database" in shop.refused("db", "copy", "--to", shop.url)


def test_while_calls_are_under_way_nothing_moves(shop: CommandLine, dialing: str, other: str) -> None:
    assert "there are live calls: stop the service" in shop.refused("db", "copy", "--to", other)


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
@pytest.mark.parametrize("several", [False, True])
def test_a_password_in_the_address_is_not_shown(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch, *, several: bool
) -> None:
    """Nor when it stands among the parameters, with several servers of which one is away."""
    url, shown = shop.url.replace("postgres@", "postgres:hunter2@"), "postgres:***@127.0.0.1"
    if several:
        url = shop.url.replace("@127.0.0.1", "@127.0.0.1:1,127.0.0.1")
        url += "?password=hunter2&target_session_attrs=read-write"
        shown = "?password=***&target_session_attrs=read-write"
    use(shop, url, monkeypatch)
    for words in (("db", "status"), ("db", "status", "--json"), ("db", "upgrade")):
        out = shop.ok(*words).out
        assert "hunter2" not in out
        assert shown in "".join(out.split())  # a long address is written over two lines
    assert "hunter2" not in shop.ok("config", "show").out


# --- purge --------------------------------------------------------------------------------------------------------


def test_what_is_over_is_counted_and_then_removed(shop: CommandLine, called: str) -> None:
    with shop.stores() as stores:
        stores.limits.take("web:x", Limit(3, 1))
        stores.idempotency.begin("key", "hash")
    shop.sql("UPDATE allowance SET until_us = 1 WHERE key = 'web:x'")
    shop.sql("UPDATE idempotency SET created_at_us = 1")
    before = shop.dump()
    said = shop.ok("db", "purge", "--dry-run").out
    assert "idempotency  1     1\n" in said
    assert said.endswith("2 rows would be removed\n")
    assert shop.dump() == before
    counted = shop.ok("db", "purge", "--dry-run", "--json").json
    assert counted["dry_run"] is True
    assert {"kind": "windows", "days": 0, "rows": 1} in counted["kinds"]
    assert shop.ok("db", "purge").out.endswith("2 rows were removed\n")
    assert shop.ok("db", "purge").out.endswith("0 rows were removed\n")
    assert shop.ok("ledger", "verify").code == 0


def test_numbers_of_call_records_are_made_unreadable_by_command(shop: CommandLine, called: str) -> None:
    shop.sql("UPDATE request SET created_at_us = 1, finished_at_us = 2")
    shown = shop.ok("xdr", "list", "--json").json
    assert "the settings keep numbers for ever" in shop.refused("db", "purge", "--kind", "numbers")
    shop.ok("db", "purge", "--kind", "numbers", "--older-than", "1")
    again = shop.ok("xdr", "list", "--json").json
    assert [x["amount"] for x in again] == [x["amount"] for x in shown]
    assert shop.ok("ledger", "verify").code == 0


@pytest.mark.parametrize(
    ("words",                                       "why"),
    [
        (("--kind", "everything"),                      "unknown kind 'everything': use one of steps"),
        (("--older-than", "90"),                        "--older-than needs --kind: give the kind of data it is for"),
        (("--kind", "refused", "--older-than", "7"),    "too short for refused: write 30"),
        (("--kind", "steps", "--older-than", "0"),      "is not a whole number between 1 and"),
    ],
)  # fmt: skip
def test_a_purge_that_cannot_be_is_refused(shop: CommandLine, words: tuple[str, ...], why: str) -> None:
    assert why in shop.refused("db", "purge", *words)


def test_a_command_that_was_killed_leaves_nothing_that_counts(shop: CommandLine) -> None:
    """`kill -9` at the worst moment: all rows are written, and none of them counts."""
    shop.folder.joinpath("rates.csv").write_text(
        "prefix,first_price\n" + "".join(f"{n},1\n" for n in range(10_000, 11_000))
    )
    rates, batches = shop.ok("rate", "list", "retail").out, shop.ok("voucher", "list", "--json").json
    make = (
        "voucher", "generate", "spring", "--count", "3", "--amount", "5", "--currency", "USD", "--out", "codes.csv",
    )  # fmt: skip
    for words in (("rate", "import", "retail", "rates.csv"), make):
        env = os.environ | {"STASIS_CALLBACK_CRASH_AT": "draft-written"}
        done = subprocess.run(
            [sys.executable, "-m", "stasis_callback", *words],
            env=env,
            check=False,
            capture_output=True,
            timeout=120,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert shop.ok("rate", "list", "retail").out == rates
    assert shop.ok("voucher", "list", "--json").json == batches == []
    assert "tariff 'retail' is being changed by another command" in shop.refused(
        "rate", "add", "retail", "1", "0.1"
    )
    shop.sql("UPDATE draft SET until_us = 1")
    assert shop.ok("db", "purge", "--kind", "drafts").out.endswith("1003 rows were removed\n")
    assert shop.ok("rate", "import", "retail", "rates.csv").out.startswith("1000 were added")
    assert shop.ok("ledger", "verify").code == 0
