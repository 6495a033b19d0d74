"""The web application: pages, status, API, health and figures put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
import structlog
from anyio import CapacityLimiter
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from stasis_callback.clock import Clock
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.engine.admission.orders import Orders
from stasis_callback.monitoring.metrics import Metrics
from stasis_callback.settings import Settings
from stasis_callback.store.stores import Stores
from stasis_callback.web.account_pages import SubscriberPages
from stasis_callback.web.api import PREFIX, Api
from stasis_callback.web.brand import BrandFiles
from stasis_callback.web.description import describe
from stasis_callback.web.desk import Desk
from stasis_callback.web.keys import KeyRates
from stasis_callback.web.measured import Measured
from stasis_callback.web.messages import Messages
from stasis_callback.web.money_api import MoneyApi
from stasis_callback.web.pages import Pages
from stasis_callback.web.payments import Payments
from stasis_callback.web.problems import ApiError, answer, describe_validation, problem
from stasis_callback.web.security import Guard, HalfRequest, TooLarge, TooSlow
from stasis_callback.web.signing import Signer
from stasis_callback.web.strict_json import NamedTwice
from stasis_callback.web.visitors import is_in
from stasis_callback.web.waiting import RETRY_S
from stasis_callback.web.watching import Watching

log = structlog.get_logger()

STATIC = Path(__file__).parent / "static"


class WebApp:
    """Everything that answers HTTP. `asgi` is the application."""

    def __init__(
        self,
        whole: Settings,
        stores: Stores,
        orders: Orders,
        clock: Clock,
        metrics: Metrics,
        *,
        end_call: Callable[[str], bool],
        troubles: Callable[[], list[str]],
    ) -> None:
        """`end_call` ends a callback; `troubles` says what keeps this process from working, without waiting."""
        settings = self._settings = whole.web
        self._metrics = metrics
        self._troubles = troubles
        self._reader: CapacityLimiter | None = None
        self.signer = Signer.of(settings)
        desk = Desk(stores, orders, self.signer, clock)
        self._pages = Pages(desk, settings)
        subscribers = SubscriberPages(whole, stores, self.signer, clock, self._pages)
        watching = Watching(desk, settings, self._pages, end_call)
        app = FastAPI(
            title="stasis-callback", version="1",
            openapi_url=f"{PREFIX}/openapi.json", docs_url=None, redoc_url=None, lifespan=self._lifespan,
            redirect_slashes=False,  # to whatever host a request names
        )  # fmt: skip
        app.state.api_keys = stores.api_keys
        app.state.key_rates = KeyRates(clock)
        # Before the API, whose routes are many: the first that fits is taken.
        app.router.routes.extend(
            [*self._pages.routes(), *watching.routes(), *subscribers.routes(), *self._own_routes()]
        )
        for part in (
            Api(desk, settings, end_call), MoneyApi(stores, clock), Payments(stores, self.signer, clock),
            Messages(stores, orders, settings, self.signer, clock),
        ):  # fmt: skip
            app.include_router(part.router())
        describe(app, settings.origin)
        app.exception_handler(ApiError)(_api_error)
        app.exception_handler(RequestValidationError)(_invalid)
        app.exception_handler(HTTPException)(self._http_error)
        app.exception_handler(StoreUnavailable)(self._away)
        app.exception_handler(Exception)(self._fault)
        self._routes = app.router.routes
        self.fastapi = app
        self.asgi: ASGIApp = Guard(
            Measured(app, metrics=metrics, clock=clock, route_of=self._route_of),
            body_limit_bytes=settings.body_limit_bytes,
            timeout_s=settings.request_timeout_s,
            https=settings.origin.startswith("https:"),
        )

    def _own_routes(self) -> list[BaseRoute]:
        """Health, figures and files."""
        brand = self._settings.brand_dir
        return [
            Route("/healthz", self._alive, methods=["GET"]),
            Route("/readyz", self._ready, methods=["GET"]),
            Route("/metrics", self._figures, methods=["GET"]),
            *(
                Route(f"/static/{name}", self._script, methods=["GET"], name=name)
                for name in ("callback.js", "proof.js")
            ),
            Mount("/static", StaticFiles(directory=STATIC)),
            *([Mount("/brand", BrandFiles(brand))] if brand else ()),
        ]

    @asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        # Each request may run Argon2: the number of threads limits the memory.
        anyio.to_thread.current_default_thread_limiter().total_tokens = self._settings.threads
        yield

    # --- health and figures ------------------------------------------------------------------------------------

    async def _alive(self, _request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _ready(self, _request: Request) -> Response:
        # Not in a thread: all of them may be waiting for a database that does not answer.
        troubles = self._troubles()
        return PlainTextResponse("\n".join(troubles or ["ready"]) + "\n", 503 if troubles else 200)

    async def _script(self, request: Request) -> Response:
        # The files that are for the pages of others.
        headers = {"Cross-Origin-Resource-Policy": "cross-origin"}
        name = request.url.path.rpartition("/")[2]
        return FileResponse(STATIC / name, media_type="text/javascript", headers=headers)

    async def _figures(self, request: Request) -> Response:
        if not is_in(request, self._settings.metrics_addresses):
            return self._pages.message(request, "not_found", 404)
        # A thread of its own, for the same reason.
        self._reader = self._reader or CapacityLimiter(1)
        text = await anyio.to_thread.run_sync(self._metrics.text, limiter=self._reader)
        return Response(text, media_type=self._metrics.content_type)

    # --- errors ------------------------------------------------------------------------------------------------

    def _http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status, headers = error.status_code, dict(error.headers or {})
        code = {404: "not_found", 405: "method_not_allowed"}.get(status, "bad_request")
        response = self._said(request, status, code, "not_found" if status == 404 else "trouble")
        response.headers.update(headers)
        return response

    def _away(self, request: Request, error: Exception) -> Response:
        log.warning("web.away", route=self._route_of(request.scope), error=str(error))
        response = self._said(request, 503, "unavailable", "unavailable")
        response.headers["Retry-After"] = str(RETRY_S)
        return response

    def _fault(self, request: Request, error: Exception) -> Response:
        if isinstance(error, TooLarge | TooSlow | HalfRequest):
            raise error
        log.error("web.fault", route=self._route_of(request.scope), exc_info=error)
        return self._said(request, 500, "fault", "trouble")

    def _said(self, request: Request, status: int, code: str, page: str) -> Response:
        """An error of the API by its code, or a page that says one thing."""
        if request.url.path.startswith(PREFIX):
            return answer(status, problem(status, code))
        return self._pages.message(request, page, status)

    def _route_of(self, scope: Scope) -> str:
        """The pattern of a request's path: it has no names, numbers or tokens in it."""
        for route in self._routes:
            if route.matches(scope)[0] is not Match.NONE:
                return str(getattr(route, "path", "other"))
        return "other"


def _api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if isinstance(twice := error.__cause__, NamedTwice):
        return answer(400, problem(400, "bad_json", twice.msg))
    errors: list[Any] = list(error.errors())
    return describe_validation(errors)
