"""The event websocket on a real socket: routing, order, silence, loss, reconnect, replacement."""

from __future__ import annotations

import base64
import hashlib
import json
import queue
import socket
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from structlog.testing import capture_logs

from stasis_callback.ari.client import UNWANTED_EVENTS, AriClient
from stasis_callback.ari.events import Event
from stasis_callback.ari.link import AriLink

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
SILENCE_LIMIT_S = 1.0


class Asterisk(ThreadingHTTPServer):
    """The event websocket of one application, and enough HTTP to be connected to."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is closed resets its connections; nobody is told on standard error."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.sockets: queue.Queue[Handler] = queue.Queue()  # one per websocket that was opened
        self.requests: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.refusing = False
        self.deaf: set[int] = (
            set()
        )  # the websockets that get none of the events that are asked for, by number
        self.knows_the_application = True
        self.requests_fail = 0
        self.newest: Handler
        self.thawed = threading.Event()
        self.thawed.set()

    def freeze(self) -> None:
        self.thawed.clear()

    def events(self) -> Handler:
        """The next websocket that the client opened."""
        return self.sockets.get(timeout=5)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Asterisk

    def do_GET(self) -> None:
        self.server.thawed.wait(10)
        if self.server.refusing:
            self.reply(503)
        elif self.path.startswith("/ari/events"):
            self.server.requests.put(("EVENTS", self.path, dict(self.headers)))
            self.websocket()
        else:
            self.reply(200, b'{"system": {}, "status": {}}')

    def do_POST(self) -> None:
        """An event that is asked for; it has often come before the request for it is answered."""
        self.server.thawed.wait(10)
        if self.server.requests_fail:
            self.server.requests_fail -= 1
            self.reply(500)
            return
        self.server.requests.put((self.command, self.path))
        name = self.path.partition("?")[0].rpartition("/")[2]
        if int(name.rpartition("-")[2]) not in self.server.deaf:
            self.server.newest.say("ChannelUserevent", eventname=name, userevent={"eventname": name})
        self.reply(204 if self.server.knows_the_application else 404)

    def do_PUT(self) -> None:
        self.server.requests.put(
            (self.command, self.path, self.rfile.read(int(self.headers["Content-Length"])))
        )
        self.reply(204)

    def reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def websocket(self) -> None:
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()  # noqa: S324
        self.send_response(101)
        for name, value in (
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.received: queue.Queue[tuple[int, bytes]] = queue.Queue()
        self.ponging = True
        self.closed = threading.Event()
        self.server.newest = self
        self.server.sockets.put(self)
        self.close_connection = True
        try:
            self.listen()
        finally:
            self.closed.set()

    def listen(self) -> None:
        while len(head := self.rfile.read(2)) == 2:
            mask, data = self.rfile.read(4), self.rfile.read(head[1] & 0x7F)
            data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
            self.server.thawed.wait(10)
            self.received.put((head[0] & 0x0F, data))
            if head[0] & 0x0F == PING and self.ponging:
                self.frame(PONG, data)
            if head[0] & 0x0F == CLOSE:
                return

    def frame(self, opcode: int, data: bytes) -> None:
        size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack("!H", len(data))
        self.wfile.write(bytes([0x80 | opcode]) + size + data)

    def say(self, kind: str, **fields: object) -> None:
        self.frame(
            TEXT, json.dumps({"type": kind, "timestamp": "2026-11-23T21:04:05.123+0000", **fields}).encode()
        )

    def drop(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def asterisk() -> Iterator[Asterisk]:
    with Asterisk() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.thawed.set()
        server.shutdown()
        thread.join()


class Link:
    """A link that puts all its callbacks into one queue, as (name, value)."""

    def __init__(self, asterisk: Asterisk, **handlers: Any) -> None:
        self.client = AriClient(asterisk.url, "callback", "s3cret", "cb", request_timeout_s=0.3)
        self.heard: queue.Queue[tuple[str, Any]] = queue.Queue()
        notes: dict[str, Any] = {
            "on_unwatched": lambda event: self.heard.put(("unwatched", event)),
            "on_connected": lambda: self.heard.put(("connected", None)),
            "on_lost": lambda lost: self.heard.put(("lost", lost)),
            "on_replaced": lambda: self.heard.put(("replaced", None)),
        }
        self.link = AriLink(self.client, **{**notes, **handlers}, silence_limit_s=SILENCE_LIMIT_S)

    def next(self, expected: str) -> Any:
        name, value = self.heard.get(timeout=5)
        assert name == expected
        return value


@pytest.fixture
def link(asterisk: Asterisk) -> Iterator[Link]:
    link = Link(asterisk)
    yield link
    asterisk.thawed.set()
    link.link.stop()
    link.client.close()


@pytest.fixture
def connected(asterisk: Asterisk, link: Link) -> Handler:
    link.link.start()
    assert link.link.wait_connected(5)
    link.next("connected")
    return asterisk.events()


def test_connecting_keeps_the_password_out_of_the_address_and_filters_before_it_tells(
    asterisk: Asterisk, link: Link
) -> None:
    link.link.start()
    link.next("connected")
    _, path, headers = asterisk.requests.get(timeout=5)
    assert path == "/ari/events?app=cb&subscribeAll=false"
    assert headers["Authorization"].startswith("Basic ")
    assert "Origin" not in headers
    method, path, body = asterisk.requests.get_nowait()
    assert (method, path) == ("PUT", "/ari/applications/cb/eventFilter")
    assert json.loads(body) == {"disallowed": [{"type": name} for name in UNWANTED_EVENTS]}
    assert asterisk.requests.get_nowait() == ("POST", "/ari/events/user/link-1?application=cb")


def test_events_go_to_whoever_watches_the_channel_in_order(connected: Handler, link: Link) -> None:
    inbox: queue.Queue[Event] = queue.Queue()
    link.link.watch("s1-a", inbox.put)
    connected.say("Dial", peer={"id": "s1-a"}, dialstatus="RINGING")
    connected.say("ChannelStateChange", channel={"id": "s1-a", "state": "Up"})
    connected.say("PlaybackStarted", playback={"id": "p", "target_uri": "channel:s1-a"})
    connected.say("PlaybackStarted", playback={"id": "q", "target_uri": "bridge:s1"})
    connected.say("StasisStart", channel={"id": "other"})
    kinds = [inbox.get(timeout=5).type for _ in range(3)]
    assert kinds == ["Dial", "ChannelStateChange", "PlaybackStarted"]
    assert link.next("unwatched").playback_id == "q"
    assert link.next("unwatched").channel_id == "other"
    link.link.unwatch("s1-a")
    connected.say("StasisEnd", channel={"id": "s1-a"})
    assert link.next("unwatched").type == "StasisEnd"


def test_events_are_read_however_they_are_cut_and_joined(connected: Handler, link: Link) -> None:
    def event(channel: str, padding: int = 0) -> bytes:
        return json.dumps({"type": "Dial", "padding": "x" * padding, "peer": {"id": channel}}).encode()

    def frame(first: int, data: bytes) -> bytes:
        size = len(data)
        if size < 126:
            return bytes([first, size]) + data
        return (
            bytes(
                [
                    first,
                    *((126, *struct.pack("!H", size)) if size < 1 << 16 else (127, *struct.pack("!Q", size))),
                ]
            )
            + data
        )

    text, begun, rest, ping = 0x81, 0x01, 0x80, 0x89
    joined = frame(text, event("1")) + frame(text, event("2", 200)) + frame(text, event("3"))[:3]
    cut = event("5", 300)
    pieces = [
        joined,
        frame(text, event("3"))[3:],
        frame(text, event("4", 70_000)),
        frame(begun, cut[:9]) + frame(ping, b"?") + frame(rest, cut[9:]),
        *(bytes([byte]) for byte in frame(text, event("6"))),
        frame(text, event("7")),
    ]
    for piece in pieces:
        connected.wfile.write(piece)
        connected.wfile.flush()
    assert [link.next("unwatched").channel_id for _ in range(7)] == list("1234567")


def test_a_channel_watched_when_it_appears_loses_no_event(asterisk: Asterisk) -> None:
    inbox: queue.Queue[Event] = queue.Queue()
    caught: Link = Link(asterisk, on_unwatched=lambda event: caught.link.watch(event.channel_id, inbox.put))
    caught.link.start()
    events = asterisk.events()
    for kind in ("StasisStart", "ChannelDtmfReceived", "StasisEnd"):
        events.say(kind, channel={"id": "in-1"})
    assert [inbox.get(timeout=5).type for _ in range(2)] == ["ChannelDtmfReceived", "StasisEnd"]
    caught.link.stop()


def test_somebody_may_listen_to_one_type_of_event(connected: Handler, link: Link) -> None:
    answers: queue.Queue[Event] = queue.Queue()
    link.link.on_event("StasisStart", answers.put)
    connected.say("StasisEnd", channel={"id": "x"})
    connected.say("StasisStart", channel={"id": "x"})
    assert answers.get(timeout=5).type == "StasisStart"
    assert [link.next("unwatched").type for _ in range(2)] == ["StasisEnd", "StasisStart"]


def test_neither_rubbish_nor_a_failing_handler_stops_the_reader(connected: Handler, link: Link) -> None:
    def fail(event: Event) -> None:
        raise RuntimeError("a bug of ours")

    link.link.watch("bad", fail)
    with capture_logs() as logs:
        for data in (b"{", b"[]", b"\xff\xfe", b'{"type":null}'):
            connected.frame(TEXT, data)
        connected.say("StasisEnd", channel={"id": "bad"})
        connected.say("StasisEnd", channel={"id": "good"})
        assert link.next("unwatched").channel_id == "good"
    assert link.link.bad_events == 4
    assert [entry["event"] for entry in logs] == ["ari.bad_event"] * 4 + ["ari.handler_failed"]


def test_an_event_in_many_small_pieces(connected: Handler, link: Link) -> None:
    text = json.dumps({"type": "StasisEnd", "channel": {"id": "x", "name": "y" * 200}}).encode()
    frame = b"\x81\x7e" + struct.pack("!H", len(text)) + text
    connected.ponging = False  # a pong in the middle of a frame would be no websocket any more
    connected.wfile.write(frame[:1])
    assert connected.received.get(timeout=5)[0] == PING  # so late that the reader gave up waiting once
    for piece in (frame[1:3], frame[3:100], frame[100:]):
        connected.wfile.write(piece)
    assert link.next("unwatched").channel_id == "x"
    assert link.link.connected


def test_an_idle_connection_is_kept_alive_by_pings(connected: Handler, link: Link) -> None:
    pings = [connected.received.get(timeout=5)[0] for _ in range(4)]
    assert pings == [PING] * 4
    assert link.link.connected
    assert link.heard.empty()


def test_a_frozen_asterisk_is_noticed_within_the_limit_and_met_again(
    asterisk: Asterisk, connected: Handler, link: Link
) -> None:
    asterisk.freeze()
    frozen_at = time.monotonic()
    lost = link.next("lost")
    assert "ping" in lost.reason
    assert lost.silent
    assert lost.heard_s < time.monotonic() - 0.3
    assert time.monotonic() - frozen_at < SILENCE_LIMIT_S
    assert not link.link.connected
    assert not link.link.wait_connected(0.9)
    asterisk.thawed.set()
    link.next("connected")
    asterisk.events()
    assert asterisk.sockets.empty()  # no late websocket request of the frozen time replaces the good one


@pytest.mark.parametrize("how", ["drop", "close"])
def test_a_lost_connection_is_made_again_and_the_filter_put_again(
    asterisk: Asterisk, connected: Handler, link: Link, how: str
) -> None:
    asterisk.requests.queue.clear()
    connected.drop() if how == "drop" else connected.frame(CLOSE, struct.pack("!H", 1011))
    lost = link.next("lost")
    assert how == "drop" or "1011" in lost.reason
    assert not lost.silent
    link.next("connected")
    assert [asterisk.requests.get(timeout=5)[0] for _ in range(3)] == ["EVENTS", "PUT", "POST"]
    asterisk.events().say("StasisEnd", channel={"id": "x"})
    assert link.next("unwatched").channel_id == "x"


# --- a connection that is accepted, answers pings, and carries no events --------------------------------------------


@pytest.mark.parametrize("known", [True, False])
def test_a_link_over_which_no_event_comes_is_made_again(asterisk: Asterisk, link: Link, known: bool) -> None:
    asterisk.deaf, asterisk.knows_the_application = {1, 2}, known
    with capture_logs() as logs:
        link.link.start()
        for _ in range(2):
            deaf = asterisk.events()
            assert not link.link.connected
            deaf.closed.wait(5)
        asterisk.knows_the_application = True
        link.next("connected")
    assert link.link.connection >= 3
    # On a busy machine a request may fail, too, which proves nothing.
    assert {entry["event"] for entry in logs} - {"ari.unproven"} == {"ari.deaf", "ari.connected"}
    asterisk.events().say("StasisEnd", channel={"id": "x"})
    assert link.next("unwatched").channel_id == "x"


def test_a_link_that_becomes_deaf_after_it_was_heard_is_lost(
    asterisk: Asterisk, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asterisk cleans up late after the connection before, and takes the application from the new one."""
    monkeypatch.setattr("stasis_callback.ari.link.PROVE_AGAIN_S", 0.2)
    monkeypatch.setattr("stasis_callback.ari.link.FIRST_PROOF_S", 0.3)
    link.link.start()
    link.next("connected")
    asterisk.deaf = {1}
    lost = link.next("lost")
    assert "has not come within" in lost.reason
    assert not lost.silent
    link.next("connected")


