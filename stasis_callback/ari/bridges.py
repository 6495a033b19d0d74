"""Bridges: two legs that hear each other. A bridge is never removed automatically; its creator must destroy it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stasis_callback.ari.channels import Playback, start_playback
from stasis_callback.ari.errors import AriError
from stasis_callback.ari.rest import NOT_NOW, PAUSES_S, Rest

# A plain `mixing` bridge of two SIP legs becomes native RTP, and then no digit is ever reported again.
MIXING = "mixing,dtmf_events"


@dataclass(frozen=True, slots=True)
class BridgeSnapshot:
    """A bridge and its channels."""

    id: str
    channel_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bridge:
    """One bridge by its id; making the handle asks Asterisk nothing."""

    rest: Rest = field(repr=False)
    id: str

    def add(self, *channel_ids: str) -> bool:
        """Put channels in, without presenting one party's number to the other; False when one is gone."""
        quiet = {"inhibitConnectedLineUpdates": "true"}
        return self._members("addChannel", {"channel": ",".join(channel_ids), **quiet})

    def remove(self, *channel_ids: str) -> bool:
        """Take channels out; they stay up. False when one was not in."""
        return self._members("removeChannel", {"channel": ",".join(channel_ids)})

    def play(self, media: Sequence[str], playback_id: str) -> Playback | None:
        """Play to everybody in it; see `Channel.play`. Its events belong to no channel."""
        path = ("bridges", self.id, "play", playback_id)
        return Playback(self.rest, playback_id) if start_playback(self.rest, path, media) else None

    def destroy(self) -> bool:
        """Destroy the bridge; its channels stay up."""
        return self.rest.command("DELETE", "bridges", self.id)

    def _members(self, action: str, params: dict[str, str]) -> bool:
        reply = self.rest.send("POST", "bridges", self.id, action, params=params, repeatable=True)
        # A channel that is gone is a 400 here, where every other command says 404.
        if not reply.ok and reply.status not in NOT_NOW and reply.message != "Channel not found":
            raise AriError(reply.status, reply.message)
        return reply.ok


@dataclass(frozen=True, slots=True)
class Bridges:
    """All bridges of this Asterisk, and the making of new ones."""

    rest: Rest

    def list(self) -> list[BridgeSnapshot]:
        """Every bridge, also those of other applications and of the dialplan."""
        found = self.rest.fetch_list("bridges")
        return [BridgeSnapshot(str(raw["id"]), tuple(raw.get("channels", ()))) for raw in found]

    def create(self, bridge_id: str, kind: str = MIXING) -> Bridge:
        """Make a bridge under our own id; one that exists under it is kept. Raises `AriError`.

        Asterisk also says that it exists for some hundredths of a second after it was destroyed (`destroy_bridge`
        gives its topic back in a thread of its own; up to 62 ms on a busy 22.10). Then it is asked again.
        """
        for pause_s in (*PAUSES_S, None):
            reply = self.rest.send("POST", "bridges", bridge_id, params={"type": kind}, repeatable=True)
            if reply.ok or (reply.status == 409 and self.rest.fetch("bridges", bridge_id) is not None):
                return Bridge(self.rest, bridge_id)
            if reply.status != 409 or pause_s is None:
                break
            self.rest.pause(pause_s)
        raise AriError(reply.status, reply.message)
