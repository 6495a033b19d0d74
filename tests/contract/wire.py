"""ARI at the level of the wire, for scenarios that run on the fake and on a real Asterisk alike.

HTTP goes through the product's own `Rest`; events are recorded raw, so that nothing in between hides a difference.
"""

from __future__ import annotations

import csv
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import websocket

from stasis_callback.ari.rest import Reply, Rest
from stasis_callback.clock import Clock, wait_until
from stasis_callback.testing.phones import Rejection

Json = dict[str, Any]
FUSE = "TIMEOUT(absolute)"
PATIENCE_S = 8.0
CONNECTIONS, HEARD_S = 3, 4.0
"""As often is a connection made, and for so long its application waited for."""
_serial = itertools.count(1)


class Events:
    """One event websocket, recording everything."""

    def __init__(self, rest: Rest, app: str) -> None:
        self.seen: list[Json] = []
        self._changed = threading.Condition()
        self._socket: Any = websocket.create_connection(
            rest.events_url(app), header=rest.headers, timeout=30, suppress_origin=True
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError, websocket.WebSocketException):
            while text := self._socket.recv():
                event = json.loads(text)
                event["seen_s"] = time.monotonic()
                with self._changed:
                    self.seen.append(event)
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Cut the connection as a killed worker does."""
        self._socket.abort()
        self._thread.join(5)
        self._socket.shutdown()

    def of(self, target: str, *types: str) -> list[Json]:
        """What came about a channel, playback or bridge, optionally of some types only."""
        with self._changed:
            return [one for one in self.seen if target in ids(one) and (not types or one["type"] in types)]

    def types(self, target: str) -> list[str]:
        """The types of all events about it, in order."""
        return [event["type"] for event in self.of(target)]

    def wait(self, event_type: str, target: str, where: Callable[[Json], bool] = lambda event: True) -> Json:
        """The first matching event; AssertionError when none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._find(event_type, target, where), PATIENCE_S)
            found = self._find(event_type, target, where)
        assert found, (
            f"no {event_type} for {target}; seen: {[e['type'] for e in self.seen if target in ids(e)]}"
        )
        return found[0]

    def wait_any(self, after: int, event_type: str, where: Callable[[Json], bool]) -> Json:
        """The first matching event behind the first `after` ones, whatever it is about."""

        def find() -> list[Json]:
            return [one for one in self.seen[after:] if one["type"] == event_type and where(one)]

        with self._changed:
            self._changed.wait_for(find, PATIENCE_S)
            found = find()
        assert found, f"no {event_type}"
        return found[0]

    def _find(self, event_type: str, target: str, where: Callable[[Json], bool]) -> list[Json]:
        return [one for one in self.seen if one["type"] == event_type and target in ids(one) and where(one)]


def ids(event: Json) -> set[str]:
    """The ids of the channels, bridges and playbacks of an event; "" stands for the application itself."""
    about = {event[key]["id"] for key in ("channel", "peer", "bridge", "playback") if key in event}
    about |= {event["playback"]["target_uri"].partition(":")[2]} if "playback" in event else set()
    return about or {""}


@dataclass
class MissedCall:
    """An incoming channel, its event, and the future outcome of the call."""

    channel: str
    start: Json
    refusal: Future[Rejection]


