"""The only code that changes money: holds, settlements, top-ups. Double entry, integer micros, append-only.

Rules it keeps (numbers from docs/decisions/0003-money.md):
- a hold is granted by one conditional UPDATE, so any number of parallel calls share an account without overdraft;
- a hold leaves `open` exactly once, by `settle` or `void`;
- a posting happens once per key; the same key with other input is an error, never a second effect;
- more than was held is never taken from the subscriber: the rest is booked to the house's overrun book;
- each transfer and each xDR is a link of its book's chain (`chain.py`), and the book says where that ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain as chained

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput, require
from stasis_callback.core.money import AMOUNT_LIMIT_MICROS, AMOUNT_LIMIT_TEXT, MICROS
from stasis_callback.core.states import HoldState
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.statements import changed, every, insert, one, run
from stasis_callback.store.money import chain as chains
from stasis_callback.store.money import tables as _tables
from stasis_callback.store.money.chain import Chain
from stasis_callback.store.money.views import (
    HoldChange,
    LockedHold,
    Record,
    Settlement,
    StatementLine,
    entries,
    statement,
)

DAY_US = 86_400 * US_PER_S

BALANCE_LIMIT_MICROS = 9_000 * AMOUNT_LIMIT_MICROS
"""Maximum of a balance. The databases keep 64 bits, and a credit limit has to fit on top of it."""

_FREE = """SELECT balance_micros - held_micros + credit_limit_micros,
    daily_cap_micros, held_micros, spent_day, spent_micros,
    (SELECT COALESCE(SUM(hold.amount_micros), 0) FROM hold
     WHERE hold.leg_id IN (?, ?) AND hold.book_id = book.id AND hold.state = 'open')
    FROM book WHERE id = ?"""
_RESERVE = """UPDATE book SET held_micros = held_micros + ?
    WHERE id = ? AND balance_micros - held_micros + credit_limit_micros >= ?
    AND (daily_cap_micros IS NULL
         OR held_micros + ? + CASE WHEN spent_day - ? IN (0, 1) THEN spent_micros ELSE 0 END <= daily_cap_micros)
    RETURNING id"""
_GIVE_BACK = "UPDATE book SET held_micros = held_micros + ? WHERE id = ?"
_RELEASE = "UPDATE book SET held_micros = held_micros - ?, links = ?, head = ? WHERE id = ?"
_PAY = """UPDATE book SET held_micros = held_micros - ?, links = ?, head = ?, balance_micros = balance_micros - ?,
    spent_micros = CASE WHEN spent_day - ? IN (0, 1) THEN spent_micros ELSE 0 END + ?,
    spent_day = CASE WHEN spent_day - ? = 1 THEN spent_day ELSE ? END WHERE id = ?"""
_LINK = "UPDATE book SET links = ?, head = ? WHERE id = ?"
_LOCK_BOOK = "SELECT name, currency, links, head, balance_micros FROM book WHERE id = ? FOR NO KEY UPDATE"
LOCKED_HOLD = """hold.leg_id, hold.amount_micros, hold.state, hold.created_at_us, hold.closed_at_us,
    (SELECT house.id FROM book AS house WHERE house.name = 'house:revenue:' || book.currency),
    book.id, book.name, book.currency, book.links, book.head, book.balance_micros"""
"""The columns of `LockedHold.of`, of a hold and its book, both locked."""
_LOCK_HOLD = f"""SELECT {LOCKED_HOLD}
    FROM hold JOIN book ON book.id = hold.book_id WHERE hold.leg_id = ? FOR NO KEY UPDATE OF hold, book"""
_CLOSE_HOLD = "UPDATE hold SET state = ?, closed_at_us = ? WHERE leg_id = ?"
_INSERT_TRANSFER = """INSERT INTO transfer (key, input_hash, kind, note, operator, reverses_id, created_at_us,
    book_id, link, balance_micros, seal) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_ENTRY = "SELECT id, CAST(? AS BIGINT), CAST(? AS BIGINT) FROM transfer WHERE key = ?"
