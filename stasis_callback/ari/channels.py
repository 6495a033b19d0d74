"""Channels and playbacks: what the service can ask of one leg of a call.

Every command answers True (done) or False (the channel is gone, or in no state for it); see `Rest.command`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

import structlog

from stasis_callback.ari.errors import AriError, AriUnavailable
from stasis_callback.ari.events import ChannelSnapshot, parse_channel
from stasis_callback.ari.rest import Params, Reply, Rest, checked
from stasis_callback.clock import Clock

ENDPOINT = re.compile(r"PJSIP/\+?[0-9]{1,32}@[A-Za-z0-9_.-]{1,64}")
APP_ARG = re.compile(r"[A-Za-z0-9_.-]+")
# number:, digits: and characters: are missing on purpose: such a playback cannot be stopped and may never
# report its end. A comma would make two items of one.
MEDIA = re.compile(r"(sound|recording|tone):[^,\s]+")
DTMF = re.compile(r"[0-9A-D*#]+")

# Originate follows a SIP 302 into this dialplan context of the channel's `FORWARD_CONTEXT`: toll fraud, so it
# names one that leads nowhere (asterisk-conf/extensions.conf hangs up there).
NO_FORWARD = {"FORWARD_CONTEXT": "no-forward"}

ANSWER_CHECK = "answer-check"
"""The dialplan context in which Asterisk listens to who has answered; first argument of a channel that is back."""
PRESENTATION = "CONNECTEDLINE(num-pres,i)"
"""Of the number that is shown to whom a created channel calls: `prohib` withholds it."""

FUSE = "TIMEOUT(absolute)"
FUSE_PROVEN_S = 30.0
"""So long after a fuse was read back the next ones are believed to take."""
_FUNCTION_FAILED = 500
"""Asterisk's answer to a function that finds nothing."""
_ENDING = "Failed to execute function"
"""Asterisk's answer, with status 400, where the channel hangs up while the command waits for its turn."""
_FUSE_SLACK_S = 0.25
_FUSE_TRIES = 3


log = structlog.get_logger()


class Started(Enum):
    """What became of a request for a new channel."""

    STARTED = "started"
    EXISTS = "exists"
    """A channel with this id is alive: an earlier request with the same id was carried out."""
    REFUSED = "refused"
    """No such endpoint, the trunk is known to be unreachable, or Asterisk is away: no channel came into being."""
    UNHEARD = "unheard"
    """Nothing was asked: there is no link, so nobody would hear who answers."""
    UNKNOWN = "unknown"
    """Asterisk did not respond and may still execute the request. The caller must look for the channel."""


class _NobodyHears(AriUnavailable):
    """Nothing was asked, because the answer to the call would go unheard."""


