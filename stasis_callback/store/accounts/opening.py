"""Opening many accounts while the service is running: a few in each transaction, of no use until all are there.

An opening balance is an entry of the ledger, which is never removed: so these are no rows of a draft, and what an
interrupted run has opened is gone on with, or closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import format_amount, require_payable
from stasis_callback.store.accounts.accounts import Accounts
from stasis_callback.store.accounts.tables import Account
from stasis_callback.store.database.database import Database
from stasis_callback.store.database.pace import ROWS_AT_ONCE, Pace
from stasis_callback.store.database.statements import every
from stasis_callback.store.database.trail import note_change
from stasis_callback.store.money.ledger import Ledger

NOT_YET_US = 0
"""When accounts expire that are not all there: no status, so that what an operator blocks meanwhile stays blocked."""
AT_ONCE = 10
"""Each takes a dozen statements, and their transaction is waited for by calls."""


@dataclass(frozen=True)
class BatchOpening:
    """Opens a batch of accounts."""

    database: Database
    accounts: Accounts
    ledger: Ledger
    clock: Clock
    customer: str
    product: str
    batch: str
    opening_micros: int
    operator: str

    def open_all(
        self, numbers: Sequence[str], progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> None:
        """Open an account for each of `numbers`, then let all of them be used. `progress` gets how many are open.

        Those that an interrupted run has opened are known by number and batch. Raises InvalidInput, also where the
        batch has others: another run would be booked as well.
        """
        pace = Pace(self.clock)
        for start in range(0, len(numbers), AT_ONCE):
            if start:
                pace.rest()
            self.database.unit(partial(self._open_some, numbers, start))
            progress(min(start + AT_ONCE, len(numbers)), len(numbers))
        self.database.unit(lambda: self._publish(numbers))

    def _open_some(self, numbers: Sequence[str], start: int) -> None:
        if not start:  # with the first of them, so that of two runs that begin at once one goes on
            self._require_no_other(numbers)
        for number in numbers[start : start + AT_ONCE]:
            known = Account.get_or_none(Account.number == number)
            if known is not None and known.batch == self.batch:
                continue
            account = self.accounts.add(
                number, customer=self.customer, product=self.product, batch=self.batch
            )
            Account.update(expires_at_us=NOT_YET_US).where(Account.id == account.id).execute()
            if self.opening_micros:
                require_payable(account.currency, self.opening_micros)
                self.ledger.top_up(
                    account.book_id, self.opening_micros,
                    key=f"opening:{number}", note="opening balance", operator=self.operator,
                )  # fmt: skip

    def _require_no_other(self, numbers: Sequence[str]) -> None:
        self.database.lock("accounts")
        there = {number for (number,) in every("SELECT number FROM account WHERE batch = ?", self.batch)}
        if there - set(numbers):
            raise InvalidInput(
                f"batch {self.batch!r} has accounts already: choose another name; an interrupted run is gone on with "
                f"by --continue and its file, or taken back with `account close-batch {self.batch} --write-off`"
            )

    def _publish(self, numbers: Sequence[str]) -> None:
        opened = 0
        for start in range(0, len(numbers), ROWS_AT_ONCE):
            some = Account.number.in_(list(numbers[start : start + ROWS_AT_ONCE]))
            mine = (Account.batch == self.batch) & (Account.expires_at_us == NOT_YET_US)
            opened += Account.update(expires_at_us=None).where(some, mine).execute()
        if opened:
            made = {
                "accounts": len(numbers),
                "customer": self.customer,
                "product": self.product,
                "opening_balance": format_amount(self.opening_micros) if self.opening_micros else "",
            }
            note_change(self.database, self.clock, "batch", self.batch, {}, made)
        elif not self.database.noted("published"):
            raise InvalidInput(f"all accounts of batch {self.batch!r} are open already")
        self.database.note("published")
