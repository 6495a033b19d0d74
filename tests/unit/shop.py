"""A small business on an empty database, for tests of the store: no Asterisk, and a clock that tests set."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import peewee
import psycopg
from databases import Databases

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.money import parse_amount
from stasis_callback.core.outcomes import Outcome
from stasis_callback.core.rating import Rate
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.store import models
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.calls.legs import Fare, LegEnd, Side
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.database.tables import bound_database, keys_of
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.store.stores import Stores, open_stores

NOON_US = 1_800_000_000 * US_PER_S
UK_RATE = Rate("44", first_price_micros=600_000, next_price_micros=600_000)
"""One cent a second, so that amounts in tests can be read."""


class SetClock(Clock):
    """Time stands still until a test moves it."""

    def __init__(self, now_us: int = NOON_US) -> None:
        self.at_us = now_us

    def now_us(self) -> int:
        return self.at_us

    def mark(self, ago_s: float = 0.0) -> str:
        return f"shop:{self.at_us - int(ago_s * US_PER_S)}"

    def passes(self, seconds: float) -> None:
        self.at_us += int(seconds * US_PER_S)


Rows = list[dict[str, Any]]
_TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
_GUARDED = ("transfer", "entry", "xdr", "rate", "tariff_terms", "repair", "audit_entry")


class Shop:
    """An open database with the customer `people`, the tariff `standard` and the product `callback`, all in USD."""

    def __init__(self, folder: Path, now_us: int = NOON_US) -> None:
        self.clock = SetClock(now_us)
        self.url = Databases.new(folder, "shop")
        self.file = folder / "shop.db"
        """The database as a file; only there on SQLite."""
        self._made = 0
        self.stores: Stores = open_stores(self.url, "node1", self.clock)
        try:
            self._furnish()
        except BaseException:
            self.stores.database.close()  # only one is open at a time, and the next test has another
            raise

    def _furnish(self) -> None:
        self.stores.nodes.enter()
        self.stores.tariffs.add("standard", "USD")
        self.stores.tariffs.put_rates("standard", [NewRate(UK_RATE)])
        self.stores.accounts.add_product("callback", "standard")
        self.stores.accounts.add_customer("people", "USD")

    def account(self, number: str = "100", *, funds: str = "10.00", **values: Any) -> AccountView:
        """An account with some money in it."""
        account = self.stores.accounts.add(number, customer="people", product="callback", **values)
        if funds != "0":
            self.stores.ledger.top_up(account.book_id, parse_amount(funds), key=f"first-{number}")
        return self.stores.accounts.get(account.id)

    def money(self, account: AccountView) -> tuple[int, int]:
        """Balance and held funds of an account, in cents."""
        now = self.stores.accounts.get(account.id)
        return now.balance_micros // 10_000, now.held_micros // 10_000

    def missed_call(self, account: AccountView, *, key: str = "", limit: int = 1000, **options: str) -> str:
        """Ask for a callback; the reason for a refusal, or ""."""
        self._made += 1
        return self.stores.requests.accept(
            CallbackRequest(key or f"call-{self._made}", "ani", account.number, "800"),
            account_id=account.id,
            subscriber_id=account.id,
            leg_a_number=account.number,
            stored_options=options,
            queue_limit=limit,
        )

    def request(self, account: AccountView) -> RequestView:
        """A callback of which leg A is about to be dialled."""
        assert self.missed_call(account) == ""
        (request,) = self.stores.requests.claim(1)
        return request

    def leg(
        self, leg_id: str, account: AccountView, request: RequestView, *, hold: str, side: Side = "b"
    ) -> bool:
        """Open a leg to the United Kingdom with some funds held for it."""
        rate = self.stores.tariffs.match(account.tariff_id, "442071234567")
        assert rate is not None
        return self.stores.calls.open_leg(
            leg_id, request.id, side, Fare(account, "442071234567", rate), parse_amount(hold)
        )

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Everything in the database."""
        with self.stores.database.reading():
            return {model.__name__: _rows_of(model) for model in models.ALL}

    def unlock(self, table: str) -> None:
        """Let an append-only table be changed, behind the product's back."""
        if self.stores.database.kind == "sqlite":
            self.sql(f"DROP TRIGGER {table}_no_update", f"DROP TRIGGER {table}_no_delete")
        else:
            self.sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")

    @contextmanager
    def unguarded(self) -> Iterator[None]:
        """Within the block append-only tables can be changed; afterwards they are as before."""
        if self.stores.database.kind == "sqlite":
            with self.stores.database.reading():
                triggers = bound_database.execute_sql(_TRIGGERS).fetchall()
            self.sql(*(f"DROP TRIGGER {name}" for name, _ in triggers))
            yield
            self.sql(*(made for _, made in triggers))
        else:
            for how in ("DISABLE", "ENABLE"):
                self.sql(*(f"ALTER TABLE {table} {how} TRIGGER USER" for table in _GUARDED))
                if how == "DISABLE":
                    yield

    def edit(self, *statements: str) -> None:
        """Change the database with a shell: no trigger and no foreign key is in the way, and all are there again."""
        if self.stores.database.kind == "sqlite":
            with closing(
                sqlite3.connect(self.file)
            ) as shell:  # foreign keys are off unless they are asked for
                triggers = shell.execute(_TRIGGERS).fetchall()
                before, after = (
                    [f"DROP TRIGGER {name}" for name, _ in triggers],
                    [made for _, made in triggers],
                )
                for statement in (*before, *statements, *after):
                    shell.execute(statement)
                shell.commit()
        else:
            with psycopg.connect(self.url) as line:
                line.execute("SET session_replication_role = replica")
                for statement in statements:
                    line.execute(statement)

    def sql(self, *statements: str) -> None:
        """Change the database behind the product's back."""
        with self.stores.database.transaction():
            for statement in statements:
                bound_database.execute_sql(statement)


def _rows_of(model: type[peewee.Model]) -> Rows:
    sql, fields = _select(model)
    return [
        {name: value_of(value) for (name, value_of), value in zip(fields, row, strict=True)}
        for row in bound_database.execute_sql(sql).fetchall()
    ]


@cache
def _select(model: type[peewee.Model]) -> tuple[str, list[tuple[str, Callable[[Any], Any]]]]:
    """Put together once: tests that look at everything again and again spent most of their time on it."""
    fields = model._meta.sorted_fields
    columns = ", ".join(f'"{field.column_name}"' for field in fields)
    keys = ", ".join(f'"{field.column_name}"' for field in keys_of(model))
    sql = f'SELECT {columns} FROM "{model._meta.table_name}" ORDER BY {keys}'
    return sql, [(field.name, field.python_value) for field in fields]


def talked(seconds: float, *, outcome: Outcome = Outcome.ANSWERED) -> LegEnd:
    """The end of a leg that was answered at noon and lasted some seconds."""
    return LegEnd(NOON_US, NOON_US + int(seconds * US_PER_S), outcome, 16, "events")


UNANSWERED = LegEnd(None, NOON_US, Outcome.BUSY, 17, "events")


@contextmanager
def open_shop(folder: Path, now_us: int = NOON_US) -> Iterator[Shop]:
    shop = Shop(folder, now_us)
    try:
        yield shop
    finally:
        shop.stores.database.close()
        Databases.remove(shop.url)