def test_a_request_that_is_not_answered_does_not_say_that_the_link_is_deaf(
    asterisk: Asterisk, link: Link
) -> None:
    asterisk.requests_fail = 2
    with capture_logs() as logs:
        link.link.start()
        link.next("connected")
    assert [entry["event"] for entry in logs] == ["ari.unproven"] * 2 + ["ari.connected"]
    assert link.link.connection == 1


def test_events_of_others_are_no_proof_and_are_handed_over(asterisk: Asterisk, link: Link) -> None:
    asterisk.deaf = {1}
    link.link.start()
    asterisk.events().say("ChannelUserevent", eventname="link-0")
    assert link.next("unwatched").name == "link-0"
    assert not link.link.connected


def test_an_asterisk_that_is_not_ready_is_asked_again_until_it_is(asterisk: Asterisk, link: Link) -> None:
    asterisk.refusing = True
    link.link.start()
    with capture_logs() as logs:
        assert not link.link.wait_connected(0.6)
    assert {entry["event"] for entry in logs} == {"ari.unreachable"}
    assert len(logs) < 8  # the pauses grow
    asterisk.refusing = False
    link.next("connected")


def test_a_slow_on_connected_holds_up_no_event(asterisk: Asterisk) -> None:
    go_on = threading.Event()
    inbox: queue.Queue[Event] = queue.Queue()
    link = Link(asterisk, on_connected=lambda: go_on.wait(10))
    link.link.watch("s1-a", inbox.put)
    link.link.start()
    asterisk.events().say("StasisEnd", channel={"id": "s1-a"})
    assert inbox.get(timeout=5).type == "StasisEnd"
    go_on.set()
    link.link.stop()


def test_a_replaced_application_stops_for_good(asterisk: Asterisk, connected: Handler, link: Link) -> None:
    connected.say("ApplicationReplaced", application="cb")
    link.next("replaced")
    assert not link.link.wait_connected(0.5)
    assert asterisk.sockets.empty()
    assert link.heard.empty()


def test_stopping_is_quick_polite_and_no_loss(connected: Handler, link: Link) -> None:
    link.link.stop()
    link.link.stop()
    assert not link.link.connected
    assert connected.received.get(timeout=5)[0] == CLOSE
    assert link.heard.empty()


def test_stopping_while_nobody_answers(asterisk: Asterisk, link: Link) -> None:
    asterisk.freeze()
    link.link.start()
    assert not link.link.wait_connected(0.1)
    asked_at = time.monotonic()
    link.link.stop()
    assert time.monotonic() - asked_at < 2 * SILENCE_LIMIT_S


def test_stopping_from_a_handler(asterisk: Asterisk, connected: Handler, link: Link) -> None:
    link.link.watch("last", lambda event: link.link.stop())
    connected.say("StasisEnd", channel={"id": "last"})
    assert connected.received.get(timeout=5)[0] == CLOSE
    link.link.stop()
    assert not link.link.connected
