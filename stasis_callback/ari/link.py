"""The event websocket: one reader thread that parses, hands over, and never waits for anybody.

Asterisk closes the socket of a slow reader, so a handler may only put into an inbox. A dead or frozen Asterisk is
detected within `silence_limit_s`, reconnecting never gives up, and events in between are lost: the owner of the
calls compares them with `Channels.list` in `on_connected`.

A connection counts when an event has come over it that we asked for: Asterisk may accept a websocket, answer its
pings, and have nobody's events for it (docs/decisions/0060-a-link-that-is-heard.md).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
import websocket
from websocket import ABNF

from stasis_callback.ari.client import AriClient
from stasis_callback.ari.errors import AriError, BadEvent
from stasis_callback.ari.events import ApplicationReplaced, ChannelUserevent, Event, parse_event
from stasis_callback.clock import Clock, wait_until
from stasis_callback.core.backoff import doubling_s
from stasis_callback.workers import Worker

Handler = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Lost:
    """A connection that had been up is gone."""

    reason: str
    heard_s: float
    """When Asterisk was last heard of, by our steady clock: until then everything was seen, after that nothing."""
    silent: bool
    """It ended in silence: Asterisk was frozen, or what lies between."""


class Deaf(ConnectionError):
    """Asterisk answers, and its events do not come over this connection."""


@dataclass(slots=True)
class _Way:
    """A connection that Asterisk has accepted."""

    number: int
    sock: Any  # websocket-client has no types for half of its methods
    patience_s: float
    """For how long an event may be on its way round."""
    heard: int = 0
    """How many of the events that we asked for have come."""
    fault: str = ""
    """Why it is given up."""

    @property
    def event_name(self) -> str:
        """The name of the event that is asked for."""
        return f"link-{self.number}"

    def wake_reader(self) -> None:
        """End the connection, also when nobody answers; whoever reads it sees that at once."""
        with suppress(OSError, AttributeError):  # the reader has closed it meanwhile
            self.sock.abort()


FIRST_RETRY_S, LAST_RETRY_S = 0.1, 5.0
FIRST_PROOF_S, LAST_PROOF_S = 2.0, 8.0
"""For how long an event may be on its way round; longer after each that was not, as it may be late and not lost."""
ASK_AGAIN_S = 0.5
"""After a request without an answer, which says nothing about events."""
PROVE_AGAIN_S = 5.0
"""Asterisk may be cleaning up after an earlier connection until then, and take the application from this one."""
READ_SIZE = 65_536
_FINAL_TEXT = 0x81

log = structlog.get_logger(__name__)


class _ReadsAhead(websocket.WebSocket):
    """Takes from the socket what there is, and from that at once a text that has come as a whole, as each event does.

    All else goes through websocket-client, which asks for each frame in three pieces: five times the work.
    """

    _ahead = b""

    def recv_data_frame(self, control_frame: bool = False) -> Any:
        """The next frame: its opcode, and what has its `data`."""
        if self.frame_buffer.needs_header() and not (
            self.frame_buffer.recv_buffer or self.cont_frame.recving_frames
        ):
            self._ahead = self._ahead or super()._recv(READ_SIZE)  # type: ignore[no-untyped-call]
            text, self._ahead = _whole_text(self._ahead)
            if text is not None:
                return ABNF.OPCODE_TEXT, ABNF(fin=1, opcode=ABNF.OPCODE_TEXT, data=text)
        return super().recv_data_frame(control_frame)

    def _recv(self, size: int) -> Any:
        if not self._ahead:
            self._ahead = super()._recv(READ_SIZE)  # type: ignore[no-untyped-call]
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken


def _whole_text(data: bytes) -> tuple[bytes | None, bytes]:
    """The text of the frame at the start of `data`, and what follows it; None and `data` where it is no text that is
    whole, in one frame, and below 64 KiB (RFC 6455, 5.2).
    """
    if len(data) < 4 or data[0] != _FINAL_TEXT:
        return None, data
    begin, length = (2, data[1]) if data[1] < 126 else (4, int.from_bytes(data[2:4], "big"))
    if data[1] > 126 or len(data) < begin + length:
        return None, data
    return data[begin : begin + length], data[begin + length :]


class AriLink:
    """The events of one `AriClient`'s application. `start` it once, `stop` it once.

    Handlers and what runs them:
    - `watch`ed channels, `on_event` and `on_unwatched`: the reader thread. They must not block.
    - `on_connected`: a thread of its own, never twice at once; may block, must deal with its own errors.
    - `on_lost(lost)`: after a connection that had been heard is gone; `on_replaced()`: another process has taken
      our application name, and there is no reconnect. Both on the reader thread, both must be quick.
    """

    def __init__(
        self,
        client: AriClient,
        *,
        on_unwatched: Handler,
        on_connected: Callable[[], None],
        on_lost: Callable[[Lost], None],
        on_replaced: Callable[[], None],
        silence_limit_s: float = 5.0,
        clock: Clock | None = None,
        connect: Callable[[], Any] | None = None,
    ) -> None:
        """`connect` is for a simulation, which has no sockets."""
        self._client = client
        self._on_unwatched = on_unwatched
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._on_replaced = on_replaced
        self._silence_limit_s = silence_limit_s
        self._clock = clock or Clock()
        self._watched: dict[str, Handler] = {}
        self._by_type: dict[str, tuple[Handler, ...]] = {}
        self._way: _Way | None = None  # the connection that is accepted
        self._connection = 0  # number of the connection that is up, which has been heard; 0 for none
        self._connections = 0
        self._unheard = 0  # connections that were given up as deaf, in a row
        self._connect = connect or self._open_socket
        self._stopping = False
        self._silent = False
        self.answered_s: float | None = None
        """When Asterisk first answered anything since the connection was last lost, by our steady clock; None before.
        It was not frozen any more then, though it may have taken longer until it had a connection for us.
        """
        self._heard_s = 0.0
        self._pause = self._clock.inbox()
        self._ways = self._clock.inbox()
        self._news = self._clock.inbox()
        self._greetings = self._clock.inbox()
        self.workers = [
            Worker("ari-reader", self._run, self._clock),
            Worker("ari-proof", self._prove, self._clock),
            Worker("ari-connected", self._greet, self._clock),
        ]
        self.bad_events = 0

    def start(self) -> None:
        """Connect, and reconnect until `stop`."""
        for worker in self.workers:
            worker.start()

    def stop(self) -> None:
        """Disconnect for good and wait for the reader; no `on_lost` for that. May be called again, from anywhere."""
        self._end_for_good()
        if (way := self._way) is not None:
            with suppress(OSError, websocket.WebSocketException):
                way.sock.send(b"", ABNF.OPCODE_CLOSE)
            way.wake_reader()
        for worker in self.workers:
            worker.stop(self._silence_limit_s)

    def _end_for_good(self) -> None:
        self._stopping = True
        for worker in self.workers:
            worker.ask_to_stop()
        self._pause.put(None)
        self._ways.put(None)
        self._news.put(None)
        self._greetings.put(0)

    @property
    def connected(self) -> bool:
        """Whether events are coming in now: one has, over the connection that is up."""
        return self._connection != 0

    @property
    def connection(self) -> int:
        """The number of the connection that is up; 0 for none. Another number: something may have been missed."""
        return self._connection

    @property
    def heard_ago_s(self) -> float:
        """Seconds since Asterisk was last heard of."""
        return self._clock.monotonic_s() - self._heard_s

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait for the connection; False when there was none within `timeout_s`."""
        return wait_until(lambda: self.connected, timeout_s=timeout_s)

    def watch(self, channel_id: str, put: Handler) -> None:
        """Hand every event of this channel to `put`, its playbacks' and Dial events too, in Asterisk's order.

        Call it before the request that makes the channel: its first events can be here before the HTTP answer.
        For an incoming call, call it inside `on_unwatched`, and no event falls between.
        """
        self._watched[channel_id] = put

    def unwatch(self, channel_id: str) -> None:
        """Stop that; later events of the channel go to `on_unwatched`."""
        self._watched.pop(channel_id, None)

    def on_event(self, event_type: str, handler: Handler) -> None:
        """Also pass every event of one type, of any channel, to `handler`, before the usual delivery."""
        self._by_type[event_type] = (*self._by_type.get(event_type, ()), handler)

    # The reader thread from here on.

    def _run(self, worker: Worker) -> None:
        failures = 0
        while not self._stopping:
            started_s = self._clock.monotonic_s()
            reason, deaf = "stopped", False
            try:
                self._serve()
            except Deaf as error:
                reason, deaf = str(error), True
                self._unheard += 1
            except (OSError, AriError, websocket.WebSocketException) as error:
                reason = str(error) or type(error).__name__
            except Exception as error:
                log.exception("ari.reader_failed")
                reason = repr(error)
            self._end(reason, deaf=deaf)
            # Only a connection that lasted starts the pauses afresh: one that is closed at once is a failure too.
            lasted = self._clock.monotonic_s() - started_s > LAST_RETRY_S
            failures = 0 if lasted else failures + 1
            if not self._stopping:
                longest_s = doubling_s(FIRST_RETRY_S, LAST_RETRY_S, failures + 1)
                self._pause.get(random.uniform(FIRST_RETRY_S, longest_s))

    def _serve(self) -> None:
        """One connection from the first attempt to its end: an exception, or a return when the link stops."""
        # A frozen Asterisk accepts connections and carries their requests out when it thaws. A websocket request
        # that we gave up on would then replace our good connection; so ask something harmless first.
        try:
            self._client.info(patience_s=0.0)
        except AriError as error:
            if error.status:
                self._note_answer()
            raise
        self._note_answer()
        self._client.fuse_proof.forget()
        asked_s = self._clock.monotonic_s()
        self._connections += 1
        patience_s = doubling_s(FIRST_PROOF_S, LAST_PROOF_S, self._unheard + 1)
        way = self._way = _Way(self._connections, self._connect(), patience_s)
        try:
            if self._stopping:
                return
            self._heard_s, self._silent = asked_s, False
            self._ways.put(way)
            self._read(way)
        except (OSError, websocket.WebSocketException):
            if way.fault:
                raise Deaf(way.fault) from None
            raise
        finally:
            self._way = None
            way.sock.shutdown()

    def _note_answer(self) -> None:
        if self.answered_s is None:
            self.answered_s = self._clock.monotonic_s()

    def _open_socket(self) -> Any:
        # No proxy and no Origin header: Asterisk logs a notice for every origin it does not know.
        return websocket.create_connection(
            self._client.rest.events_url(self._client.app),
            timeout=self._silence_limit_s,
            header=self._client.rest.headers,
            suppress_origin=True,
            http_no_proxy=["*"],
            skip_utf8_validation=True,
            class_=_ReadsAhead,
        )

    def _read(self, way: _Way) -> None:
        """Read until the connection ends. After 0.4 of the limit in silence we ping, after 0.8 it is dead."""
        sock = way.sock
        sock.settimeout(self._silence_limit_s * 0.4)
        pinged = False
        while not self._stopping:
            began_s = self._clock.monotonic_s()
            try:
                opcode, frame = sock.recv_data_frame(control_frame=True)
            except websocket.WebSocketTimeoutException:
                if pinged:
                    self._silent = True
                    raise ConnectionError("Asterisk does not answer a ping") from None
                sock.ping()
                pinged = True
                continue
            pinged = False
            if opcode == ABNF.OPCODE_TEXT:
                self._receive(way, frame.data)
                continue
            # An answer to what we sent before we began to wait. A close says nothing of when it came.
            self._heard_s = max(self._heard_s, began_s)
            if opcode == ABNF.OPCODE_CLOSE:
                raise ConnectionError(f"closed by Asterisk ({int.from_bytes(frame.data[:2], 'big')})")

    def _receive(self, way: _Way, message: bytes) -> None:
        try:
            event = parse_event(message.decode(errors="replace"))
        except BadEvent as error:
            self.bad_events += 1
            log.warning("ari.bad_event", error=error.message, size=len(message))
            return
        if isinstance(event, ApplicationReplaced):
            self._replaced()
            return
        # By its own time: while this machine stood still it may have lain here for long.
        self._heard_s = max(self._heard_s, self._client.time.seen_s(event.at_us))
        if isinstance(event, ChannelUserevent) and event.name == way.event_name:
            self._heard(way)
            return
        for handler in self._by_type.get(event.type, ()):
            self._hand_over(handler, event)
        self._hand_over(self._watched.get(event.channel_id or "", self._on_unwatched), event)

    def _heard(self, way: _Way) -> None:
        way.heard += 1
        if not self._connection:
            self._connection, self._unheard = way.number, 0
            log.info("ari.connected", app=self._client.app)
            self._greetings.put(way.number)
        self._news.put(None)

    def _hand_over(self, handler: Handler, event: Event) -> None:
        try:
            handler(event)
        except Exception:
            log.exception("ari.handler_failed", event_type=event.type, channel=event.channel_id)

    def _replaced(self) -> None:
        """Somebody else decides now. Going on, or reconnecting, would make two services fight over the calls."""
        log.error("ari.replaced", app=self._client.app)
        self._end_for_good()
        self._connection = 0
        self._on_replaced()

    def _end(self, reason: str, *, deaf: bool) -> None:
        was_connected, self._connection = self.connected, 0
        self._news.put(None)
        if self._stopping:
            return
        log.warning("ari.deaf" if deaf else "ari.lost" if was_connected else "ari.unreachable", reason=reason)
        silent, self._silent = self._silent, False
        if was_connected or silent:
            self.answered_s = None
        if was_connected:
            try:
                self._on_lost(Lost(reason, self._heard_s, silent))
            except Exception:
                log.exception("ari.handler_failed", handler="on_lost")

    # The thread that proves connections.

    def _prove(self, worker: Worker) -> None:
        """Of each connection: at once, and once more when nothing that was before it can take its events any more."""
        way: _Way | None = None
        pause_s: float | None = None
        while not self._stopping:
            new = self._ways.get(pause_s)
            way, pause_s = (way, None) if new is None else (new, PROVE_AGAIN_S)
            if way is None:
                continue
            try:
                self._prove_one(way)
            except Exception as error:
                log.exception("ari.handler_failed", handler="proof")
                way.fault = repr(error)
            if way.fault:
                way.wake_reader()

    def _prove_one(self, way: _Way) -> None:
        while self._is_up(way):
            try:
                if not self.connected:
                    self._filter_events()
                way.fault = self._why_deaf(way)
                return
            except AriError as error:
                log.warning("ari.unproven", reason=str(error))
                self._news.get(ASK_AGAIN_S)

    def _is_up(self, way: _Way) -> bool:
        return way is self._way and not self._stopping

    def _filter_events(self) -> None:
        try:
            self._client.set_event_filter()
        except AriError as error:
            log.warning("ari.event_filter_failed", reason=str(error))  # more events, nothing worse

    def _why_deaf(self, way: _Way) -> str:
        """Have Asterisk send an event and wait until it has come; why it will not, "" if it has."""
        heard = way.heard
        if not self._client.send_user_event(way.event_name):
            return "Asterisk does not know the application of a connection that it has accepted"
        until_s = self._clock.monotonic_s() + way.patience_s
        while self._is_up(way) and way.heard == heard:
            left_s = until_s - self._clock.monotonic_s()
            if left_s <= 0:
                return f"an event that was asked for has not come within {way.patience_s:g} s"
            self._news.get(left_s)
        return ""

    # The thread of on_connected.

    def _greet(self, worker: Worker) -> None:
        while connection := self._greetings.get(None):
            if connection != self._connection:
                continue  # lost again meanwhile; the next one has its own greeting
            try:
                self._on_connected()
            except Exception:
                log.exception("ari.handler_failed", handler="on_connected")
