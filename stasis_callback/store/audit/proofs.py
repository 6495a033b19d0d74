"""How far the books are verified: stored in the database, where `ledger verify` continues, and in checkpoint files.

Anyone who can write to the database can forge what is stored in it. A checkpoint stores the same in a file: for each
book the seal of its last link, which covers everything before. To rewrite history, the file must be changed too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import Any

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import format_amount
from stasis_callback.store.audit.rows import Mark, Place, Position
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.snapshots import open_snapshots
from stasis_callback.store.database.statements import run, run_many

FORMAT = "stasis-callback checkpoint 1"
CHAINS = "chain"
"""The name of the round along the chains; those of tables have the tables' names."""

_SAVE = """INSERT INTO proof (book_id, link, seal, balance_micros, spent_day, spent_micros)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (book_id) DO UPDATE SET link = excluded.link, seal = excluded.seal,
    balance_micros = excluded.balance_micros, spent_day = excluded.spent_day, spent_micros = excluded.spent_micros
    WHERE proof.link <= excluded.link"""
_SAVE_ROUND = """INSERT INTO proof_round (name, position) VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET position = excluded.position"""
_PROVEN = """SELECT b.name, b.currency, p.link, p.seal, p.balance_micros FROM proof p JOIN book b ON b.id = p.book_id
    WHERE p.link > 0 ORDER BY b.name"""


class Proofs:
    """The tables of what is proven."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @unit
    def save(self, proven: Sequence[tuple[int, Place]]) -> None:
        """Note how far the chains of some books are proven; never less far than before."""
        run_many(_SAVE, [(book_id, *place) for book_id, place in proven])

    @unit
    def save_rounds(self, rounds: Mapping[str, object]) -> None:
        """Note where each round goes on."""
        run_many(_SAVE_ROUND, [(name, json.dumps(position)) for name, position in rounds.items()])

    @read
    def rounds(self) -> dict[str, Any]:
        """Where each round goes on; a round of which that cannot be read begins anew."""
        rounds = {}
        for name, position in run("SELECT name, position FROM proof_round").fetchall():
            with suppress(ValueError):
                rounds[name] = json.loads(position)
        return rounds


def position_from(stored: Any) -> Position:
    """Where the round along the chains goes on, as `save_rounds` keeps it."""
    try:
        book_id, place = stored
        position = Position(int(book_id), None if place is None else Place._make(place))
        known = position.place or Place()
        kinds = [type(value) for value in known]
        return position if kinds == [type(value) for value in Place()] else Position()
    except (TypeError, ValueError):
        return Position()


# --- checkpoints -------------------------------------------------------------------------------------------------


def checkpoint(database: Database, made_at: str) -> dict[str, object]:
    """How far every book is proven, and what is in it there: a JSON object to keep elsewhere."""
    with closing(open_snapshots(database)) as looks, looks.look():
        rows = looks.rows(_PROVEN)
    sums: dict[str, int] = {}
    for _, currency, _, _, balance in rows:
        sums[currency] = sums.get(currency, 0) + balance
    books = [
        {"book": name, "links": link, "seal": sealed, "balance": format_amount(balance, currency)}
        for name, currency, link, sealed, balance in rows
    ]
    return {
        "format": FORMAT,
        "made_at": made_at,
        "links": sum(row[2] for row in rows),
        "balances": {currency: format_amount(total) for currency, total in sorted(sums.items())},
        "digest": _digest(books),
        "books": books,
    }


def marks_of(text: str) -> dict[str, Mark]:
    """The marks of a checkpoint by book name. Raises InvalidInput if it is not a checkpoint, or was changed."""
    try:
        kept = json.loads(text)
        books = kept["books"]
        known = kept["format"] == FORMAT
        marks = {str(book["book"]): Mark(int(book["links"]), str(book["seal"])) for book in books}
        whole = kept["digest"] == _digest(books)
    except (ValueError, KeyError, TypeError, RecursionError):
        known = whole = False
        marks = {}
    if not known:
        raise InvalidInput("not a checkpoint: use a file written by `stasis-callback ledger checkpoint`")
    if not whole:
        raise InvalidInput("the checkpoint is damaged: its digest does not match its contents")
    return marks


def _digest(books: object) -> str:
    return hashlib.sha256(json.dumps(books, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