class Wire:
    """One Asterisk, fake or real, its telephone network, and the application connected to it."""

    def __init__(self, network: Any, kind: str) -> None:
        self.network: Any = network
        self.kind = kind
        self.app: str = network.ari_app
        self.trunk: str = network.trunk_name
        self.rest = Rest(network.ari_url, network.ari_username, network.ari_password, 15.0, 8, Clock())
        self.cel_path = network.cel_path
        self._open: list[Events] = []
        self._rests = [self.rest]
        self.events = self.connect()

    def connect(self) -> Events:
        """A websocket of the product's application.

        Asterisk may still be cleaning up after the one before it, and take the application from this one (decision
        60): then another is made, as the product does.
        """
        for _ in range(CONNECTIONS):
            events = Events(self.rest, self.app)
            if wait_until(lambda: self.get("applications", self.app).ok, timeout_s=HEARD_S):
                self._open.append(events)
                return events
            events.close()
        raise AssertionError(f"Asterisk does not know {self.app} for {CONNECTIONS} connections")

    def get(self, *path: str, **params: Any) -> Reply:
        return self.rest.send("GET", *path, params=params)

    def post(self, *path: str, body: Json | None = None, **params: Any) -> Reply:
        return self.rest.send("POST", *path, params=params, content=body)

    def put(self, *path: str, body: Json) -> Reply:
        return self.rest.send("PUT", *path, content=body)

    def delete(self, *path: str, **params: Any) -> Reply:
        return self.rest.send("DELETE", *path, params=params)

    # --- the steps every scenario is made of -----------------------------------------------------------------

    def number(self) -> str:
        """A number nobody has called yet."""
        return f"4202000{next(_serial):05d}"

    def endpoint(self, number: str) -> str:
        return f"PJSIP/{number}@{self.trunk}"

    def new_id(self) -> str:
        return f"leg-{time.time_ns()}-{next(_serial)}"

    def originate(self, number: str, *, timeout_s: int = 20, args: str = "a", **variables: Any) -> str:
        """Call a phone; the id of the channel."""
        channel = self.new_id()
        reply = self.post(
            "channels", channel, body=self.leg(number, args, **variables) | {"timeout": timeout_s}
        )
        assert reply.ok, reply
        return channel

    def leg(self, number: str, args: str = "a", **variables: Any) -> Json:
        """The body of an originate request that does not follow a 302."""
        named = {key.replace("FUSE", FUSE): value for key, value in variables.items()}
        safe = {"FORWARD_CONTEXT": "no-forward"} | named
        body = {"endpoint": self.endpoint(number), "app": self.app, "appArgs": args, "variables": safe}
        return body | {"callerId": "420800123456"}

    def create(
        self, number: str, *, dial_timeout_s: int | None = 20, originator: str = "", **variables: Any
    ) -> str:
        """Create a channel to a phone and dial it (None: do not dial); the id of the channel."""
        channel = self.new_id()
        body = self.leg(number, "b", **variables) | {"channelId": channel}
        del body["callerId"]
        assert self.post(
            "channels", "create", body=body | ({"originator": originator} if originator else {})
        ).ok
        self.events.wait("StasisStart", channel)
        if dial_timeout_s is not None:
            assert self.post("channels", channel, "dial", timeout=str(dial_timeout_s)).ok
        return channel

    def answered(self, **variables: Any) -> str:
        """An originated leg that is up and in the application."""
        number = self.number()
        self.network.phone(number).answers(after_s=0.05)
        channel = self.originate(number, **variables)
        self.events.wait("StasisStart", channel)
        return channel

    def phone_of(self, channel: str) -> Any:
        """The phone at the other end of a channel made by `answered`."""
        dial = self.events.wait("Dial", channel)
        return self.network.phone(dial["dialstring"].partition("@")[0])

    def bridge(self, *channels: str, kind: str = "mixing,dtmf_events") -> str:
        """A bridge with these channels in it."""
        bridge = f"bridge-{time.time_ns()}"
        assert self.post("bridges", bridge, type=kind).ok
        for channel in channels:
            assert self.post("bridges", bridge, "addChannel", channel=channel).ok
            self.events.wait("ChannelEnteredBridge", channel)
        return bridge

    def gone(self, channel: str) -> tuple[int, int | None]:
        """Wait for the end of a channel: cause and SIP status."""
        end = self.events.wait("ChannelDestroyed", channel)
        return end["cause"], end.get("tech_cause")

    def fuse(self, channel: str, seconds: float) -> None:
        """Set the channel's own timer."""
        assert self.post("channels", channel, "variable", variable=FUSE, value=str(seconds)).ok

    def exists(self, channel: str) -> bool:
        return self.get("channels", channel).ok

    def wait_gone(self, channel: str) -> None:
        """Wait for the end of a channel nobody tells us about."""
        assert wait_until(lambda: not self.exists(channel), timeout_s=PATIENCE_S)

    def away(self) -> None:
        """Disconnect an idle application and wait until Asterisk has noticed."""
        self.events.close()
        assert wait_until(lambda: self.get("applications", self.app).status == 404, timeout_s=PATIENCE_S)

    def fresh(self) -> Rest:
        """Another HTTP connection, which is another thread in Asterisk."""
        rest = Rest(self.rest.base, self.network.ari_username, self.network.ari_password, 15.0, 1, Clock())
        self._rests.append(rest)
        return rest

    @contextmanager
    def native_bridging(self) -> Iterator[None]:
        """With `bridge_native_rtp` loaded, which the project's configuration leaves out."""
        module = "bridge_native_rtp.so"
        if self.kind == "fake":
            self.network.fake.modules.add(module)
        else:
            self.network.product.cli(f"module load {module}")
        try:
            yield
        finally:
            if self.kind == "fake":
                self.network.fake.modules.remove(module)
            else:
                self.network.product.cli(f"module unload {module}")

    def channels_begun(self) -> int:
        """How many channels the journal has seen begin. There is no file before the first one."""
        return self.cel_path.read_text().count('"CHAN_START"') if self.cel_path.exists() else 0

    def cel(self, channel: str) -> list[list[str]]:
        """The journal's rows of a channel."""
        with self.cel_path.open(newline="") as journal:
            return [row for row in csv.reader(journal) if row[2] == channel]

    def cel_cause(self, channel: str) -> int | None:
        """The cause of a channel's end by the journal."""
        ends = [row for row in self.cel(channel) if row[0] == "HANGUP"]
        return int(json.loads(ends[-1][4])["hangupcause"]) if ends else None

    def talking(self, **variables: Any) -> tuple[str, str, str]:
        """An answered leg A, an answered leg B made by create + dial, and the bridge they are in."""
        number = self.number()
        self.network.phone(number).answers(after_s=0.05)
        a = self.answered(**variables)
        b = self.create(number, dial_timeout_s=None, originator=a, **variables)
        bridge = self.bridge(a, b)
        assert self.post("channels", b, "dial", timeout="10").ok
        self.events.wait("ChannelStateChange", b, lambda event: event["channel"]["state"] == "Up")
        return a, b, bridge

    @contextmanager
    def missed_call(self, ani: str = "420212345678", **how: Any) -> Iterator[MissedCall]:
        """A missed call that has entered the application; it is over at the end of the block."""
        before = len(self.events.seen)
        with ThreadPoolExecutor(1) as caller:
            refusal = caller.submit(self.network.missed_call, ani=ani, dnis="420800123456", **how)
            start = self.events.wait_any(before, "StasisStart", lambda event: event["args"][:1] == ["missed"])
            yield MissedCall(start["channel"]["id"], start, refusal)

    def clean(self) -> None:
        """End all channels and bridges before the next scenario."""
        for channel in self.get("channels").body:
            self.delete("channels", channel["id"])
        for bridge in self.get("bridges").body:
            self.delete("bridges", bridge["id"])
        assert wait_until(lambda: not self.get("channels").body, timeout_s=PATIENCE_S)
        for events in self._open:
            events.close()
        for rest in self._rests:
            rest.close()