class FuseProof:
    """Whether this Asterisk has shown lately that it carries fuses out.

    It says "done" also where it does not know the function (func_timeout.so is not loaded), and for no other reason
    where what is asked is well-formed: so one that was read back speaks for those that follow soon, on any channel.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_s = 0.0

    @property
    def holds(self) -> bool:
        """Whether a fuse need not be read back now."""
        return self._clock.monotonic_s() < self._until_s

    def renew(self) -> None:
        """A fuse was read back."""
        self._until_s = self._clock.monotonic_s() + FUSE_PROVEN_S

    def forget(self) -> None:
        """This may be another Asterisk, or the same one started anew."""
        self._until_s = 0.0


@dataclass(frozen=True, slots=True)
class Playback:
    """A running playback."""

    rest: Rest = field(repr=False)
    id: str

    def stop(self) -> bool:
        """Stop it at once; its `PlaybackFinished` says `done`. False when it has ended."""
        return self.rest.command("DELETE", "playbacks", self.id)


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel by its id; making the handle asks Asterisk nothing."""

    rest: Rest = field(repr=False)
    clock: Clock = field(repr=False)
    app: str = field(repr=False)
    proof: FuseProof = field(repr=False)
    id: str

    def hang_up(self, reason: str = "normal") -> bool:
        """End the channel. Before the answer `reason` makes the SIP status: `busy` 486, `normal` 603."""
        return self.rest.command("DELETE", "channels", self.id, params={"reason": reason})

    def answer(self) -> bool:
        """Answer an incoming channel (200 OK)."""
        return self._post("answer", repeatable=True)

    def ring(self) -> bool:
        """Tell an incoming channel's caller that it rings (180)."""
        return self._post("ring", repeatable=True)

    def dial(self, ring_timeout_s: int) -> bool:
        """Call the endpoint of a channel made with `create`; not answered in time, it ends with cause 19.

        Once only: a second dial ends the call (measured on 22.10).
        """
        return self._post("dial", {"timeout": str(ring_timeout_s)})

    def check_answer(self) -> bool:
        """Have Asterisk listen who has answered: a person or a machine (asterisk-conf/extensions.conf, AMD).

        The channel leaves the application for some seconds, and enters it again with what was found.
        """
        return self._post("continue", {"context": ANSWER_CHECK, "extension": "s", "priority": "1"})

    def send_dtmf(self, digits: str) -> bool:
        """Send digits to the channel's phone; returns before they have been heard."""
        return self._post("dtmf", {"dtmf": checked(digits, DTMF, "DTMF digits")})

    def redirect(self, endpoint: str) -> bool:
        """Send the phone of this channel elsewhere (SIP 302 or REFER)."""
        return self._post("redirect", {"endpoint": checked(endpoint, ENDPOINT, "an endpoint")})

    def play(self, media: Sequence[str], playback_id: str) -> Playback | None:
        """Play `media` (`sound:`, `recording:`, `tone:`) to this channel alone, one after the other.

        None when the channel is gone. Until the playback has ended Asterisk holds up `set_variable`, `set_fuse`
        and `Bridge.add` for this channel, so set the fuse first.
        """
        path = ("channels", self.id, "play", playback_id)
        return Playback(self.rest, playback_id) if start_playback(self.rest, path, media) else None

    def playback(self, playback_id: str) -> Playback:
        """A handle on a playback; asks Asterisk nothing."""
        return Playback(self.rest, playback_id)

    def set_variable(self, name: str, value: str) -> bool:
        """Set a channel variable or function. True says Asterisk took the request, not that the value took."""
        return self._set(name, lambda: value)

    def _set(self, name: str, value: Callable[[], str]) -> bool:
        try:
            return self._post("variable", lambda: {"variable": name, "value": value()}, repeatable=True)
        except AriError as error:
            if error.status == 400 and error.message.endswith(_ENDING):
                return False
            raise

    def get_variable(self, name: str) -> str | None:
        """The value of a variable or function; None when it is not set or the channel is gone."""
        body = self.rest.fetch("channels", self.id, "variable", params={"variable": name})
        return None if body is None else str(body.get("value", ""))

    def get_header(self, name: str) -> str:
        """A header of the INVITE of an incoming call; "" when it has none, or the channel is gone."""
        try:
            return self.get_variable(f"PJSIP_HEADER(read,{name})") or ""
        except AriError as error:
            if error.status == _FUNCTION_FAILED:
                return ""
            raise

    def set_fuse(self, after_s: float) -> bool:
        """Let Asterisk itself end this channel `after_s` seconds from now, even if this service is not running.

        Asterisk counts from when it carries the request out, which is before it answers. Where it took its time the
        value is read back, and asked for again where that is too much. It is read back too where none was lately
        (`FuseProof`): `AriError` when it did not take. ValueError for less than a millisecond: Asterisk reads 0 as
        "no limit".
        """
        if not (math.isfinite(after_s) and after_s >= 0.001):
            raise ValueError(f"a fuse must be a positive time, not {after_s!r} s")
        due_s = aim_s = self.clock.monotonic_s() + after_s
        for _ in range(_FUSE_TRIES):
            asked_at_s = self.clock.monotonic_s()
            if not self._set(FUSE, partial(self._left, aim_s)):
                return False
            if self.proof.holds and self.clock.monotonic_s() - asked_at_s + aim_s - due_s <= _FUSE_SLACK_S:
                return True
            text = self.get_variable(FUSE)
            if text is None:
                return False  # hung up meanwhile
            # It was read before its answer came: the fuse ends then at the latest.
            now_s, left_s = self.clock.monotonic_s(), _seconds(text)
            ends_s = now_s + left_s
            if not aim_s - _FUSE_SLACK_S <= ends_s <= aim_s + (now_s - asked_at_s) + _FUSE_SLACK_S:
                self.proof.forget()
                raise AriError(0, f"{FUSE} of {self.id} reads {text!r} where {aim_s - now_s:.3f} s are left")
            self.proof.renew()
            late_s = ends_s - due_s
            if late_s <= _FUSE_SLACK_S:
                return True
            # It counts from when Asterisk came round to it: the next one is shorter by what this one took.
            aim_s = max(due_s - (ends_s - aim_s), now_s)
        log.warning("fuse.late", channel=self.id, seconds=round(late_s, 1))
        return True

    def _left(self, until_s: float) -> str:
        """Seconds until then, as Asterisk reads them; it takes 0 for "no limit"."""
        return f"{max(until_s - self.clock.monotonic_s(), 0.001):.3f}"

    def heard(self) -> Heard | None:
        """What has come from the other side so far; None where that is not known. Asked once."""
        body = self.rest.fetch("channels", self.id, "rtp_statistics", patience_s=0.0) or {}
        packets = body.get("rxcount")
        # Each report changes what is measured with it: the round trip, and what the other side hears of us.
        reports = {name: value for name, value in body.items() if "rtt" in name or name.startswith("remote_")}
        return Heard(packets, str(reports)) if isinstance(packets, int) else None

    def fuse_left_s(self) -> float | None:
        """Seconds until Asterisk ends the channel; None without a fuse or without a channel."""
        text = self.get_variable(FUSE)
        return _seconds(text) or None if text else None

    def subscribe(self) -> bool:
        """Have all events of this channel sent to us. An incoming one sends `ChannelDestroyed` only then."""
        source = {"eventSource": f"channel:{self.id}"}
        path = ("applications", self.app, "subscription")
        return self.rest.command("POST", *path, params=source, repeatable=True)

    def _post(self, action: str, params: Params = None, *, repeatable: bool = False) -> bool:
        return self.rest.command("POST", "channels", self.id, action, params=params, repeatable=repeatable)


