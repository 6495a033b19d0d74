"""Background threads: started, stopped, restarted after a failure, and monitored.

Every thread of the product, except those of calls, is a `Worker`. If it fails, it logs this, pauses and restarts; its
state is in the database or in Asterisk, never only in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from stasis_callback.clock import Clock
from stasis_callback.core.backoff import doubling_s

log = structlog.get_logger()

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
WELL_AGAIN_S = 60.0
"""After running this long since a failure, a worker counts as healthy again, in seconds."""


class Worker:
    """One background thread: `work` runs until it returns or fails, and is then restarted.

    `work` gets the worker, checks `goes_on`, and waits with `pause`. It must return soon after the worker is stopped.
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
        """Start, unless it is already running. Raises RuntimeError if no more threads can be started."""
        if self._alive:
            return
        self._alive = True
        try:
            self._clock.start_thread(self._run, self.name)
        except BaseException:
            self._alive = False
            raise

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Stop it and wait for its end; False if it did not end within `timeout_s`. It may stop itself."""
        self.ask_to_stop()
        if self._thread == threading.get_ident():
            return True
        return not self._alive or self._over.get(timeout_s) is not None

    def ask_to_stop(self) -> None:
        """Ask it to stop, without waiting."""
        self._stopping = True
        self.wake()

    @property
    def goes_on(self) -> bool:
        """Whether it has not been stopped."""
        return not self._stopping

    def wake(self) -> None:
        """End its current pause, or the next one if it is working."""
        self._inbox.put("wake")

    def pause(self, seconds: float | None) -> None:
        """Wait for a time, or until it is woken (several wake-ups count as one). Only for the worker's own thread."""
        if self._inbox.get(seconds) is not None:
            while len(self._inbox):
                self._inbox.get(0)

    def trouble(self) -> str:
        """A message about its problem; "" if it is healthy, or was stopped."""
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
        self.pause(doubling_s(FIRST_PAUSE_S, LONGEST_PAUSE_S, self._failures))


def regularly(seconds: float, task: Callable[[], object]) -> Callable[[Worker], None]:
    """The work of a worker that runs `task` immediately, and again after each pause of `seconds`."""

    def work(worker: Worker) -> None:
        while worker.goes_on:
            task()
            worker.pause(seconds)

    return work


class Pool:
    """A pool of threads for short tasks. A failed task is logged; the thread continues."""

    def __init__(self, name: str, threads: int, clock: Clock) -> None:
        self._clock = clock
        self._tasks = clock.inbox()
        self.workers = [Worker(f"{name}-{n}", self._work, clock) for n in range(1, threads + 1)]

    def start(self) -> None:
        """Start processing tasks; tasks submitted before are waiting."""
        for worker in self.workers:
            worker.start()

    def submit(self, task: Callable[[], None]) -> None:
        """Submit a task; it runs as soon as a thread is free."""
        self._tasks.put(task)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop accepting tasks, and wait for running ones, `timeout_s` in total."""
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
    """All workers of a process, for `/readyz`, `doctor` and the metrics."""

    def __init__(self) -> None:
        self._all: list[Worker] = []

    def add(self, *workers: Worker) -> None:
        """Add these workers."""
        self._all.extend(workers)

    def revive(self) -> None:
        """Restart workers whose thread has ended without being stopped."""
        for worker in self._all:
            if worker.goes_on:
                worker.start()

    def troubles(self) -> list[str]:
        """Messages about the problems of all workers."""
        return [trouble for worker in self._all if (trouble := worker.trouble())]

    @property
    def well(self) -> dict[str, bool]:
        """Whether each worker is healthy, by name."""
        return {worker.name: not worker.trouble() for worker in self._all}

    @property
    def restarts(self) -> dict[str, int]:
        """How often each worker was restarted after a failure."""
        return {worker.name: worker.restarts for worker in self._all}
