"""`FakeAsterisk`: an ARI server on loopback, HTTP and websocket, with a loop and a thread of its own."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import tempfile
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import WSMsgType, web

from stasis_callback.clock import Clock

from .apps import Send
from .core import Core
from .model import AriError, Json
from .playback import Sounds

T = TypeVar("T")


class FakeAsterisk(Core):
    """Behaves like Asterisk 22.10 for everything the product uses; see tests/contract.

        with FakeAsterisk() as fake:
            network = FakeNetwork(fake)
            ...  # AriClient(fake.url, fake.username, fake.password, fake.app)

    `app` is the application the dialplan hands missed calls to, `trunk` the endpoint of
    its carrier (there is one more, `phones.SECOND_TRUNK`). `speed`
    shortens playbacks and keyed digits; ring timeouts and `TIMEOUT(absolute)` always run in real seconds.
    `cel_dir` receives the CEL journal (a temporary folder by default).
    """

    username = "callback"

    def __init__(
        self,
        *,
        app: str = "stasis-callback",
        trunk: str = "trunk",
        speed: float = 1.0,
        sounds: Sounds | None = None,
        cel_dir: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._own_dir = None if cel_dir else tempfile.TemporaryDirectory(prefix="fake-asterisk-")
        folder = cel_dir or Path(self._own_dir.name if self._own_dir else "")
        super().__init__(
            app=app, trunk=trunk, speed=speed, sounds=sounds, cel_dir=folder, clock=clock or Clock()
        )
        self.password = secrets.token_urlsafe(9)
        self._sockets: dict[asyncio.Transport, asyncio.Queue[Json]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-asterisk", daemon=True)
        self._port = 0

    # --- life ------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen on a free port of loopback."""
        self._thread.start()
        self.run(self._listen())
        return self

    def stop(self) -> None:
        """End every call and connection, and the thread."""
        if self._thread.is_alive():
            self.run(self._shut_down())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        if self._own_dir is not None:
            self._own_dir.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base address of ARI, without a slash at the end."""
        return f"http://127.0.0.1:{self._port}/ari"

    @property
    def cel_path(self) -> Path:
        """The CEL journal."""
        return self.switch.cel.path

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the fake's thread and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def soon(self, act: Callable[[], None]) -> None:
        """Run a function in the fake's thread as soon as possible; does nothing after a stop."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(act)

    async def _listen(self) -> None:
        web_app = web.Application()
        web_app.router.add_get("/ari/events", self._events)
        web_app.router.add_route("*", "/ari{path:/.*}", self._resource)
        web_app.router.add_route("*", "/{path:.*}", self._resource)
        self._runner = web.AppRunner(web_app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def _shut_down(self) -> None:
        for channel in list(self.switch.channels.values()):
            self.switch.drop(channel)
        self.drop_websockets()
        for task in self.switch.tasks:
            task.cancel()
        await asyncio.gather(*self.switch.tasks, return_exceptions=True)
        await self._runner.cleanup()
        await asyncio.sleep(0)

    # --- HTTP ------------------------------------------------------------------------------------------------

    async def _resource(self, request: web.Request) -> web.StreamResponse:
        """Everything but the websocket."""
        answer = await self.answer(
            request.method,
            request.match_info["path"],
            await _params(request),
            peer=request.transport,
            allowed=self._knows(request),
        )
        if answer.lost and request.transport is not None:
            request.transport.abort()
        if answer.body is None:
            return web.Response(status=answer.status)
        return web.json_response(answer.body, status=answer.status)

    def _knows(self, request: web.Request) -> bool:
        """Whether the request is authenticated."""
        secret = f"{self.username}:{self.password}"
        expected = "Basic " + base64.b64encode(secret.encode()).decode()
        return request.headers.get("Authorization") == expected or request.query.get("api_key") == secret

    # --- events ----------------------------------------------------------------------------------------------

    async def _events(self, request: web.Request) -> web.StreamResponse:
        names = [name for name in request.query.get("app", "").split(",") if name]
        try:
            await self.admit("GET", "/events", dict(request.query), allowed=self._knows(request))
            if not names:
                raise AriError(400, "HTTP request is missing param: [app]")
        except AriError as error:
            return web.json_response(error.body, status=error.status)
        socket = web.WebSocketResponse()
        queue: asyncio.Queue[Json] = asyncio.Queue()
        send: Send = queue.put_nowait
        transport = request.transport
        if transport is None:  # gone meanwhile
            return socket
        self._sockets[transport] = queue
        writer = None
        try:
            if not self.faults.is_deaf():
                for name in names:
                    self.switch.apps.connect(name, send)
            await socket.prepare(request)
            writer = asyncio.ensure_future(self._write(socket, queue))
            async for message in socket:
                if message.type == WSMsgType.ERROR:
                    break
        finally:
            self.switch.apps.disconnect(send)
            self._sockets.pop(transport, None)
            if writer is not None:
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)
        return socket

    async def _write(self, socket: web.WebSocketResponse, queue: asyncio.Queue[Json]) -> None:
        with suppress(ConnectionError):
            while True:
                event = await queue.get()
                for _ in range(2 if self.faults.duplicating else 1):
                    await socket.send_str(json.dumps(event))

    # --- faults ----------------------------------------------------------------------------------------------

    def freeze(self, seconds: float) -> None:
        """Block the loop."""
        self.clock.inbox().get(seconds)

    def drop_websockets(self) -> None:
        """Cut every event connection without a close frame."""
        for transport, queue in list(self._sockets.items()):
            self.switch.apps.disconnect(queue.put_nowait)
            transport.abort()


async def _params(request: web.Request) -> Json | AriError:
    """Query and JSON body together; the body wins, as in Asterisk."""
    params: Json = dict(request.query)
    if request.body_exists:
        try:
            body = await request.json()
        except ValueError:
            return AriError(400, "Invalid JSON")
        params.update(body if isinstance(body, dict) else {})
    return params
