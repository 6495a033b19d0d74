"""What the audit reads: books, and the rows of their chains with everything related.

It uses separate SQL, so that it only shares the column names with the code that writes these rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from stasis_callback.store.database.snapshots import Snapshots
from stasis_callback.store.money.chain import HOLD_COLUMNS, LEG_COLUMNS, MARKS, XDR_COLUMNS, marks

NO_END = 2**62


class Place(NamedTuple):
    """A place in the chain of a book, and what the book had there: the seal of that link, the balance, and what was
    spent on the last day on which anything was.
    """

    link: int = 0
    seal: str = ""
    balance_micros: int = 0
    spent_day: int = 0
    spent_micros: int = 0


class Mark(NamedTuple):
    """A link whose seal was written down elsewhere."""

    link: int
    seal: str


class Position(NamedTuple):
    """Where a walk goes on: at a book, from its beginning or from a place in its chain."""

    book_id: int = 0
    place: Place | None = None


class BookRow(NamedTuple):
    """A subscriber's book, how far its chain was proven before (None: not at all), and what its open holds sum to."""

    id: int
    name: str
    currency: str
    end: Place
    held_micros: int
    credit_limit_micros: int
    proven: Place | None
    holds_micros: int
    damaged: str = ""
    """What of it is no number, where there should be one: nothing can be computed with it then."""


class BookLine(NamedTuple):
    """An entry, with its book."""

    book_id: int
    amount_micros: int
    book: str
    currency: str
    house: bool


@dataclass(slots=True)
class TransferRow:
    """A transfer. `original` is what it takes back (key, id), `voucher` what was paid in with it."""

    link: int
    id: int
    key: str
    input_hash: str
    kind: str
    note: str
    operator: str
    created_at_us: int
    balance_micros: int
    seal: str
    original_key: str | None
    original_id: int | None
    xdr_id: int | None
    """The call record of the leg that it charges."""
    lines: list[BookLine] = field(default_factory=list)
    original_lines: list[BookLine] = field(default_factory=list)
    voucher: VoucherRow | None = None

    @property
    def leg_id(self) -> str:
        """The leg that it charges."""
        return self.key.removeprefix("settle:")


class VoucherRow(NamedTuple):
    """A voucher, and the book of the account that redeemed it."""

    id: int
    seal: str
    amount_micros: int
    currency: str
    state: str
    redeemed_by_id: int | None
    redeemed_at_us: int | None
    book_id: int | None


@dataclass(slots=True)
class XdrRow:
    """A call record; its leg and its hold by their columns (None if missing), the lines of its charge."""

    link: int
    seal: str
    number: str
    number_salt: str
    marks: list[str]
    xdr: dict[str, Any]
    leg: dict[str, Any] | None
    hold: dict[str, Any] | None
    account_book_id: int | None
    charge_id: int | None
    lines: list[BookLine] = field(default_factory=list)


Link = TransferRow | XdrRow


class Piece(NamedTuple):
    """A part of a chain that is to be read: the links behind `after`, up to and with `until`."""

    book_id: int
    after: int
    until: int


# --- books -------------------------------------------------------------------------------------------------------

_BOOKS = """SELECT b.id, b.name, b.currency, b.links, b.head, b.balance_micros, b.spent_day, b.spent_micros,
    b.held_micros, b.credit_limit_micros, p.link, p.seal, p.balance_micros, p.spent_day, p.spent_micros,
    COALESCE(h.held, 0)
    FROM book b LEFT JOIN proof p ON p.book_id = b.id
    LEFT JOIN (SELECT book_id, SUM(amount_micros) AS held FROM hold WHERE state = 'open' GROUP BY book_id) h
        ON h.book_id = b.id
    WHERE NOT b.house AND b.id >= ? {} ORDER BY b.id LIMIT ?"""
_CHANGED = """AND (p.link IS NULL OR p.link <> b.links OR p.seal <> b.head OR p.balance_micros <> b.balance_micros
    OR p.spent_day <> b.spent_day OR p.spent_micros <> b.spent_micros OR b.held_micros <> COALESCE(h.held, 0)
    OR b.balance_micros - b.held_micros + b.credit_limit_micros < 0)"""


def read_books(look: Snapshots, first_id: int, limit: int, *, changed: bool) -> list[BookRow]:
    """Subscribers' books from `first_id` on; with `changed` those that are not as they were proven last."""
    rows = look.rows(_BOOKS.format(_CHANGED if changed else ""), (first_id, limit))
    return [_book(row) for row in rows]


def _book(row: tuple[Any, ...]) -> BookRow:
    end, holds = Place(*row[3:8]), row[15]
    proven: Place | None = Place(*row[10:15])
    # Of whole numbers PostgreSQL gives a sum as a decimal; SQLite gives a fraction where one was not whole.
    damaged = "" if isinstance(holds, int | Decimal) else f"its open holds sum to {holds!r}"
    if row[10] is None and row[11] is None:
        proven = None
    elif not _whole(Place(*row[10:15])):
        damaged = "what was proven of it"
    if not (_whole(end) and type(row[8]) is type(row[9]) is int):
        damaged = "its balance, or another of its numbers"
    return BookRow(
        row[0],
        row[1],
        row[2],
        end=end,
        held_micros=row[8],
        credit_limit_micros=row[9],
        proven=proven,
        holds_micros=0 if damaged else int(holds),
        damaged=damaged,
    )


def _whole(place: Place) -> bool:
    """Whether every number is a whole one: SQLite takes anything."""
    link, sealed, *amounts = place
    return type(link) is int and isinstance(sealed, str) and all(type(amount) is int for amount in amounts)


# --- links -------------------------------------------------------------------------------------------------------

