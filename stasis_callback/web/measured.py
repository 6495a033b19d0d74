"""Counts each request by its route, which has no names, numbers or tokens in it."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stasis_callback.clock import Clock
from stasis_callback.monitoring.metrics import Metrics


class Measured:
    """The application, measured."""

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, clock: Clock, route_of: Callable[[Scope], str]
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock
        self._route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s, status = self._clock.monotonic_s(), 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            route, method = self._route_of(scope), scope["method"]
            method = method if method in ("GET", "POST", "HEAD", "OPTIONS") else "other"
            self._metrics.requests.labels(route, method, str(status)).inc()
            self._metrics.latency_s.labels(route).observe(self._clock.monotonic_s() - started_s)
