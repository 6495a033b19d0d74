"""Vouchers: money on paper. Whoever knows the code adds it to an account, once.

A code is shown when it is made and never again: the database keeps a slow hash (scrypt), so that who reads the
database cannot spend what is in it. The hash has no salt of its own, because a voucher is found by it; that is why
codes are random and long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from peewee import JOIN, ModelSelect, fn

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import AMOUNT_LIMIT_MICROS, format_amount, parse_currency
from stasis_callback.store.checks import checked_name
from stasis_callback.store.codes import code_hash, random_codes
from stasis_callback.store.database import Database, read, unit
from stasis_callback.store.ledger import Ledger
from stasis_callback.store.models import Account, Voucher

BATCH_LIMIT = 100_000
_SALT = b"stasis-callback voucher"


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
    ) -> list[str]:
        """Make a batch of vouchers, all or nothing; their codes, which are kept nowhere. Raises InvalidInput."""
        if not 1 <= count <= BATCH_LIMIT:
            raise InvalidInput(f"{count} vouchers: make 1 to {BATCH_LIMIT} at a time")
        if not 0 < amount_micros <= AMOUNT_LIMIT_MICROS:
            raise InvalidInput(
                f"a voucher is worth more than 0, at most {format_amount(AMOUNT_LIMIT_MICROS)}"
            )
        codes = random_codes(count, length, alphabet)
        # Hashing takes its time: before the transaction, so that calls do not wait.
        hashes = []
        for done, code in enumerate(codes, start=1):
            hashes.append(_hash(code))
            progress(done, count)
        row = {
            "batch": checked_name(batch),
            "amount_micros": amount_micros,
            "currency": parse_currency(currency),
            "state": "new",
            "expires_at_us": expires_at_us,
            "created_at_us": self._clock.now_us(),
        }

        def once() -> None:
            self._database.lock("vouchers")
            again = self._database.repeated("batch")
            known = Voucher.get_or_none(Voucher.batch == batch)
            if known is not None and not again:
                raise InvalidInput(f"batch {batch!r} exists already: give this one another name")
            for hashed in hashes if known is None else ():
                Voucher.create(code_hash=hashed, **row)

        self._database.unit(once)
        return codes

    def redeem(self, code: str, account_number: str) -> VoucherView:
        """Add a voucher's money to an account: once, whoever tries at the same time.

        Raises InvalidInput: the same words for a code that is unknown, used, blocked or expired.
        """
        hashed = _hash(code)  # before the transaction: it takes its time
        return self._database.unit(lambda: self._redeem(hashed, account_number))

    def _redeem(self, hashed: str, account_number: str) -> VoucherView:
        now_us = self._database.noted("redeemed") or self._clock.now_us()
        account = Account.get_or_none(Account.number == account_number)
        if account is None or account.status == "closed":
            raise InvalidInput(f"there is no account {account_number!r} that can take a voucher")
        voucher = Voucher.get_or_none(Voucher.code_hash == hashed)
        if voucher is not None and self._database.noted("redeemed") and voucher.redeemed_by_id == account.id:
            return _view(_select().where(Voucher.id == voucher.id).get())
        if voucher is None or not self._take(voucher, account, now_us):
            raise InvalidInput("that code is not one of a voucher that can be used")
        self._database.note("redeemed", now_us)
        if voucher.currency != account.book.currency:
            raise InvalidInput(f"the voucher is in {voucher.currency}, the account is not")
        # Paying in is a use: the days after the first and the last one count from now. The account before its book.
        Account.update(
            first_used_at_us=fn.COALESCE(Account.first_used_at_us, now_us), last_used_at_us=now_us
        ).where(Account.id == account.id).execute()
        self._ledger.voucher(account.book_id, voucher.amount_micros, voucher.id)
        return _view(_select().where(Voucher.id == voucher.id).get())

    @staticmethod
    def _take(voucher: Voucher, account: Account, now_us: int) -> bool:
        """Redeem it if it can be: one statement, so that of any number who try at once one does."""
        not_expired = Voucher.expires_at_us.is_null() | (Voucher.expires_at_us > now_us)
        taken = Voucher.update(state="redeemed", redeemed_by=account.id, redeemed_at_us=now_us).where(
            Voucher.id == voucher.id, Voucher.state == "new", not_expired
        )
        return bool(taken.execute())

    @unit
    def block(self, batch: str, *, blocked: bool) -> int:
        """Make the unused vouchers of a batch unusable, or usable again; how many were changed."""
        old, new = ("new", "blocked") if blocked else ("blocked", "new")
        if Voucher.get_or_none(Voucher.batch == batch) is None:
            raise InvalidInput(f"there is no batch {batch!r}: see `stasis-callback voucher list`")
        rows = Voucher.update(state=new).where(Voucher.batch == batch, Voucher.state == old)
        count = rows.execute() or self._database.noted("changed") or 0
        self._database.note("changed", count)
        return int(count)

    @read
    def batches(self) -> list[dict[str, object]]:
        """Every batch with what has become of it."""
        rows = (
            Voucher.select(
                Voucher.batch,
                Voucher.amount_micros,
                Voucher.currency,
                Voucher.state,
                fn.COUNT(Voucher.id).alias("number"),
            )
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
    def of_batch(self, batch: str, limit: int = 1000) -> list[VoucherView]:
        """The vouchers of a batch, without their codes."""
        rows = _select().where(Voucher.batch == batch).order_by(Voucher.id).limit(limit)
        return [_view(row) for row in rows]


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
