"""`FakeAsterisk`: an ARI server on loopback, HTTP and websocket, with a loop and a thread of its own."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import tempfile
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import WSMsgType, web

from stasis_callback.clock import Clock
from stasis_callback.resources import asterisk_conf_dir

from .apps import Apps, Send
from .cel import Cel
from .faults import Entry, Faults
from .model import ID_EXISTS, AriError, Json, ari_time
from .playback import Player, Sounds
from .routes import Handler, Routes
from .switch import Switch

T = TypeVar("T")

_STARTS_PLAYBACK = re.compile(r"/play(/[^/]*)?$")
_REASONS = {404: "Resource not found", 405: "Invalid method"}


class FakeAsterisk:
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
        self.app, self.trunk = app, trunk
        self.clock = clock or Clock()
        self.password = secrets.token_urlsafe(9)
        self.sounds = sounds or Sounds()
        self.sounds.speed *= speed
        self.digit_s = 0.1 / speed
        self.entity_id = "02:00:00:00:00:01"
        modules_conf = (asterisk_conf_dir() / "modules.conf").read_text()
        self.modules = set(re.findall(r"^load = (\S+)", modules_conf, re.MULTILINE))
        """What the project's configuration loads; with `bridge_native_rtp.so` plain bridges lose DTMF."""
        self.journal: list[Entry] = []
        """Requests with their parameters, events with their fields, and faults, in order."""
        self.watchers: list[Callable[[Entry], None]] = []
        """Called with every entry as it is written, a request before it is done. They must not raise and not wait."""
        self.faults = Faults(self._do_fault)
        self._own_dir = None if cel_dir else tempfile.TemporaryDirectory(prefix="fake-asterisk-")
        cel = Cel((cel_dir or Path(self._own_dir.name if self._own_dir else "")) / "cel.csv")
        self.switch = Switch(apps=Apps(self._stamp), cel=cel, now_us=self.clock.now_us, app=app, trunk=trunk)
        self.switch.trunk_causes = self.faults.trunk_causes
        self.player = Player(self.switch, self.sounds)
        self._sockets: dict[asyncio.Transport, asyncio.Queue[Json]] = {}
        self._stale: weakref.WeakSet[object] = weakref.WeakSet()
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
        """Do something in the fake's thread, as soon as it gets there; nothing once it has stopped."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(act)

    async def _listen(self) -> None:
        web_app = web.Application(middlewares=[self._answer_as_asterisk])
        for method, path, handler in Routes(self).table():
            web_app.router.add_route(method, "/ari" + path, self._as_json(handler))
        web_app.router.add_get("/ari/events", self._events)
        self._runner = web.AppRunner(web_app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def _shut_down(self) -> None:
        for channel in list(self.switch.channels.values()):
            self.switch.drop(channel)
        self._drop_websockets()
        for task in self.switch.tasks:
            task.cancel()
        await asyncio.gather(*self.switch.tasks, return_exceptions=True)
        await self._runner.cleanup()
        await asyncio.sleep(0)

    # --- HTTP ------------------------------------------------------------------------------------------------

    @web.middleware
    async def _answer_as_asterisk(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        path = request.path.removeprefix("/ari")
        loses = False
        try:
            self._note("request", f"{request.method} {path}", await _params(request))
            if plan := self.faults.due("delay", path):
                await asyncio.sleep(plan.seconds)
            if self.faults.due("5xx", path):
                raise AriError(503, "Service Unavailable")
            loses = self.faults.due("lose", path) is not None
            self._check_password(request)
            response = await handler(request)
        except AriError as error:
            error = self._as_stale_as_real(request, error)
            response = web.json_response(error.body, status=error.status)
        except web.HTTPException as error:
            message = _REASONS.get(error.status, error.reason)
            response = web.json_response({"message": message}, status=error.status)
        if loses and request.transport is not None:
            request.transport.abort()
        return response

    def _as_stale_as_real(self, request: web.Request, error: AriError) -> AriError:
        """After one 409 for a taken id, a connection answers every failed allocation with 409 too.

        Asterisk keeps that error per thread, one thread serves one connection, and a failed allocation does not
        clear it.
        """
        if error is ID_EXISTS:
            self._stale.add(request.transport)
        return ID_EXISTS if "error" in error.body and request.transport in self._stale else error

    def _check_password(self, request: web.Request) -> None:
        secret = f"{self.username}:{self.password}"
        expected = "Basic " + base64.b64encode(secret.encode()).decode()
        if request.headers.get("Authorization") != expected and request.query.get("api_key") != secret:
            raise AriError(401, "Authentication required")

    def _as_json(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            answer = await handler(request, await _params(request))
            if answer is None:
                return web.Response(status=204)
            return web.json_response(answer, status=201 if _STARTS_PLAYBACK.search(request.path) else 200)

        return handle

    # --- events ----------------------------------------------------------------------------------------------

    async def _events(self, request: web.Request) -> web.StreamResponse:
        names = [name for name in request.query.get("app", "").split(",") if name]
        if not names:
            raise AriError(400, "HTTP request is missing param: [app]")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        queue: asyncio.Queue[Json] = asyncio.Queue()
        send: Send = queue.put_nowait
        transport = request.transport
        if transport is None:  # gone meanwhile
            return socket
        self._sockets[transport] = queue
        writer = asyncio.ensure_future(self._write(socket, queue))
        try:
            for name in names:
                self.switch.apps.connect(name, send)
            async for message in socket:
                if message.type == WSMsgType.ERROR:
                    break
        finally:
            self.switch.apps.disconnect(send)
            self._sockets.pop(transport, None)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    async def _write(self, socket: web.WebSocketResponse, queue: asyncio.Queue[Json]) -> None:
        with suppress(ConnectionError):
            while True:
                event = await queue.get()
                for _ in range(2 if self.faults.duplicating else 1):
                    await socket.send_str(json.dumps(event))

    def _stamp(self, event: Json) -> Json:
        event = {**event, "timestamp": ari_time(self.clock.now_us()), "asterisk_id": self.entity_id}
        self._note("event", event["type"], event)
        return event

    def _note(self, kind: Any, name: str, detail: Json) -> None:
        entry = Entry(self.clock.now_us(), kind, name, detail)
        self.journal.append(entry)
        for watch in list(self.watchers):
            watch(entry)

    # --- faults ----------------------------------------------------------------------------------------------

    def _do_fault(self, name: str, seconds: float) -> None:
        self._note("fault", name, {"seconds": seconds})
        acts: dict[str, Callable[[], None]] = {
            "drop_websocket": self._drop_websockets,
            "restart": self._restart,
            "freeze": lambda: self._freeze(seconds),
        }
        self.soon(acts[name])

    def _freeze(self, seconds: float) -> None:
        self.clock.inbox().get(seconds)  # blocks the loop: nothing is answered, no timer fires

    def _drop_websockets(self) -> None:
        for transport, queue in list(self._sockets.items()):
            self.switch.apps.disconnect(queue.put_nowait)
            transport.abort()  # as a dead network does it: no close frame

    def _restart(self) -> None:
        for channel in list(self.switch.channels.values()):
            self.switch.drop(channel)
        self.switch.bridges.clear()
        self.switch.playbacks.clear()
        self._drop_websockets()
        self.switch.apps.by_name.clear()
        self.switch.started_us = self.clock.now_us()


async def _params(request: web.Request) -> Json:
    """Query and JSON body together; the body wins, as in Asterisk."""
    params: Json = dict(request.query)
    if request.body_exists:
        try:
            body = await request.json()
        except ValueError as error:
            raise AriError(400, "Invalid JSON") from error
        params.update(body if isinstance(body, dict) else {})
    return params
