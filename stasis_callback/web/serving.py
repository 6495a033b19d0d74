"""Serves an application on a port: uvicorn in a background thread that restarts after a failure."""

from __future__ import annotations

import logging

import uvicorn
from starlette.types import ASGIApp

from stasis_callback.clock import Clock
from stasis_callback.core.errors import CallbackError
from stasis_callback.listening import Port
from stasis_callback.settings import WebSettings
from stasis_callback.web.protocol import PatientProtocol
from stasis_callback.workers import Worker

STOP_S = 10.0
KEEP_ALIVE_S = 5
GRACE_S = 3
"""Answers under way get so long when the server stops."""
HEAD_LIMIT_BYTES = 16_384


class Serving:
    """Serves one application."""

    def __init__(self, app: ASGIApp, web: WebSettings, clock: Clock) -> None:
        """Nothing is served yet. Raises CallbackError when the certificate cannot be used."""
        self._config = _config(app, web)
        self._server = uvicorn.Server(self._config)
        self._port: Port | None = None
        self.worker = Worker("web", self._work, clock)
        # No log line for each invalid HTTP request: an attacker could fill the log.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)

    def start(self, port: Port) -> None:
        """Answer who connects to this port."""
        self._port = port
        self.worker.start()

    def stop(self) -> None:
        """Take no more requests; those under way get a moment."""
        self.worker.ask_to_stop()
        self._server.should_exit = True
        self.worker.stop(STOP_S)

    def _work(self, worker: Worker) -> None:
        assert self._port is not None
        self._server = uvicorn.Server(self._config)
        if not worker.goes_on:  # stopped while this one was not there yet
            return
        try:
            self._server.run(self._port.copies())
        except SystemExit as error:  # uvicorn's word for an application that does not start
            raise RuntimeError("the application did not start") from error
        if worker.goes_on:
            raise RuntimeError("the server stopped unexpectedly")


def _config(app: ASGIApp, web: WebSettings) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
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
    try:
        config.load()
    except OSError as error:  # what is wrong with a certificate is one too
        raise CallbackError(
            f"the certificate of the web server cannot be loaded: {error.strerror or error}: "
            "check web.tls_certificate and web.tls_key"
        ) from None
    return config
