"""The console as an application: who may reach which page, and how errors look."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
import structlog
from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from stasis_callback.clock import Clock
from stasis_callback.console import coming_back
from stasis_callback.console.command_pages import CommandPages
from stasis_callback.console.overview import Overview
from stasis_callback.console.pages import ConsolePages
from stasis_callback.console.rendering import Renderer
from stasis_callback.console.second import SecondOperator
from stasis_callback.console.visits import LANGUAGE, LANGUAGE_COOKIE, Caller, Visits
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.settings import ConsoleSettings
from stasis_callback.store.stores import Stores
from stasis_callback.web.security import Guard, TooLarge, TooSlow

log = structlog.get_logger()

STATIC = Path(__file__).parent / "static"
THREADS = 8
FORM_LIMIT_BYTES = 262_144
COMMANDS = "/do/"
REQUEST_TIMEOUT_S, UPLOAD_TIMEOUT_S = 20.0, 300.0
FIELDS_LIMIT = 1000

Get = Callable[[Request, Caller], Response]
Post = Callable[[Request, Caller, FormData], Response]


class Console:
    """Everything that answers operators. `asgi` is the application."""

    def __init__(self, settings: ConsoleSettings, stores: Stores, clock: Clock) -> None:
        self._renderer = Renderer()
        self.visits = Visits(settings, stores, clock)
        second = SecondOperator(settings, stores)
        self._commands = CommandPages(second, stores, self._renderer, self.visits)
        self._pages = ConsolePages(
            stores, self._renderer, self.visits, Overview(stores, clock), self._commands, second
        )
        app = Starlette(routes=self._routes(), lifespan=self._lifespan)
        app.router.redirect_slashes = False  # to whatever host a request names
        app.add_exception_handler(HTTPException, self._http_error)
        app.add_exception_handler(StoreUnavailable, self._away)
        app.add_exception_handler(Exception, self._fault)
        self.app = app
        https = settings.https
        pages = Guard(app, body_limit_bytes=FORM_LIMIT_BYTES, timeout_s=REQUEST_TIMEOUT_S, https=https)
        uploads = Guard(
            app, body_limit_bytes=settings.upload_limit_mb << 20, timeout_s=UPLOAD_TIMEOUT_S, https=https
        )
        self.asgi: ASGIApp = _ByPath(pages, uploads)

    def _routes(self) -> list[Route | Mount]:
        pages, commands = self._pages, self._commands
        return [
            Route("/healthz", _alive, methods=["GET"]),
            Route("/sign-in", self._sign_in_form, methods=["GET"]),
            Route("/sign-in", self._sign_in, methods=["POST"]),
            Route("/", self._get(lambda _, visit: pages.home(visit)), methods=["GET"]),
            Route("/live", self._live, methods=["GET"]),
            Route("/find", self._get(pages.find), methods=["GET"]),
            Route("/reports", self._get(pages.report), methods=["GET"]),
            Route("/me", self._get(lambda _, visit: pages.me(visit)), methods=["GET"]),
            Route("/me", self._post(pages.change_password), methods=["POST"]),
            Route("/second", self._get(lambda _, visit: pages.second(visit)), methods=["GET"]),
            Route(
                "/second/{proposal}",
                self._post(lambda r, v, form: pages.decide(r, v, r.path_params["proposal"], form)),
                methods=["POST"],
            ),
            Route(
                "/noun/{noun}",
                self._get(lambda r, v: commands.noun(v, r.path_params["noun"])),
                methods=["GET"],
            ),
            Route("/sign-out", self._post(lambda _r, visit, _f: pages.sign_out(visit)), methods=["POST"]),
            Route(
                "/do/{name:path}", self._get(lambda r, v: commands.get(r, v, _command(r))), methods=["GET"]
            ),
            Route(
                "/do/{name:path}",
                self._post(lambda r, v, form: commands.post(r, v, _command(r), form)),
                methods=["POST"],
            ),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield

    # --- who may reach a page ----------------------------------------------------------------------------------

    def _get(self, answer: Get) -> Callable[[Request], Awaitable[Response]]:
        """A page for who is signed in; everybody else is asked to."""

        def answered(request: Request) -> Response:
            visit = self.visits.of(request)
            if visit.session is None:
                return RedirectResponse(coming_back.sign_in_for(request), 303)
            return self._with_language(request, answer(request, visit))

        async def endpoint(request: Request) -> Response:
            return await anyio.to_thread.run_sync(answered, request)

        return endpoint

    def _post(self, answer: Post) -> Callable[[Request], Awaitable[Response]]:
        """A form of who is signed in. Nothing of it is read before that is known."""

        async def endpoint(request: Request) -> Response:
            visit = await anyio.to_thread.run_sync(self.visits.of, request)
            if visit.session is None:
                return RedirectResponse("/sign-in", 303)
            form = await self._own_form(request, visit)
            if form is None:
                return self._commands.message(visit, "foreign_form", 403)
            try:
                return await anyio.to_thread.run_sync(answer, request, visit, form)
            finally:
                await form.close()

        return endpoint

    async def _own_form(self, request: Request, visit: Caller) -> FormData | None:
        """The fields, if the form is of a page that this browser was given; None for every other one."""
        if not self.visits.is_own_form(request):
            return None
        form = await request.form(max_files=4, max_fields=FIELDS_LIMIT)
        token = form.get("form_token", "")
        return form if isinstance(token, str) and visit.owns(token) else None

    async def _sign_in_form(self, request: Request) -> Response:
        def answered() -> Response:
            visit = self.visits.of(request)
            answer = (
                self._pages.sign_in_form(visit)
                if visit.session is None
                else RedirectResponse(coming_back.wanted_by(request), 303)
            )
            return self._with_language(request, answer)

        return await anyio.to_thread.run_sync(answered)

    async def _sign_in(self, request: Request) -> Response:
        visit = await anyio.to_thread.run_sync(self.visits.of, request)
        form = await self._own_form(request, visit)
        if form is None:
            return await anyio.to_thread.run_sync(
                lambda: self._pages.sign_in_form(visit, "foreign_form", 403)
            )
        return await anyio.to_thread.run_sync(self._pages.sign_in, request, visit, form)

    async def _live(self, request: Request) -> Response:
        visit = await anyio.to_thread.run_sync(lambda: self.visits.of(request, waits=True))
        return await self._pages.live(request, visit) if visit.session else Response(status_code=403)

    def _with_language(self, request: Request, response: Response) -> Response:
        wanted = request.query_params.get(LANGUAGE, "")
        if wanted and request.cookies.get(LANGUAGE_COOKIE) != wanted:
            self.visits.keep_language(response, self.visits.of(request, waits=True).language)
        return response

    # --- errors ------------------------------------------------------------------------------------------------

    def _http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        try:
            visit = self.visits.of(request, waits=True)
        except StoreUnavailable as away:
            return self._away(request, away)
        code = {404: "not_found", 405: "not_found"}.get(error.status_code, "trouble")
        return self._commands.message(visit, code, error.status_code)

    def _away(self, _request: Request, error: Exception) -> Response:
        log.warning("console.away", error=str(error))
        return PlainTextResponse(
            "the database is unavailable, please try again\n", 503, headers={"Retry-After": "5"}
        )

    def _fault(self, request: Request, error: Exception) -> Response:
        if isinstance(error, TooLarge | TooSlow):
            raise error
        log.error("console.fault", path=request.url.path, exc_info=error)
        return PlainTextResponse("something went wrong; the log of the console says what\n", 500)


class _ByPath:
    """Pages of commands take files; all else takes short forms, also from strangers."""

    def __init__(self, pages: ASGIApp, uploads: ASGIApp) -> None:
        self._pages = pages
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        takes_files = scope["type"] == "http" and scope["path"].startswith(COMMANDS)
        await (self._uploads if takes_files else self._pages)(scope, receive, send)


async def _alive(_request: Request) -> Response:
    return PlainTextResponse("alive\n")


def _command(request: Request) -> str:
    return " ".join(request.path_params["name"].split("/"))
