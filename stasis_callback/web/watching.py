"""The status page: progress of the call with live updates by server-sent events, and a button to cancel."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.core.money import format_amount
from stasis_callback.core.opening import on_the_clock
from stasis_callback.core.progress import Step
from stasis_callback.settings import WebSettings
from stasis_callback.web.brand import brand
from stasis_callback.web.desk import Desk
from stasis_callback.web.pages import Pages, template_environment
from stasis_callback.web.security import allow_frames, allow_origin, comes_from_browser, origin_of
from stasis_callback.web.status import Progress, progress_of, seconds
from stasis_callback.web.texts import texts

POLL_S = 0.4
STREAM_S = 600.0
"""A stream ends after this long; the page opens another."""
QUIET_S = 15.0
"""A line at least this often, so that proxies do not close the connection as idle."""
POLLERS = 4

SHOWN = (
    Step.QUEUED,
    Step.CALLING_FIRST,
    Step.FIRST_ANSWERED,
    Step.CALLING_SECOND,
    Step.CONNECTED,
    Step.ENDED,
)
"""The way of a call that goes well, in order."""


class Watching:
    """The status pages."""

    def __init__(
        self, desk: Desk, settings: WebSettings, pages: Pages, end_call: Callable[[str], bool]
    ) -> None:
        """`end_call` ends a callback that waits or is under way; False when it is over."""
        self._desk = desk
        self._settings = settings
        self._pages = pages
        self._end_call = end_call
        self._templates = template_environment()
        self._streams = 0
        self._pollers: CapacityLimiter | None = None

    def routes(self) -> list[Route]:
        """The routes of the status pages."""
        return [
            Route("/status/{token}", self._get, methods=["GET"], name="status"),
            Route("/status/{token}/events", self._events, methods=["GET"], name="events"),
            Route("/status/{token}/cancel", self._cancel, methods=["POST"], name="cancel"),
        ]

    # --- the page ----------------------------------------------------------------------------------------------

    async def _get(self, request: Request) -> Response:
        return await run_in_threadpool(self._show, request)

    def _show(self, request: Request) -> Response:
        token = request.path_params["token"]
        request_id = self._request_id(token)
        if request_id is None:
            return self._pages.message(request, "link_expired", 404)
        seen = self._seen(request_id, token)
        allow_frames(request, seen.pop("framing"))
        page = self._templates.get_template("status.html")
        return HTMLResponse(page.render(**seen))

    def _request_id(self, token: str) -> str | None:
        request_id = self._desk.signer.read_status(token, self._desk.clock.now_us())
        return request_id if request_id and self._desk.stores.requests.exists(request_id) else None

    def _seen(self, request_id: str, token: str) -> dict[str, Any]:
        """Everything a status page shows."""
        progress = progress_of(self._desk.stores, request_id, self._desk.clock.now_us())
        request = progress.request
        language = request.options.language_list[0]
        instance = self._desk.stores.web_instances.find(request.instance)
        settings = instance.configuration.settings if instance is not None else None
        show_cost = settings is not None and settings.show_cost
        # A hosted form is closed without the signed link it was opened by.
        form = f"/web/{request.instance}" if settings is not None and settings.type != "hosted" else ""
        return {
            "t": texts(language),
            "token": token,
            "progress": progress,
            "path": _path(progress),
            "talk_s": seconds(progress.talk_us),
            "framing": settings.framing if settings else (),
            "call_at": on_the_clock(request.call_at_us, settings.time_zone if settings else "UTC")
            if progress.step is Step.QUEUED and request.call_at_us
            else "",
            "clock": _minutes(seconds(progress.talk_us)),
            "cost": format_amount(progress.cost_micros, progress.currency)
            if show_cost and progress.currency
            else "",
            "form": form,
            **brand(self._settings, request.instance, language),
        }

    # --- live --------------------------------------------------------------------------------------------------

    async def _events(self, request: Request) -> Response:
        token = request.path_params["token"]
        request_id = await run_in_threadpool(self._request_id, token)
        if request_id is None:
            return PlainTextResponse("", 404)
        allow_origin(request, await run_in_threadpool(self._origins, request_id))
        if self._streams >= self._settings.streams_limit:
            return PlainTextResponse("", 503, headers={"Retry-After": "30"})
        return StreamingResponse(self._stream(request_id, token), media_type="text/event-stream")

    def _origins(self, request_id: str) -> tuple[str, ...]:
        """The sites that may follow and cancel a callback: those that may ask for it."""
        instance = self._desk.stores.web_instances.find(self._desk.stores.requests.get(request_id).instance)
        return instance.configuration.settings.origins if instance else ()

    async def _stream(self, request_id: str, token: str) -> AsyncIterator[str]:
        self._streams += 1
        self._pollers = self._pollers or CapacityLimiter(POLLERS)
        try:
            yield "retry: 2000\n\n"
            last, quiet_s, waited_s = "", 0.0, 0.0
            while waited_s < STREAM_S:
                try:
                    data, over = await to_thread.run_sync(
                        self._message, request_id, token, limiter=self._pollers
                    )
                except StoreUnavailable:
                    data, over = last, False  # no browser comes again to one that is answered with 503
                if data != last:
                    yield f"event: progress\ndata: {data}\n\n"
                    last, quiet_s = data, 0.0
                elif quiet_s >= QUIET_S:
                    yield ": nothing new\n\n"
                    quiet_s = 0.0
                if over:
                    return
                await anyio.sleep(POLL_S)
                quiet_s, waited_s = quiet_s + POLL_S, waited_s + POLL_S
        finally:
            self._streams -= 1

    def _message(self, request_id: str, token: str) -> tuple[str, bool]:
        seen = self._seen(request_id, token)
        progress: Progress = seen["progress"]
        html = self._templates.get_template("_progress.html").render(**seen | {"live": True})
        now = self._templates.get_template("_now.html").render(**seen)
        return json.dumps(
            {
                "step": progress.step,
                "now": now.strip(),
                "html": html,
                "over": progress.over,
                "failed": progress.failed,
            }
        ), progress.over

    # --- taking it back ----------------------------------------------------------------------------------------

    async def _cancel(self, request: Request) -> Response:
        return await run_in_threadpool(self._take_back, request)

    def _take_back(self, request: Request) -> Response:
        token = request.path_params["token"]
        request_id = self._request_id(token)
        origins = self._origins(request_id) if request_id else ()
        allow_origin(request, origins)
        # Who has the link may cancel. A browser must send it from the page itself, or from a site that may ask.
        allowed = (self._settings.origin, *origins)
        if comes_from_browser(request.headers) and origin_of(request.headers) not in allowed:
            return self._pages.message(request, "wrong_site", 403)
        if request_id is None:
            return self._pages.message(request, "link_expired", 404)
        self._end_call(request_id)
        if request.headers.get("origin") in origins:
            return Response(status_code=204)
        return RedirectResponse(f"/status/{token}", 303)


def _path(progress: Progress) -> list[dict[str, object]]:
    """The steps of the way with what is behind, what is now, and what may come."""
    done = [step for step, _ in progress.steps]
    shown = [step for step in SHOWN if step in done] if progress.over else list(SHOWN)
    if progress.over and progress.step not in shown:
        shown.append(progress.step)
    now = (
        progress.step
        if progress.step in shown
        else next((s for s in reversed(SHOWN) if s in done), Step.QUEUED)
    )
    return [
        {
            "step": step,
            "state": _state(step, progress, step is now, step in done),
        }
        for step in shown
    ]


def _state(step: Step, progress: Progress, is_now: bool, is_done: bool) -> str:
    if is_now and not progress.over:
        return "now"
    if progress.failed and step is progress.step:
        return "failed"
    return "done" if is_done else "open"


def _minutes(whole_s: int) -> str:
    return f"{whole_s // 60}:{whole_s % 60:02d}"
