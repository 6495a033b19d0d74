"""Masks phone numbers of old calls, while the ledger remains verifiable.

The seal of an xDR contains a hash of the number and a salt that is only in this row. When both are removed, the hash
remains, from which the number cannot be recovered, not even by trying all numbers; and the seal is still valid. This
is the only change allowed in the append-only table of xDRs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from stasis_callback.store.database.database import Database
from stasis_callback.store.database.statements import run, run_many
from stasis_callback.store.money.chain import forgotten, number_hash

_OLD = """FROM xdr JOIN request ON request.id = xdr.request_id
    WHERE xdr.ended_at_us < ? AND xdr.number_salt <> '' AND request.finished_at_us IS NOT NULL"""
"""The callback has the numbers too. While it is open it needs them, and later only its legs lead to it."""
_NEXT = f"""SELECT xdr.ended_at_us, xdr.id, xdr.leg_id, xdr.request_id, xdr.number, xdr.number_salt,
    request.ani, request.leg_a_number, request.destination
    {_OLD} AND (xdr.ended_at_us, xdr.id) > (?, ?) ORDER BY xdr.ended_at_us, xdr.id LIMIT ?"""
_COUNT = f"SELECT COUNT(*) {_OLD}"
_XDR = "UPDATE xdr SET number = ?, number_salt = '', number_hash = ? WHERE id = ? AND number_salt = ?"
_LEG = "UPDATE leg SET number = ? WHERE id = ?"
_REQUEST = """UPDATE request SET ani = ?, leg_a_number = ?, destination = ?, source = '', transcript = ''
    WHERE id = ?"""


def pseudonymise(database: Database, before_us: int, batch: int = 500) -> Iterator[int]:
    """Forget the numbers of calls that ended before a time and whose callback is over, in xDR, leg and request.

    How many, after each batch: each is a transaction of its own, so that calls need not wait; who calls this may rest
    in between. Of a number remain the first digits and how many there were. Safe to repeat.
    """
    place: tuple[int, int] = (0, 0)
    while rows := database.read(partial(_next, before_us, place, batch)):
        database.unit(partial(_forget, rows))
        place = rows[-1][:2]
        yield len(rows)


def count_numbers(database: Database, before_us: int) -> int:
    """How many calls `pseudonymise` would forget the numbers of."""
    return int(database.read(lambda: run(_COUNT, before_us).fetchone()[0]))


def _next(before_us: int, place: tuple[int, int], batch: int) -> list[tuple[Any, ...]]:
    return list(run(_NEXT, before_us, *place, batch).fetchall())


def _forget(rows: list[tuple[Any, ...]]) -> None:
    run_many(_REQUEST, [_request(row) for row in rows])
    run_many(_LEG, [(forgotten(row[4]), row[2]) for row in rows])
    run_many(_XDR, [(forgotten(row[4]), number_hash(row[5], row[4]), row[1], row[5]) for row in rows])


def _request(row: tuple[Any, ...]) -> tuple[str, ...]:
    """What is left of the numbers of a callback that is over."""
    numbers = (str(number) for number in row[6:9])
    return (*(forgotten(number) if number else "" for number in numbers), str(row[3]))
