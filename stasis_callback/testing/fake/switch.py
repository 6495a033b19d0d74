"""The switching of a fake Asterisk: how channels come, ring, answer, join bridges and end, and what they report.

The order of events, their causes and who hears them are those measured on Asterisk 22.10; tests/contract runs
the same scenarios on both.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Coroutine
from typing import Protocol

from stasis_callback.testing.phones import SECOND_TRUNK
from stasis_callback.testing.phones import State as PhoneState

from .apps import Apps
from .cel import Cel
from .model import CAUSE_TEXT, ID_EXISTS, SIP_BY_CAUSE, AriError, Bridge, Channel, Json, Kind, Playback, State

FUSE = "TIMEOUT(absolute)"
_SOFT_FLAG = 32
NO_ANSWER, NORMAL, BUSY, CONGESTION, CANCELLED_SIP = 19, 16, 17, 34, 487
_DIALSTATUS = {17: "BUSY", 34: "CONGESTION"}
_ENDPOINT = re.compile(r"PJSIP/(?P<number>[^@/]+)@(?P<trunk>[^@/]+)")
_NUMBER_IN_CALLER_ID = re.compile(r"<([^>]*)>")


class FarEnds(Protocol):
    """What is at the other end of the trunks: phones. Called in the loop thread."""

    def offer(self, channel: Channel, caller_id: str) -> bool:
        """Ring the phone that `channel` calls; False when the number is unallocated."""

    def heard(self, channel: Channel, state: PhoneState) -> None:
        """Tell the phone at the far end the state of its call."""

    def heard_digit(self, channel: Channel, digit: str) -> None:
        """A digit reaches the phone at the far end of `channel`."""


class Switch:
    """All live channels and bridges. Every method runs in the loop thread."""

    def __init__(self, *, apps: Apps, cel: Cel, now_us: Callable[[], int], app: str, trunk: str) -> None:
        self.apps, self.cel, self.now_us = apps, cel, now_us
        self.app, self.trunk = app, trunk
        self.network: FarEnds | None = None
        self.trunk_causes: list[int] = []
        self.channels: dict[str, Channel] = {}
        self.bridges: dict[str, Bridge] = {}
        self.playbacks: dict[str, Playback] = {}
        self.started_us = now_us()
        self.entry_s = 0.0
        """An outgoing channel enters its application so long after Asterisk has said that it is made or, originated,
        that it was answered: each is done in a thread of its own, and on a busy machine the second one waits."""
        self.bridge_goes_s = 0.0
        """The id of a bridge that was destroyed stays taken so long (its topic, `destroy_bridge`)."""
        self.bridges_going: set[str] = set()
        self._serial = itertools.count(1)
        self.tasks: set[asyncio.Task[None]] = set()

    # --- small helpers ---------------------------------------------------------------------------------------

    def channel(self, channel_id: str) -> Channel:
        """The live channel, or 404."""
        if channel_id not in self.channels:
            raise AriError(404, "Channel not found")
        return self.channels[channel_id]

    def controlled(self, channel_id: str) -> Channel:
        """The channel when it is in Stasis, else 404 or 409."""
        channel = self.channel(channel_id)
        if not channel.in_stasis:
            raise AriError(409, "Channel not in Stasis application")
        return channel

    def new_id(self) -> str:
        """An id as Asterisk makes them: start of the second, dot, serial number."""
        return f"{self.now_us() // 1_000_000}.{next(self._serial)}"

    def task(self, work: Coroutine[None, None, None]) -> None:
        """Run a coroutine in the background; it is cancelled when the fake stops."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # --- how a channel comes ---------------------------------------------------------------------------------

    def new_channel(
        self,
        channel_id: str,
        kind: Kind,
        *,
        name: str | None = None,
        state: State = "Down",
        linkedid: str | None = None,
    ) -> Channel:
        """Create a channel."""
        if channel_id in self.channels:
            raise ID_EXISTS
        name = name or f"PJSIP/{self.trunk}-{next(self._serial):08x}"
        channel = Channel(channel_id, name, kind, self.now_us(), linkedid=linkedid or channel_id, state=state)
        self.channels[channel_id] = channel
        self.cel.write("CHAN_START", channel, channel.created_us)
        return channel

    def new_outgoing(self, channel_id: str, kind: Kind, params: Json) -> Channel:
        """The channel of an originate or create request, not dialled yet."""
        if channel_id in self.channels:
            raise ID_EXISTS
        endpoint = str(params["endpoint"])
        if "/" not in endpoint:
            raise AriError(400, "Invalid endpoint specified")
        parts = _ENDPOINT.fullmatch(endpoint)
        if parts is None or parts["trunk"] not in (self.trunk, SECOND_TRUNK):
            raise AriError(500, "Allocation failed", key="error")
        originator = self.channels.get(str(params.get("originator") or ""))
        channel = self.new_channel(channel_id, kind, linkedid=originator.linkedid if originator else None)
        channel.dial_string = f"{parts['number']}@{parts['trunk']}"
        channel.app, channel.args = str(params["app"]), str(params.get("appArgs") or "")
        if kind == "originated":
            caller_id = str(params.get("callerId") or "")
            found = _NUMBER_IN_CALLER_ID.search(caller_id)
            channel.connected_number = channel.caller_number = found[1] if found else caller_id.strip()
        self.apps.subscribe(channel.app, f"channel:{channel.id}")
        for key, value in (params.get("variables") or {}).items():
            self.set_variable(channel, key, str(value))
        return channel

    def enter_stasis(self, channel: Channel, app: str, args: str) -> bool:
        """The channel enters an application; False when the application is not connected."""
        if not self.apps.active(app):
            return False
        channel.app, channel.args, channel.in_stasis = app, args, True
        words = args.split(",") if args else []
        self.apps.subscribe(app, f"channel:{channel.id}")
        if channel.kind == "created":
            data = ",".join([app, *words])
            self.apps.publish(
                "ChannelDialplan", channel=channel, dialplan_app="Stasis", dialplan_app_data=data
            )
        self.apps.publish("ChannelVarset", channel=channel, variable="STASISSTATUS", value="")
        event = {"type": "StasisStart", "args": words, "channel": channel.json()}
        self.apps.tell(self.apps.find(app), event)
        return True

    def leave_stasis(self, channel: Channel) -> None:
        """The channel leaves the application for the dialplan; who had it made is still told of it."""
        channel.in_stasis = False
        self.apps.publish("StasisEnd", channel=channel)
        self.apps.unsubscribe(channel.app, f"channel:{channel.id}")

    # --- calling out -----------------------------------------------------------------------------------------

    def dial(self, channel: Channel, *, caller_id: str, timeout_s: float) -> None:
        """Send the INVITE of an outgoing channel."""
        channel.dialled = True
        self._report_dial(channel, "")
        if timeout_s > 0:
            loop = asyncio.get_running_loop()
            channel.ring_timer = loop.call_later(timeout_s, self._ring_timeout, channel)
        if self.trunk_causes:
            self.far_ends(channel, self.trunk_causes.pop(0))
        elif self.network is None or not self.network.offer(channel, caller_id):
            self.far_ends(channel, 1)

    def far_rings(self, channel: Channel) -> None:
        """The far end sends 180 Ringing."""
        if not channel.gone and channel.state == "Down":
            self._set_state(channel, "Ringing")
            self._report_dial(channel, "RINGING")

    def far_answers(self, channel: Channel) -> None:
        """The far end answers with 200 OK."""
        if channel.gone or channel.state == "Up":
            return
        if channel.ring_timer is not None:
            channel.ring_timer.cancel()
        self.answer(channel)
        self._report_dial(channel, "ANSWER")
        if not channel.in_stasis:
            self.hand_over(channel)

    def hand_over(self, channel: Channel) -> None:
        """Let an outgoing channel enter the application that had it made, at once or after `entry_s`."""
        if self.entry_s:
            asyncio.get_running_loop().call_later(self.entry_s, self._enter, channel)
        else:
            self._enter(channel)

    def _enter(self, channel: Channel) -> None:
        if not channel.gone and not self.enter_stasis(channel, channel.app or "", channel.args):
            self.end(channel, 0)  # it fails closed

    def far_ends(self, channel: Channel, cause: int) -> None:
        """The far end sends BYE, CANCEL or a final refusal."""
        if channel.gone:
            return
        channel.ended_by = "far end"
        if channel.state == "Up":
            self.request_hangup(channel, NORMAL)
            self.end(channel, NORMAL)
        elif channel.kind == "incoming":
            self.request_hangup(channel, NO_ANSWER, CANCELLED_SIP)
            self.end(channel, NO_ANSWER, CANCELLED_SIP)
        else:
            # A phone that refuses without a telling cause sends 603, which Asterisk reads as 21.
            self._refused(channel, cause if cause in SIP_BY_CAUSE else 21, SIP_BY_CAUSE.get(cause, 603))

    def far_redirects(self, channel: Channel, number: str) -> None:
        """302 from the other end: originate follows it into the dialplan, create + dial does not."""
        if channel.gone or channel.state == "Up":
            return
        self.request_hangup(channel, 23, 302)
        self._report_dial(channel, "CANCEL", forward=number)
        self.end(channel, 23, 302)
        if channel.kind == "originated":
            context = channel.variables.get("FORWARD_CONTEXT", channel.context)
            pair = f"Local/{number}@{context}-{next(self._serial):08x}"
            # The project's dialplan refuses every Local channel and has nothing else in the forwarding context.
            for half in (1, 2):
                self.end(self.new_channel(self.new_id(), "local", name=f"{pair};{half}"), BUSY)

    def _refused(self, channel: Channel, cause: int, sip_status: int) -> None:
        self.request_hangup(channel, cause, sip_status)
        if channel.kind == "originated":
            self._report_dial(channel, _DIALSTATUS.get(cause, "NOANSWER"))
        self.end(channel, cause, sip_status)

    def _ring_timeout(self, channel: Channel) -> None:
        channel.ended_by = "ring timeout"
        if channel.kind == "created":
            self.request_hangup(channel, NO_ANSWER, soft=True)
        self.end(channel, NO_ANSWER, SIP_BY_CAUSE[NO_ANSWER])

    def _report_dial(self, channel: Channel, dialstatus: str, *, forward: str = "") -> None:
        named = not forward and (channel.kind == "originated" or not dialstatus)
        dialstring = channel.dial_string if named else ""
        self.apps.publish(
            "Dial", channel=channel, dialstatus=dialstatus, dialstring=dialstring, forward=forward
        )

    # --- states and variables --------------------------------------------------------------------------------

    def answer(self, channel: Channel) -> None:
        """The channel is answered, by whichever side."""
        if channel.state == "Up":
            return
        channel.answered_us = self.now_us()
        self._set_state(channel, "Up")
        self.cel.write("ANSWER", channel, channel.answered_us)
        if self.network is not None:
            self.network.heard(channel, "answered")

    def _set_state(self, channel: Channel, state: State) -> None:
        channel.state = state
        self.apps.publish("ChannelStateChange", channel=channel)

    def set_variable(self, channel: Channel, name: str, value: str) -> None:
        """Set a variable or function; `TIMEOUT(absolute)` is the timer that ends this channel alone."""
        if name != FUSE:
            channel.variables[name] = value
            self.apps.publish("ChannelVarset", channel=channel, variable=name, value=value)
            return
        if channel.fuse is not None:
            channel.fuse.cancel()
        try:
            after_s = float(value)
        except ValueError:
            after_s = 0.0
        loop = asyncio.get_running_loop()
        channel.fuse = loop.call_later(after_s, self.fuse_fires, channel) if after_s > 0 else None

    def get_variable(self, channel: Channel, name: str) -> str:
        """The value of a variable or function, or 404; 500 for a header, which no call here has."""
        if name == FUSE:
            left_s = channel.fuse.when() - asyncio.get_running_loop().time() if channel.fuse else 0.0
            return f"{max(left_s, 0.0):.3f}" if channel.fuse else "0"
        if name.startswith("PJSIP_HEADER("):
            raise AriError(500, "Unable to read provided function")
        if name not in channel.variables:
            raise AriError(404, "Provided variable was not found")
        return channel.variables[name]

    def fuse_fires(self, channel: Channel) -> None:
        """The time set with `TIMEOUT(absolute)` is up."""
        channel.ended_by = "timer"
        if channel.state == "Up":
            self.end(channel, NORMAL if channel.bridge else 0)
        elif channel.kind == "originated":
            self.end(channel, NO_ANSWER, SIP_BY_CAUSE[NO_ANSWER])
        elif channel.kind == "created" and not channel.dialled:
            self.end(channel, 21)
        else:
            self.end(channel, NORMAL)

    def far_speaks(self, channel: Channel, seconds: float) -> None:
        """The phone of this channel speaks for some seconds more."""
        channel.spoken_s += seconds

    # --- bridges and digits ----------------------------------------------------------------------------------

    def join(self, channel: Channel, bridge: Bridge, *, absorbs_dtmf: bool = False) -> None:
        """Put a channel into a bridge, out of the one it is in."""
        self.leave(channel)
        channel.bridge, channel.absorbs_dtmf = bridge, absorbs_dtmf
        bridge.channels.append(channel)
        oldest = min(bridge.channels, key=lambda one: one.created_us)
        for member in bridge.channels:
            member.linkedid = oldest.linkedid
        self.apps.subscribe(channel.app, f"bridge:{bridge.id}")
        self.apps.publish("ChannelEnteredBridge", channel=channel, bridge=bridge)

    def leave(self, channel: Channel) -> None:
        """Take a channel out of its bridge, which stays."""
        if (bridge := channel.bridge) is None:
            return
        bridge.channels.remove(channel)
        channel.bridge = None
        self.apps.publish("ChannelLeftBridge", channel=channel, bridge=bridge)
        self.apps.unsubscribe(channel.app, f"bridge:{bridge.id}")

    def far_keys(self, channel: Channel, digit: str) -> None:
        """A key was released on the phone of this channel."""
        if channel.gone or channel.state != "Up":
            return
        bridge = channel.bridge
        if bridge is None or bridge.technology == "simple_bridge":
            self.apps.publish("ChannelDtmfReceived", channel=channel, digit=digit, duration_ms=100)
        if bridge is None or channel.absorbs_dtmf or self.network is None:
            return
        for other in bridge.channels:
            if other is not channel:
                self.network.heard_digit(other, digit)

    # --- the end ---------------------------------------------------------------------------------------------

    def request_hangup(
        self, channel: Channel, cause: int, sip_status: int | None = None, *, soft: bool = False
    ) -> None:
        """Report a request to end the channel; with `soft` the cause is Asterisk's flag 32, not Q.850."""
        fields: Json = {"cause": _SOFT_FLAG, "soft": True} if soft else {"cause": cause}
        if sip_status is not None:
            fields["tech_cause"] = sip_status
        self.apps.publish("ChannelHangupRequest", channel=channel, **fields)

    def hang_up(self, channel: Channel, cause: int) -> None:
        """`DELETE /channels/{id}`."""
        channel.ended_by = "request"
        self.request_hangup(channel, cause, soft=True)
        if channel.kind == "originated" and channel.state != "Up":
            self._report_dial(channel, "NOANSWER")
        self.end(channel, cause, SIP_BY_CAUSE.get(cause))

    def end(self, channel: Channel, cause: int, sip_status: int | None = None) -> None:
        """The channel is gone: it leaves its bridge and application, and its end is reported."""
        if channel.gone:
            return
        channel.gone, channel.cause, channel.sip_status = True, cause, sip_status
        for playback in channel.playbacks:
            if playback.state == "queued" and not playback.stopped.is_set():
                playback.state = "playing"
                self.report(playback, "PlaybackStarted")
            self.finish(playback, "failed")
        self.leave(channel)
        if channel.in_stasis:
            self._leave_stasis(channel)
        if channel.kind == "created" and not channel.dialled:
            channel.sip_status = sip_status = 603
            self.request_hangup(channel, cause, sip_status)
        at_us = self.now_us()
        extra = {"hangupcause": cause, "hangupsource": "", "dialstatus": ""}
        self.cel.write("HANGUP", channel, at_us, extra)
        fields: Json = {"cause": cause, "cause_txt": CAUSE_TEXT.get(cause, "Unknown")}
        if sip_status is not None:
            fields["tech_cause"] = sip_status
        self.apps.publish("ChannelDestroyed", channel=channel, **fields)
        self.drop(channel)

    def _leave_stasis(self, channel: Channel) -> None:
        channel.in_stasis = False
        if channel.app in self.apps.by_name:
            self.apps.tell(self.apps.by_name[channel.app], {"type": "StasisEnd", "channel": channel.json()})
        self.apps.unsubscribe(channel.app, f"channel:{channel.id}")
        self.apps.publish("ChannelVarset", channel=channel, variable="STASISSTATUS", value="SUCCESS")
        if channel.kind == "incoming":  # the dialplan goes on, to its Hangup()
            fields: Json = {"tech_cause": channel.sip_status} if channel.sip_status == CANCELLED_SIP else {}
            self.apps.publish("ChannelHangupRequest", channel=channel, cause=NORMAL, soft=True, **fields)

    def drop(self, channel: Channel) -> None:
        """Remove a channel without any event (the last step of an end, and what a crash does)."""
        channel.gone = True
        for timer in filter(None, (channel.ring_timer, channel.fuse)):
            timer.cancel()
        self.channels.pop(channel.id, None)
        self.apps.forget_source(f"channel:{channel.id}")
        channel.ended.set()
        if self.network is not None:
            self.network.heard(channel, "ended")

    def finish(self, playback: Playback, state: str) -> None:
        """End a playback and report it to the subscribers of its target."""
        if self.playbacks.pop(playback.id, None) is None:
            return
        playback.state = state
        playback.stopped.set()
        self.report(playback, "PlaybackFinished")

    def report(self, playback: Playback, event_type: str) -> None:
        """Report a playback to the subscribers of its target."""
        target = playback.target_uri.partition(":")[2]
        channel, bridge = self.channels.get(target), self.bridges.get(target)
        self.apps.publish(event_type, channel=channel, bridge=bridge, playback=playback.json())
