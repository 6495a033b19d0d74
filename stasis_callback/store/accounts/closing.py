"""Closing a batch of accounts while the service is running: a few in each transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.accounts.accounts import Accounts, AccountView
from stasis_callback.store.database.database import Database
from stasis_callback.store.database.pace import Pace
from stasis_callback.store.database.statements import every
from stasis_callback.store.database.trail import LongChange

AT_ONCE = 10
"""Each takes a dozen statements, and their transaction is waited for by calls."""
_STATUSES = "SELECT status, COUNT(*) FROM account WHERE batch = ? GROUP BY status"


@dataclass(frozen=True)
class BatchClosing:
    """Closes the accounts of a batch."""

    database: Database
    accounts: Accounts
    clock: Clock
    batch: str
    write_off: bool
    operator: str

    def close_all(self, progress: Callable[[int, int], None] = lambda _done, _total: None) -> int:
        """Close all accounts of the batch that are not; how many. `progress` gets how many of them are closed.

        Raises InvalidInput, and closes none, when one of them has a live call, or money without `write_off`. What
        comes to be only later, of the first of these too, ends it there: run again, it goes on.
        """
        found = [account for account in self.accounts.all() if account.batch == self.batch != ""]
        if not found:
            raise InvalidInput(
                f"there is no batch {self.batch!r} of accounts: see `stasis-callback account list`"
            )
        left = [account for account in found if account.status != "closed"]
        self.database.read(
            lambda: [self.accounts.left_to_close(one, write_off=self.write_off) for one in left]
        )
        pace = Pace(self.clock)
        change = LongChange(
            self.database, self.clock, ("batch", self.batch), describe=self._statuses, aim=_closed
        )
        with change.steps():
            for start in range(0, len(left), AT_ONCE):
                if start and not self.database.in_transaction:  # within one, nobody would get a turn
                    pace.rest()
                change.step(partial(self._close_some, left[start : start + AT_ONCE]))
                progress(min(start + AT_ONCE, len(left)), len(left))
        return len(left)

    def _close_some(self, some: Sequence[AccountView]) -> int:
        self.database.lock("accounts")
        still = [a for a in some if self.accounts.get(a.id).status != "closed"]
        for account in still:
            self.accounts.close(account.number, write_off=self.write_off, operator=self.operator)
        return len(still)

    def _statuses(self) -> dict[str, object]:
        return dict(every(_STATUSES, self.batch))


def _closed(before: Mapping[str, object]) -> dict[str, object]:
    return {"closed": sum(int(str(number)) for number in before.values())}
