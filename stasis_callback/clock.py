"""The only place that reads time, the one primitive that waits, and where threads and locks come from.

Every wait of the product is `Inbox.get` with a timeout: a call's conversation, the dialer and the link to
Asterisk all wait on an inbox and on nothing else. So a test can hand in another clock, and a wait can always
be ended by putting something into the inbox. Threads and locks come from the clock too: a simulation hands in one
that lets a single thread run at a time, in an order that its seed decides.

Times are integers: microseconds since the epoch, UTC, with the unit at the end of the name (`answered_at_us`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar
from uuid import uuid4

T = TypeVar("T")

US_PER_S = 1_000_000
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Wall-clock time in microseconds since the epoch (UTC)."""
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        """Seconds that never jump, for measuring how long something took."""
        return time.monotonic()

    def wall_ahead_s(self) -> float:
        """How far the wall clock is before the steady one, in seconds; it moves as the wall clock is set."""
        return self.now_us() / US_PER_S - self.monotonic_s()

    def mark(self, ago_s: float = 0.0) -> str:
        """The moment `ago_s` seconds ago, for another process of this machine: `since_s` measures from it there, by a
        clock that never jumps (Linux: CLOCK_MONOTONIC counts from the start of the machine, for all processes alike).
        """
        return f"{_machine()}:{round((self.monotonic_s() - ago_s) * US_PER_S)}"

    def since_s(self, mark: str) -> float | None:
        """Seconds since a mark; None for one of another machine, or of this one before it was started anew."""
        return seconds_between(mark, self.mark()) if mark else None

    def inbox(self) -> Inbox[Any]:
        """A new, empty inbox."""
        return Inbox()

    def lock(self) -> AbstractContextManager[object]:
        """A new lock; a thread that has it may take it again."""
        return threading.RLock()

    def start_thread(self, work: Callable[[], None], name: str) -> None:
        """Run `work` in a new thread. Raises RuntimeError if no more threads can be started."""
        threading.Thread(target=work, name=name, daemon=True).start()


class Inbox(Generic[T]):
    """An unbounded queue; `get` is the product's only way to wait. What is put in is got by one thread, once.

    Unbounded on purpose: the reader of Asterisk's events must never wait (Asterisk closes a slow reader), and
    what goes into one call's inbox is bounded by what one call can cause.
    """

    def __init__(self) -> None:
        self._items: SimpleQueue[T] = SimpleQueue()

    def put(self, item: T) -> None:
        """Add an item; never blocks, may be called from any thread, and from a signal handler."""
        self._items.put(item)

    def get(self, timeout_s: float | None) -> T | None:
        """The next item, or None when nothing came within `timeout_s` seconds (None waits for ever)."""
        try:
            if timeout_s is None:
                return self._items.get()
            return self._items.get(timeout_s > 0, max(timeout_s, 0))
        except Empty:
            return None

    def __len__(self) -> int:
        return self._items.qsize()


def seconds_between(earlier: str, later: str) -> float | None:
    """Seconds between two marks (`Clock.mark`), below 0 in the other order; None where they are of two machines."""
    (machine, _, since), (same, _, until) = earlier.partition(":"), later.partition(":")
    if machine != same:
        return None
    from_us, until_us = (int(text.partition(":")[0]) for text in (since, until))
    return (until_us - from_us) / US_PER_S


def doubted(mark: str, doubt_s: float) -> str:
    """A mark of a moment that may have been up to so many seconds later."""
    return f"{mark}:{round(doubt_s * US_PER_S)}" if doubt_s > 0 else mark


def doubt_of_s(mark: str) -> float:
    """How much later than a mark says that moment may have been, in seconds."""
    doubt_us = mark.partition(":")[2].partition(":")[2]
    return int(doubt_us or 0) / US_PER_S


@cache
def _machine() -> str:
    """Which machine this is, since its last start; without Linux each process is one of its own."""
    try:
        return BOOT_ID.read_text().strip()[:8]
    except OSError:
        return uuid4().hex[:8]


def iso(at_us: int) -> str:
    """An instant as people and other programs read it: `2026-11-23T21:04:05.123Z`."""
    moment = datetime.fromtimestamp(at_us // US_PER_S, UTC).replace(microsecond=at_us % US_PER_S)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def wait_until(condition: Callable[[], bool], *, timeout_s: float, every_s: float = 0.02) -> bool:
    """Poll `condition` until it holds; False when `timeout_s` passed first.

    For things that cannot put into an inbox: another process coming up, a file being written.
    """
    clock, inbox = Clock(), Inbox[None]()
    deadline_s = clock.monotonic_s() + timeout_s
    while not condition():
        if clock.monotonic_s() >= deadline_s:
            return False
        inbox.get(every_s)
    return True
