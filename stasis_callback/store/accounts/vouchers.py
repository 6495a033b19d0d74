"""Vouchers: each code tops up one account, once.

A code is shown when it is made and never again: the database keeps a slow hash (scrypt), so that who reads the
database cannot spend what is in it. The hash has no salt of its own, because a voucher is found by it; that is why
codes are random and long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from peewee import JOIN, ModelSelect, fn

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import AMOUNT_LIMIT_MICROS, AMOUNT_LIMIT_TEXT, format_amount, parse_currency
from stasis_callback.store.accounts.codes import code_hash, random_codes
from stasis_callback.store.accounts.tables import Account, Voucher
from stasis_callback.store.database.database import Database, read
from stasis_callback.store.database.drafts import Draft, drafting
from stasis_callback.store.database.names import checked_name
from stasis_callback.store.database.pace import ROWS_AT_ONCE, Pace
from stasis_callback.store.database.periods import row_after
from stasis_callback.store.database.statements import insert_rows
from stasis_callback.store.database.trail import LongChange, note_change
from stasis_callback.store.money.chain import seal, voucher_content
from stasis_callback.store.money.ledger import Ledger

BATCH_LIMIT = 100_000
_SALT = b"stasis-callback voucher"
_DRAFT = "vouchers:"
"""With the name of the batch: the key of a batch that is being made."""


@dataclass(frozen=True, slots=True)
class VoucherView:
    """A voucher without its code, which nobody knows but its holder."""

    id: int
    batch: str
    amount_micros: int
    currency: str
    state: str
    expires_at_us: int | None
    redeemed_by: str
    redeemed_at_us: int | None


class Vouchers:
    """Making, redeeming and blocking vouchers."""

    def __init__(self, database: Database, ledger: Ledger, clock: Clock) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock

    def generate(
        self,
        batch: str,
        count: int,
        amount_micros: int,
        currency: str,
        *,
        length: int,
        alphabet: str,
        expires_at_us: int | None = None,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
        hand_over: Callable[[list[str]], Callable[[], None] | None] = lambda _codes: None,
    ) -> list[str]:
        """Make a batch of vouchers, all or nothing; their codes, which are kept nowhere. Raises InvalidInput.

        `hand_over` gets the codes when all vouchers are written and before any of them is worth something: when it
        fails there are none. It may give what takes them back, for when none of them will ever be.
        """
        if not 1 <= count <= BATCH_LIMIT:
            raise InvalidInput(f"invalid number of vouchers ({count}): generate 1 to {BATCH_LIMIT} at a time")
        if not 0 < amount_micros <= AMOUNT_LIMIT_MICROS:
            raise InvalidInput(
                f"invalid voucher value: it must be more than 0 and at most {AMOUNT_LIMIT_TEXT}"
            )
        codes = random_codes(count, length, alphabet)
        hashes = []
        for done, code in enumerate(codes, start=1):
            hashes.append(_hash(code))
            progress(done, count)
        now_us = self._clock.now_us()
        said = checked_name(batch), amount_micros, parse_currency(currency), expires_at_us, now_us
        made = {"vouchers": count, "amount": format_amount(amount_micros, currency), "currency": currency}

        def is_there() -> bool:
            # Its vouchers also are when another has taken the batch over to remove them: then there is a draft.
            return batch not in _unfinished() and Voucher.get_or_none(code_hash=hashes[0]) is not None

        take_back = None
        try:
            with drafting(
                self._database,
                self._clock,
                f"{_DRAFT}{batch}",
                busy=f"batch {batch!r} is being made by another command: wait until that is over",
                may_begin=lambda: _require_new(batch),
                remove_some=lambda: remove_drafted_vouchers(batch),
            ) as writing:
                writing.write(hashes, lambda some: _insert(some, *said))
                take_back = hand_over(codes)
                # Noted here and not around it all: nobody else could write while a large batch is made.
                writing.publish(
                    lambda: note_change(self._database, self._clock, "voucher", batch, {}, made), is_there
                )
        except BaseException:
            if take_back and writing.is_undone(is_there):
                take_back()
            raise
        return codes

    def redeemed(self, code: str, account_number: str) -> VoucherView | None:
        """The voucher with this code, if it was redeemed for this account: who asks again need not know that."""
        hashed = _hash(code)

        def find() -> VoucherView | None:
            mine = (Voucher.code_hash == hashed) & (Account.number == account_number)
            row = _select().where(mine).first()
            return _view(row) if row else None

        return self._database.read(find)

    def redeem(self, code: str, account_number: str, operator: str = "") -> VoucherView:
        """Redeem a voucher: credit its value to an account, once, even with concurrent attempts.

        `operator` is who did it for the subscriber, if somebody did. Raises InvalidInput: the same words for a code
        that is unknown, used, blocked or expired.
        """
        hashed = _hash(code)  # before the transaction: it takes its time
        return self._database.unit(lambda: self._redeem(hashed, account_number, operator))

    def _redeem(self, hashed: str, account_number: str, operator: str) -> VoucherView:
        self._database.lock("accounts")  # as `Accounts.close` does: nothing is paid in behind it
        now_us = self._database.noted("redeemed") or self._clock.now_us()
        account = Account.get_or_none(Account.number == account_number)
        if account is None or account.status == "closed":
            raise InvalidInput(f"account {account_number!r} is unknown or closed")
        voucher = Voucher.get_or_none(Voucher.code_hash == hashed)
        if voucher is not None and self._database.noted("redeemed") and voucher.redeemed_by_id == account.id:
            return _view(_select().where(Voucher.id == voucher.id).get())
        if voucher is None or not self._use(voucher, account, now_us):
            raise InvalidInput("this voucher code is unknown, used, blocked or expired")
        self._database.note("redeemed", now_us)
        if voucher.currency != account.book.currency:
            raise InvalidInput(f"the voucher is in {voucher.currency}, but the account has another currency")
        # Paying in is a use: the days after the first and the last one count from now. The account before its book.
        Account.update(
            first_used_at_us=fn.COALESCE(Account.first_used_at_us, now_us), last_used_at_us=now_us
        ).where(Account.id == account.id).execute()
        about = voucher.seal, account.id, now_us
        self._ledger.voucher(account.book_id, voucher.amount_micros, voucher.id, about, operator)
        return _view(_select().where(Voucher.id == voucher.id).get())

    @staticmethod
    def _use(voucher: Voucher, account: Account, now_us: int) -> bool:
        """Redeem it if it can be: one statement, so that of any number who try at once one does."""
        if voucher.batch in _unfinished():
            return False
        not_expired = Voucher.expires_at_us.is_null() | (Voucher.expires_at_us > now_us)
        taken = Voucher.update(state="redeemed", redeemed_by=account.id, redeemed_at_us=now_us).where(
            Voucher.id == voucher.id, Voucher.state == "new", not_expired
        )
        return bool(taken.execute())

    def block(self, batch: str, *, blocked: bool) -> int:
        """Make the unused vouchers of a batch unusable, or usable again; how many were changed.

        In small transactions, and noted in the audit log. Run again after a break it goes on.
        """
        old, new = ("new", "blocked") if blocked else ("blocked", "new")
        if batch not in {record["batch"] for record in self.batches()}:
            raise InvalidInput(f"unknown batch {batch!r}: see `stasis-callback voucher list`")
        pace = Pace(self._clock)
        change = LongChange(
            self._database, self._clock, ("voucher", batch),
            describe=lambda: _usable(batch), aim=lambda before: _all_of(before, old, new),
        )  # fmt: skip
        with change.steps():
            last = 0
            while some := self._some(batch, old, last):
                if change.done and not self._database.in_transaction:  # within one, nobody would get a turn
                    pace.rest()
                change.step(partial(_set_state, some, old, new))
                last = some[-1]
        return change.done

    @read
    def _some(self, batch: str, state: str, after: int) -> list[int]:
        rows = Voucher.select(Voucher.id).where(Voucher.batch == batch, Voucher.state == state)
        return [row.id for row in rows.where(Voucher.id > after).order_by(Voucher.id).limit(ROWS_AT_ONCE)]

    @read
    def batches(self) -> list[dict[str, object]]:
        """All batches with the number of vouchers in each state."""
        rows = (
            Voucher.select(
                Voucher.batch,
                Voucher.amount_micros,
                Voucher.currency,
                Voucher.state,
                fn.COUNT(Voucher.id).alias("number"),
            )
            .where(Voucher.batch.not_in(_unfinished()))
            .group_by(Voucher.batch, Voucher.amount_micros, Voucher.currency, Voucher.state)
            .order_by(Voucher.batch)
        )
        batches: dict[str, dict[str, object]] = {}
        for row in rows:
            record = batches.setdefault(
                row.batch,
                {"batch": row.batch, "amount_micros": row.amount_micros, "currency": row.currency}
                | dict.fromkeys(("new", "redeemed", "blocked"), 0),
            )
            record[row.state] = int(row.number)
        return list(batches.values())

    @read
    def of_batch(self, batch: str, limit: int = 1000, after: str = "") -> list[VoucherView]:
        """The vouchers of a batch, without their codes, from the one after `after` (its id) on. Raises InvalidInput
        if there is none.
        """
        rows = _select().where(Voucher.batch == batch, Voucher.batch.not_in(_unfinished()))
        rows = rows.where(Voucher.id > row_after(Voucher, Voucher.id, after).id) if after else rows
        return [_view(row) for row in rows.order_by(Voucher.id).limit(limit)]


def _unfinished() -> list[str]:
    """Batches that are being made, or whose maker died: their vouchers do not count."""
    keys = Draft.select(Draft.key).where(Draft.key.startswith(_DRAFT))
    return [row.key.removeprefix(_DRAFT) for row in keys]


def _usable(batch: str) -> dict[str, object]:
    """How many unused vouchers of a batch can be redeemed, and how many are blocked."""
    rows = Voucher.select(Voucher.state, fn.COUNT(Voucher.id).alias("number")).where(Voucher.batch == batch)
    found = {row.state: int(row.number) for row in rows.group_by(Voucher.state)}
    return {state: found.get(state, 0) for state in ("new", "blocked")}


def _all_of(before: Mapping[str, object], old: str, new: str) -> dict[str, object]:
    return {old: 0, new: sum(int(str(number)) for number in before.values())}


def _set_state(ids: Sequence[int], old: str, new: str) -> int:
    """Within a transaction: of those that are still in the old state; how many."""
    return int(Voucher.update(state=new).where(Voucher.id.in_(ids), Voucher.state == old).execute())


def _require_new(batch: str) -> None:
    if Voucher.get_or_none(Voucher.batch == batch) is not None:
        raise InvalidInput(f"batch {batch!r} already exists: choose another name")


def remove_drafted_vouchers(batch: str) -> int:
    """Within a transaction: remove some vouchers of a batch that was never finished."""
    some = Voucher.select(Voucher.id).where(Voucher.batch == batch).limit(ROWS_AT_ONCE)
    return int(Voucher.delete().where(Voucher.id.in_(some)).execute())


def _insert(
    hashes: Sequence[str],
    batch: str,
    amount_micros: int,
    currency: str,
    expires_at_us: int | None,
    now_us: int,
) -> None:
    rows = []
    for hashed in hashes:
        content = voucher_content(hashed, batch, amount_micros, currency, expires_at_us, now_us)
        rows.append((hashed, batch, amount_micros, currency, "new", expires_at_us, now_us, seal("", content)))
    columns = (
        "code_hash", "batch", "amount_micros", "currency", "state", "expires_at_us", "created_at_us", "seal",
    )  # fmt: skip
    insert_rows(Voucher, columns, rows)


def _select() -> ModelSelect[Voucher]:
    return Voucher.select(Voucher, Account).join(Account, JOIN.LEFT_OUTER)


@lru_cache(maxsize=1)
def _hash(code: str) -> str:
    return code_hash(code, _SALT)


def _view(row: Voucher) -> VoucherView:
    return VoucherView(
        id=row.id,
        batch=row.batch,
        amount_micros=row.amount_micros,
        currency=row.currency,
        state=row.state,
        expires_at_us=row.expires_at_us,
        redeemed_by=row.redeemed_by.number if row.redeemed_by else "",
        redeemed_at_us=row.redeemed_at_us,
    )
