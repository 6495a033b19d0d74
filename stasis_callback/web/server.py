"""The web server of a process, with its webhooks."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from stasis_callback.clock import Clock
from stasis_callback.core.web import parse_networks
from stasis_callback.engine.admission.orders import Answer, Order, Orders, log_answer
from stasis_callback.listening import Port, web_port
from stasis_callback.monitoring.monitor import Monitor
from stasis_callback.settings import Settings
from stasis_callback.store.stores import Stores
from stasis_callback.web.app import WebApp
from stasis_callback.web.serving import Serving
from stasis_callback.web.webhooks import Webhooks
from stasis_callback.workers import Worker, Workers, regularly

log = structlog.get_logger()

TIDY_S = 600.0


class WebServer:
    """Serves the web of one installation."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        clock: Clock,
        *,
        wake_dialer: Callable[[], None],
        end_call: Callable[[str], bool],
        monitor: Monitor,
        workers: Workers,
        port: Port | None = None,
    ) -> None:
        """Nothing is served yet. Raises CallbackError when a setting cannot be used.

        `monitor` has the process's health and figures, for `/readyz` and `/metrics`. The server's own threads are
        added to `workers`, those of the process. `port` is there already, or made at the start.
        """
        web = settings.web
        parse_networks("setting web.metrics_addresses", web.metrics_addresses)
        parse_networks("setting web.trusted_proxies", web.trusted_proxies)
        self._settings = web
        self._stores = stores
        self._port = port
        metrics = monitor.metrics

        def decided(order: Order, answer: Answer) -> None:
            log_answer(order, answer)
            metrics.decided(order, answer)
            if not answer.reason:
                wake_dialer()

        orders = Orders(stores, clock, settings.limits.queue, decided)
        self.app = WebApp(
            settings, stores, orders, clock, metrics, end_call=end_call, troubles=monitor.health.troubles
        )
        self.webhooks = Webhooks(stores, self.app.signer, clock, metrics)
        self._serving = Serving(self.app.asgi, web, clock)
        self._tidying = Worker("web-tidy", regularly(TIDY_S, self.tidy), clock)
        workers.add(self._serving.worker, self._tidying, *self.webhooks.workers)

    def start(self) -> None:
        """Serve. Raises CallbackError when the port cannot be had."""
        self._port = self._port or web_port(self._settings)
        self._tidying.start()
        self._serving.start(self._port)
        self.webhooks.start()
        log.info("web.started", address=self.app_address)

    @property
    def app_address(self) -> str:
        """The address on which it listens, once it does."""
        assert self._port is not None
        return ":".join(map(str, self._port.address))

    def stop(self) -> None:
        """Take no more requests; those under way get a moment."""
        self._serving.stop()
        self._tidying.stop()
        self.webhooks.stop()
        if self._port is not None:
            self._port.close()

    def tidy(self) -> None:
        """Remove outdated data."""
        self._stores.limits.forget_old()
        self._stores.idempotency.forget_old()
