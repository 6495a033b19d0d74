"""The only code that changes money: holds, settlements, top-ups. Double entry, integer micros, append-only.

Rules it keeps (numbers from docs/decisions/0003-money.md):
- a hold is granted by one conditional UPDATE, so any number of parallel calls share an account without overdraft;
- a hold leaves `open` exactly once, by `settle` or `void`;
- a posting happens once per key; the same key with other input is an error, never a second effect;
- more than was held is never taken from the subscriber: the rest is booked to the house's overrun book.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput, require
from stasis_callback.core.money import AMOUNT_LIMIT_MICROS, format_amount
from stasis_callback.core.states import HoldState
from stasis_callback.store.database import Database
from stasis_callback.store.models import Book, Entry, Hold, Transfer


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a leg was charged: `paid_micros` by the account, `overrun_micros` by the house."""

    paid_micros: int
    overrun_micros: int


class Ledger:
    """Money moves. Every method is one transaction, or joins the one it is called in."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    # --- holds -----------------------------------------------------------------------------------------------

    def available_micros(self, book_id: int) -> int:
        """What can still be held: balance minus holds plus credit limit. Certain only inside a transaction."""
        with self._database.reading():
            book = Book.get_by_id(book_id)
            return int(book.balance_micros - book.held_micros + book.credit_limit_micros)

    def hold(self, leg_id: str, book_id: int, amount_micros: int) -> bool:
        """Set funds aside for a new leg; False, and nothing happens, when there are not enough."""
        with self._database.transaction():
            if not self._reserve(book_id, amount_micros):
                return False
            Hold.create(
                leg=leg_id,
                book=book_id,
                amount_micros=amount_micros,
                state=HoldState.OPEN,
                created_at_us=self._clock.now_us(),
            )
            return True

    def change_hold(self, leg_id: str, amount_micros: int) -> bool:
        """Make the open hold of a leg `amount_micros` in all; False when it cannot grow that far."""
        with self._database.transaction():
            self._database.lock(f"hold:{leg_id}")
            hold = Hold.get_by_id(leg_id)
            require(hold.state == HoldState.OPEN, f"the hold of leg {leg_id} is closed: it cannot change")
            if not self._reserve(hold.book_id, amount_micros - hold.amount_micros):
                return False
            Hold.update(amount_micros=amount_micros).where(Hold.leg == leg_id).execute()
            return True

    def held_micros(self, leg_id: str) -> int:
        """The amount of a leg's open hold; 0 when it has none."""
        with self._database.reading():
            hold = Hold.get_or_none(Hold.leg == leg_id, Hold.state == HoldState.OPEN)
            return int(hold.amount_micros) if hold else 0

    def _reserve(self, book_id: int, amount_micros: int) -> bool:
        # One statement that checks and takes: two callers can never both see the same free funds. Giving back
        # (a negative amount) always works.
        free = Book.balance_micros - Book.held_micros + Book.credit_limit_micros
        enough = (free >= amount_micros) if amount_micros > 0 else (Book.id == book_id)
        changed = (
            Book.update(held_micros=Book.held_micros + amount_micros)
            .where(Book.id == book_id, enough)
            .execute()
        )
        return bool(changed == 1)

    # --- the end of a leg --------------------------------------------------------------------------------------

    def settle(self, leg_id: str, amount_micros: int) -> Settlement:
        """Charge a leg and close its hold. Called again it changes nothing and gives the same answer."""
        require(amount_micros >= 0, f"leg {leg_id} cannot be charged {amount_micros}")
        key = f"settle:{leg_id}"
        with self._database.transaction():
            self._database.lock(f"hold:{leg_id}")
            hold = Hold.get_by_id(leg_id)
            overrun = max(amount_micros - hold.amount_micros, 0)
            settlement = Settlement(amount_micros - overrun, overrun)
            currency = Book.get_by_id(hold.book_id).currency
            lines = {hold.book_id: -settlement.paid_micros, self._house("revenue", currency): amount_micros}
            if overrun:
                lines[self._house("overrun", currency)] = -overrun
            # The hold goes first: the book would be below its limit while the funds are both held and taken.
            again = hold.state == HoldState.POSTED
            if not again:
                self._close_hold(hold, HoldState.POSTED)
            require(self._post(key, "settle", "", lines) != again, f"leg {leg_id}: hold and posting disagree")
            return settlement

    def void(self, leg_id: str) -> None:
        """Give a leg's hold back uncharged. A hold that is closed already stays as it is."""
        with self._database.transaction():
            self._database.lock(f"hold:{leg_id}")
            hold = Hold.get_or_none(Hold.leg == leg_id, Hold.state == HoldState.OPEN)
            if hold:
                self._close_hold(hold, HoldState.VOIDED)

    def _close_hold(self, hold: Hold, state: HoldState) -> None:
        closed = (
            Hold.update(state=state, closed_at_us=self._clock.now_us())
            .where(Hold.leg == hold.leg_id, Hold.state == HoldState.OPEN)
            .execute()
        )
        require(closed == 1, f"the hold of leg {hold.leg_id} was closed twice")
        Book.update(held_micros=Book.held_micros - hold.amount_micros).where(
            Book.id == hold.book_id
        ).execute()

    # --- other money -------------------------------------------------------------------------------------------

    def top_up(self, book_id: int, amount_micros: int, *, key: str, note: str = "") -> bool:
        """Add money to a book; False when this key has done so already. Raises InvalidInput for nothing or less."""
        if not 0 < amount_micros <= AMOUNT_LIMIT_MICROS:
            raise InvalidInput(f"a top-up must be more than 0, at most {format_amount(AMOUNT_LIMIT_MICROS)}")
        with self._database.transaction():
            currency = Book.get_by_id(book_id).currency
            lines = {book_id: amount_micros, self._house("cash", currency): -amount_micros}
            return self._post(f"topup:{key}", "topup", note, lines)

    def open_book(self, name: str, currency: str, *, credit_limit_micros: int = 0) -> int:
        """A new, empty book for an account; its id. Raises InvalidInput for a credit limit that is none."""
        _check_credit_limit(credit_limit_micros)
        with self._database.transaction():
            return int(_book(name, currency, house=False, credit_limit_micros=credit_limit_micros).id)

    def set_credit_limit(self, book_id: int, credit_limit_micros: int) -> None:
        """Change how far below zero a book may go. Raises InvalidInput when it is further down already."""
        _check_credit_limit(credit_limit_micros)
        with self._database.transaction():
            changed = (
                Book.update(credit_limit_micros=credit_limit_micros)
                .where(Book.id == book_id, Book.balance_micros - Book.held_micros + credit_limit_micros >= 0)
                .execute()
            )
            if not changed:
                raise InvalidInput(
                    "the account has used more than that credit limit: it must be topped up first"
                )

    def _house(self, purpose: str, currency: str) -> int:
        name = f"house:{purpose}:{currency}"
        book = Book.get_or_none(Book.name == name)
        if book is None:
            self._database.lock(name)
            book = Book.get_or_none(Book.name == name) or _book(name, currency, house=True)
        return int(book.id)

    def _post(self, key: str, kind: str, note: str, lines: dict[int, int]) -> bool:
        """Write one transfer; False when the key was posted before with the same lines."""
        lines = {book: amount for book, amount in lines.items() if amount}
        require(sum(lines.values()) == 0, f"transfer {key} does not sum to zero")
        digest = hashlib.sha256(repr((kind, sorted(lines.items()))).encode()).hexdigest()
        self._database.lock(f"transfer:{key}")
        before = Transfer.get_or_none(Transfer.key == key)
        if before is not None:
            require(before.input_hash == digest, f"transfer {key} was posted before with other amounts")
            return False
        transfer = Transfer.create(
            key=key, input_hash=digest, kind=kind, note=note, created_at_us=self._clock.now_us()
        )
        for book, amount in lines.items():
            Entry.create(transfer=transfer, book=book, amount_micros=amount)
            Book.update(balance_micros=Book.balance_micros + amount).where(
                Book.id == book,
                Book.house == False,  # noqa: E712
            ).execute()
        return True


def _check_credit_limit(micros: int) -> None:
    if not 0 <= micros <= AMOUNT_LIMIT_MICROS:
        raise InvalidInput(f"a credit limit must be 0 to {format_amount(AMOUNT_LIMIT_MICROS)}")


def _book(name: str, currency: str, *, house: bool, credit_limit_micros: int = 0) -> Book:
    return Book.create(
        name=name,
        currency=currency,
        house=house,
        balance_micros=0,
        held_micros=0,
        credit_limit_micros=credit_limit_micros,
    )
