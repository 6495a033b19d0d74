"""Events of the ARI websocket as values. Pure: text in, one frozen event out; tolerant of what it does not know.

Asterisk adds fields and event types between releases, so an unknown field is ignored, a missing one gets its
type's empty value, and an unknown type becomes a plain `Event`. Only text that is not an event is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from stasis_callback.ari.errors import BadEvent

Json = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_NOT_KEPT = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ChannelSnapshot:
    """A channel as Asterisk described it at one moment. Numbers stay out of its repr, and so out of logs."""

    id: str
    name: str = ""
    state: str = ""
    """Down, Ring (incoming, unanswered), Ringing (outgoing, unanswered), Up, ..."""
    caller_number: str = field(default="", repr=False)
    connected_number: str = field(default="", repr=False)
    exten: str = ""
    """The dialplan's extension: the access number (DNIS) of an incoming call."""
    created_at_us: int = 0
    app: str = ""
    """The Stasis application that holds the channel; empty when none does."""
    app_args: tuple[str, ...] = field(default=(), repr=False)
    """The arguments with which the channel entered the application; they survive a restart of the service only."""

    @property
    def endpoint(self) -> str:
        """The endpoint of the trunk that it came or goes over, by its name: `PJSIP/trunk-0000002a`."""
        return self.name.partition("/")[2].rpartition("-")[0]


@dataclass(frozen=True, slots=True)
class Event:
    """Something Asterisk reported, by Asterisk's clock (`at_us` is 0 when it sent no time)."""

    type: str
    at_us: int
    channel_id: str | None
    """The channel of the event: the peer of a Dial, the playing channel of a playback; None if there is none."""
    raw: Json = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class StasisStart(Event):
    """A channel came under our control: an incoming call, or a leg that we created or that answered."""

    args: tuple[str, ...]
    channel: ChannelSnapshot


@dataclass(frozen=True, slots=True)
class StasisEnd(Event):
    """A channel left our control, nearly always by hanging up. No cause: `ChannelDestroyed` has it."""


@dataclass(frozen=True, slots=True)
class ChannelStateChange(Event):
    """A channel's state changed; the first `Up` is the answer, and `at_us` then starts the billable time."""

    state: str


@dataclass(frozen=True, slots=True)
class ChannelDestroyed(Event):
    """A channel is gone. Incoming channels send it only after `Channel.subscribe`."""

    cause: int
    """Q.850 cause; 0 when none was given."""
    tech_cause: int | None
    """The final SIP status where Asterisk tells it (20.17, 22.7, 23.1 and later)."""


@dataclass(frozen=True, slots=True)
class ChannelHangupRequest(Event):
    """Somebody asked for the channel's end. Its `cause` may be an internal flag, so it is not read."""


@dataclass(frozen=True, slots=True)
class ChannelDtmfReceived(Event):
    """A key was released on the channel's phone."""

    digit: str


@dataclass(frozen=True, slots=True)
class Dial(Event):
    """Progress of an outgoing call; `channel_id` is the dialled channel."""

    dialstatus: str
    """Empty while dialling, then RINGING, PROGRESS, ANSWER, BUSY, CONGESTION, NOANSWER, CANCEL, CHANUNAVAIL."""


@dataclass(frozen=True, slots=True)
class PlaybackStarted(Event):
    """A playback began; `channel_id` is None when it plays into a bridge."""

    playback_id: str
    state: str
    media_uri: str


@dataclass(frozen=True, slots=True)
class PlaybackContinuing(PlaybackStarted):
    """A playback went on to the next item of its list."""


@dataclass(frozen=True, slots=True)
class PlaybackFinished(PlaybackStarted):
    """A playback ended: state `done` (also when stopped) or `failed`. Only the last item decides which."""


@dataclass(frozen=True, slots=True)
class ApplicationReplaced(Event):
    """Another process connected under our application's name and gets all events from now on."""


@dataclass(frozen=True, slots=True)
class ChannelUserevent(Event):
    """What somebody had Asterisk send (`POST /events/user/{name}`); despite its name it needs no channel."""

    name: str


