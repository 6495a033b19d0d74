"""The way between the service and Asterisk: requests take their time, fail or are lost; events arrive in turn.

`SimRest` stands where the service sends HTTP, `SimSocket` where it reads its websocket.
"""

from __future__ import annotations

import json as jsonlib
import math
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from websocket import ABNF, WebSocketTimeoutException

from stasis_callback.ari.errors import AriUnavailable
from stasis_callback.ari.rest import Reply, Rest
from stasis_callback.ari.rest import _Broken as Broken
from stasis_callback.store.database.database import Database
from stasis_callback.testing.fake.core import Answer
from stasis_callback.testing.fake.model import Json

from .asterisk import APP, SimAsterisk
from .clock import SimClock
from .scheduler import US_PER_S, Thread

REQUEST_TIMEOUT_S = 5.0
REFUSED = "connection refused"
ALL = "*"
"""The lane of all events."""
URL = "http://127.0.0.1:8088"


class Connection:
    """One HTTP connection."""


@dataclass
class Exchange:
    """One request in progress."""

    thread: Thread
    answer: Answer | None = None
    broken: str = ""


class SimRest(Rest):
    """Commands of one process to the simulated Asterisk."""

    def __init__(self, asterisk: SimAsterisk, clock: SimClock, database: Database) -> None:
        super().__init__(URL, "callback", "secret", REQUEST_TIMEOUT_S, 64, clock)
        self._asterisk = asterisk
        self._sim = clock
        self._database = database
        self._connections = [Connection() for _ in range(3)]

    def _exchange(self, method: str, url: str, params: Mapping[str, str] | None, json: object) -> Reply:
        exchange = self._send(method, url.removeprefix(self.base), params, json)
        if exchange.answer is not None:
            return Reply(exchange.answer.status, jsonlib.loads(jsonlib.dumps(exchange.answer.body)))
        if exchange.broken == REFUSED:
            raise AriUnavailable(0, f"no connection to {self.base}: {REFUSED}", untouched=True)
        if exchange.broken:
            raise Broken(0, f"no connection to {self.base}: {exchange.broken}")
        raise AriUnavailable(0, f"no answer within {self.request_timeout_s:g} s")

    def _send(self, method: str, path: str, params: Mapping[str, str] | None, json: object) -> Exchange:
        clock, scheduler, asterisk = self._sim, self._sim.scheduler, self._asterisk
        clock.process.check()
        together: Json = {**(params or {}), **(json if isinstance(json, dict) else {})}
        asterisk.requested(method, path, together, within=self._database._peewee.in_transaction())
        scheduler.give_way()
        exchange = Exchange(scheduler.current)
        if not asterisk.up:
            exchange.broken = REFUSED
            return exchange
        connection = scheduler.random.choice(self._connections)
        born = asterisk.switch.started_us

        async def answer() -> None:
            if not asterisk.up or asterisk.switch.started_us != born:
                done(None)
                return
            reply = await asterisk.answer(method, path, together, peer=connection)
            scheduler.call_in(latency_s(scheduler.random), lambda: done(reply))

        def done(reply: Answer | None) -> None:
            if reply is None or reply.lost or asterisk.switch.started_us != born:
                exchange.broken = "connection reset"
            else:
                exchange.answer = reply
            scheduler.wake(exchange.thread)

        scheduler.call_in(
            latency_s(scheduler.random),
            lambda: asterisk.soon(lambda: asterisk.switch.task(answer())),
        )
        end_us = scheduler.now_us + round(self.request_timeout_s * US_PER_S)
        asterisk.unanswered[id(exchange)] = path, scheduler.now_us
        try:
            while exchange.answer is None and not exchange.broken and scheduler.now_us < end_us:
                scheduler.sleep(end_us)
        finally:
            del asterisk.unanswered[id(exchange)]
        return exchange


