"""`/metrics`, `/readyz` and `/healthz` on a port of their own: for a node without the web server, or behind its back.

Each request has a thread and ten seconds; there are few who ask. It is for a private address: nobody is asked who
they are.
"""

from __future__ import annotations

from collections.abc import Callable
from http.server import ThreadingHTTPServer
from socket import socket
from typing import Any

from prometheus_client import CollectorRegistry, MetricsHandler

from stasis_callback.clock import Clock
from stasis_callback.listening import Port
from stasis_callback.workers import Worker

PATIENCE_S = 10
AGAIN_S = 0.5


class MonitoringListener:
    """Serves the figures of `registry`, and `troubles`: what keeps the process from working, a sentence each."""

    def __init__(
        self, port: Port, registry: CollectorRegistry, troubles: Callable[[], list[str]], clock: Clock
    ) -> None:
        self._port = port
        self._handler = _handler(registry, troubles)
        self._server: _Server | None = None
        self.worker = Worker("metrics", self._serve, clock)

    def stop(self) -> None:
        """Serve no more."""
        self.worker.ask_to_stop()
        if self._server:
            self._server.shutdown()
        self.worker.stop()

    def _serve(self, worker: Worker) -> None:
        [listening, *others] = self._port.copies()
        for other in others:
            other.close()
        with _Server(listening, self._handler) as self._server:
            if worker.goes_on:
                self._server.serve_forever(AGAIN_S)


class _Server(ThreadingHTTPServer):
    """On a socket that listens already."""

    daemon_threads = True

    def __init__(self, listening: socket, handler: type[MetricsHandler]) -> None:
        super().__init__(listening.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening


def _handler(registry: CollectorRegistry, troubles: Callable[[], list[str]]) -> type[MetricsHandler]:
    class Handler(MetricsHandler):
        timeout = PATIENCE_S

        def do_GET(self) -> None:
            if self.path == "/metrics":
                super().do_GET()
            elif self.path == "/healthz":
                self._text(200, "alive")
            elif self.path == "/readyz":
                found = troubles()
                self._text(503 if found else 200, "\n".join(found or ["ready"]))
            else:
                self._text(404, "there are /metrics, /readyz and /healthz")

        def _text(self, status: int, text: str) -> None:
            body = f"{text}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """No line for each request."""

    Handler.registry = registry
    return Handler
