"""How long a thread waits for the database, and how it tries again: the one policy of all that uses it.

A thread's patience goes for each thing it asks: a unit, a read, a connection. Within it what has failed for a passing
reason is tried again, after pauses that grow; and no wait inside it, for a turn, a connection or an answer, lasts
longer than what is left. So any number of threads give up side by side, each after its own patience.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from stasis_callback.clock import Clock

T = TypeVar("T")

PATIENCE_S = 10.0
"""The patience of a thread that has said nothing else."""
SHORTEST_WAIT_S = 1.0
"""A single try waits so long for its turn or an answer, however little patience there is: it would never succeed."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.25


class _ThreadPatience(threading.local):
    """What a thread has said, and when what it asks now was asked."""

    patience_s = PATIENCE_S
    first = False
    asked_s: float | None = None


class Patience:
    """The patience of every thread that uses a database."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._here = _ThreadPatience()
        self._hurried = False
        self.repeats = 0
        """How often something was tried again, in all threads."""

    @contextmanager
    def of(self, seconds: float) -> Iterator[None]:
        """Within the block this thread waits `seconds` for each thing it asks; 0: each is tried once."""
        before, self._here.patience_s = self._here.patience_s, seconds
        try:
            yield
        finally:
            self._here.patience_s = before

    @contextmanager
    def first(self) -> Iterator[None]:
        """Within the block this thread goes before others, where there are turns: somebody waits for what it does."""
        before, self._here.first = self._here.first, True
        try:
            yield
        finally:
            self._here.first = before

    @property
    def goes_first(self) -> bool:
        """Whether this thread goes before others now."""
        return self._here.first

    def hurry(self) -> None:
        """From now on nobody has patience, who waits neither. Takes no lock: for a signal handler."""
        self._hurried = True

    def now_s(self) -> float:
        """The clock's seconds, which never jump."""
        return self.clock.monotonic_s()

    def left_s(self) -> float:
        """How long a try may wait for its turn or for a connection."""
        return max(max(self._whole_s(), SHORTEST_WAIT_S) - self._gone_s(), 0.0)

    def answer_s(self) -> float:
        """How long to wait for one answer: half of all patience, so that another connection can be tried."""
        half_s = max(self._whole_s() / 2, SHORTEST_WAIT_S)
        return min(half_s, max(self.left_s(), SHORTEST_WAIT_S))

    def again(self, once: Callable[[], T], passes: Callable[[Exception], bool]) -> T:
        """What `once` gives; it is tried again while what it raises `passes`, until the patience is over.

        All that is asked within is one thing, whose time runs from here.
        """
        here, pause_s = self._here, FIRST_PAUSE_S
        is_outer = here.asked_s is None
        if is_outer:
            here.asked_s = self.now_s()
        try:
            while True:
                try:
                    return once()
                except Exception as error:
                    if not passes(error) or self._gone_s() + pause_s > self._whole_s():
                        raise
                self.repeats += 1
                self.clock.inbox().get(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        finally:
            if is_outer:
                here.asked_s = None

    def _whole_s(self) -> float:
        return 0.0 if self._hurried else self._here.patience_s

    def _gone_s(self) -> float:
        asked_s = self._here.asked_s
        return 0.0 if asked_s is None else self.now_s() - asked_s
