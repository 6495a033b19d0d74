"""The rules for one transfer."""

from __future__ import annotations

from collections.abc import Iterator

from stasis_callback.core.money import format_amount
from stasis_callback.store.audit.rows import BookLine, TransferRow
from stasis_callback.store.money.chain import lines_hash, transfer_content

_KINDS = {
    "settle": ("settle:", {"revenue", "overrun"}),
    "topup": ("topup:", {"cash"}),
    "voucher": ("voucher:", {"vouchers"}),
    "adjustment": ("adjust:", {"adjustments"}),
    "reversal": ("reverse:", None),
}
"""The beginning of the key of each kind of transfer, and the house's books that it may be booked to."""


def content(row: TransferRow) -> tuple[object, ...]:
    """The content covered by the seal."""
    voucher = row.voucher
    return transfer_content(
        key=row.key,
        input_hash=row.input_hash,
        kind=row.kind,
        note=row.note,
        operator=row.operator,
        reverses=row.original_key,
        created_at_us=row.created_at_us,
        balance_micros=row.balance_micros,
        about=(voucher.seal, voucher.redeemed_by_id, voucher.redeemed_at_us) if voucher else (),
    )


def moved(row: TransferRow, book_id: int) -> int:
    """The amount it moved in a book."""
    return sum(line.amount_micros for line in row.lines if line.book_id == book_id)


def examine(row: TransferRow, book_id: int) -> Iterator[str]:
    """What is wrong with a transfer of this book, but for its seal."""
    yield from _entries(row)
    if row.kind not in _KINDS:
        yield f"transfer {row.id} has an unknown kind: {row.kind}"
        return
    yield from _kind(row, book_id)
    if row.kind == "settle" and row.xdr_id is None:
        yield f"leg {row.leg_id} was charged but has no xDR"
    elif row.kind == "reversal":
        yield from _reversal(row)
    elif row.kind == "voucher":
        yield from _voucher(row, book_id)


def _entries(row: TransferRow) -> Iterator[str]:
    """They sum to nothing in each currency, and are those that were entered."""
    sums: dict[str, int] = {}
    for line in row.lines:
        sums[line.currency] = sums.get(line.currency, 0) + line.amount_micros
    for currency, total in sums.items():
        if total:
            yield f"transfer {row.id} sums to {format_amount(total, currency)}, not to 0"
    if row.input_hash != lines_hash(row.kind, _moved(row.lines)):
        yield f"transfer {row.id}: the hash of its content does not match its entries"


def _kind(row: TransferRow, book_id: int) -> Iterator[str]:
    """Key and books must fit the kind of the transfer."""
    prefix, houses = _KINDS[row.kind]
    if not row.key.startswith(prefix):
        yield f"transfer {row.id}: {row.key} is not the key of a {row.kind}"
    for line in row.lines:
        if line.house:
            if houses is not None and line.book not in [f"house:{name}:{line.currency}" for name in houses]:
                yield f"transfer {row.id}: a {row.kind} is booked to {line.book}"
        elif line.book_id != book_id:
            yield f"transfer {row.id} moves {line.book} but is in the chain of another book"


def _reversal(row: TransferRow) -> Iterator[str]:
    """A reversal is the mirror image of what it takes back."""
    mirrored = sorted((book, -amount) for book, amount in _moved(row.original_lines))
    if row.key != f"reverse:{row.original_id}" or sorted(_moved(row.lines)) != mirrored:
        yield f"transfer {row.id} does not reverse transfer {row.original_id}"


def _voucher(row: TransferRow, book_id: int) -> Iterator[str]:
    """The amount paid in must be the value of the voucher, into the book of the account that redeemed it."""
    voucher, named = row.voucher, row.key.replace(":", " ")
    if voucher is None:
        yield f"{named} was paid in but does not exist"
        return
    if voucher.state != "redeemed":
        yield f"{named} was paid in but is not redeemed"
    elif voucher.book_id != book_id:
        yield f"{named} was paid into another book than that of the account that redeemed it"
    if any(line.currency != voucher.currency for line in row.lines):
        yield f"{named} is in {voucher.currency}, but was paid into a book in another currency"
    if voucher.amount_micros != moved(row, book_id):
        worth, paid = format_amount(voucher.amount_micros), format_amount(moved(row, book_id))
        yield f"{named} is worth {worth}, {paid} were paid in"


def _moved(lines: list[BookLine]) -> list[tuple[int, int]]:
    return [(line.book_id, line.amount_micros) for line in lines]
