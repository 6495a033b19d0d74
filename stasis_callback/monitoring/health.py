"""The health of this process, for `/readyz`."""

from __future__ import annotations

from collections.abc import Callable

from stasis_callback.clock import Clock
from stasis_callback.disk import disk_trouble
from stasis_callback.settings import DatabaseSettings
from stasis_callback.store.stores import Stores
from stasis_callback.workers import Worker, Workers

LOOK_S = 1.0
"""So often the database is looked at."""
PATIENCE_S = 3.0
"""A database that has not answered for so long is away."""


class Health:
    """Looks at the database from a thread of its own: one that hangs then holds up nobody who asks."""

    def __init__(
        self,
        settings: DatabaseSettings,
        stores: Stores,
        clock: Clock,
        workers: Workers,
        trouble: Callable[[], str],
    ) -> None:
        """`trouble` says what else keeps this process from working, "" when nothing does."""
        self._settings = settings
        self._stores = stores
        self._clock = clock
        self._workers = workers
        self._trouble = trouble
        self._answered_s = clock.monotonic_s()
        self._error = ""
        self._disk = ""
        self.worker = Worker("health", self._work, clock)

    def troubles(self) -> list[str]:
        """What keeps it from working, a sentence each."""
        others = [self._trouble(), self._database(), self._disk]
        return [sentence for sentence in (*others, *self._workers.troubles()) if sentence]

    def database_answers(self) -> bool:
        """Whether there is a point in asking it."""
        return not self._database()

    def _database(self) -> str:
        away_s = self._clock.monotonic_s() - self._answered_s
        if away_s < PATIENCE_S:
            return ""
        return f"the database has not answered for {away_s:.0f} s" + (self._error and f": {self._error}")

    def _work(self, worker: Worker) -> None:
        while worker.goes_on:
            try:
                self._stores.requests.next_due_us()
            except Exception as error:  # noqa: BLE001  on any error the database cannot be read
                self._error = " ".join(str(error).split())
            else:
                self._answered_s, self._error = self._clock.monotonic_s(), ""
            if folder := self._settings.folder:
                self._disk = disk_trouble(folder, self._settings.free_limit_mb)
            worker.pause(LOOK_S)
