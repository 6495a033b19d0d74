"""Whose a book is: accounts, customers and books against each other, and what refers to a book that is gone.

An account has the book of its number, or shares its customer's; a book of a subscriber is somebody's. The product
removes neither books nor accounts, and gives accounts no other number. A customer may be renamed: its book keeps the
name that it was opened with, and the audit log has the customer's names.

These are a row for each account, not for each call, so all of them are looked at in every run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from stasis_callback.core.money import format_amount
from stasis_callback.store.audit.by_rows import ROWS_AT_A_LOOK, Key, TableCheck, is_odd
from stasis_callback.store.database.snapshots import Snapshots

_ACCOUNTS = """SELECT a.number, a.kind, b.name, b.currency, c.name, c.currency, c.book_id, a.book_id, t.currency
    FROM account a LEFT JOIN book b ON b.id = a.book_id LEFT JOIN customer c ON c.id = a.customer_id
    LEFT JOIN product p ON p.id = a.product_id LEFT JOIN tariff t ON t.id = p.tariff_id
    WHERE a.id > ? AND a.id <= ? AND (b.id IS NULL OR c.id IS NULL OR t.id IS NULL OR b.currency <> c.currency
        OR t.currency <> c.currency OR CASE WHEN a.kind = 'subordinate'
            THEN c.book_id IS NULL OR c.book_id <> a.book_id ELSE b.name <> 'account:' || a.number END)"""
_CUSTOMERS = """SELECT c.id, c.name, b.name, c.currency, b.currency
    FROM customer c LEFT JOIN book b ON b.id = c.book_id
    WHERE c.id > ? AND c.id <= ? AND c.book_id IS NOT NULL
    AND (b.id IS NULL OR b.currency <> c.currency OR b.name <> 'customer:' || c.name)"""
_NOBODYS = """SELECT b.id, b.name, b.balance_micros FROM book b
    LEFT JOIN account a ON a.number = substr(b.name, 9) AND a.book_id = b.id
    LEFT JOIN customer c ON c.name = substr(b.name, 10) AND c.book_id = b.id
    WHERE b.id > ? AND b.id <= ? AND NOT b.house AND a.id IS NULL AND c.id IS NULL"""
_NUMBERS = ("balance_micros", "held_micros", "credit_limit_micros", "spent_day", "spent_micros", "links")
_ODD = [
    (column, f"SELECT b.name, b.{column} FROM book b WHERE b.id > ? AND b.id <= ? AND ({condition})")
    for column, condition in [
        *((column, is_odd(f"b.{column}")) for column in _NUMBERS),
        ("daily_cap_micros", f"b.daily_cap_micros IS NOT NULL AND ({is_odd('b.daily_cap_micros')})"),
    ]
]
_RENAMED = "SELECT before FROM audit_entry WHERE noun = 'customer' AND name = ?"
_PROVEN = """SELECT p.book_id, p.link FROM proof p LEFT JOIN book b ON b.id = p.book_id
    WHERE p.book_id > ? AND p.book_id <= ? AND b.id IS NULL"""
_NEXT_BOOK = "SELECT MIN(book_id) FROM {0} WHERE book_id > "
_GONE = (
    f"WITH RECURSIVE seen (book_id, count) AS (SELECT ({_NEXT_BOOK}?), 1 UNION ALL "
    f"SELECT ({_NEXT_BOOK}seen.book_id), count + 1 FROM seen WHERE book_id IS NOT NULL AND count < ?) "
    "SELECT seen.book_id, book.id FROM seen LEFT JOIN book ON book.id = seen.book_id WHERE seen.book_id IS NOT NULL "
    "ORDER BY seen.book_id"
)
"""The next books that have a chain of this table: one step along its index for each."""


def gone_books(looks: Snapshots) -> Iterator[str]:
    """Books that are gone, and have left links."""
    for table in ("transfer", "xdr"):
        after: int | None = -(2**62)
        while after is not None:
            with looks.look():
                found = looks.rows(_GONE.format(table), (after, ROWS_AT_A_LOOK))
            for book_id, there in found:
                if there is None:
                    yield f"book {book_id} does not exist, but its chain is there"
            after = found[-1][0] if len(found) == ROWS_AT_A_LOOK else None


def _accounts(looks: Snapshots, after: Key, last: Key) -> Iterator[str]:
    for row in looks.rows(_ACCOUNTS, (after, last)):
        number, kind, book, currency, customer, pays_in, shared_id, book_id, rated_in = row
        if customer is None or rated_in is None:
            yield f"account {number} has no {'product with a tariff' if customer else 'customer'}"
        elif rated_in != pays_in:
            yield f"account {number} is rated in {rated_in}, its customer pays in {pays_in}"
        if book is None:
            yield f"account {number}: its book does not exist"
            continue
        if customer is not None and currency != pays_in:
            yield f"account {number}: {book} is in {currency}, its customer pays in {pays_in}"
        if kind == "subordinate" and shared_id != book_id:
            yield f"account {number} spends from {book}, which is not the book of its customer {customer}"
        elif kind != "subordinate" and book != f"account:{number}":
            yield f"account {number} spends from {book}, which is not its own book"


def _customers(looks: Snapshots, after: Key, last: Key) -> Iterator[str]:
    for customer_id, name, book, pays_in, currency in looks.rows(_CUSTOMERS, (after, last)):
        if book is None:
            yield f"customer {name}: its book does not exist"
            continue
        if currency != pays_in:
            yield f"customer {name} pays in {pays_in}, {book} is in {currency}"
        names = _names(looks, name)
        if book not in {
            form.format(old) for old in names for form in ("customer:{}", f"customer:{customer_id}:{{}}")
        }:
            yield f"customer {name} has the funds of {book}, which is not its own book"


def _names(looks: Snapshots, name: str) -> set[str]:
    """What a customer is called, and was before, as the audit log has it."""
    names, more = {name}, [name]
    while more:
        for (before,) in looks.rows(_RENAMED, (more.pop(),)):
            try:
                old = json.loads(before).get("name")
            except (ValueError, TypeError, AttributeError):
                continue
            if isinstance(old, str) and old not in names:
                names.add(old)
                more.append(old)
    return names


def _books(looks: Snapshots, after: Key, last: Key) -> Iterator[str]:
    for book_id, name, balance in looks.rows(_NOBODYS, (after, last)):
        if not looks.rows("SELECT 1 FROM customer WHERE book_id = ?", (book_id,)):
            worth = format_amount(balance) if isinstance(balance, int) else balance
            yield f"{name} is the book of no account and no customer; {worth} is in it"
    for column, select in _ODD:
        for name, value in looks.rows(select, (after, last)):
            yield f"{name}: {column} is {value!r}, which is no whole number"


def _proofs(looks: Snapshots, after: Key, last: Key) -> Iterator[str]:
    for book_id, link in looks.rows(_PROVEN, (after, last)):
        yield f"book {book_id} does not exist, but was proven up to link {link} of its chain"


OWNERS = (
    TableCheck("account", 0, _accounts),
    TableCheck("customer", 0, _customers),
    TableCheck("book", 0, _books),
    TableCheck("proof", 0, _proofs, "book_id"),
)
"""Gone through in every run."""