@dataclass(frozen=True, slots=True)
class Heard:
    """What has come from the other side of a channel since its beginning."""

    packets: int
    """Of sound (RTP)."""
    reports: str
    """What its reports (RTCP) say: another text after each."""

    def lives_since(self, before: Heard | None) -> bool:
        """Whether anything has come since.

        Where a carrier suppresses silence, who listens sends no sound for minutes, but goes on reporting. Who has
        never sent any sound is not heard, whatever is reported.
        """
        if before is None:
            return self.packets > 0
        return self.packets > before.packets or (self.packets > 0 and self.reports != before.reports)


@dataclass(frozen=True, slots=True)
class Channels:
    """All channels of this Asterisk, and the making of new ones."""

    rest: Rest = field(repr=False)
    clock: Clock = field(repr=False)
    app: str = field(repr=False)

    def list(self) -> list[ChannelSnapshot]:
        """Every live channel, also those of other applications."""
        return [parse_channel(raw) for raw in self.rest.fetch_list("channels")]

    def get(self, channel_id: str) -> ChannelSnapshot | None:
        """The channel now; None when it is gone."""
        body = self.rest.fetch("channels", channel_id)
        return None if body is None else parse_channel(body)

    def originate(
        self,
        endpoint: str,
        channel_id: str,
        *,
        app_args: Sequence[str],
        caller_id: str,
        ring_timeout_s: int,
        variables: Mapping[str, str],
        heard: Callable[[], bool] = lambda: True,
    ) -> Started:
        """Call `endpoint`; when it answers, the channel enters our application with `app_args`.

        Answered while the application is away it is hung up again (it fails closed). `variables` are in force
        while it rings: `{"TIMEOUT(absolute)": "60"}` includes the ringing. Asterisk is asked only while `heard` says
        that events come in. ValueError for unsafe arguments.
        """
        if not caller_id.isprintable():
            raise ValueError("a caller id must be printable")
        body = self._new(endpoint, app_args, {**variables, **NO_FORWARD})
        body |= {"callerId": caller_id, "timeout": ring_timeout_s}

        def if_heard() -> dict[str, Any]:
            # At each try: Asterisk may be back from a restart before the link is.
            if not heard():
                raise _NobodyHears(0, "there is no link to Asterisk", untouched=True)
            return body

        # Not again by itself: an Asterisk that was restarted meanwhile would ring the phone a second time.
        return self._start((channel_id,), if_heard, channel_id, repeatable=False)

    def create(
        self,
        endpoint: str,
        channel_id: str,
        *,
        app_args: Sequence[str],
        variables: Mapping[str, str],
        originator: str | None = None,
    ) -> Started:
        """Make an outgoing channel without calling yet: it enters our application now and `Channel.dial` calls.

        So it can be bridged first and its ringback and announcements heard. Does not follow a SIP 302. The number
        shown to the callee is the variable `CONNECTEDLINE(num,i)`. `originator` is the id of the channel it is
        made for (same linkedid in the CEL journal).
        """
        body = self._new(endpoint, app_args, variables) | {"channelId": channel_id}
        if originator is not None:
            body["originator"] = originator
        return self._start(("create",), body, channel_id, repeatable=True)

    def _start(
        self,
        path: Sequence[str],
        body: dict[str, Any] | Callable[[], dict[str, Any]],
        channel_id: str,
        *,
        repeatable: bool,
    ) -> Started:
        try:
            reply = self.rest.send("POST", "channels", *path, content=body, repeatable=repeatable)
        except _NobodyHears:
            return Started.UNHEARD
        except AriUnavailable as error:
            if error.untouched:
                return Started.REFUSED
            log.warning("leg.start_unknown", channel=channel_id, error=error.message)
            return Started.UNKNOWN
        return self._started(reply, channel_id)

    def _started(self, reply: Reply, channel_id: str) -> Started:
        if reply.ok:
            return Started.STARTED
        if reply.status == 409:
            # After one true 409 Asterisk answers every failed allocation on that connection with 409 too (22.10.1),
            # so it takes a look to tell.
            return Started.EXISTS if self.get(channel_id) is not None else Started.REFUSED
        if reply.status == 500 and reply.message == "Allocation failed":
            return Started.REFUSED
        raise AriError(reply.status, reply.message)

    def _new(self, endpoint: str, app_args: Sequence[str], variables: Mapping[str, str]) -> dict[str, Any]:
        for name, value in variables.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise ValueError(f"variables must be text: {name!r}")
        return {
            "endpoint": checked(endpoint, ENDPOINT, "an endpoint"),
            "app": self.app,
            "appArgs": ",".join(checked(arg, APP_ARG, "an application argument") for arg in app_args),
            "variables": dict(variables),
        }


def start_playback(rest: Rest, path: Sequence[str], media: Sequence[str]) -> bool:
    """Ask for a playback; False when what should play it is gone. ValueError for media that cannot be stopped."""
    if not media or isinstance(media, str):
        raise ValueError("nothing to play")
    items = ",".join(checked(item, MEDIA, "a sound:, recording: or tone: item") for item in media)
    return rest.command("POST", *path, params={"media": items})


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