_WANTED = "WITH wanted (book_id, after, until) AS (VALUES {})"
_OF_CHAIN = "w JOIN {0} {1} ON {1}.book_id = w.book_id AND {1}.link > w.after AND {1}.link <= w.until"
_OF_TRANSFERS, _OF_XDRS = _OF_CHAIN.format("transfer", "t"), _OF_CHAIN.format("xdr", "x")
_TRANSFERS = f"""SELECT t.book_id, t.link, t.id, t.key, t.input_hash, t.kind, t.note, t.operator, t.created_at_us,
    t.balance_micros, t.seal, o.key, o.id, x.id FROM wanted {_OF_TRANSFERS}
    LEFT JOIN transfer o ON o.id = t.reverses_id
    LEFT JOIN xdr x ON t.kind = 'settle' AND x.leg_id = substr(t.key, 8)"""
_LINE = "e.book_id, e.amount_micros, b.name, b.currency, b.house"
_ENTRIES = f"""SELECT t.book_id, t.link, {_LINE} FROM wanted {_OF_TRANSFERS}
    JOIN entry e ON e.transfer_id = t.id JOIN book b ON b.id = e.book_id"""
_TAKEN_BACK = f"""SELECT t.book_id, t.link, {_LINE} FROM wanted {_OF_TRANSFERS}
    JOIN entry e ON e.transfer_id = t.reverses_id JOIN book b ON b.id = e.book_id"""
_LEG = (
    "id",
    "request_id",
    "side",
    "account_id",
    "number",
    "dialed_at_us",
    "answered_at_us",
    "trunk_id",
    "state",
)
_LEG_COLUMNS = (*_LEG, *LEG_COLUMNS)


def _named(table: str, columns: Iterable[str]) -> str:
    return ", ".join(f"{table}.{column}" for column in columns)


_XDRS = f"""SELECT x.book_id, x.link, x.seal, x.number, x.number_salt, a.book_id, t.id, h.leg_id,
    {_named("x", MARKS)}, {_named("x", XDR_COLUMNS)}, {_named("l", _LEG_COLUMNS)}, {_named("h", HOLD_COLUMNS)}
    FROM wanted {_OF_XDRS}
    LEFT JOIN leg l ON l.id = x.leg_id LEFT JOIN hold h ON h.leg_id = x.leg_id
    LEFT JOIN account a ON a.id = x.account_id LEFT JOIN transfer t ON t.key = 'settle:' || x.leg_id"""
_CHARGES = f"""SELECT x.book_id, x.link, {_LINE} FROM wanted {_OF_XDRS}
    JOIN transfer t ON t.key = 'settle:' || x.leg_id
    JOIN entry e ON e.transfer_id = t.id JOIN book b ON b.id = e.book_id"""
_VOUCHERS = """SELECT v.id, v.seal, v.amount_micros, v.currency, v.state, v.redeemed_by_id,
    v.redeemed_at_us, a.book_id FROM voucher v LEFT JOIN account a ON a.id = v.redeemed_by_id WHERE v.id IN ({})"""


def read_links(look: Snapshots, pieces: Sequence[Piece]) -> dict[int, list[Link]]:
    """The links of some pieces of chains by book, in their order; where two say the same number, both."""
    wanted = _WANTED.format(", ".join(["(?, ?, ?)"] * len(pieces)))
    values = [value for piece in pieces for value in piece]

    def found(select: str) -> list[tuple[Any, ...]]:
        return look.rows(f"{wanted} {select}", values)

    transfers = {row[:2]: TransferRow(*row[1:]) for row in found(_TRANSFERS)}
    for book_id, link, *line in found(_ENTRIES):
        transfers[book_id, link].lines.append(BookLine(*line))
    if any(row.original_id is not None for row in transfers.values()):
        for book_id, link, *line in found(_TAKEN_BACK):
            transfers[book_id, link].original_lines.append(BookLine(*line))
    _add_vouchers(look, [row for row in transfers.values() if row.kind == "voucher"])
    xdrs = {row[:2]: _xdr(row) for row in found(_XDRS)}
    for book_id, link, *line in found(_CHARGES):
        xdrs[book_id, link].lines.append(BookLine(*line))
    links: dict[int, list[Link]] = {}
    every: list[tuple[Any, Link]] = [*transfers.items(), *xdrs.items()]
    for (book_id, _), row in sorted(every, key=lambda item: item[0]):
        links.setdefault(book_id, []).append(row)
    return links


def _add_vouchers(look: Snapshots, paid: Sequence[TransferRow]) -> None:
    ids = {row.key: row.key.removeprefix("voucher:") for row in paid}
    known = [int(text) for text in ids.values() if text.isascii() and text.isdigit() and len(text) < 19]
    if not known:
        return
    rows = look.rows(_VOUCHERS.format(", ".join("?" * len(known))), known)
    vouchers = {str(row[0]): VoucherRow(*row) for row in rows}
    for transfer in paid:
        transfer.voucher = vouchers.get(ids[transfer.key])


def _xdr(row: tuple[Any, ...]) -> XdrRow:
    _, link, seal, number, salt, account_book_id, charge_id, held, *rest = row
    xdr_end = len(MARKS) + len(XDR_COLUMNS)
    leg_end = xdr_end + len(_LEG_COLUMNS)
    marked = dict(zip(MARKS, rest, strict=False))
    xdr = dict(zip(XDR_COLUMNS, rest[len(MARKS) : xdr_end], strict=True))
    leg = dict(zip(_LEG_COLUMNS, rest[xdr_end:leg_end], strict=True))
    hold = dict(zip(HOLD_COLUMNS, rest[leg_end:], strict=True))
    return XdrRow(
        link,
        seal,
        number,
        salt,
        marks(marked),
        xdr,
        leg if leg["id"] is not None else None,
        hold if held is not None else None,
        account_book_id,
        charge_id,
    )
