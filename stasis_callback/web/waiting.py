"""The responses of the web server (503 with the reason) while the process waits for its database."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stasis_callback.clock import Clock
from stasis_callback.settings import WebSettings
from stasis_callback.web.serving import Serving

RETRY_S = 5


def waiting(web: WebSettings, clock: Clock, trouble: Callable[[], str]) -> Serving:
    """A server that answers 503 to everything; `trouble` says why. Raises CallbackError, see `Serving`."""

    async def alive(_request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def not_now(request: Request) -> Response:
        text = trouble() if request.url.path == "/readyz" else "not now, please try again"
        return PlainTextResponse(f"{text}\n", 503, headers={"Retry-After": str(RETRY_S)})

    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    routes = [Route("/healthz", alive), Route("/{path:path}", not_now, methods=methods)]
    return Serving(Starlette(routes=routes), web, clock)
