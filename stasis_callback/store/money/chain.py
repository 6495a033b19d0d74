"""The chain of a book: each transfer and each xDR that it pays for carries a seal over itself and the seal before it.

A seal is SHA-256 over the seal before (of the book itself for the first one) and over what the row says, as JSON. So
changing, moving, inserting or deleting a row directly breaks the chain at that place, and recalculating the chain
changes all seals after it, including the book's `head`: a checkpoint stored elsewhere reveals this
(docs/decisions/0017-books-that-prove-themselves.md).

The contents defined here must never change, because old rows are verified with them. New columns are appended.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stasis_callback.core.errors import require

_MASKED = re.compile(r"[0-9]{0,5}x+", re.ASCII)


@dataclass(slots=True)
class Chain:
    """The end of a book's chain. To append to it, the book's row must be locked until the commit."""

    book_id: int
    name: str
    currency: str
    links: int
    head: str
    balance_micros: int

    def append(self, content: Sequence[object]) -> tuple[int, str]:
        """Seal a row behind the last one; its number in the chain, and its seal."""
        self.head = seal(self.head if self.links else first_seal(self.name, self.currency), content)
        self.links += 1
        return self.links, self.head


def first_seal(book: str, currency: str) -> str:
    """What stands before the first link of a book."""
    return seal("", ("book", book, currency))


def seal(previous: str, content: Sequence[object]) -> str:
    """The seal of a row that stands behind the seal `previous`."""
    text = previous + json.dumps(content)
    return hashlib.sha256(text.encode()).hexdigest()


def transfer_content(
    *,
    key: str,
    input_hash: str,
    kind: str,
    note: str,
    operator: str,
    reverses: str | None,
    created_at_us: int,
    balance_micros: int,
    about: Sequence[object] = (),
) -> tuple[object, ...]:
    """What a transfer says: `input_hash` is over its entries, `reverses` is the key of what it takes back,
    `balance_micros` what its book has after it, `about` what it was paid with.
    """
    words = (key, input_hash, kind, note, operator, reverses, created_at_us, balance_micros)
    return ("transfer", *words, *about)


def lines_hash(kind: str, lines: Iterable[tuple[int, int]]) -> str:
    """What makes two postings the same: `transfer.input_hash`."""
    moved = sorted((book, amount) for book, amount in lines if amount)
    return hashlib.sha256(repr((kind, moved)).encode()).hexdigest()


XDR_COLUMNS = (
    "leg_id", "request_id", "side", "account_id", "number_hash", "prefix", "dialed_at_us", "answered_at_us",
    "ended_at_us", "duration_us", "charged_s", "amount_micros", "overrun_micros", "currency", "outcome", "cause",
    "source", "created_at_us", "trunk_id", "cost_micros", "cost_currency",
)  # fmt: skip
"""What an xDR says, in the order of its seal."""
LEG_COLUMNS = ("rate_id", "terms_id", "cost_rate_id", "cost_terms_id")
"""What its leg says beyond that."""
HOLD_COLUMNS = ("book_id", "amount_micros", "state", "created_at_us", "closed_at_us")
"""The hold of the leg, closed."""


def xdr_content(
    xdr: Sequence[object], leg: Sequence[object], hold: Sequence[object], marked: Sequence[str] = ()
) -> tuple[object, ...]:
    """What an xDR and the settled leg and closed hold behind it say: values in the order of the columns above.

    `marked` are its `marks`, a word more for each; older xDRs have none.
    """
    return ("xdr", *xdr, *leg, *hold, *marked)


MARKS = {"clock_suspect": "clock suspect", "no_media": "no media"}
"""Columns of an xDR that say something unusual of it, and the word for it in its seal."""


def marks(xdr: Mapping[str, object]) -> list[str]:
    """What is unusual about an xDR, in the words of its seal."""
    return [word for column, word in MARKS.items() if xdr[column]]


def voucher_content(
    code_hash: str,
    batch: str,
    amount_micros: int,
    currency: str,
    expires_at_us: int | None,
    created_at_us: int,
) -> tuple[object, ...]:
    """What a voucher says from the moment it is made. It is sealed by itself, behind nothing."""
    return ("voucher", code_hash, batch, amount_micros, currency, expires_at_us, created_at_us)


# --- numbers that may be forgotten ------------------------------------------------------------------------------


def hidden_number(number: str) -> tuple[str, str]:
    """A fresh salt, and the hash that stands for a number in a seal. Without the salt, nobody guesses the number."""
    salt = secrets.token_hex(16)
    return salt, number_hash(salt, number)


def number_hash(salt: str, number: str) -> str:
    """The hash that stands for a number in a seal."""
    require(salt != "", "a number must be hashed with a salt")
    return hashlib.sha256(f"{salt}{number}".encode()).hexdigest()


def forgotten(number: str) -> str:
    """What is left of a number that is forgotten: the country, and how long it was (`44207xxxxxxx`)."""
    shown = 5 if len(number) >= 9 else 2
    return number[:shown] + "x" * max(len(number) - shown, 1)


def is_forgotten(number: str) -> bool:
    """Whether this is what `forgotten` leaves, and no number that somebody put there."""
    return _MASKED.fullmatch(number) is not None
