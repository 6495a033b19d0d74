"""Health and figures of one process, for the web server or the monitoring listener."""

from __future__ import annotations

from collections.abc import Callable

from stasis_callback import logs
from stasis_callback.clock import Clock
from stasis_callback.engine.trunk_health import TrunkHealth
from stasis_callback.listening import Port
from stasis_callback.monitoring.health import Health
from stasis_callback.monitoring.listener import MonitoringListener
from stasis_callback.monitoring.metrics import Metrics
from stasis_callback.settings import DatabaseSettings
from stasis_callback.store.stores import Stores
from stasis_callback.workers import Workers


class Monitor:
    """Looks after one process, from `start` to `stop`."""

    def __init__(
        self,
        settings: DatabaseSettings,
        stores: Stores,
        clock: Clock,
        workers: Workers,
        *,
        trouble: Callable[[], str],
        trunks: TrunkHealth | None = None,
        port: Port | None = None,
    ) -> None:
        """`trouble` says what keeps the process from working, at once; "" when nothing does. `workers` are those of
        the process: its own are added. `trunks` are those that it calls over, if it does; `port` is that of
        `[metrics]`, if any.
        """
        self.health = Health(settings, stores, clock, workers, trouble)
        self.metrics = Metrics(stores, workers, self.health.database_answers, clock, trunks)
        self._listener = (
            MonitoringListener(port, self.metrics.registry, self.health.troubles, clock) if port else None
        )
        self._workers = [self.health.worker, *([self._listener.worker] if self._listener else [])]
        workers.add(*self._workers)

    def start(self) -> None:
        """Look, count, and serve where a port is given."""
        logs.watch(self.metrics.business.note)
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """The end of it."""
        if self._listener:
            self._listener.stop()
        self.health.worker.stop()
        logs.unwatch(self.metrics.business.note)
