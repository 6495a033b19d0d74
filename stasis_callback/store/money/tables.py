"""The tables of the books: only this subpackage accesses them. No behaviour here.

Amounts are micros, times microseconds since the epoch (UTC).
"""

from __future__ import annotations

from peewee import BigIntegerField, BooleanField, DeferredForeignKey, ForeignKeyField, IntegerField

from stasis_callback.store.database.tables import Table, TextField


class Book(Table):
    """An account of the ledger. House books (revenue, cash, overrun) keep no balance: one hot row.

    `spent_micros` is what was charged on `spent_day` (days since the epoch, UTC), for the daily cap (`spent_today` in
    `ledger.py`). `links` counts the transfers and xDRs of the book's chain, `head` is the seal of the last one (see
    `chain.py`).
    """

    name = TextField(unique=True)
    currency = TextField()
    house = BooleanField()
    balance_micros = BigIntegerField()
    held_micros = BigIntegerField()
    credit_limit_micros = BigIntegerField()
    daily_cap_micros = BigIntegerField(null=True)
    spent_day = IntegerField(default=0)
    spent_micros = BigIntegerField(default=0)
    links = BigIntegerField(default=0)
    head = TextField(default="")


class Hold(Table):
    """Funds set aside for one leg."""

    leg = DeferredForeignKey("LegRow", primary_key=True)
    book = ForeignKeyField(Book)
    amount_micros = BigIntegerField()
    state = TextField()
    created_at_us = BigIntegerField()
    closed_at_us = BigIntegerField(null=True)


class Transfer(Table):
    """One posting. Its key makes it happen once; its entries sum to zero.

    It is link number `link` of the chain of `book`, which has `balance_micros` after it. Null or 0, here and in
    `xdr`, it is where an older service still writes while the tables are new already.
    """

    key = TextField(unique=True)
    input_hash = TextField()
    kind = TextField()
    note = TextField()
    operator = TextField(default="")
    reverses = ForeignKeyField("self", null=True, unique=True)
    created_at_us = BigIntegerField()
    book = ForeignKeyField(Book, null=True)
    link = BigIntegerField(default=0)
    balance_micros = BigIntegerField(default=0)
    seal = TextField(default="")

    class Meta:
        indexes = ((("book", "link"), True),)


class Entry(Table):
    """One line of a transfer: `amount_micros` more (or less) in a book."""

    transfer = ForeignKeyField(Transfer, backref="entries")
    book = ForeignKeyField(Book)
    amount_micros = BigIntegerField()


class Proof(Table):
    """How far the chain of a book is proven, and what the book had there: where `ledger verify` goes on."""

    book = ForeignKeyField(Book, primary_key=True)
    link = BigIntegerField()
    seal = TextField()
    balance_micros = BigIntegerField()
    spent_day = IntegerField()
    spent_micros = BigIntegerField()


class ProofRound(Table):
    """Where `ledger verify` goes on to prove again what it has proven, one row for each thing it goes round."""

    name = TextField(primary_key=True)
    position = TextField()
