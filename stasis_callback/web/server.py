"""The web server of a process: uvicorn in a thread, and the webhooks beside it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import structlog
import uvicorn

from stasis_callback.clock import Clock, wait_until
from stasis_callback.core.errors import CallbackError
from stasis_callback.core.web import parse_networks
from stasis_callback.engine.orders import Answer, Order, Orders, log_answer
from stasis_callback.engine.stores import Stores
from stasis_callback.settings import Settings
from stasis_callback.web.app import WebApp
from stasis_callback.web.metrics import Metrics
from stasis_callback.web.protocol import PatientProtocol
from stasis_callback.web.webhooks import Webhooks

log = structlog.get_logger()

START_S, STOP_S = 10.0, 10.0
KEEP_ALIVE_S = 5
GRACE_S = 3
"""Answers under way get so long when the server stops."""
HEAD_LIMIT_BYTES = 16_384
HOUSEKEEPING_S = 600.0


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
        trouble: Callable[[], str],
    ) -> None:
        """Nothing listens yet. Raises CallbackError when a setting cannot be used."""
        web = settings.web
        parse_networks("setting web.metrics_addresses", web.metrics_addresses)
        parse_networks("setting web.trusted_proxies", web.trusted_proxies)
        self._stores = stores
        self._clock = clock
        self._tidied_s = -HOUSEKEEPING_S
        metrics = Metrics(stores)

        def decided(order: Order, answer: Answer) -> None:
            log_answer(order, answer)
            metrics.decided(order, answer)
            if not answer.reason:
                wake_dialer()

        orders = Orders(stores, clock, settings.limits.queue, decided)
        self.app = WebApp(web, stores, orders, clock, metrics, end_call=end_call, trouble=trouble)
        self.webhooks = Webhooks(stores, self.app.signer, clock, metrics)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.app.asgi,
                host=web.host,
                port=web.port,
                http=PatientProtocol,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,  # a line for each request would have tokens in it; /metrics counts them
                server_header=False,
                proxy_headers=bool(web.trusted_proxies),
                forwarded_allow_ips=[part.strip() for part in web.trusted_proxies.split(",") if part.strip()],
                limit_concurrency=web.connections_limit,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
                h11_max_incomplete_event_size=HEAD_LIMIT_BYTES,
                ssl_certfile=web.tls_certificate or None,
                ssl_keyfile=web.tls_key or None,
            )
        )
        # A line for everything that is no HTTP is what whoever sends it would like.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)

    def start(self) -> None:
        """Listen. Raises CallbackError when the address cannot be had."""
        self._thread.start()
        up = wait_until(lambda: self._server.started or not self._thread.is_alive(), timeout_s=START_S)
        if not (up and self._server.started):
            raise CallbackError("the web server cannot listen: look at web.host, web.port and the TLS files")
        self.webhooks.start()
        log.info("web.started", address=self.app_address)

    @property
    def app_address(self) -> str:
        """Where it listens, once it does."""
        host, port = self._server.servers[0].sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    def stop(self) -> None:
        """Take no more requests; those under way get a moment."""
        self._server.should_exit = True
        self._thread.join(STOP_S)
        self.webhooks.stop()

    def keep_house(self) -> None:
        """Remove what is out of date, now and then."""
        if self._clock.monotonic_s() - self._tidied_s >= HOUSEKEEPING_S:
            self._tidied_s = self._clock.monotonic_s()
            self._stores.limits.forget_old()
            self._stores.idempotency.forget_old()

    def _serve(self) -> None:
        try:
            self._server.run()
        except SystemExit:  # uvicorn's word for an address in use
            log.error("web.not_started")
        except Exception:
            log.exception("web.failed")