def latency_s(random: Any) -> float:
    """The latency between two processes of one machine."""
    return float(random.choice((0.0, 0.001, 0.001, 0.002, 0.005)))


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that a websocket received."""

    data: bytes


class SimSocket:
    """A websocket as `websocket-client` shows it; the other end of an application of the simulated Asterisk."""

    def __init__(self, asterisk: SimAsterisk, clock: SimClock, shape: Shape) -> None:
        self._asterisk = asterisk
        self._sim = clock
        self._shape = shape
        self._frames: deque[tuple[int, Frame]] = deque()
        self._reader: Thread | None = None
        self._timeout_s = REQUEST_TIMEOUT_S
        self._open = True
        self._cut = False
        self.silent = False
        """Half open: nothing is delivered, and no end notices."""
        self._last_us: defaultdict[str, int] = defaultdict(int)
        asterisk.sockets.append(self)
        if not asterisk.faults.is_deaf():
            asterisk.switch.apps.connect(APP, self.take)
            asterisk.link(up=True, noticed=True)

    # --- Asterisk's end ------------------------------------------------------------------------------------------

    def take(self, event: Json) -> None:
        """Asterisk sends an event."""
        data = jsonlib.dumps(event).encode()
        about = event.get("channel") or event.get("peer") or {}
        channel_id = str(about.get("id", ""))
        # One after the other, as TCP has it; within Asterisk events of one channel may overtake another's.
        lanes = [channel_id] if self._shape.overtaking else [channel_id, ALL]
        up = channel_id if about.get("state") == "Up" else ""
        self._deliver(ABNF.OPCODE_TEXT, data, self._shape.delay_s(event), lanes, up)
        if (after_s := self._shape.again_after_s()) is not None:
            self._asterisk.scheduler.call_in(
                after_s, lambda: self._deliver(ABNF.OPCODE_TEXT, data, self._shape.delay_s(event), lanes, up)
            )

    def _deliver(
        self, opcode: int, data: bytes, delay_s: float, lanes: Sequence[str] = (ALL,), up: str = ""
    ) -> None:
        """Deliver an event in the order of its lane; `up` is the channel that it reports as answered."""
        scheduler = self._sim.scheduler
        if not self._open or self.silent:
            return
        at_us = scheduler.now_us + round(delay_s * US_PER_S)
        # A microsecond apart: of what is due at the same time the scheduler chooses the order.
        at_us = max(at_us, *(self._last_us[lane] + 1 for lane in lanes))
        self._last_us |= dict.fromkeys(lanes, at_us)
        scheduler.call_at(at_us, lambda: self._arrive(opcode, Frame(data), up))

    def _arrive(self, opcode: int, frame: Frame, up: str) -> None:
        if self._open and not self._cut and not self.silent:
            self._frames.append((opcode, frame))
            if up:
                self._asterisk.told_up_us.setdefault(up, self._sim.scheduler.now_us)
            if self._reader is not None:
                self._sim.scheduler.wake(self._reader)

    def silence(self, seconds: float) -> None:
        """Deliver nothing more; Asterisk notices that only after this time."""
        self.silent = True
        self._sim.scheduler.call_in(seconds, self._leave)

    def cut(self) -> None:
        """Close the connection; both ends notice."""
        self._cut = True
        self._leave()
        if self._reader is not None:
            self._sim.scheduler.wake(self._reader)

    def _leave(self) -> None:
        if self in self._asterisk.sockets:
            self._asterisk.sockets.remove(self)
        self._asterisk.switch.apps.disconnect(self.take)
        self._asterisk.link(up=False, noticed=not self.silent)

    def gone_with_its_process(self) -> None:
        """The process was killed: its kernel closes the connection, and Asterisk is told."""
        self._open = False
        if not self.silent:
            self._asterisk.soon(self._leave)

    # --- the service's end -----------------------------------------------------------------------------------------

    def settimeout(self, seconds: float) -> None:
        self._timeout_s = seconds

    def recv_data_frame(self, control_frame: bool = False) -> tuple[int, Frame]:
        """The next frame. Raises WebSocketTimeoutException, ConnectionError."""
        scheduler = self._sim.scheduler
        self._sim.process.check()
        end_us = scheduler.now_us + math.ceil(self._timeout_s * US_PER_S)
        scheduler.give_way()
        self._reader = scheduler.current
        try:
            while not self._frames:
                if self._cut or not self._open:
                    raise ConnectionResetError("connection to Asterisk lost")
                if scheduler.now_us >= end_us:
                    raise WebSocketTimeoutException("timed out")
                scheduler.sleep(end_us)
        finally:
            self._reader = None
        return self._frames.popleft()

    def ping(self, payload: str = "") -> None:
        self._sim.process.check()
        if self._cut:
            raise BrokenPipeError("connection to Asterisk lost")
        if not self.silent:
            self._asterisk.soon(
                lambda: self._deliver(ABNF.OPCODE_PONG, b"", latency_s(self._sim.scheduler.random))
            )

    def send(self, payload: bytes, opcode: int = ABNF.OPCODE_TEXT) -> int:
        self._sim.process.check()
        return len(payload)

    def abort(self) -> None:
        """Wake the reader, which then ends."""
        self._end()

    def shutdown(self) -> None:
        """Close."""
        self._end()

    def _end(self) -> None:
        if self._open and not self._sim.process.dead:
            self._open = False
            if not self.silent:
                self._asterisk.soon(self._leave)
            if self._reader is not None:
                self._sim.scheduler.wake(self._reader)


class Shape:
    """How events are delivered: at once, late in bursts, twice. Changed by the faults of a plan."""

    def __init__(self, random: Any) -> None:
        self._random = random
        self.late_s = 0.0
        self.overtaking = False
        self.twice = 0.0

    def straighten(self) -> None:
        """Deliver everything once, without delay."""
        self.late_s = self.twice = 0.0
        self.overtaking = False

    def delay_s(self, event: Json) -> float:
        """The delay of this event."""
        return latency_s(self._random) + (self._random.random() * self.late_s if self.late_s else 0.0)

    def again_after_s(self) -> float | None:
        """When the same event is sent once more, at once or after others; None for never."""
        if self.twice and self._random.random() < self.twice:
            return float(self._random.choice((0.0, 0.0, 0.3, 1.5)))
        return None


class Wire:
    """The connections of a process of the service."""

    def __init__(self, asterisk: SimAsterisk, shape: Shape) -> None:
        self._asterisk = asterisk
        self._shape = shape
        self._sockets: list[SimSocket] = []

    def connect(self, clock: SimClock) -> SimSocket:
        """Open the event websocket. Raises ConnectionError, WebSocketTimeoutException."""
        clock.process.check()
        asterisk, scheduler = self._asterisk, clock.scheduler
        scheduler.give_way()
        if not asterisk.up:
            raise ConnectionRefusedError("connection refused")
        if scheduler.now_us < asterisk.refuses_until_us:
            raise ConnectionResetError("connection reset")
        me, sockets = scheduler.current, self._sockets
        found: list[SimSocket] = []
        waits = True

        def accept() -> None:
            # Also when nobody waits any more: Asterisk cannot know that, and uses the newest connection.
            socket = SimSocket(asterisk, clock, self._shape)
            if waits and not clock.process.dead:
                found.append(socket)
                sockets.append(socket)
                scheduler.wake(me)
            else:
                socket.gone_with_its_process()

        scheduler.call_in(latency_s(scheduler.random), lambda: asterisk.soon(accept))
        end_us = scheduler.now_us + round(REQUEST_TIMEOUT_S * US_PER_S)
        try:
            while not found:
                if scheduler.now_us >= end_us:
                    raise WebSocketTimeoutException("timed out")
                scheduler.sleep(end_us)
        finally:
            waits = False
        return found[0]

    def process_is_gone(self) -> None:
        """Close all connections of a killed process."""
        for socket in self._sockets:
            socket.gone_with_its_process()
        self._sockets.clear()
