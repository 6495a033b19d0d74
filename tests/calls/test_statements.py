"""No statement of a whole callback, and none of what is done again and again, reads a growing table from end to end.

The driver's statements are noted during a scenario and explained afterwards, on the database that the tests run on.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from world import ANI, CHEAP, DEAR, FRIEND, World, new_world

from stasis_callback.clock import Clock
from stasis_callback.core.limits import Limit
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.retention import KINDS
from stasis_callback.core.words import Refusal
from stasis_callback.store.calls.asked import AskedCallbacks, Which
from stasis_callback.store.database.tables import bound_database
from stasis_callback.store.models import ALL
from stasis_callback.store.retention import Retention
from stasis_callback.testing.phones import BUSY, CONGESTION
from stasis_callback.web.status import progress_of

GROWING = {
    "account", "alias", "allowance", "book", "email_reply", "email_token", "entry", "hold", "idempotency", "leg",
    "node_event", "rate", "request", "request_event", "speed_dial", "tariff_revision", "throttle", "transfer",
    "voucher", "xdr", "total", "total_of_trunk", "total_of_prefix", "total_of_customer", "total_of_account",
    "total_of_digits", "call_class", "account_revenue",
}  # fmt: skip

ALLOWED: dict[str, str] = {
    # a part of the statement: why it may read a table from end to end
    'FROM "leg" AS "t4" WHERE ("t4"."rate_id"': "prices nobody was charged by: once an hour, and locks nothing",
    '"destination" LIKE': "numbers of callbacks for which nobody was called: the same",
}

DESTROYED = (
    "request",
    "request_event",
    "rate",
    "idempotency",
    "throttle",
    "allowance",
    "email_reply",
    "email_token",
)


class Noted(logging.Handler):
    """The statements that went to the driver, each once, with the values it had."""

    def __init__(self) -> None:
        super().__init__()
        self.statements: dict[str, Any] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.msg, tuple):
            sql, values = record.msg
            self.statements.setdefault(sql, values)


@contextmanager
def noting() -> Iterator[dict[str, Any]]:
    logger, handler = logging.getLogger("peewee"), Noted()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield handler.statements
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


@pytest.fixture
def world(fake_network: Any, tmp_path: Path) -> Iterator[World]:
    with new_world(fake_network, tmp_path) as made:
        yield made


def a_whole_callback(world: World) -> None:
    """Missed calls taken and refused, a busy phone, a talk over trunks with limits, a web order, a hang-up."""
    world.usual(caller_id_b=ANI, retry_interval_s="1", low_funds_warning_s="0")
    world.two_trunks(cheap={"calls_limit": 5, "calls_per_s": 50})
    phone = world.phone(CHEAP + ANI).refuses(BUSY)
    world.phone(CHEAP + FRIEND).refuses(CONGESTION)
    friend = world.phone(DEAR + FRIEND).answers().hangs_up(after_s=2)
    with world.running(housekeeping_s=0.2):
        world.rings(ani="420999999999")
        world.rings()
        world.rings()
        phone.wait_for("ended")
        phone.forget().answers().dials(f"{FRIEND}#")
        friend.wait_for("ended", timeout_s=30)
        phone.hang_up()
        world.finished(3)
        phone.forget().answers()
        assert world.asks().reason == ""
        friend.wait_for("ended", call=2, timeout_s=30)
        phone.hang_up()
        world.finished(4)


def what_is_done_again_and_again(world: World) -> None:
    """By the threads of the service, of its monitoring, and of requests."""
    s, clock = world.stores, Clock()
    s.requests.left_open()
    s.requests.next_due_us()
    for state in ("queued", "dialing", "talking"):
        s.requests.count(state)
    s.requests.newest(limit=50)
    s.requests.newest(state="refused", limit=50)
    AskedCallbacks(s.database).page(Which("shop"))
    for name in s.events.waiting():
        for event in s.events.claim(name, 4):
            progress_of(s, event.request_id, clock.now_us())
            s.events.retry(event, 0)
        s.events.close_some(name, "failed", before_us=1)
    s.events.undelivered()
    s.replies.put("key", "ann@example.com", "text")
    for reply in s.replies.claim_due(5):
        s.replies.close(reply.id, "sent")
    s.idempotency.begin("key", "hash")
    s.idempotency.answer("key", "{}")
    s.limits.take("web:x", Limit(5, 60))
    s.throttles.failed("ani:1", limit=5, lock_s=60)
    s.throttles.locked("ani:1")
    account = s.accounts.named(ANI)
    s.accounts.get(account.id)
    s.calls.last_destination(account.id)
    s.calls.talks_paid_from(account.book_id)
    s.calls.xdrs(request_id=s.requests.newest()[0].id)
    s.calls.open_legs()
    s.requests.refuse(CallbackRequest("k", "email", "x", ""), Refusal.UNKNOWN_ACCOUNT)
    s.tariffs.warm()
    s.totals.catch_up()
    list(Retention(s.database, clock, dict.fromkeys(KINDS, 30)).purge())


def test_nothing_that_is_done_often_reads_a_growing_table_from_end_to_end(world: World) -> None:
    with noting() as statements:
        a_whole_callback(world)
        what_is_done_again_and_again(world)
    assert len(statements) > 100, "the driver's statements were not seen"
    scans = []
    for sql, values in statements.items():
        if re.match(r"\s*(SELECT|UPDATE|DELETE|INSERT|WITH)", sql):
            tables = set() if "WHERE" not in sql and "LIMIT" in sql else scanned(world, sql, values) & GROWING
            if tables and not any(part in sql for part in ALLOWED):
                scans.append(f"{sorted(tables)}: {sql}")
    assert not scans, "\n".join(scans)


def scanned(world: World, sql: str, values: Any) -> set[str]:
    """The tables that a statement reads from end to end. A partial index has what is open, which is little."""
    names = {alias: table for table, alias in re.findall(r'"?(\w+)"? AS "?(\w+)"?', sql)}
    with world.stores.database.reading():
        if world.stores.database.kind == "sqlite":
            plan = [
                row[3] for row in bound_database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
            ]
            found = [
                str(match[1])
                for step in plan
                if (match := re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step))
                and match[2] not in partial_indexes()
            ]
        else:
            bound_database.execute_sql("SET enable_seqscan = off")
            plan = [row[0] for row in bound_database.execute_sql(f"EXPLAIN {sql}", values).fetchall()]
            bound_database.execute_sql("SET enable_seqscan = on")
            found = [str(match[1]) for step in plan if (match := re.search(r"Seq Scan on (\w+)", step))]
    return {names.get(name, name) for name in found}


def partial_indexes() -> set[str]:
    found = bound_database.execute_sql(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '%WHERE%'"
    )
    return {name for (name,) in found.fetchall()}


@pytest.mark.sqlite
def test_what_refers_to_a_row_that_is_removed_is_found_by_an_index(world: World) -> None:
    """The database looks for rows that refer to one it removes, by itself and for each."""
    parents = set(DESTROYED)
    with world.stores.database.reading():
        for model in ALL:
            table = model._meta.table_name
            keys = bound_database.execute_sql(f"PRAGMA foreign_key_list({table})").fetchall()
            indexed = {
                bound_database.execute_sql(f"PRAGMA index_info({row[1]})").fetchall()[0][2]
                for row in bound_database.execute_sql(f"PRAGMA index_list({table})").fetchall()
            }
            for key in keys:
                assert key[2] not in parents or key[3] in indexed, f"{table}.{key[3]} has no index"
