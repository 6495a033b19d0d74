"""ARI's HTTP resources on a fake Asterisk: parameters in, the switch does it, status and JSON out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from .model import CAUSE_BY_REASON, AriError, Bridge, Channel, Json, ari_time
from .playback import Player
from .switch import CONGESTION, NORMAL, Switch

Ids = dict[str, str]
"""What the path names: `id`, `playback`."""
Handler = Callable[[Ids, Json], Awaitable[Json | list[Json] | None]]

DEFAULT_RING_TIMEOUT_S = 30
AMD_S, AMD_OFFERS = 2.5, 5
NOT_FOUND = AriError(404, "Channel not found")
ENDING = AriError(400, "Failed to execute function")
"""The answer to a command that waited for a channel which has hung up (`control_flush_queue`)."""
_DESCRIPTIONS = {"func_timeout.so": "Channel timeout dialplan functions"}


def _words(value: Any) -> list[str]:
    """A list parameter: JSON list, or text with commas."""
    items: Iterable[Any] = value if isinstance(value, list) else str(value or "").split(",")
    return [str(item) for item in items if item]


def heard_by_amd(spoken_s: float) -> str:
    """What AMD says of somebody who speaks that long, status and cause, twice (asterisk-conf/extensions.conf)."""
    if not spoken_s:
        return "MACHINE,INITIALSILENCE"
    if spoken_s <= 1.5:
        return "HUMAN,HUMAN"
    return "MACHINE,LONGGREETING," + ("MACHINE,LONGGREETING" if spoken_s > 3 else "HUMAN,HUMAN")


def _is_true(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "yes", "on")


class Machine(Protocol):
    """The Asterisk that is asked: what it is doing, and its configuration."""

    switch: Switch
    player: Player
    entity_id: str
    modules: set[str]
    pjsip: dict[tuple[str, str], dict[str, str]]
    unreachable: set[str]


class Routes:
    """Every resource the product uses. A handler returns the JSON of a 200, or None for 204."""

    def __init__(self, fake: Machine) -> None:
        self._fake, self._switch, self._apps = fake, fake.switch, fake.switch.apps
        self._found = [
            (method, re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path)), handler)
            for method, path, handler in self.table()
        ]

    def find(self, method: str, path: str) -> tuple[Handler, Ids]:
        """The handler of this request, and the ids in its path. Raises AriError."""
        here = [
            (one, handler, found)
            for one, pattern, handler in self._found
            if (found := pattern.fullmatch(path))
        ]
        if not here:
            raise AriError(404, "Resource not found")
        for one, handler, found in here:
            if one == method:
                return handler, found.groupdict()
        raise AriError(405, "Invalid method")

    def table(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each resource."""
        return [
            ("GET", "/channels", self._list_channels),
            ("POST", "/channels", self._originate),
            ("POST", "/channels/create", self._create),
            ("GET", "/channels/{id}", self._get_channel),
            ("POST", "/channels/{id}", self._originate),
            ("DELETE", "/channels/{id}", self._hang_up),
            ("POST", "/channels/{id}/dial", self._dial),
            ("POST", "/channels/{id}/answer", self._answer),
            ("POST", "/channels/{id}/continue", self._continue),
            ("POST", "/channels/{id}/ring", self._ring),
            ("POST", "/channels/{id}/dtmf", self._send_dtmf),
            ("POST", "/channels/{id}/redirect", self._redirect),
            ("POST", "/channels/{id}/variable", self._set_variable),
            ("GET", "/channels/{id}/variable", self._get_variable),
            ("GET", "/channels/{id}/rtp_statistics", self._rtp_statistics),
            ("POST", "/channels/{id}/play", self._play),
            ("POST", "/channels/{id}/play/{playback}", self._play),
            ("GET", "/bridges", self._list_bridges),
            ("POST", "/bridges", self._make_bridge),
            ("GET", "/bridges/{id}", self._get_bridge),
            ("POST", "/bridges/{id}", self._make_bridge),
            ("DELETE", "/bridges/{id}", self._delete_bridge),
            ("POST", "/bridges/{id}/addChannel", self._add_channel),
            ("POST", "/bridges/{id}/removeChannel", self._remove_channel),
            ("POST", "/bridges/{id}/play", self._play_to_bridge),
            ("POST", "/bridges/{id}/play/{playback}", self._play_to_bridge),
            ("GET", "/playbacks/{id}", self._get_playback),
            ("DELETE", "/playbacks/{id}", self._stop_playback),
            ("GET", "/asterisk/info", self._info),
            ("GET", "/asterisk/ping", self._ping),
            ("GET", "/asterisk/modules/{id}", self._module),
            ("GET", "/asterisk/config/dynamic/res_pjsip/{kind}/{id}", self._section),
            ("GET", "/endpoints/PJSIP/{id}", self._endpoint),
            ("POST", "/events/user/{name}", self._user_event),
            ("GET", "/applications", self._list_applications),
            ("GET", "/applications/{id}", self._get_application),
            ("PUT", "/applications/{id}/eventFilter", self._set_filter),
            ("POST", "/applications/{id}/subscription", self._subscribe),
            ("DELETE", "/applications/{id}/subscription", self._unsubscribe),
        ]

    # --- channels --------------------------------------------------------------------------------------------

    async def _list_channels(self, ids: Ids, params: Json) -> list[Json]:
        return [channel.json() for channel in self._switch.channels.values()]

    async def _get_channel(self, ids: Ids, params: Json) -> Json:
        return self._switch.channel(ids["id"]).json()

    async def _originate(self, ids: Ids, params: Json) -> Json:
        if not params.get("endpoint"):
            raise AriError(400, "Endpoint must be specified")
        if not params.get("app"):
            raise AriError(400, "Application or extension must be specified")
        channel_id = ids.get("id") or str(params.get("channelId") or self._switch.new_id())
        channel = self._switch.new_outgoing(channel_id, "originated", params)
        timeout_s = float(params.get("timeout") or DEFAULT_RING_TIMEOUT_S)
        shown = channel.json()
        self._switch.dial(channel, caller_id=channel.caller_number or "anonymous", timeout_s=timeout_s)
        return shown

    async def _create(self, ids: Ids, params: Json) -> Json:
        if not params.get("endpoint"):
            raise AriError(400, "Endpoint must be specified")
        if not params.get("app"):
            raise AriError(400, "Application must be specified")
        channel_id = str(params.get("channelId") or self._switch.new_id())
        channel = self._switch.new_outgoing(channel_id, "created", params)
        shown = channel.json()
        self._switch.hand_over(channel)
        return shown

    async def _dial(self, ids: Ids, params: Json) -> None:
        channel = self._switch.controlled(ids["id"])
        if channel.kind != "created" or channel.state != "Down":
            raise AriError(409, "Channel is not in the 'Down' state")
        timeout_s = float(params.get("timeout") or 0)
        caller = self._switch.channels.get(str(params.get("caller") or ""))
        shown = next(
            (channel.variables[key] for key in channel.variables if key.startswith("CONNECTEDLINE(num")), ""
        )
        if channel.variables.get("CONNECTEDLINE(num-pres,i)") == "prohib":
            shown = ""
        caller_id = caller.caller_number if caller is not None else shown
        self._switch.task(self._dial_in_turn(channel, caller_id or "anonymous", timeout_s))

    async def _dial_in_turn(self, channel: Channel, caller_id: str, timeout_s: float) -> None:
        async with channel.busy:
            if channel.gone:
                return
            if channel.dialled:  # accepted, and then the second INVITE cannot be sent
                self._switch.request_hangup(channel, NORMAL)
                self._switch.end(channel, NORMAL)
            else:
                self._switch.dial(channel, caller_id=caller_id, timeout_s=timeout_s)

    async def _hang_up(self, ids: Ids, params: Json) -> None:
        channel = self._switch.channel(ids["id"])
        reason, code = params.get("reason"), params.get("reason_code")
        if reason and code:
            raise AriError(400, "The reason and reason_code can't both be specified")
        if reason and str(reason) not in CAUSE_BY_REASON:
            raise AriError(400, "Invalid reason for hangup reason provided")
        cause = int(code) if code else CAUSE_BY_REASON[str(reason or "normal")]
        self._switch.hang_up(channel, cause)

    async def _answer(self, ids: Ids, params: Json) -> None:
        await self._in_turn(self._controlled(ids), self._switch.answer)

    async def _continue(self, ids: Ids, params: Json) -> None:
        channel = self._controlled(ids)
        if params.get("context") != "answer-check":
            raise AriError(409, "Channel would go where the project's dialplan has nothing")
        self._switch.leave_stasis(channel)
        self._switch.task(self._check_answer(channel))

    async def _check_answer(self, channel: Channel) -> None:
        """As asterisk-conf/extensions.conf and amd.conf: listen, then give the channel back."""
        await asyncio.sleep(AMD_S)
        if channel.gone:
            return
        args = f"answer-check,{heard_by_amd(channel.spoken_s)}"
        for _ in range(1 + AMD_OFFERS):
            if channel.gone or self._switch.enter_stasis(channel, self._switch.app, args):
                return
            await asyncio.sleep(1)
        self._switch.end(channel, CONGESTION)

    async def _ring(self, ids: Ids, params: Json) -> None:
        self._controlled(ids)

    async def _send_dtmf(self, ids: Ids, params: Json) -> None:
        channel = self._controlled(ids)
        if not params.get("dtmf"):
            raise AriError(400, "DTMF is required")
        for digit in str(params["dtmf"]):
            if self._switch.network is not None:
                self._switch.network.heard_digit(channel, digit)

    async def _redirect(self, ids: Ids, params: Json) -> None:
        channel = self._controlled(ids)
        if not params.get("endpoint"):
            raise AriError(400, "Endpoint is required")
        self._switch.end(channel, NORMAL, 302 if channel.state != "Up" else None)

    async def _set_variable(self, ids: Ids, params: Json) -> None:
        channel = self._switch.channel(ids["id"])
        if not params.get("variable"):
            raise AriError(400, "Variable name is required")
        name, value = str(params["variable"]), str(params.get("value") or "")
        await self._in_turn(
            self._switch.controlled(channel.id),
            lambda one: self._switch.set_variable(one, name, value),
            gone=ENDING,
        )

    async def _get_variable(self, ids: Ids, params: Json) -> Json:
        channel = self._switch.channel(ids["id"])
        if not params.get("variable"):
            raise AriError(400, "Variable name is required")
        return {"value": self._switch.get_variable(channel, str(params["variable"]))}

    async def _rtp_statistics(self, ids: Ids, params: Json) -> Json:
        channel = self._switch.channel(ids["id"])
        phone = channel.phone
        lasted_ms = (self._switch.now_us() - channel.created_us) // 1000
        packets, rtt_s = 1 + lasted_ms // 20, lasted_ms / 1_000_000
        if phone is not None and phone.mute:
            packets, rtt_s = (1, rtt_s) if phone.reports else (0, 0.0)
        return {"channel_uniqueid": channel.id, "rxcount": packets, "rtt": rtt_s, "txcount": 1}

    async def _play(self, ids: Ids, params: Json) -> Json:
        return self._start_playback(ids, params, self._controlled(ids))

    def _start_playback(self, ids: Ids, params: Json, target: Channel | Bridge) -> Json:
        media = _words(params.get("media"))
        if not media:
            raise AriError(500, "Failed to queue media for playback")
        playback_id = ids.get("playback") or str(params.get("playbackId") or self._switch.new_id())
        playback = self._fake.player.start(target, media, playback_id, str(params.get("lang") or ""))
        return playback.json()

    def _controlled(self, ids: Ids) -> Channel:
        return self._switch.controlled(ids["id"])

    async def _in_turn(
        self, channel: Channel, act: Callable[[Channel], None], gone: AriError = NOT_FOUND
    ) -> None:
        """Do a synchronous command: it waits for the playbacks before it (trap D of the ARI notes). `gone` is the
        answer where the channel has hung up meanwhile.
        """
        async with channel.busy:
            if channel.gone:
                raise gone
            act(channel)

    # --- bridges and playbacks -------------------------------------------------------------------------------

    def _bridge(self, ids: Ids) -> Bridge:
        if (bridge := self._switch.bridges.get(ids["id"])) is None:
            raise AriError(404, "Bridge not found")
        return bridge

    async def _list_bridges(self, ids: Ids, params: Json) -> list[Json]:
        return [bridge.json() for bridge in self._switch.bridges.values()]

    async def _get_bridge(self, ids: Ids, params: Json) -> Json:
        return self._bridge(ids).json()

    async def _make_bridge(self, ids: Ids, params: Json) -> Json:
        bridge_id = ids.get("id") or str(params.get("bridgeId") or self._switch.new_id())
        options = frozenset(_words(params.get("type") or "mixing"))
        if bridge_id in self._switch.bridges or bridge_id in self._switch.bridges_going:
            raise AriError(409, f"Bridge with id '{bridge_id}' already exists")
        may_be_native = "bridge_native_rtp.so" in self._fake.modules
        name = str(params.get("name") or "")
        bridge = Bridge(bridge_id, name, options, self._switch.now_us(), may_be_native)
        self._switch.bridges[bridge_id] = bridge
        return bridge.json()

    async def _delete_bridge(self, ids: Ids, params: Json) -> None:
        bridge = self._bridge(ids)
        for channel in list(bridge.channels):
            self._switch.leave(channel)
        self._apps.publish("BridgeDestroyed", bridge=bridge)
        del self._switch.bridges[bridge.id]
        self._apps.forget_source(f"bridge:{bridge.id}")
        if self._switch.bridge_goes_s:
            self._switch.bridges_going.add(bridge.id)
            loop = asyncio.get_running_loop()
            loop.call_later(self._switch.bridge_goes_s, self._switch.bridges_going.discard, bridge.id)

    async def _add_channel(self, ids: Ids, params: Json) -> None:
        bridge, channels = self._bridge(ids), self._members(params)
        absorbs = _is_true(params.get("absorbDTMF"))
        await asyncio.gather(
            *(
                self._in_turn(channel, lambda one: self._switch.join(one, bridge, absorbs_dtmf=absorbs))
                for channel in channels
            )
        )

    async def _remove_channel(self, ids: Ids, params: Json) -> None:
        bridge, channels = self._bridge(ids), self._members(params)
        for channel in channels:
            if channel.bridge is not bridge:
                raise AriError(422, "Channel not in this bridge")
        for channel in channels:
            await self._in_turn(channel, self._switch.leave)

    def _members(self, params: Json) -> list[Channel]:
        ids = _words(params.get("channel"))
        if not ids:
            raise AriError(400, "Missing parameter channel")
        for channel_id in ids:
            if channel_id not in self._switch.channels:
                raise AriError(400, "Channel not found")
            if not self._switch.channels[channel_id].in_stasis:
                raise AriError(422, "Channel not in Stasis application")
        return [self._switch.channels[channel_id] for channel_id in ids]

    async def _play_to_bridge(self, ids: Ids, params: Json) -> Json:
        bridge = self._bridge(ids)
        if "chan_bridge_media.so" not in self._fake.modules:
            raise AriError(500, "Could not create playback channel")
        return self._start_playback(ids, params, bridge)

    async def _get_playback(self, ids: Ids, params: Json) -> Json:
        if (playback := self._switch.playbacks.get(ids["id"])) is None:
            raise AriError(404, "Playback not found")
        return playback.json()

    async def _stop_playback(self, ids: Ids, params: Json) -> None:
        self._fake.player.stop(ids["id"])

    # --- asterisk and applications ---------------------------------------------------------------------------

    async def _info(self, ids: Ids, params: Json) -> Json:
        started = ari_time(self._switch.started_us)
        return {
            "build": {
                "os": "Linux",
                "kernel": "",
                "options": "",
                "machine": "x86_64",
                "date": "",
                "user": "",
            },
            "system": {"version": "22.10.1", "entity_id": self._fake.entity_id},
            "config": {"name": "", "default_language": "en", "setid": {"user": "", "group": ""}},
            "status": {"startup_time": started, "last_reload_time": started},
        }

    async def _ping(self, ids: Ids, params: Json) -> Json:
        now = ari_time(self._switch.now_us())
        return {"asterisk_id": self._fake.entity_id, "ping": "pong", "timestamp": now}

    async def _module(self, ids: Ids, params: Json) -> Json:
        name = ids["id"]
        if name not in self._fake.modules:
            raise AriError(404, "Module could not be found in running modules")
        description = _DESCRIPTIONS.get(name, name.removesuffix(".so"))
        return {
            "name": name,
            "description": description,
            "use_count": 0,
            "status": "Running",
            "support_level": "core",
        }

    async def _section(self, ids: Ids, params: Json) -> list[Json]:
        options = self._fake.pjsip.get((ids["kind"], ids["id"]))
        if options is None:
            raise AriError(404, f"Object with id '{ids['id']}' not found")
        return [{"attribute": name, "value": value} for name, value in options.items()]

    async def _endpoint(self, ids: Ids, params: Json) -> Json:
        if ("endpoint", ids["id"]) not in self._fake.pjsip:
            raise AriError(404, "Endpoint not found")
        state = "offline" if ids["id"] in self._fake.unreachable else "online"
        return {"technology": "PJSIP", "resource": ids["id"], "state": state, "channel_ids": []}

    async def _user_event(self, ids: Ids, params: Json) -> None:
        if not params.get("application"):
            raise AriError(400, "Missing parameter application")
        self._apps.user_event(str(params["application"]), ids["name"])

    async def _list_applications(self, ids: Ids, params: Json) -> list[Json]:
        return [app.json() for app in self._apps.by_name.values()]

    async def _get_application(self, ids: Ids, params: Json) -> Json:
        return self._apps.find(ids["id"]).json()

    async def _set_filter(self, ids: Ids, params: Json) -> Json:
        app = self._apps.find(ids["id"])
        app.allowed, app.disallowed = params.get("allowed", []), params.get("disallowed", [])
        return app.json()

    async def _subscribe(self, ids: Ids, params: Json) -> Json:
        app = self._apps.find(ids["id"])
        for source in self._sources(params):
            kind, _, name = source.partition(":")
            if name not in (self._switch.channels if kind == "channel" else self._switch.bridges):
                raise AriError(422, "Event source does not exist")
            self._apps.subscribe(app.name, source)
        return app.json()

    async def _unsubscribe(self, ids: Ids, params: Json) -> Json:
        app = self._apps.find(ids["id"])
        for source in self._sources(params):
            if not app.interest[source]:
                raise AriError(422, "Event source was not subscribed to")
            self._apps.unsubscribe(app.name, source)
        return app.json()

    def _sources(self, params: Json) -> list[str]:
        sources = _words(params.get("eventSource"))
        if not sources:
            raise AriError(400, "Missing parameter eventSource")
        if any(source.partition(":")[0] not in ("channel", "bridge") for source in sources):
            raise AriError(400, "Invalid event source URI scheme")
        return sources
