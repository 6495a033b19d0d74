"""Lends things to threads, one per thread: the turn to write, a connection."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from stasis_callback.clock import Inbox
from stasis_callback.store.database.patience import Patience

T = TypeVar("T")

LOOK_AGAIN_S = 0.5
"""The patience of a thread that waits may end before its time."""
FIRST_IN_A_ROW = 4
"""After this many preferred threads, one of the others gets its turn, so that none waits for ever."""


class Lending(Generic[T]):
    """Lends items in the order of requests; nobody waits longer than the patience of their thread.

    Threads that somebody waits for (`Patience.first`) go before all others, four times of five.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._free: list[T] = []
        self._waiting: deque[Inbox[T | Exception]] = deque()
        self._first: deque[Inbox[T | Exception]] = deque()
        self._in_a_row = 0

    def take(self, on_wait: Callable[[], None] = lambda: None) -> T | None:
        """Something, or None when there was nothing while the patience lasted. Raises what `fail` is told meanwhile.

        `on_wait` is called when there is nothing at once, so that there may be.
        """
        with self._lock:
            if self._free:
                return self._free.pop()
            mine: Inbox[T | Exception] = self._patience.clock.inbox()
            queue = self._first if self._patience.goes_first else self._waiting
            queue.append(mine)
        on_wait()
        got = None
        while got is None and (left_s := self._patience.left_s()):
            got = mine.get(min(left_s, LOOK_AGAIN_S))
        if got is None:
            with self._lock:
                if mine in queue:
                    queue.remove(mine)
            got = mine.get(0)  # what came in between
        if isinstance(got, Exception):
            raise got
        return got

    def give(self, thing: T) -> None:
        """Lend it to whose turn it is, or keep it for the next who asks."""
        with self._lock:
            if self._first and (self._in_a_row < FIRST_IN_A_ROW or not self._waiting):
                self._in_a_row += 1
                self._first.popleft().put(thing)
            elif self._waiting:
                self._in_a_row = 0
                self._waiting.popleft().put(thing)
            else:
                self._free.append(thing)

    def fail(self, error: Exception) -> None:
        """Nothing will come: let all who wait know why."""
        with self._lock:
            for queue in (self._first, self._waiting):
                while queue:
                    queue.popleft().put(error)

    def take_all_free(self) -> list[T]:
        """Take all items that are not lent."""
        with self._lock:
            free, self._free = self._free, []
            return free

    @property
    def waiting(self) -> int:
        """The number of waiting threads."""
        return len(self._first) + len(self._waiting)
