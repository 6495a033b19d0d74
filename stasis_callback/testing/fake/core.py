"""A fake Asterisk without a network: switch, applications, ARI's resources and faults.

`server.py` puts HTTP and a websocket around it, for tests of the service as it is; the simulation
(`stasis_callback.testing.simulation`) calls it directly, in virtual time. Whatever it does is here and in the
modules below, the same for both.
"""

from __future__ import annotations

import asyncio
import re
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stasis_callback.clock import Clock
from stasis_callback.resources import asterisk_conf_dir
from stasis_callback.testing.phones import SECOND_TRUNK

from .apps import Apps
from .cel import Cel
from .faults import Entry, Faults
from .model import ID_EXISTS, AriError, Json, ari_time
from .playback import Player, Sounds
from .routes import Routes
from .switch import Switch

_STARTS_PLAYBACK = re.compile(r"/play(/[^/]*)?$")


@dataclass(frozen=True, slots=True)
class Answer:
    """What Asterisk answers: a status and its JSON (None for an empty body)."""

    status: int
    body: Json | list[Json] | None
    lost: bool = False
    """It is not to arrive: the connection breaks instead."""


def _pjsip(name: str) -> dict[tuple[str, str], dict[str, str]]:
    """A trunk's sections as in asterisk-conf/pjsip.conf, by type and name; the options that somebody asks for."""
    media = {"direct_media": "false", "rtp_timeout": "30", "rtp_timeout_hold": "300", "timers": "yes"}
    missed_calls = {"allow": "(alaw|g729)", "media_use_received_transport": "true"}
    return {
        ("endpoint", name): {"aors": name, "allow": "(alaw|ulaw)", **media},
        ("endpoint", f"{name}-in"): missed_calls,
        ("aor", name): {"contact": "sip:127.0.0.1:5070", "qualify_frequency": "60"},
        ("identify", name): {"match": "127.0.0.1/255.255.255.255", "endpoint": f"{name}-in"},
    }


class Core(ABC):
    """The behaviour of Asterisk 22.10 for everything the product uses; see tests/contract.

    `app` is the application the dialplan hands missed calls to, `trunk` the endpoint of its carrier (there is one
    more, `phones.SECOND_TRUNK`). `cel_dir` receives the CEL journal.
    """

    switch_kind = Switch

    def __init__(
        self, *, app: str, trunk: str, speed: float, sounds: Sounds | None, cel_dir: Path, clock: Clock
    ) -> None:
        self.app, self.trunk, self.clock = app, trunk, clock
        self.sounds = sounds or Sounds()
        self.sounds.speed *= speed
        self.digit_s = 0.1 / speed
        self.entity_id = "02:00:00:00:00:01"
        modules_conf = (asterisk_conf_dir() / "modules.conf").read_text()
        self.modules = set(re.findall(r"^load = (\S+)", modules_conf, re.MULTILINE))
        """What the project's configuration loads; with `bridge_native_rtp.so` plain bridges lose DTMF."""
        self.pjsip = _pjsip(trunk) | _pjsip(SECOND_TRUNK)
        self.unreachable: set[str] = set()
        """The endpoints whose carrier does not answer OPTIONS."""
        self.journal: list[Entry] = []
        """Requests with their parameters, events with their fields, and faults, in order."""
        self.watchers: list[Callable[[Entry], None]] = []
        """Called with every entry as it is written, a request before it is done. They must not raise and not wait."""
        self.faults = Faults(self._do_fault)
        cel = Cel(cel_dir / "cel.csv")
        self.switch = self.switch_kind(
            apps=Apps(self._stamp), cel=cel, now_us=self.clock.now_us, app=app, trunk=trunk
        )
        self.switch.trunk_causes = self.faults.trunk_causes
        self.player = Player(self.switch, self.sounds)
        self._routes = Routes(self)
        self._stale: weakref.WeakSet[Any] = weakref.WeakSet()

    @abstractmethod
    def soon(self, act: Callable[[], None]) -> None:
        """Run a function in the thread of Asterisk as soon as possible; does nothing after a stop."""

    @abstractmethod
    def drop_websockets(self) -> None:
        """Cut every event connection without a close frame."""

    @abstractmethod
    def freeze(self, seconds: float) -> None:
        """Nothing is answered, no timer fires."""

    async def answer(
        self, method: str, path: str, params: Json | AriError, *, peer: object, allowed: bool = True
    ) -> Answer:
        """One request to ARI: `path` without `/ari`, query and body together in `params`, or why they make no sense.

        `peer` is the connection it came over, `allowed` whether its password is right.
        """
        lost = False
        try:
            lost = await self.admit(method, path, params, allowed=allowed)
            handler, ids = self._routes.find(method, path)
            body = await handler(ids, params if isinstance(params, dict) else {})
            status = 204 if body is None else 201 if _STARTS_PLAYBACK.search(path) else 200
            return Answer(status, body, lost)
        except AriError as error:
            error = self._as_stale_as_real(peer, error)
            return Answer(error.status, error.body, lost)

    async def admit(self, method: str, path: str, params: Json | AriError, *, allowed: bool) -> bool:
        """What befalls a request before it is done; whether its answer is to be lost. Raises AriError."""
        if isinstance(params, AriError):
            raise params
        self._note("request", f"{method} {path}", params)
        if plan := self.faults.due("delay", path):
            await asyncio.sleep(plan.seconds)
        if self.faults.due("5xx", path):
            raise AriError(503, "Service Unavailable")
        lost = self.faults.due("lose", path) is not None
        if not allowed:
            raise AriError(401, "Authentication required")
        return lost

    def _as_stale_as_real(self, peer: object, error: AriError) -> AriError:
        """After one 409 for a taken id, a connection answers every failed allocation with 409 too.

        Asterisk keeps that error per thread, one thread serves one connection, and a failed allocation does not
        clear it.
        """
        if error is ID_EXISTS:
            self._stale.add(peer)
        return ID_EXISTS if "error" in error.body and peer in self._stale else error

    def restart(self) -> None:
        """As after `kill -9` and a new start."""
        for channel in list(self.switch.channels.values()):
            self.switch.drop(channel)
        self.switch.bridges.clear()
        self.switch.playbacks.clear()
        self.drop_websockets()
        self.switch.apps.by_name.clear()
        self.switch.started_us = self.clock.now_us()

    def _stamp(self, event: Json) -> Json:
        event = {**event, "timestamp": ari_time(self.clock.now_us()), "asterisk_id": self.entity_id}
        self._note("event", event["type"], event)
        return event

    def _note(self, kind: Any, name: str, detail: Json) -> None:
        entry = Entry(self.clock.now_us(), kind, name, detail)
        self.journal.append(entry)
        for watch in list(self.watchers):
            watch(entry)

    def _do_fault(self, name: str, seconds: float) -> None:
        self._note("fault", name, {"seconds": seconds})
        acts: dict[str, Callable[[], None]] = {
            "drop_websocket": self.drop_websockets,
            "restart": self.restart,
            "freeze": lambda: self.freeze(seconds),
        }
        self.soon(acts[name])
