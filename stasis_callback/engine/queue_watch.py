"""Wakes the dialler when another process has put a callback into the queue."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from stasis_callback.clock import Clock
from stasis_callback.store.stores import Stores
from stasis_callback.workers import Worker

log = structlog.get_logger()

AGAIN_S = 2.0
"""The database does not answer: listen again after this. Until then the dialler looks by itself every few seconds."""


class QueueWatch:
    """A worker that listens for new callbacks in the database."""

    def __init__(self, stores: Stores, clock: Clock, on_change: Callable[[], None]) -> None:
        self._database = stores.database
        self._requests = stores.requests
        self._on_change = on_change
        self._pause = clock.inbox()
        self.worker = Worker("queue-watch", self._work, clock)

    def start(self) -> None:
        """Start listening."""
        self.worker.start()

    def stop(self) -> None:
        """Stop listening."""
        self.worker.ask_to_stop()
        self._pause.put(None)
        self.worker.stop(AGAIN_S)

    def _work(self, worker: Worker) -> None:
        while worker.goes_on:
            try:
                self._listen(worker)
            except Exception:
                log.exception("queue.not_watched")
                worker.pause(AGAIN_S)

    def _listen(self, worker: Worker) -> None:
        wakeups = self._database.wakeups()
        try:
            self._on_change()  # what came while nobody listened
            while worker.goes_on:
                # Most changes are those of our own calls.
                if wakeups.wait(self._pause.get) and self._requests.next_due_us() is not None:
                    self._on_change()
        finally:
            wakeups.close()
