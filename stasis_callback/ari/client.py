"""The ARI client: commands to one Asterisk, in the object model people know from ari-py.

    client = AriClient("http://127.0.0.1:8088", "callback", password, app="callback")
    client.channels.originate("PJSIP/420212345678@carrier", "s1-a", app_args=["a"], ...)
    client.channel("s1-a").play(["sound:vm-goodbye"], "s1-a-p1")

Events come through `AriLink`. docs/decisions/0001-ari-client.md tells why this is our own.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import websocket

from stasis_callback.ari.bridges import Bridge, Bridges
from stasis_callback.ari.channels import Channel, Channels, FuseProof, Playback
from stasis_callback.ari.errors import AriError
from stasis_callback.ari.events import parse_time_us
from stasis_callback.ari.rest import PATIENCE_S, Rest, checked
from stasis_callback.ari.time import AsteriskTime
from stasis_callback.clock import US_PER_S, Clock

if TYPE_CHECKING:
    from stasis_callback.settings import AriSettings

_APP = re.compile(r"[A-Za-z0-9_.-]+")

# Two thirds of all events of a call, and nothing reads them. What is named here is left out and all else sent: a
# list of what to send would go stale with every new event. Asterisk forgets it with the application: put per connect.
UNWANTED_EVENTS = (
    "BridgeCreated",
    "BridgeDestroyed",
    "ChannelCallerId",
    "ChannelConnectedLine",
    "ChannelDialplan",
    "ChannelEnteredBridge",
    "ChannelHangupRequest",
    "ChannelLeftBridge",
    "ChannelVarset",
    "PlaybackContinuing",
    "PlaybackStarted",
)
SUBSCRIPTIONS = ("channel_ids", "bridge_ids", "endpoint_ids", "device_names")
"""What an application may have, as `GET /applications` names it."""
REPLACE_S = 3.0


@dataclass(frozen=True, slots=True)
class AsteriskInfo:
    """Which Asterisk answers; another `started_at` means that it was restarted and every call is gone."""

    version: str
    started_at: str
    """Asterisk's own text, for comparison only."""
    entity_id: str


class AriClient:
    """Commands to one Asterisk for one Stasis application. Safe to use from any number of threads."""

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        app: str,
        *,
        request_timeout_s: float = 5.0,
        pool_size: int = 32,
        clock: Clock | None = None,
        rest: Rest | None = None,
    ) -> None:
        """`rest` is for a simulation, which has no sockets."""
        self.app = checked(app, _APP, "an application name")
        self.clock = clock or Clock()
        self.rest = rest or Rest(url, username, password, request_timeout_s, pool_size, self.clock)
        self.time = AsteriskTime(self.rest, self.clock)
        self.fuse_proof = FuseProof(self.clock)
        self.channels = Channels(self.rest, self.clock, app)
        self.bridges = Bridges(self.rest)

    @classmethod
    def of(cls, ari: AriSettings, clock: Clock | None = None) -> AriClient:
        """The client of these settings. Raises ValueError when they cannot be right."""
        password, timeout_s = ari.password.get_secret_value(), ari.request_timeout_s
        return cls(ari.url, ari.username, password, ari.app, request_timeout_s=timeout_s, clock=clock)

    def __repr__(self) -> str:
        return f"AriClient({self.rest.base}, app={self.app!r})"

    def channel(self, channel_id: str) -> Channel:
        """A handle on a channel; asks Asterisk nothing."""
        return Channel(self.rest, self.clock, self.app, self.fuse_proof, channel_id)

    def bridge(self, bridge_id: str) -> Bridge:
        """A handle on a bridge; asks Asterisk nothing."""
        return Bridge(self.rest, bridge_id)

    def playback(self, playback_id: str) -> Playback:
        """A handle on a playback; asks Asterisk nothing."""
        return Playback(self.rest, playback_id)

    def info(self, *, patience_s: float = PATIENCE_S) -> AsteriskInfo:
        """Version, start time and identity of the Asterisk at the other end. Raises `AriError`."""
        body = self.rest.fetch("asterisk", "info", patience_s=patience_s)
        if body is None:
            raise AriError(0, "the server at this address is not Asterisk")
        system, status = body.get("system", {}), body.get("status", {})
        return AsteriskInfo(
            str(system.get("version", "")),
            str(status.get("startup_time", "")),
            str(system.get("entity_id", "")),
        )

    def loaded_for_s(self) -> float:
        """For how long Asterisk has had its configuration, in seconds, by its own clock. Raises `AriError`."""
        body = self.rest.fetch("asterisk", "info") or {}
        loaded_at_us = parse_time_us(body.get("status", {}).get("last_reload_time"))
        self.time.measure()
        return (self.time.now_us() - loaded_at_us) / US_PER_S

    def module_running(self, name: str) -> bool:
        """Whether a module (`func_timeout.so`) is loaded and running."""
        body = self.rest.fetch("asterisk", "modules", name)
        return body is not None and body.get("status") == "Running"

    def taken(self) -> bool:
        """Whether another process is connected under our application's name, for certain.

        Asterisk also lists an application without a connected client, as long as it has channels or bridges:
        those of a process that died. When they are over too it is forgotten as soon as any application comes or goes,
        and not before (`cleanup` in res_stasis.c): so one comes and goes. False when Asterisk does not answer.
        """
        try:
            if not self._is_listed_alone():
                return False
            self._connect_for_a_moment(f"{self.app}-{secrets.token_hex(4)}")
            return self._is_listed_alone()
        except AriError:
            return False

    def _is_listed_alone(self) -> bool:
        """Whether our application is listed, and not only because of a channel or bridge."""
        body = self.rest.fetch("applications", self.app)
        return body is not None and not any(body.get(kind) for kind in SUBSCRIPTIONS)

    def replace_others(self) -> None:
        """End the process that is connected with our application name: Asterisk tells it that it is replaced.
        Raises AriError.
        """
        self._connect_for_a_moment(self.app)

    def _connect_for_a_moment(self, app: str) -> None:
        try:
            websocket.create_connection(
                self.rest.events_url(app),
                timeout=REPLACE_S,
                header=self.rest.headers,
                suppress_origin=True,
                http_no_proxy=["*"],
            ).close(timeout=REPLACE_S)
        except (OSError, websocket.WebSocketException) as error:
            raise AriError(0, str(error)) from error

    def set_event_filter(self) -> bool:
        """Have the noise left out of our event stream; False while the application is not connected."""
        unwanted = {"disallowed": [{"type": name} for name in UNWANTED_EVENTS]}
        return self.rest.command("PUT", "applications", self.app, "eventFilter", content=unwanted)

    def send_user_event(self, name: str) -> bool:
        """Have Asterisk send our application a ChannelUserevent; False where it knows no such application.

        True says no more than that: where nobody is connected for the application, the event is lost, or
        comes to whoever connects next.
        Raises AriError.
        """
        params = {"application": self.app}
        return self.rest.command("POST", "events", "user", name, params=params, repeatable=True)

    def close(self) -> None:
        """Close the idle connections."""
        self.rest.close()
