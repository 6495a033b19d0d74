"""Background threads: started, stopped, started again after a crash, and asked whether they are well.

Every thread of the product but those of calls is a `Worker`. One that fails says so in the log, waits a little and
begins again; what it was at is in the database or in Asterisk, never in its memory alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from stasis_callback.clock import Clock

log = structlog.get_logger()

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
WELL_AGAIN_S = 60.0
"""A worker that has run so long after a failure is well again."""


class Worker:
    """One background thread, over and over: `work` runs until it returns or fails, and is then begun again.

    `work` gets the worker: it asks `goes_on`, and waits with `pause`. It may be anything that returns soon after the
    worker is stopped.
    """

    def __init__(self, name: str, work: Callable[[Worker], None], clock: Clock) -> None:
        self.name = name
        self.restarts = 0
        self._work = work
        self._clock = clock
        self._inbox = clock.inbox()
        self._over = clock.inbox()
        self._failures = 0
        self._began_at_s = 0.0
        self._error = ""
        self._alive = False
        self._thread = 0
        self._stopping = False

    def start(self) -> None:
        """Begin; nothing happens when it runs already. RuntimeError when the machine has no thread left."""
        if self._alive:
            return
        self._alive = True
        try:
            self._clock.start_thread(self._run, self.name)
        except BaseException:
            self._alive = False
            raise

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Have it return, and wait for that; False when it had not within `timeout_s`. It may stop itself."""
        self.ask_to_stop()
        if self._thread == threading.get_ident():
            return True
        return not self._alive or self._over.get(timeout_s) is not None

    def ask_to_stop(self) -> None:
        """Have it return when it can."""
        self._stopping = True
        self.wake()

    @property
    def goes_on(self) -> bool:
        """Whether it is to go on: nobody has stopped it."""
        return not self._stopping

    def wake(self) -> None:
        """End its pause, or the next one if it is at work."""
        self._inbox.put("wake")

    def pause(self, seconds: float | None) -> None:
        """Wait so long, or until somebody wakes it (several calls are one). For the worker's own thread."""
        if self._inbox.get(seconds) is not None:
            while len(self._inbox):
                self._inbox.get(0)

    def trouble(self) -> str:
        """What is wrong with it, in words for people; "" when it is well, or was stopped."""
        if self._stopping:
            return ""
        if not self._alive:
            return f"{self.name} is not running"
        return f"{self.name} failed: {self._error}" if self._error and not self._well_again() else ""

    def _well_again(self) -> bool:
        return self._clock.monotonic_s() - self._began_at_s > WELL_AGAIN_S

    def _run(self) -> None:
        self._thread = threading.get_ident()
        try:
            while self.goes_on:
                self._began_at_s = self._clock.monotonic_s()
                try:
                    self._work(self)
                except Exception as error:
                    log.exception("worker.failed", worker=self.name)
                    self._rest(error)
        finally:
            self._alive = False
            self._over.put("over")

    def _rest(self, error: Exception) -> None:
        self._failures = 1 if self._well_again() else self._failures + 1
        self._error = str(error) or type(error).__name__
        self.restarts += 1
        self.pause(min(FIRST_PAUSE_S * 2.0 ** min(self._failures - 1, 5), LONGEST_PAUSE_S))


def regularly(seconds: float, task: Callable[[], object]) -> Callable[[Worker], None]:
    """The work of a worker that does `task` at once, and again after each pause of so many seconds."""

    def work(worker: Worker) -> None:
        while worker.goes_on:
            task()
            worker.pause(seconds)

    return work


class Pool:
    """Some threads for short tasks that come from outside. A task that fails is logged; the thread goes on."""

    def __init__(self, name: str, threads: int, clock: Clock) -> None:
        self._clock = clock
        self._tasks = clock.inbox()
        self.workers = [Worker(f"{name}-{n}", self._work, clock) for n in range(1, threads + 1)]

    def start(self) -> None:
        """Begin to take tasks; those given before wait."""
        for worker in self.workers:
            worker.start()

    def submit(self, task: Callable[[], None]) -> None:
        """Have a task done, as soon as a thread is free."""
        self._tasks.put(task)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Take no more; what is being done is waited for, `timeout_s` in all."""
        until_s = self._clock.monotonic_s() + timeout_s
        for worker in self.workers:
            worker.ask_to_stop()
        for _ in self.workers:
            self._tasks.put(lambda: None)
        for worker in self.workers:
            worker.stop(max(until_s - self._clock.monotonic_s(), 0.0))

    def _work(self, worker: Worker) -> None:
        while worker.goes_on:
            task = self._tasks.get(None)
            if task is None:
                continue
            try:
                task()
            except Exception:
                log.exception("task.failed", worker=worker.name)


class Workers:
    """All workers of a process: what `/readyz`, `doctor` and the metrics ask."""

    def __init__(self) -> None:
        self._all: list[Worker] = []

    def add(self, *workers: Worker) -> None:
        """Look after these too."""
        self._all.extend(workers)

    def revive(self) -> None:
        """Start those whose thread is gone though nobody stopped them."""
        for worker in self._all:
            if worker.goes_on:
                worker.start()

    def troubles(self) -> list[str]:
        """What is wrong with any of them, a sentence each."""
        return [trouble for worker in self._all if (trouble := worker.trouble())]

    @property
    def well(self) -> dict[str, bool]:
        """Whether nothing is wrong with each."""
        return {worker.name: not worker.trouble() for worker in self._all}

    @property
    def restarts(self) -> dict[str, int]:
        """How often each was begun again after a failure."""
        return {worker.name: worker.restarts for worker in self._all}
