"""Security headers of all responses, and limits of all requests.

Plain ASGI, outside FastAPI: it also applies to errors and unknown routes.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Collection
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from stasis_callback.web.problems import MEDIA_TYPE, problem

log = structlog.get_logger()

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: browsers then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
REQUEST_ID = "X-Request-Id"
_OWN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
HSTS = "max-age=31536000"


class TooLarge(Exception):
    """The body of a request is longer than the limit."""


class TooSlow(Exception):
    """The rest of a request did not come in time."""


class HalfRequest(Exception):
    """The connection ended before the body did: there is nobody to answer."""


class Ambiguous(Exception):
    """A request says in two ways where it ends: a proxy may have believed the other one."""


_ANSWERS = {TooLarge: (413, "too_large"), TooSlow: (408, "too_slow"), Ambiguous: (400, "ambiguous_length")}


class Guard:
    """Limits the body of each request in size and time, and puts the headers on each answer."""

    def __init__(self, app: ASGIApp, *, body_limit_bytes: int, timeout_s: float, https: bool) -> None:
        self._app = app
        self._limit = body_limit_bytes
        self._timeout_s = timeout_s
        self._headers = HEADERS | ({"Strict-Transport-Security": HSTS} if https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        gone: list[None] = []
        request_id = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = request_id if _OWN_ID.fullmatch(request_id) else secrets.token_hex(8)
        add_header(scope, REQUEST_ID, request_id)
        bind_contextvars(request_id=request_id)  # of this request alone: each has a task of its own

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.update(scope["answer_headers"])
                if "frame_sites" in scope:
                    _allow_frames(headers, scope["frame_sites"])
            await send(message)

        try:
            self._look_at_head(Headers(scope=scope))
            await self._app(scope, self._limited(receive, gone), send_with_headers)
        except (TooLarge, TooSlow, Ambiguous) as error:
            if started:
                raise
            await _refuse(send_with_headers, *_ANSWERS[type(error)])
        except HalfRequest:
            pass
        if gone:  # whatever the application made of that
            log.info("web.half_request")

    def _look_at_head(self, headers: Headers) -> None:
        if "content-length" in headers and "transfer-encoding" in headers:
            raise Ambiguous
        text = headers.get("content-length", "0")
        if text.isascii() and text.isdigit() and (len(text) > 15 or int(text) > self._limit):
            raise TooLarge

    def _limited(self, receive: Receive, gone: list[None]) -> Receive:
        """`receive`, up to the limit and the time for all of the body; into `gone` comes that the rest never will."""
        length = 0
        deadline_s: float | None = None
        complete = False

        async def limited() -> Message:
            nonlocal length, deadline_s, complete
            if complete:
                return await receive()  # only the end of the connection is left
            loop = asyncio.get_running_loop()
            deadline_s = deadline_s if deadline_s is not None else loop.time() + self._timeout_s
            try:
                async with asyncio.timeout_at(deadline_s):
                    message = await receive()
            except TimeoutError:
                raise TooSlow from None
            if message["type"] == "http.disconnect":
                gone.append(None)
                raise HalfRequest
            length += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if length > self._limit:
                raise TooLarge
            return message

        return limited


def add_header(scope: Scope, name: str, value: str) -> None:
    """Put a header on the answer to a request, whatever that will be."""
    scope.setdefault("answer_headers", {})[name] = value


def allow_frames(request: Request, origins: Collection[str]) -> None:
    """Let pages of these sites show the answer in a frame."""
    if origins:
        request.scope["frame_sites"] = tuple(origins)


def _allow_frames(headers: MutableHeaders, sites: Collection[str]) -> None:
    policy = headers["Content-Security-Policy"]
    headers["Content-Security-Policy"] = policy.replace(
        "frame-ancestors 'none'", f"frame-ancestors {' '.join(sites)}"
    )
    del headers["X-Frame-Options"]  # it knows no list of sites


async def _refuse(send: Send, status: int, code: str) -> None:
    body = json.dumps(problem(status, code)).encode()
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def allow_origin(request: Request, origins: Collection[str]) -> None:
    """Let a page of one of these sites read the answer to its own request."""
    origin = request.headers.get("origin", "")
    if origins:
        add_header(request.scope, "Vary", "Origin")
    if origin in origins:
        add_header(request.scope, "Access-Control-Allow-Origin", origin)
        add_header(request.scope, "Access-Control-Expose-Headers", f"Retry-After, {REQUEST_ID}")


def comes_from_browser(headers: Headers) -> bool:
    """Whether a browser sent this: then it says from which page."""
    return "origin" in headers or "sec-fetch-site" in headers


def origin_of(headers: Headers) -> str:
    """The site a form was sent from, as browsers name it; "" when there is no telling.

    `Referer` is for those that leave `Origin` out of a form sent to its own site.
    """
    origin = headers.get("origin", "")
    if origin or "referer" not in headers:
        return origin
    try:
        parts = urlsplit(headers["referer"])
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
