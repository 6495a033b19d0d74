"""Wakes the dialler when another process has put a callback into the queue."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from stasis_callback.clock import Clock
from stasis_callback.store.database import Database
from stasis_callback.workers import Worker

log = structlog.get_logger()

AGAIN_S = 2.0
"""The database does not answer: listen again after this. Until then the dialler looks by itself every few seconds."""


class QueueWatch:
    """A thread that listens to the database."""

    def __init__(self, database: Database, clock: Clock, on_change: Callable[[], None]) -> None:
        self._database = database
        self._on_change = on_change
        self._inbox = clock.inbox()
        self._stopped = False
        self._worker = Worker("queue-watch", lambda worker: self._work(), clock)

    def start(self) -> None:
        """Begin to listen."""
        self._worker.start()

    def stop(self) -> None:
        """Listen no more."""
        self._stopped = True
        self._inbox.put(None)
        self._worker.stop(AGAIN_S)

    def _work(self) -> None:
        while not self._stopped:
            try:
                self._listen()
            except Exception:
                log.exception("queue.not_watched")
                self._inbox.get(AGAIN_S)

    def _listen(self) -> None:
        wakeups = self._database.wakeups()
        try:
            self._on_change()  # what came while nobody listened
            while not self._stopped:
                if wakeups.wait(self._inbox.get):
                    self._on_change()
        finally:
            wakeups.close()
