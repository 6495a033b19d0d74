"""What is looked at beside the chains: what is open, what is in no chain, and tables row by row."""

from __future__ import annotations

from collections.abc import Iterator

from stasis_callback.store.audit.by_rows import Key, TableCheck, is_odd
from stasis_callback.store.database.guards import wrong_guards
from stasis_callback.store.database.snapshots import Snapshots
from stasis_callback.store.money.chain import seal, voucher_content

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
    (
        "leg {} is not settled, and its callback does not exist",
        """SELECT l.id FROM leg l LEFT JOIN request r ON r.id = l.request_id
            WHERE l.state <> 'settled' AND r.id IS NULL""",
    ),
    (
        "leg {} is not settled, and its account does not exist",
        """SELECT l.id FROM leg l LEFT JOIN account a ON a.id = l.account_id
            WHERE l.state <> 'settled' AND a.id IS NULL""",
    ),
    (
        "funds are held for leg {}, which does not exist: see `stasis-callback ledger repair`",
        "SELECT h.leg_id FROM hold h LEFT JOIN leg l ON l.id = h.leg_id WHERE h.state = 'open' AND l.id IS NULL",
    ),
    (
        "the hold of leg {} is open, but its book does not exist",
        "SELECT h.leg_id FROM hold h LEFT JOIN book b ON b.id = h.book_id WHERE h.state = 'open' AND b.id IS NULL",
    ),
    (
        "the amount held for leg {} is no whole number",
        f"SELECT leg_id FROM hold WHERE state = 'open' AND ({is_odd('amount_micros')})",
    ),
    (
        "product {}: a tariff for one of its access codes is in another currency than its usual one",
        """SELECT p.name FROM product_code c JOIN product p ON p.id = c.product_id
            JOIN tariff t ON t.id = p.tariff_id JOIN tariff o ON o.id = c.tariff_id WHERE o.currency <> t.currency""",
    ),
    (
        "trunk {}: its tariff is in another currency than its vendor bills in",
        """SELECT k.name FROM trunk k JOIN tariff t ON t.id = k.tariff_id JOIN vendor v ON v.id = k.vendor_id
            WHERE t.currency <> v.currency""",
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
    """What is wrong at this moment with what is open, what is in no chain, and what keeps tables append-only."""
    with looks.look():
        applied = {name for (name,) in looks.rows("SELECT name FROM schema_migration")}
        yield from wrong_guards(looks.kind, looks.rows, applied)
        for sentence, select in _OPEN:
            for (name,) in looks.rows(select):
                yield sentence.format(name)


def _legs(looks: Snapshots, after: Key, last: Key) -> Iterator[str]:
    select = """SELECT l.id, x.id, r.id FROM leg l LEFT JOIN xdr x ON x.leg_id = l.id
        LEFT JOIN request r ON r.id = l.request_id
        WHERE l.id > ? AND l.id <= ? AND l.state = 'settled' AND (x.id IS NULL OR r.id IS NULL)"""
    for leg_id, xdr_id, request_id in looks.rows(select, (after, last)):
        if xdr_id is None:
            yield f"leg {leg_id} is settled but has no xDR"
        if request_id is None:
            yield f"leg {leg_id} is settled, but its callback does not exist"


_LIVE = ("queued", "dialing", "talking")
# Legs are only counted where one more may be called.
_REQUESTS = f"""SELECT r.id, r.state, r.outcome, r.finished_at_us, r.claims, r.attempts FROM request r
    WHERE r.id > ? AND r.id <= ? AND (r.attempts > r.claims OR CASE WHEN r.state IN {_LIVE}
        THEN r.finished_at_us IS NOT NULL OR r.outcome = 'completed' OR r.claims < (
            SELECT COUNT(*) FROM leg l WHERE l.request_id = r.id AND l.side = 'a'
            AND substr(l.id, 1, length(r.id) + 2) = r.id || '-a' AND replace(l.id, '.', '') = l.id)
        ELSE r.finished_at_us IS NULL END)"""


def _requests(looks: Snapshots, after: Key, last: Key) -> Iterator[str]:
    """A callback that waits, or is under way, is not over; and it was begun as often as leg A was called."""
    for request_id, state, outcome, ended_at_us, claims, attempts in looks.rows(_REQUESTS, (after, last)):
        named, waits = f"callback {request_id}", state in _LIVE
        if waits and ended_at_us is not None:
            yield f"{named} is {state}, but it has ended"
        elif waits and outcome == "completed":
            yield f"{named} is {state}, but its parties were connected already"
        elif not waits and ended_at_us is None:
            yield f"{named} is {state}, but it has no time of its end"
        else:
            yield f"{named} was begun {claims} times, but has more calls of leg A, or attempts ({attempts})"


def _entries(looks: Snapshots, after: Key, last: Key) -> Iterator[str]:
    select = f"""SELECT e.id, t.id, b.id FROM entry e LEFT JOIN transfer t ON t.id = e.transfer_id
        LEFT JOIN book b ON b.id = e.book_id WHERE e.id > ? AND e.id <= ?
        AND (t.id IS NULL OR b.id IS NULL OR {is_odd("e.amount_micros")})"""
    for entry_id, transfer_id, book_id in looks.rows(select, (after, last)):
        if transfer_id is None:
            yield f"entry {entry_id} belongs to no transfer"
        if book_id is None:
            yield f"entry {entry_id} is of a book that does not exist"
        if transfer_id is not None and book_id is not None:
            yield f"the amount of entry {entry_id} is no whole number"


def _vouchers(looks: Snapshots, after: Key, last: Key) -> Iterator[str]:
    select = """SELECT v.id, v.state, v.redeemed_by_id, v.redeemed_at_us, t.id, v.seal, v.code_hash, v.batch,
            v.amount_micros, v.currency, v.expires_at_us, v.created_at_us
        FROM voucher v LEFT JOIN transfer t ON t.key = 'voucher:' || v.id WHERE v.id > ? AND v.id <= ?"""
    for voucher_id, state, owner_id, at_us, paid_in, sealed, *said in looks.rows(select, (after, last)):
        try:
            as_sealed = sealed == seal("", voucher_content(*said))
        except TypeError:  # bytes, which no value is
            as_sealed = False
        if not as_sealed:
            yield f"voucher {voucher_id} does not match its seal"
        if state == "redeemed" and paid_in is None:
            yield f"voucher {voucher_id} is redeemed but was not paid in"
        if state != "redeemed" and (owner_id is not None or at_us is not None):
            yield f"voucher {voucher_id} is not redeemed, but says by whom or when"


TABLES = (
    TableCheck("leg", "", _legs),
    TableCheck("request", "", _requests),
    TableCheck("entry", 0, _entries),
    TableCheck("voucher", 0, _vouchers),
)
