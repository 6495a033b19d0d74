"""Large changes while the service is running: written in small transactions, effective with the last one.

The rows of a draft are ignored while its row in `draft` exists; deleting it, in the transaction that publishes, makes
all of them effective together. A process that dies half way leaves rows without effect; the next draft with the same
key removes them. Each transaction records which rows of the draft it has written, so that repeating one of unknown
result has no further effect.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TypeVar

from peewee import BigIntegerField

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import CallbackError, InvalidInput, StoreUnavailable
from stasis_callback.crashpoint import crashpoint
from stasis_callback.store.database.database import Database, unit
from stasis_callback.store.database.pace import ROWS_AT_ONCE, Pace
from stasis_callback.store.database.tables import Table, TextField

T = TypeVar("T")

LEASE_S = 60
"""A draft that has written nothing for so long belongs to a process that died."""


class Draft(Table):
    """A change of many rows that is being written, `written` of them so far: they do not count while it stands."""

    key = TextField(primary_key=True)
    token = TextField()
    written = BigIntegerField()
    until_us = BigIntegerField()


class Writing:
    """A draft that this process writes."""

    def __init__(self, database: Database, clock: Clock, key: str) -> None:
        self._database = database
        self._clock = clock
        self._key = key
        self._token = secrets.token_hex(8)
        self._written = 0
        self._over = False
        self._mine = (Draft.key == key) & (Draft.token == self._token)

    def write(
        self,
        rows: Iterable[T],
        insert: Callable[[Sequence[T]], None],
        progress: Callable[[int], None] = lambda _done: None,
    ) -> int:
        """Insert `rows`, some hundred in each transaction; how many. `progress` is called with the number so far.

        Raises CallbackError when another took the draft over.
        """
        pace, rest = Pace(self._clock), iter(rows)
        while some := list(islice(rest, ROWS_AT_ONCE)):
            if self._written and not self._database.in_transaction:  # within one, nobody would get a turn
                pace.rest()
            self._write_some(self._written, some, insert)
            self._written += len(some)
            progress(self._written)
            crashpoint("draft-begun")
        return self._written

    def publish(self, act: Callable[[], None], done: Callable[[], bool]) -> None:
        """Let everything count: `act` runs in the transaction that ends the draft, `done` tells whether it has run.

        Raises CallbackError when another took the draft over.
        """
        crashpoint("draft-written")
        self._publish(act, done)
        self._over = True

    def is_undone(self, done: Callable[[], bool]) -> bool:
        """After it has failed: whether it is certain that nothing counts, nor will; `done` as for `publish`."""
        if self._database.in_transaction:  # whose end is not known
            return False
        with suppress(StoreUnavailable):
            return self._database.read(lambda: Draft.get_or_none(self._mine) is None and not done())
        return False

    @unit
    def _publish(self, act: Callable[[], None], done: Callable[[], bool]) -> None:
        if Draft.delete().where(self._mine).execute():
            act()
        elif not done():
            raise self._lost()

    @unit
    def _take(self, busy: str, may_begin: Callable[[], None]) -> bool:
        """Begin; whether a draft of this key was left behind. Raises InvalidInput while another is written."""
        now_us = self._clock.now_us()
        self._database.lock(f"draft:{self._key}")
        left = Draft.get_or_none(Draft.key == self._key)
        # One that is longer is from before a clock was put back; another machine's may be a little ahead.
        longest_us = now_us + 2 * LEASE_S * US_PER_S
        if left is not None and left.token != self._token and now_us < left.until_us <= longest_us:
            raise InvalidInput(busy)
        if left is None:
            may_begin()
        Draft.delete().where(Draft.key == self._key).execute()
        Draft.create(key=self._key, token=self._token, written=0, until_us=now_us + LEASE_S * US_PER_S)
        return left is not None

    @unit
    def _write_some(self, before: int, rows: Sequence[T], insert: Callable[[Sequence[T]], None]) -> None:
        after = before + len(rows)
        if self._renew(Draft.written == before, written=after):
            insert(rows)
        elif Draft.get_or_none(self._mine, Draft.written == after) is None:
            raise self._lost()

    def _clear(self, remove_some: Callable[[], int]) -> None:
        """Remove the rows written by an unfinished draft."""
        pace = Pace(self._clock)
        while self._clear_some(remove_some):
            pace.rest()

    @unit
    def _clear_some(self, remove_some: Callable[[], int]) -> int:
        if not self._renew():
            raise self._lost()
        return remove_some()

    def _end(self, remove_some: Callable[[], int]) -> None:
        """Leave nothing of it, unless it was published."""
        if not self._over:
            if self._written:
                self._clear(remove_some)
            self._forget()

    @unit
    def _forget(self) -> None:
        Draft.delete().where(self._mine).execute()

    def _renew(self, *conditions: object, **values: object) -> bool:
        until_us = self._clock.now_us() + LEASE_S * US_PER_S
        return bool(Draft.update(until_us=until_us, **values).where(self._mine, *conditions).execute())

    def _lost(self) -> CallbackError:
        return CallbackError(
            f"this process was paused, and another one has begun the same change since then ({self._key}): "
            "nothing was changed, try again"
        )


@contextmanager
def drafting(
    database: Database,
    clock: Clock,
    key: str,
    *,
    busy: str,
    remove_some: Callable[[], int],
    may_begin: Callable[[], None] = lambda: None,
) -> Iterator[Writing]:
    """Write a draft; what was written is removed again when the block fails, or ends without publishing it.

    `remove_some` removes up to `ROWS_AT_ONCE` rows that a draft of this key has written, and tells how many.
    `may_begin` raises InvalidInput when there must be no draft, as for what exists already. Raises InvalidInput with
    the words `busy` while another process writes a draft of the same key.
    """
    writing = Writing(database, clock, key)
    if writing._take(busy, may_begin):
        writing._clear(remove_some)
    try:
        yield writing
    except BaseException:
        if not database.in_transaction:  # which undoes it all
            with suppress(CallbackError):  # then the next draft does it, or another is at it already
                writing._end(remove_some)
        raise
    writing._end(remove_some)
