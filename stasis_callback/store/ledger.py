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

from peewee import Case, fn

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput, require
from stasis_callback.core.money import AMOUNT_LIMIT_MICROS, format_amount
from stasis_callback.core.states import HoldState
from stasis_callback.store.database import Database
from stasis_callback.store.models import Book, Entry, Hold, Transfer

DAY_US = 86_400 * US_PER_S


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a leg was charged: `paid_micros` by the account, `overrun_micros` by the house."""

    paid_micros: int
    overrun_micros: int


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One entry of a book: what moved, why, and the balance after it."""

    transfer: int
    created_at_us: int
    kind: str
    key: str
    note: str
    operator: str
    amount_micros: int
    balance_micros: int
    reversed_by: int | None


class Ledger:
    """Money moves. Every method is one transaction, or joins the one it is called in."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    # --- holds -----------------------------------------------------------------------------------------------

    def available_micros(self, book_id: int) -> int:
        """What can still be held: the free funds, or what today's cap leaves. Certain only inside a transaction."""
        with self._database.reading():
            book = Book.get_by_id(book_id)
            free = int(book.balance_micros - book.held_micros + book.credit_limit_micros)
            if book.daily_cap_micros is None:
                return free
            spent = book.spent_micros if book.spent_day == self._today() else 0
            return min(free, int(book.daily_cap_micros - book.held_micros - spent))

    def capped(self, book_id: int) -> bool:
        """Whether it is today's cap, and not the funds, that limits what can be held."""
        with self._database.reading():
            book = Book.get_by_id(book_id)
            free = int(book.balance_micros - book.held_micros + book.credit_limit_micros)
        return self.available_micros(book_id) < free

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
        used_today = Book.held_micros + _spent_on(self._today())
        within_cap = Book.daily_cap_micros.is_null() | (used_today + amount_micros <= Book.daily_cap_micros)
        enough = ((free >= amount_micros) & within_cap) if amount_micros > 0 else (Book.id == book_id)
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
                self._spend(hold.book_id, settlement.paid_micros)
            require(self._post(key, "settle", "", lines) != again, f"leg {leg_id}: hold and posting disagree")
            return settlement

    def _spend(self, book_id: int, amount_micros: int) -> None:
        today = self._today()
        Book.update(spent_micros=_spent_on(today) + amount_micros, spent_day=today).where(
            Book.id == book_id
        ).execute()

    def _today(self) -> int:
        """The day of a daily cap, in UTC."""
        return self._clock.now_us() // DAY_US

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

    def top_up(
        self, book_id: int, amount_micros: int, *, key: str, note: str = "", operator: str = ""
    ) -> bool:
        """Add money to a book; False when this key has done so already. Raises InvalidInput for nothing or less."""
        if not 0 < amount_micros <= AMOUNT_LIMIT_MICROS:
            raise InvalidInput(f"a top-up must be more than 0, at most {format_amount(AMOUNT_LIMIT_MICROS)}")
        return self._pay_in("cash", book_id, amount_micros, f"topup:{key}", "topup", note, operator)

    def voucher(self, book_id: int, amount_micros: int, voucher_id: int) -> None:
        """Add a voucher's money to a book: once for each voucher."""
        done = self._pay_in("vouchers", book_id, amount_micros, f"voucher:{voucher_id}", "voucher", "", "")
        require(done, f"voucher {voucher_id} was paid in before")

    def adjust(self, book_id: int, amount_micros: int, *, key: str, reason: str, operator: str) -> bool:
        """Put a balance right by an amount of either sign; False when this key has done so already.

        Raises InvalidInput for nothing, for no reason, or when funds are taken that are not there.
        """
        if not 0 < abs(amount_micros) <= AMOUNT_LIMIT_MICROS:
            raise InvalidInput(
                f"an adjustment must not be 0, and at most {format_amount(AMOUNT_LIMIT_MICROS)}"
            )
        if not reason.strip():
            raise InvalidInput("an adjustment needs a reason: somebody will ask for it")
        return self._pay_in(
            "adjustments", book_id, amount_micros, f"adjust:{key}", "adjustment", reason, operator
        )

    def reverse(self, transfer_id: int, *, reason: str, operator: str) -> int:
        """Take a posting back by its mirror image; the id of that. The posting itself stays.

        Raises InvalidInput when there is none, it was taken back already or is a reversal, or when funds would be
        taken that are not there any more.
        """
        if not reason.strip():
            raise InvalidInput("a reversal needs a reason: somebody will ask for it")
        with self._database.transaction():
            self._database.lock(f"reversal:{transfer_id}")
            original = Transfer.get_or_none(Transfer.id == transfer_id)
            if original is None:
                raise InvalidInput(f"there is no posting {transfer_id}: see `stasis-callback ledger entries`")
            if original.reverses_id is not None:
                raise InvalidInput(f"posting {transfer_id} is a reversal itself: make an adjustment instead")
            if Transfer.get_or_none(Transfer.reverses == transfer_id) is not None:
                raise InvalidInput(f"posting {transfer_id} was reversed before")
            rows = Entry.select().where(Entry.transfer == transfer_id)
            lines = {row.book_id: -row.amount_micros for row in rows}
            key = f"reverse:{transfer_id}"
            self._post(key, "reversal", reason, lines, operator=operator, reverses=transfer_id)
            return int(Transfer.get(Transfer.key == key).id)

    def statement(self, book_id: int, limit: int) -> list[StatementLine]:
        """The newest `limit` entries of a book, oldest first, each with the balance after it."""
        with self._database.reading():
            rows = (
                Entry.select(Entry, Transfer)
                .join(Transfer)
                .where(Entry.book == book_id)
                .order_by(Entry.id.desc())
                .limit(limit)
            )
            balance = int(
                Entry.select(fn.COALESCE(fn.SUM(Entry.amount_micros), 0))
                .where(Entry.book == book_id)
                .scalar()
            )
            taken_back = {
                row.reverses_id: row.id for row in Transfer.select().where(Transfer.reverses.is_null(False))
            }
            lines = []
            for row in rows:
                t = row.transfer
                lines.append(
                    StatementLine(
                        t.id,
                        t.created_at_us,
                        t.kind,
                        t.key,
                        t.note,
                        t.operator,
                        row.amount_micros,
                        balance,
                        taken_back.get(t.id),
                    )
                )
                balance -= row.amount_micros
            return lines[::-1]

    def _pay_in(
        self, purpose: str, book_id: int, amount_micros: int, key: str, kind: str, note: str, operator: str
    ) -> bool:
        with self._database.transaction():
            currency = Book.get_by_id(book_id).currency
            lines = {book_id: amount_micros, self._house(purpose, currency): -amount_micros}
            return self._post(key, kind, note, lines, operator=operator)

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

    def set_daily_cap(self, book_id: int, cap_micros: int | None) -> None:
        """Let no more be spent in a day (UTC) from the next hold on; None for no cap."""
        if cap_micros is not None and not 0 <= cap_micros <= AMOUNT_LIMIT_MICROS:
            raise InvalidInput(f"a daily cap must be 0 to {format_amount(AMOUNT_LIMIT_MICROS)}")
        with self._database.transaction():
            Book.update(daily_cap_micros=cap_micros).where(Book.id == book_id).execute()

    def _house(self, purpose: str, currency: str) -> int:
        name = f"house:{purpose}:{currency}"
        book = Book.get_or_none(Book.name == name)
        if book is None:
            self._database.lock(name)
            book = Book.get_or_none(Book.name == name) or _book(name, currency, house=True)
        return int(book.id)

    def _post(
        self,
        key: str,
        kind: str,
        note: str,
        lines: dict[int, int],
        *,
        operator: str = "",
        reverses: int | None = None,
    ) -> bool:
        """Write one transfer; False when the key was posted before with the same lines.

        Raises InvalidInput when a book would fall below its limit: what is held is not there to be taken.
        """
        lines = {book: amount for book, amount in lines.items() if amount}
        require(sum(lines.values()) == 0, f"transfer {key} does not sum to zero")
        digest = hashlib.sha256(repr((kind, sorted(lines.items()))).encode()).hexdigest()
        self._database.lock(f"transfer:{key}")
        before = Transfer.get_or_none(Transfer.key == key)
        if before is not None:
            require(before.input_hash == digest, f"transfer {key} was posted before with other amounts")
            return False
        transfer = Transfer.create(
            key=key,
            input_hash=digest,
            kind=kind,
            note=note,
            operator=operator,
            reverses=reverses,
            created_at_us=self._clock.now_us(),
        )
        for book_id, amount in lines.items():
            Entry.create(transfer=transfer, book=book_id, amount_micros=amount)
            self._move(book_id, amount)
        return True

    @staticmethod
    def _move(book_id: int, amount_micros: int) -> None:
        """Change a balance; house books keep none."""
        possible = (Book.id == book_id) & ~Book.house
        if amount_micros < 0:
            free = Book.balance_micros - Book.held_micros + Book.credit_limit_micros
            possible &= free + amount_micros >= 0
        moved = Book.update(balance_micros=Book.balance_micros + amount_micros).where(possible).execute()
        if not moved and not Book.get_by_id(book_id).house:
            raise InvalidInput("the account has not so much left: some is held for calls, or was spent")


def _spent_on(day: int) -> Case:
    """In a statement: what was spent on `day`, 0 when the last spending was on another."""
    return Case(None, [(Book.spent_day == day, Book.spent_micros)], 0)


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
