"""What a fake Asterisk keeps in memory: channels, bridges and playbacks, and how ARI shows them as JSON.

Everything here belongs to the fake's one loop thread; nothing else touches it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from stasis_callback.testing.phones import Line, Phone, PhoneCall

Json = dict[str, Any]
State = Literal["Down", "Ring", "Ringing", "Up"]
Kind = Literal["incoming", "originated", "created", "local"]

CAUSE_TEXT = {
    0: "Unknown",
    1: "Unallocated (unassigned) number",
    16: "Normal Clearing",
    17: "User busy",
    19: "User alerting, no answer",
    20: "Subscriber absent",
    21: "Call Rejected",
    23: "Redirected to new destination",
    28: "Invalid number format",
    31: "Normal, unspecified",
    34: "Circuit/channel congestion",
    38: "Network out of order",
    58: "Bearer capability not available",
    102: "Recover on timer expiry",
    127: "Interworking, unspecified",
}

SIP_BY_CAUSE = {
    1: 404,
    3: 404,
    17: 486,
    19: 480,
    20: 480,
    21: 403,
    22: 410,
    26: 487,
    27: 480,
    28: 484,
    31: 480,
    34: 503,
    38: 500,
    42: 503,
    58: 488,
    102: 408,
    127: 500,
}
"""`tech_cause` of a hang-up with this Q.850 cause, and the final answer on the wire (603 for all other causes)."""

CAUSE_BY_REASON = {
    "normal": 16,
    "busy": 17,
    "congestion": 34,
    "no_answer": 19,
    "timeout": 102,
    "rejected": 21,
    "unallocated": 1,
    "normal_unspecified": 31,
    "number_incomplete": 28,
    "codec_mismatch": 58,
    "interworking": 127,
    "failure": 38,
    "answered_elsewhere": 26,
}


class AriError(Exception):
    """A request Asterisk refuses: HTTP status and the one sentence of its JSON body."""

    def __init__(self, status: int, message: str, key: str = "message") -> None:
        super().__init__(message)
        self.status, self.body = status, {key: message}


ID_EXISTS = AriError(409, "Channel with given unique ID already exists")


def ari_time(at_us: int) -> str:
    """An instant as ARI writes it: milliseconds and a zone without colon (`2026-11-24T00:08:03.123+0000`)."""
    moment = datetime.fromtimestamp(at_us // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_us // 1000 % 1000:03d}+0000"


@dataclass
class Bridge:
    """A mixing bridge; it stays until it is deleted."""

    id: str
    name: str
    options: frozenset[str]
    created_us: int
    may_be_native: bool
    channels: list[Channel] = field(default_factory=list)
    playing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def technology(self) -> str:
        """`native_rtp` loses DTMF events: two legs in a bridge made without `dtmf_events`, where Asterisk has it."""
        kept_in_core = self.options & {"dtmf_events", "proxy_media"}
        native = self.may_be_native and not kept_in_core and len(self.channels) == 2
        return "native_rtp" if native else "simple_bridge"

    def json(self) -> Json:
        """As `GET /bridges/{id}` shows it."""
        return {
            "id": self.id,
            "technology": self.technology,
            "bridge_type": "mixing",
            "bridge_class": "stasis",
            "creator": "Stasis",
            "name": self.name,
            "channels": [channel.id for channel in self.channels],
            "creationtime": ari_time(self.created_us),
            "video_mode": "talker",
        }


@dataclass
class Playback:
    """One playback of a comma list of media on a channel or a bridge."""

    id: str
    media: list[str]
    target_uri: str
    language: str
    state: str = "queued"
    index: int = 0
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def json(self) -> Json:
        """As events and `GET /playbacks/{id}` show it."""
        shown = {
            "id": self.id,
            "media_uri": self.media[self.index],
            "target_uri": self.target_uri,
            "language": self.language,
            "state": self.state,
        }
        if self.index + 1 < len(self.media):
            shown["next_media_uri"] = self.media[self.index + 1]
        return shown


@dataclass
class Channel:
    """One leg. `busy` is the channel's own thread: playbacks and synchronous commands take turns on it."""

    id: str
    name: str
    kind: Kind
    created_us: int
    caller_number: str = ""
    connected_number: str = ""
    context: str = "from-trunk"
    exten: str = "s"
    linkedid: str = ""
    state: State = "Down"
    app: str | None = None
    """The application it will enter (originated) or is in."""
    args: str = ""
    in_stasis: bool = False
    gone: bool = False
    dialled: bool = False
    dial_string: str = ""
    spoken_s: float = 0.0
    """How much the phone at its far end has said, or is about to say, in seconds."""
    variables: dict[str, str] = field(default_factory=dict)
    bridge: Bridge | None = None
    absorbs_dtmf: bool = False
    playbacks: list[Playback] = field(default_factory=list)
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    ring_timer: asyncio.TimerHandle | None = None
    fuse: asyncio.TimerHandle | None = None
    line: Line | None = None
    phone: Phone | None = None
    phone_call: PhoneCall | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    cause: int = 0
    sip_status: int | None = None
    answered_us: int | None = None
    ended_by: str = ""
    """`far end`, `timer`, `ring timeout`, `request`; empty if no application was connected."""

    def json(self) -> Json:
        """As `GET /channels/{id}` shows it; the application's arguments survive in `dialplan.app_data`."""
        app_name, app_data = "", ""
        if self.in_stasis:
            app_name, app_data = "Stasis", ",".join(filter(None, [self.app, self.args]))
        elif self.kind == "originated":
            app_name, app_data = "AppDial2", "(Outgoing Line)"
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "protocol_id": f"call-{self.id}",
            "caller": {"name": "", "number": self.caller_number},
            "connected": {"name": "", "number": self.connected_number},
            "accountcode": "",
            "dialplan": {
                "context": self.context,
                "exten": self.exten,
                "priority": 1,
                "app_name": app_name,
                "app_data": app_data,
            },
            "creationtime": ari_time(self.created_us),
            "language": "en",
        }
