"""What is looked at beside the chains: what is open, what is in no chain, and tables row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

from stasis_callback.store.database.snapshots import Snapshots
from stasis_callback.store.money.chain import seal, voucher_content

ROWS_AT_A_LOOK = 2000

_OPEN = (
    (
        "the hold of leg {} is open though the leg is settled",
        "SELECT h.leg_id FROM hold h JOIN leg l ON l.id = h.leg_id WHERE h.state = 'open' AND l.state = 'settled'",
    ),
    (
        "leg {} is not settled although its callback has ended",
        """SELECT l.id FROM leg l JOIN request r ON r.id = l.request_id
            WHERE l.state <> 'settled' AND r.finished_at_us IS NOT NULL""",
    ),
    (
        "leg {} is not settled, but its hold is closed",
        "SELECT l.id FROM leg l JOIN hold h ON h.leg_id = l.id WHERE l.state <> 'settled' AND h.state <> 'open'",
    ),
    (
        "leg {} is not settled, and has no hold",
        """SELECT l.id FROM leg l LEFT JOIN hold h ON h.leg_id = l.id
            WHERE l.state <> 'settled' AND h.leg_id IS NULL""",
    ),
    (
        "leg {} has an xDR but is not settled",
        "SELECT l.id FROM leg l JOIN xdr x ON x.leg_id = l.id WHERE l.state <> 'settled'",
    ),
    ("transfer {} is in no chain", "SELECT id FROM transfer WHERE book_id IS NULL"),
    ("leg {}: its xDR is in no chain", "SELECT leg_id FROM xdr WHERE book_id IS NULL"),
    (
        "transfer {} is in the chain of a house book",
        "SELECT t.id FROM book b JOIN transfer t ON t.book_id = b.id WHERE b.house",
    ),
    (
        "leg {}: its xDR is in the chain of a house book",
        "SELECT x.leg_id FROM book b JOIN xdr x ON x.book_id = b.id WHERE b.house",
    ),
    (
        "{} is a house book but has a balance",
        "SELECT name FROM book WHERE house AND (balance_micros <> 0 OR held_micros <> 0 OR links <> 0)",
    ),
)
"""What an index finds at once, however large the tables are."""


def standing(looks: Snapshots) -> Iterator[str]:
    """What is wrong at this moment with what is open, and what is in no chain."""
    with looks.look():
        for sentence, select in _OPEN:
            for (name,) in looks.rows(select):
                yield sentence.format(name)


Key = int | str


class TableCheck(NamedTuple):
    """A table that is gone through in the order of its ids. `wrong` says what is wrong behind one of them and up to
    another.
    """

    name: str
    before_first: Key
    wrong: Callable[[Snapshots, Key, Key], Iterator[str]]


def rows_until(looks: Snapshots, table: TableCheck, after: Key) -> Key | None:
    """The id of the last of the next rows behind an id; None at the end of the table."""
    ids = f"SELECT id FROM {table.name} WHERE id > ? ORDER BY id LIMIT ?"
    [(last,)] = looks.rows(f"SELECT MAX(id) FROM ({ids}) AS found", (after, ROWS_AT_A_LOOK))
    return None if last is None else cast(Key, last)


def _legs(looks: Snapshots, after: Key, last: Key) -> Iterator[str]:
    select = """SELECT l.id FROM leg l LEFT JOIN xdr x ON x.leg_id = l.id
        WHERE l.id > ? AND l.id <= ? AND l.state = 'settled' AND x.id IS NULL"""
    for (leg_id,) in looks.rows(select, (after, last)):
        yield f"leg {leg_id} is settled but has no xDR"


def _entries(looks: Snapshots, after: Key, last: Key) -> Iterator[str]:
    select = """SELECT e.id FROM entry e LEFT JOIN transfer t ON t.id = e.transfer_id
        WHERE e.id > ? AND e.id <= ? AND t.id IS NULL"""
    for (entry_id,) in looks.rows(select, (after, last)):
        yield f"entry {entry_id} belongs to no transfer"


def _vouchers(looks: Snapshots, after: Key, last: Key) -> Iterator[str]:
    select = """SELECT v.id, v.state, v.redeemed_by_id, v.redeemed_at_us, t.id, v.seal, v.code_hash, v.batch,
            v.amount_micros, v.currency, v.expires_at_us, v.created_at_us
        FROM voucher v LEFT JOIN transfer t ON t.key = 'voucher:' || v.id WHERE v.id > ? AND v.id <= ?"""
    for voucher_id, state, owner_id, at_us, paid_in, sealed, *said in looks.rows(select, (after, last)):
        if sealed != seal("", voucher_content(*said)):
            yield f"voucher {voucher_id} does not match its seal"
        if state == "redeemed" and paid_in is None:
            yield f"voucher {voucher_id} is redeemed but was not paid in"
        if state != "redeemed" and (owner_id is not None or at_us is not None):
            yield f"voucher {voucher_id} is not redeemed, but says by whom or when"


TABLES = (TableCheck("leg", "", _legs), TableCheck("entry", 0, _entries), TableCheck("voucher", 0, _vouchers))