_CHANGE_HOLD = "UPDATE hold SET amount_micros = ? WHERE leg_id = ?"
_HELD_BY_CURRENCY = """SELECT book.currency, SUM(hold.amount_micros) FROM hold JOIN book ON book.id = hold.book_id
    WHERE hold.state = 'open' GROUP BY book.currency"""
_OPEN_HOLD = "SELECT amount_micros, state, book_id FROM hold WHERE leg_id = ? FOR NO KEY UPDATE"


def spent_today(spent_day: int, spent_micros: int, today: int) -> int:
    """What of `spent_micros` on `spent_day` counts against the cap of `today` (days since the epoch, UTC).

    What counts for tomorrow does too: a clock that is a little ahead has begun that day already, another node's, or
    ours before it was put back. Not what is later still: one that was far ahead must not use up the caps of weeks.
    """
    return spent_micros if spent_day - today in (0, 1) else 0


class Ledger:
    """Money moves. Every method is one transaction, or joins the one it is called in."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    # --- holds -----------------------------------------------------------------------------------------------

    def available_micros(self, book_id: int) -> int:
        """What can still be held: the free funds, or what today's cap leaves. Certain only inside a transaction."""
        return self.funds_micros(book_id)

    def capped(self, book_id: int) -> bool:
        """Whether it is today's cap, and not the funds, that limits what can be held."""
        free, left_today, _ = self._free(book_id)
        return left_today is not None and left_today < free

    @read
    def funds_micros(self, book_id: int, *leg_ids: str) -> int:
        """What can be spent on up to two legs: what can still be held of a book, and what is held of it for them."""
        free, left_today, held = self._free(book_id, *leg_ids)
        return (free if left_today is None else min(free, left_today)) + held

    def _free(self, book_id: int, *leg_ids: str) -> tuple[int, int | None, int]:
        """The free funds, what today's cap leaves (None without one), and what is held of the book for these legs."""
        first, last = (leg_ids[0], leg_ids[-1]) if leg_ids else ("", "")
        row = self._database.read(lambda: one(_FREE, first, last, book_id))
        free, cap, held, day, spent, for_these = row
        left_today = None if cap is None else cap - held - spent_today(day, spent, self._today())
        return free, left_today, int(for_these)

    @unit
    def hold(self, leg_id: str, book_id: int, amount_micros: int, beside: HoldChange | None = None) -> bool:
        """Set funds aside for a new leg; False, and nothing happens, when there are not enough.

        The hold `beside` it, which the caller has locked, is changed with it: both, or none.
        """
        more = {book_id: amount_micros}
        if beside is not None:
            require(beside.state == HoldState.OPEN, f"the hold of leg {beside.leg_id} is closed")
            more[beside.book_id] = more.get(beside.book_id, 0) + beside.amount_micros - beside.held_micros
        if not self._reserve_all(more):
            return False
        if beside is not None and beside.amount_micros != beside.held_micros:
            run(_CHANGE_HOLD, beside.amount_micros, beside.leg_id)
        insert(
            _tables.Hold,
            leg_id=leg_id,
            book_id=book_id,
            amount_micros=amount_micros,
            state=HoldState.OPEN.value,
            created_at_us=self._clock.now_us(),
        )
        return True

    @unit
    def change_hold(self, leg_id: str, amount_micros: int) -> bool:
        """Make the open hold of a leg `amount_micros` in all; False when it cannot grow that far."""
        hold = one(_OPEN_HOLD, leg_id)
        require(hold is not None, f"leg {leg_id} has no hold")
        held_micros, state, book_id = hold
        require(state == HoldState.OPEN, f"the hold of leg {leg_id} is closed and cannot be changed")
        if amount_micros == held_micros:
            return True
        if not self._reserve(book_id, amount_micros - held_micros):
            return False
        run(_CHANGE_HOLD, amount_micros, leg_id)
        return True

    @staticmethod
    def _locked(leg_id: str) -> LockedHold:
        row = run(_LOCK_HOLD, leg_id).fetchone()
        require(row is not None, f"leg {leg_id} has no hold")
        return LockedHold.of(row, {})

    @read
    def held_micros(self, leg_id: str) -> int:
        """The amount of a leg's open hold; 0 when it has none."""
        row = one("SELECT amount_micros FROM hold WHERE leg_id = ? AND state = 'open'", leg_id)
        return int(row[0]) if row else 0

    @read
    def held_by_currency(self) -> dict[str, int]:
        """What open holds hold, in micros, by currency."""
        return {currency: int(micros) for currency, micros in every(_HELD_BY_CURRENCY)}

    @read
    def held_since_us(self, leg_id: str) -> int | None:
        """When a leg's hold was made, by the clock of the node that made it; None when it has none."""
        row = one("SELECT created_at_us FROM hold WHERE leg_id = ?", leg_id)
        return int(row[0]) if row else None

    def _reserve_all(self, more: Mapping[int, int]) -> bool:
        """Take from several books, always in the same order; False, and nothing is taken, when one has not enough."""
        for book_id in sorted(more):
            if not self._reserve(book_id, more[book_id]):
                for before in (other for other in more if other < book_id):
                    run(_GIVE_BACK, -more[before], before)
                return False
        return True

    def _reserve(self, book_id: int, amount_micros: int) -> bool:
        # One statement that checks and takes: two callers can never both see the same free funds. Giving back
        # (a negative amount) always works.
        if amount_micros > 0:
            return changed(_RESERVE, amount_micros, book_id, amount_micros, amount_micros, self._today())
        run(_GIVE_BACK, amount_micros, book_id)
        return True

    # --- the end of a leg --------------------------------------------------------------------------------------

    @unit
    def settle(self, leg_id: str, amount_micros: int, record: Record | None = None) -> Settlement:
        """Charge a leg, close its hold and write its call record, which `record` makes of the overrun.

        Called again it changes nothing and gives the same answer.
        """
        return self.charge(self._locked(leg_id), amount_micros, record)

    def charge(self, hold: LockedHold, amount_micros: int, record: Record | None = None) -> Settlement:
        """Within a unit: the same, of a hold that is locked already."""
        leg_id = hold.leg_id
        require(amount_micros >= 0, f"leg {leg_id} cannot be charged {amount_micros}")
        overrun = max(amount_micros - hold.amount_micros, 0)
        settlement = Settlement(amount_micros - overrun, overrun)
        book_id, currency = hold.chain.book_id, hold.chain.currency
        revenue_id = hold.revenue_id or self._house("revenue", currency)
        lines = {book_id: -settlement.paid_micros, revenue_id: amount_micros}
        if overrun:
            lines[self._house("overrun", currency)] = -overrun
        key, now_us = f"settle:{leg_id}", self._clock.now_us()
        if hold.state == HoldState.POSTED:
            require(
                self._posted(key, "settle", lines),
                f"leg {leg_id}: its hold is closed but its charge was not posted",
            )
        else:
            require(hold.state == HoldState.OPEN, f"the hold of leg {leg_id} was already closed")
            self._write(hold.chain, key, "settle", "", lines, now_us)
        self._close(hold, HoldState.POSTED, now_us, settlement, record)
        return settlement

    @unit
    def void(self, leg_id: str, record: Record | None = None) -> None:
        """Give a leg's hold back uncharged, and write its call record. A closed hold stays as it is."""
        self.give_back(self._locked(leg_id), record)

    def give_back(self, hold: LockedHold, record: Record | None = None) -> None:
        """Within a unit: the same, of a hold that is locked already."""
        self._close(hold, HoldState.VOIDED, self._clock.now_us(), Settlement(0, 0), record)

    @staticmethod
    def _close(
        hold: LockedHold, state: HoldState, now_us: int, settlement: Settlement, record: Record | None
    ) -> None:
        """Give a hold back but for what is paid; the book never shows funds both held and taken.

        The call record is the link behind the charge, so that the book changes once for both.
        """
        chain, is_open = hold.chain, hold.state == HoldState.OPEN
        if is_open:
            hold.state, hold.closed_at_us = state.value, now_us
            run(_CLOSE_HOLD, state.value, now_us, hold.leg_id)
        if record is not None:
            made = record(settlement.overrun_micros)
            insert(made.table, **made.sealed(hold))
        if not is_open:
            run(_LINK, chain.links, chain.head, chain.book_id)
        elif settlement.paid_micros:
            # The day of a transfer and the day it counts in are one, or the day has begun already: both by `now_us`.
            today = now_us // DAY_US
            counted = today, settlement.paid_micros, today, today
            paid = settlement.paid_micros
            run(_PAY, hold.amount_micros, chain.links, chain.head, paid, *counted, chain.book_id)
        else:
            run(_RELEASE, hold.amount_micros, chain.links, chain.head, chain.book_id)

    def _today(self) -> int:
        """The current day in UTC, for daily caps."""
        return self._clock.now_us() // DAY_US

    # --- other money -------------------------------------------------------------------------------------------

    def top_up(
        self, book_id: int, amount_micros: int, *, key: str, note: str = "", operator: str = ""
    ) -> bool:
        """Add money to a book; False when this key has done so already. Raises InvalidInput for nothing or less."""
        if not 0 < amount_micros <= AMOUNT_LIMIT_MICROS:
            raise InvalidInput(
                f"invalid top-up: the amount must be more than 0 and at most {AMOUNT_LIMIT_TEXT}"
            )
        return self._pay_in("cash", book_id, amount_micros, f"topup:{key}", "topup", note, operator)

    @read
    def is_paid(self, key: str) -> bool:
        """Whether a top-up was made with this key."""
        return _tables.Transfer.get_or_none(_tables.Transfer.key == f"topup:{key}") is not None

    def voucher(
        self, book_id: int, amount_micros: int, voucher_id: int, about: Sequence[object], operator: str
    ) -> None:
        """Add a voucher's money to a book: once for each voucher. `about` says which it was, and who had it."""
        key = f"voucher:{voucher_id}"
        done = self._pay_in("vouchers", book_id, amount_micros, key, "voucher", "", operator, about)
        require(done, f"voucher {voucher_id} was already paid in")

    def adjust(self, book_id: int, amount_micros: int, *, key: str, reason: str, operator: str) -> bool:
        """Adjust a balance by a positive or negative amount; False if this key was already used.

        Raises InvalidInput for an amount of 0, an empty reason, or a deduction above the available funds.
        """
        if not 0 < abs(amount_micros) <= AMOUNT_LIMIT_MICROS:
            raise InvalidInput(
                f"invalid adjustment: the amount must not be 0, and be at most {AMOUNT_LIMIT_TEXT}"
            )
        if not reason.strip():
            raise InvalidInput("the reason is empty: write why this adjustment is made")
        return self._pay_in(
            "adjustments", book_id, amount_micros, f"adjust:{key}", "adjustment", reason, operator
        )

    @unit
    def reverse(self, transfer_id: int, *, reason: str, operator: str) -> int:
        """Reverse a transfer with the opposite transfer; returns its id. The original transfer is kept.

        Raises InvalidInput if it does not exist, was already reversed, or is itself a reversal, or if the deduction
        exceeds the available funds.
        """
        if not reason.strip():
            raise InvalidInput("the reason is empty: write why this transfer is reversed")
        self._database.lock(f"reversal:{transfer_id}")
        original = _tables.Transfer.get_or_none(_tables.Transfer.id == transfer_id)
        if original is None:
            raise InvalidInput(f"unknown transfer {transfer_id}: see `stasis-callback ledger entries`")
        if original.reverses_id is not None:
            raise InvalidInput(f"transfer {transfer_id} is itself a reversal: make an adjustment instead")
        key = f"reverse:{transfer_id}"
        again = self._database.repeated(key)
        before = _tables.Transfer.get_or_none(_tables.Transfer.reverses == transfer_id)
        if before is not None and again:
            return int(before.id)
        if before is not None:
            raise InvalidInput(f"transfer {transfer_id} was already reversed")
        rows = _tables.Entry.select().where(_tables.Entry.transfer == transfer_id)
        lines = {row.book_id: -row.amount_micros for row in rows}
        chain = self._chain(original.book_id)
        self._post(chain, key, "reversal", reason, lines, operator=operator, reverses=original)
        return int(_tables.Transfer.get(_tables.Transfer.key == key).id)

    @read
    def moved_micros(self, transfer_id: int) -> int:
        """The largest amount that a transfer moved into or out of a book; 0 for one that does not exist."""
        rows = _tables.Entry.select().where(_tables.Entry.transfer == transfer_id)
        return max((abs(row.amount_micros) for row in rows), default=0)

    @read
    def statement(self, book_id: int, limit: int) -> list[StatementLine]:
        """The newest `limit` entries of a book, oldest first, each with the balance after it."""
        return statement(book_id, limit)

    @read
    def entries(self, book_id: int, since_us: int, until_us: int) -> list[StatementLine]:
        """The entries of a book in a time, oldest first."""
        found = entries(("SELECT ?", [book_id]), since_us=since_us, until_us=until_us)
        return sorted((entry.line for entry in found), key=lambda line: line.transfer)

    @unit
    def _pay_in(
        self,
        purpose: str,
        book_id: int,
        amount_micros: int,
        key: str,
        kind: str,
        note: str,
        operator: str,
        about: Sequence[object] = (),
    ) -> bool:
        chain = self._chain(book_id)
        lines = {book_id: amount_micros, self._house(purpose, chain.currency): -amount_micros}
        return self._post(chain, key, kind, note, lines, operator=operator, about=about)

    @staticmethod
    def _chain(book_id: int) -> Chain:
        """The end of a book's chain, which no other transaction moves before this one is over."""
        return Chain(book_id, *run(_LOCK_BOOK, book_id).fetchone())

    @read
    def has_book(self, name: str) -> bool:
        """Whether there is a book with this name."""
        return _tables.Book.get_or_none(_tables.Book.name == name) is not None

    @unit
    def open_book(self, name: str, currency: str, *, credit_limit_micros: int = 0) -> int:
        """Create an empty book for an account; returns its id. Raises InvalidInput for an invalid credit limit."""
        _check_credit_limit(credit_limit_micros)
        again = self._database.repeated(f"book:{name}")
        book = _tables.Book.get_or_none(_tables.Book.name == name) if again else None
        book = book or _book(name, currency, house=False, credit_limit_micros=credit_limit_micros)
        return int(book.id)

    @unit
    def set_credit_limit(self, book_id: int, credit_limit_micros: int) -> None:
        """Change how far below zero a book may go. Raises InvalidInput when it is further down already."""
        _check_credit_limit(credit_limit_micros)
        changed = (
            _tables.Book.update(credit_limit_micros=credit_limit_micros)
            .where(
                _tables.Book.id == book_id,
                _tables.Book.balance_micros - _tables.Book.held_micros + credit_limit_micros >= 0,
            )
            .execute()
        )
        if not changed:
            raise InvalidInput("the account has already used more than this credit limit: top it up first")

    @unit
    def set_daily_cap(self, book_id: int, cap_micros: int | None) -> None:
        """Let no more be spent in a day (UTC) from the next hold on; None for no cap."""
        if cap_micros is not None and not 0 <= cap_micros <= AMOUNT_LIMIT_MICROS:
            raise InvalidInput(f"invalid daily cap: the amount must be 0 to {AMOUNT_LIMIT_TEXT}")
        _tables.Book.update(daily_cap_micros=cap_micros).where(_tables.Book.id == book_id).execute()

    def _house(self, purpose: str, currency: str) -> int:
        name = f"house:{purpose}:{currency}"
        book = _tables.Book.get_or_none(_tables.Book.name == name)
        if book is None:
            self._database.lock(name)
            book = _tables.Book.get_or_none(_tables.Book.name == name) or _book(name, currency, house=True)
        return int(book.id)

    def _post(
        self,
        chain: Chain,
        key: str,
        kind: str,
        note: str,
        lines: dict[int, int],
        *,
        operator: str = "",
        reverses: _tables.Transfer | None = None,
        about: Sequence[object] = (),
    ) -> bool:
        """Write one transfer; False when the key was posted before with the same lines, and not by an earlier run.

        Raises InvalidInput when a book would fall below its limit: what is held is not there to be taken; or rise to
        more than can be kept.
        """
        self._database.lock(f"transfer:{key}")
        if self._posted(key, kind, lines):
            return self._database.noted(f"transfer:{key}") is not None
        if chain.balance_micros + lines.get(chain.book_id, 0) > BALANCE_LIMIT_MICROS:
            most = BALANCE_LIMIT_MICROS // MICROS
            raise InvalidInput(
                f"the balance would be more than {most}, the most that is kept: use another account"
            )
        self._database.note(f"transfer:{key}")
        self._write(chain, key, kind, note, lines, self._clock.now_us(), operator, reverses, about)
        run(_LINK, chain.links, chain.head, chain.book_id)
        for book_id, amount in lines.items():
            self._move(book_id, amount)
        return True

    @staticmethod
    def _posted(key: str, kind: str, lines: dict[int, int]) -> bool:
        """Whether this very transfer was posted before."""
        before = _tables.Transfer.get_or_none(_tables.Transfer.key == key)
        if before is not None:
            same = before.input_hash == chains.lines_hash(kind, lines.items())
            require(same, f"transfer {key} was already posted with other amounts")
        return before is not None

    @staticmethod
    def _write(
        chain: Chain,
        key: str,
        kind: str,
        note: str,
        lines: dict[int, int],
        now_us: int,
        operator: str = "",
        reverses: _tables.Transfer | None = None,
        about: Sequence[object] = (),
    ) -> None:
        """Write a transfer and its entries as the next link; the book itself is changed apart from it."""
        require(sum(lines.values()) == 0, f"transfer {key} does not sum to zero")
        input_hash = chains.lines_hash(kind, lines.items())
        # There is no line of the book itself where a charge that was all overrun is reversed.
        chain.balance_micros += lines.get(chain.book_id, 0)
        content = chains.transfer_content(
            key=key,
            input_hash=input_hash,
            kind=kind,
            note=note,
            operator=operator,
            reverses=reverses.key if reverses else None,
            created_at_us=now_us,
            balance_micros=chain.balance_micros,
            about=about,
        )
        link, sealed = chain.append(content)
        reverses_id = reverses.id if reverses else None
        said = key, input_hash, kind, note, operator, reverses_id, now_us
        run(_INSERT_TRANSFER, *said, chain.book_id, link, chain.balance_micros, sealed)
        entries = [(book_id, amount, key) for book_id, amount in lines.items() if amount]
        if entries:
            run(_insertion(len(entries)), *chained.from_iterable(entries))

    @staticmethod
    def _move(book_id: int, amount_micros: int) -> None:
        """Change a balance; house books keep none."""
        possible = (_tables.Book.id == book_id) & ~_tables.Book.house
        if amount_micros < 0:
            free = _tables.Book.balance_micros - _tables.Book.held_micros + _tables.Book.credit_limit_micros
            possible &= free + amount_micros >= 0
        moved = (
            _tables.Book.update(balance_micros=_tables.Book.balance_micros + amount_micros)
            .where(possible)
            .execute()
        )
        if not moved and not _tables.Book.get_by_id(book_id).house:
            raise InvalidInput(
                "insufficient funds: part of the balance is held for live calls or already spent"
            )


@cache
def _insertion(entries: int) -> str:
    """The statement that writes this number of entries of one transfer."""
    return f"INSERT INTO entry (transfer_id, book_id, amount_micros) {' UNION ALL '.join([_ENTRY] * entries)}"


def _check_credit_limit(micros: int) -> None:
    if not 0 <= micros <= AMOUNT_LIMIT_MICROS:
        raise InvalidInput(f"invalid credit limit: the amount must be 0 to {AMOUNT_LIMIT_TEXT}")


def _book(name: str, currency: str, *, house: bool, credit_limit_micros: int = 0) -> _tables.Book:
    return _tables.Book.create(
        name=name,
        currency=currency,
        house=house,
        balance_micros=0,
        held_micros=0,
        credit_limit_micros=credit_limit_micros,
    )