def parse_event(text: str) -> Event:
    """Parse the event in one websocket message. Raises only `BadEvent`."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadEvent(f"not JSON: {type(error).__name__}") from error
    if not isinstance(raw, dict) or not _text(raw, "type"):
        raise BadEvent("a message without a type")
    kind = raw["type"]
    build = _BUILDERS.get(kind, Event)
    return build(kind, parse_time_us(raw.get("timestamp")), _channel_id(raw), raw)


def parse_channel(raw: Json) -> ChannelSnapshot:
    """The channel object of ARI, in events and in answers."""
    dialplan = _object(raw, "dialplan")
    app, *args = _text(dialplan, "app_data").split(",") if dialplan.get("app_name") == "Stasis" else [""]
    return ChannelSnapshot(
        id=_text(raw, "id"),
        name=_text(raw, "name"),
        state=_text(raw, "state"),
        caller_number=_text(_object(raw, "caller"), "number"),
        connected_number=_text(_object(raw, "connected"), "number"),
        exten=_text(dialplan, "exten"),
        created_at_us=parse_time_us(raw.get("creationtime")),
        app=app,
        app_args=tuple(args),
    )


def parse_time_us(text: object) -> int:
    """Asterisk's `2026-11-23T21:04:05.123+0000` in microseconds since the epoch; 0 for anything unreadable."""
    try:
        moment = datetime.fromisoformat(str(text))
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _US
    except (ValueError, OverflowError):
        return 0


def _text(raw: Json, key: str) -> str:
    value = raw.get(key)
    return _whole(value) if isinstance(value, str) else ""


def _whole(text: str) -> str:
    """NUL and half a character, which JSON may say and no database keeps, as U+FFFD: else no call could be closed."""
    return _NOT_KEPT.sub("\ufffd", text)


def _int(raw: Json, key: str) -> int | None:
    value = raw.get(key)
    return value if isinstance(value, int) else None


def _object(raw: Json, key: str) -> Json:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _channel_id(raw: Json) -> str | None:
    kind, _, target = _text(_object(raw, "playback"), "target_uri").partition(":")
    if kind:
        return target if kind == "channel" and target else None
    return _text(_object(raw, "channel"), "id") or _text(_object(raw, "peer"), "id") or None


_Builder = Callable[[str, int, str | None, Json], Event]


def _stasis_start(kind: str, at_us: int, channel_id: str | None, raw: Json) -> Event:
    args = raw.get("args")
    words = tuple(_whole(str(arg)) for arg in args) if isinstance(args, list) else ()
    return StasisStart(kind, at_us, channel_id, raw, words, parse_channel(_object(raw, "channel")))


def _playback(event_class: type[PlaybackStarted]) -> _Builder:
    def build(kind: str, at_us: int, channel_id: str | None, raw: Json) -> Event:
        playback = _object(raw, "playback")
        details = (_text(playback, key) for key in ("id", "state", "media_uri"))
        return event_class(kind, at_us, channel_id, raw, *details)

    return build


_BUILDERS: dict[str, _Builder] = {
    "StasisStart": _stasis_start,
    "StasisEnd": StasisEnd,
    "ChannelStateChange": lambda kind, at_us, channel_id, raw: ChannelStateChange(
        kind, at_us, channel_id, raw, _text(_object(raw, "channel"), "state")
    ),
    "ChannelDestroyed": lambda kind, at_us, channel_id, raw: ChannelDestroyed(
        kind, at_us, channel_id, raw, _int(raw, "cause") or 0, _int(raw, "tech_cause")
    ),
    "ChannelHangupRequest": ChannelHangupRequest,
    "ChannelDtmfReceived": lambda kind, at_us, channel_id, raw: ChannelDtmfReceived(
        kind, at_us, channel_id, raw, _text(raw, "digit")
    ),
    "Dial": lambda kind, at_us, channel_id, raw: Dial(kind, at_us, channel_id, raw, _text(raw, "dialstatus")),
    "PlaybackStarted": _playback(PlaybackStarted),
    "PlaybackContinuing": _playback(PlaybackContinuing),
    "PlaybackFinished": _playback(PlaybackFinished),
    "ApplicationReplaced": ApplicationReplaced,
    "ChannelUserevent": lambda kind, at_us, channel_id, raw: ChannelUserevent(
        kind, at_us, channel_id, raw, _text(raw, "eventname")
    ),
}
