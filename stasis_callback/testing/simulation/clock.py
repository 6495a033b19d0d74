"""The clock of a simulated service: virtual time, waits that let others run, threads and locks of the scheduler."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from stasis_callback.clock import US_PER_S, Clock, Inbox

from .scheduler import START_US, Process, Scheduler, Thread

NEVER_S = 1e6
"""Longer waits than this count as unlimited."""


class SimClock(Clock):
    """The clock of one process: its wall clock may be wrong by `offset_us`, its monotonic one never jumps."""

    def __init__(self, scheduler: Scheduler, process: Process) -> None:
        self.scheduler = scheduler
        self.process = process
        self.offset_us = 0

    def now_us(self) -> int:
        """Virtual time plus the offset of the machine's clock."""
        return self.scheduler.now_us + self.offset_us

    def monotonic_s(self) -> float:
        """Virtual seconds since the simulation began."""
        return (self.scheduler.now_us - START_US) / US_PER_S

    def inbox(self) -> Inbox[Any]:
        """An inbox whose `get` lets other threads run."""
        return SimInbox(self)

    def lock(self) -> AbstractContextManager[object]:
        """A lock whose `with` lets other threads run."""
        return SimLock(self)

    def start_thread(self, work: Callable[[], None], name: str) -> None:
        """Start a thread of the scheduler."""
        self.process.check()
        self.scheduler.start(work, name, self.process)

    def sleep(self, seconds: float) -> None:
        """Let a thread of the simulation (not of the product) wait this long."""
        end_us = self.scheduler.now_us + round(seconds * US_PER_S)
        while self.scheduler.now_us < end_us:
            self.scheduler.sleep(end_us)


class SimInbox(Inbox[Any]):
    """An inbox of the scheduler; several threads may wait at it."""

    def __init__(self, clock: SimClock) -> None:
        self._sim = clock
        self._waiting: deque[Any] = deque()
        self._consumers: list[Thread] = []

    def put(self, item: Any) -> None:
        """Add an item, and wake all waiting threads: the scheduler chooses which one gets it."""
        self._waiting.append(item)
        for thread in self._consumers:
            self._sim.scheduler.wake(thread)

    def get(self, timeout_s: float | None) -> Any:
        """The next item, or None when the time is up."""
        scheduler = self._sim.scheduler
        self._sim.process.check()
        forever = timeout_s is None or timeout_s > NEVER_S
        end_us = None if forever else scheduler.now_us + math.ceil((timeout_s or 0.0) * US_PER_S)
        scheduler.give_way()
        me = scheduler.current
        self._consumers.append(me)
        try:
            while not self._waiting:
                if end_us is not None and scheduler.now_us >= end_us:
                    return None
                scheduler.sleep(end_us)
        finally:
            self._consumers.remove(me)
        return self._waiting.popleft()

    def __len__(self) -> int:
        return len(self._waiting)


class SimLock:
    """A re-entrant lock of the scheduler."""

    def __init__(self, clock: SimClock) -> None:
        self._sim = clock
        self._owner: Thread | None = None
        self._depth = 0
        self._queue: list[Thread] = []

    def __enter__(self) -> SimLock:
        scheduler = self._sim.scheduler
        self._sim.process.check()
        me = scheduler.current
        if self._owner is not me:
            scheduler.give_way()
            self._queue.append(me)
            try:
                while self._owner is not None:
                    scheduler.sleep(None)
            finally:
                self._queue.remove(me)
            self._owner = me
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
            for thread in self._queue:
                self._sim.scheduler.wake(thread)
