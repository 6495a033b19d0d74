"""What the people at the phones would complain about, independently of the ledger.

No party may hear silence that costs money, be called and dropped at once, be connected to a number that was not
keyed, or call an access number that does not react.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stasis_callback.testing.fake.model import Channel, Json

from .asterisk import APP
from .scheduler import US_PER_S

if TYPE_CHECKING:
    from .world import SimWorld

SILENCE_S = 19.0
"""Longer than anybody is waited for in a menu (8 s for the first digit, 4 s for the next), and then for the database
(10 s: a server that is started anew needs them, and a call that goes on is worth the silence).
"""
ALONE_S = 6.0
"""Who talked hears something within so long after the other party hung up, also while there is no database: a call
record, an extension and a menu are waited for by a second each.
"""
UNHEARD_S = 4.5
"""A link that is lost is known to be by then: half open, by a ping that nobody answers (`ari/link.py`)."""
NOTICED_S = 0.01
"""One that is cut, within this."""
UNNOTICED_S = 8.0
"""An incoming call is looked at within this time by a service that is well."""
FOUND_S = 3.0
"""One that came while there was no link, within this after it is back."""
OUTSIDE = ("asterisk", "ari", "websocket", "service", "power", "machine", "events")
"""Faults that explain a silence: the service cannot reach the phone, or is not there. Not those of the database."""


@dataclass
class Complaints:
    """The complaints of one simulation."""

    world: SimWorld
    heard_us: dict[str, int] = field(default_factory=dict)
    """When leg A last heard or keyed something."""
    alone_us: dict[str, int] = field(default_factory=dict)
    """By callback: when the leg B ended with which leg A talked; until leg A hears something else."""
    keyed: defaultdict[str, str] = field(default_factory=lambda: defaultdict(str))
    """All digits of a leg A, as they were keyed."""
    link_lost_us: int | None = None
    link_cut_us: int | None = None
    """When it was lost, if both ends noticed at once."""
    asked_us: dict[str, int] = field(default_factory=dict)
    """When a leg A was asked for."""
    link_back_us: list[int] = field(default_factory=list)
    """When the event websocket was connected."""

    def active(self, channel: Channel, digit: str) -> None:
        """A sound or a digit on a leg A ends its silence."""
        now_us = self.world.scheduler.now_us
        self.keyed[channel.id] += digit
        if "-a" in channel.id and channel.state == "Up":
            self._left_alone(channel, now_us)
            self._silent(channel, now_us)
            self.heard_us[channel.id] = now_us

    def ended(self, channel: Channel) -> None:
        """A channel has ended."""
        now_us = self.world.scheduler.now_us
        if "-b" in channel.id:
            request_id = channel.id.rpartition("-")[0]
            self._legs_a_hear(request_id, now_us)
            if self.world.asterisk.lives[channel.id].answered_us is not None:
                self.alone_us[request_id] = now_us
        elif channel.id in self.heard_us:
            self._left_alone(channel, now_us)
            if not self._has_company(channel.id):
                self._silent(channel, now_us)
            self.heard_us.pop(channel.id, None)
        if channel.kind == "incoming":
            self._missed(channel)

    def asked(self, path: str, params: Json) -> None:
        """The service sends a request; it calls nobody when it knows that there is no link."""
        world, cut_us = self.world, self.link_cut_us
        if not params.get("endpoint") or "-a" not in path:
            return
        self.asked_us[path.rpartition("/")[2]] = world.scheduler.now_us
        if cut_us is None:
            return
        if world.scheduler.now_us - max(cut_us, world.node.went_on_us) > NOTICED_S * US_PER_S:
            world.broken(f"{path} calls {params['endpoint']} while the link is down: who answers is dropped")

    def made(self, channel: Channel) -> None:
        """A leg was created."""
        world = self.world
        number = channel.dial_string.partition("@")[0]
        if "-b" in channel.id:
            self._legs_a_hear(channel.id.rpartition("-")[0], world.scheduler.now_us)
            if not self._asked_for(channel.id.rpartition("-")[0], number):
                world.broken(f"{channel.id} calls {number}, which nobody has asked for")
        elif self._nobody_listens(self.asked_us.get(channel.id, world.scheduler.now_us)):
            world.broken(f"{channel.id} calls {number} while the link is down: who answers is dropped")

    def _asked_for(self, request_id: str, number: str) -> bool:
        """Whether the number was keyed, digit by digit, or ordered over the web."""
        keyed = [digits for leg_id, digits in self.keyed.items() if leg_id.startswith(f"{request_id}-a")]
        ordered = self.world.rows("SELECT destination FROM request WHERE id = ?", request_id)
        return any(number in digits for digits in keyed) or number in [row["destination"] for row in ordered]

    def _nobody_listens(self, asked_us: int) -> bool:
        """Whether a leg was asked for while nobody listened; a slow Asterisk may make it long after that."""
        lost_us = self.link_lost_us
        known_us = None if lost_us is None else max(lost_us, self.world.node.went_on_us)
        return known_us is not None and asked_us - known_us > UNHEARD_S * US_PER_S

    def link(self, up: bool, *, noticed: bool) -> None:
        """The application's websocket is connected or disconnected; whether the service notices at once."""
        if up:
            self.link_lost_us = self.link_cut_us = None
            self.link_back_us.append(self.world.scheduler.now_us)
        elif self.link_lost_us is None and not self.world.asterisk.switch.apps.active(APP):
            self.link_lost_us = self.world.scheduler.now_us
            self.link_cut_us = self.link_lost_us if noticed else None

    def _legs_a_hear(self, request_id: str, now_us: int) -> None:
        """While leg B exists, leg A hears the ringing or leg B."""
        for leg_id in self.heard_us:
            if leg_id.startswith(f"{request_id}-a"):
                self.heard_us[leg_id] = now_us

    def _has_company(self, leg_id: str) -> bool:
        request_id = leg_id.rpartition("-")[0]
        return any(other.startswith(f"{request_id}-b") for other in self.world.asterisk.switch.channels)

    def _silent(self, channel: Channel, now_us: int) -> None:
        since_us = self.heard_us.get(channel.id)
        if since_us is None or now_us - since_us <= SILENCE_S * US_PER_S or self._has_company(channel.id):
            return
        if not self.world.mishaps.active(since_us, now_us, OUTSIDE):
            silent_s = (now_us - since_us) / US_PER_S
            self.world.broken(f"{channel.id} heard nothing for {silent_s:.1f} s, and pays for it")

    def _left_alone(self, channel: Channel, now_us: int) -> None:
        since_us = self.alone_us.pop(channel.id.rpartition("-")[0], None)
        if since_us is None or now_us - since_us <= ALONE_S * US_PER_S or self._has_company(channel.id):
            return
        if not self.world.mishaps.active(since_us, now_us, OUTSIDE):
            alone_s = (now_us - since_us) / US_PER_S
            self.world.broken(
                f"{channel.id} heard nothing for {alone_s:.1f} s after the other party had hung up"
            )

    def _missed(self, channel: Channel) -> None:
        """A missed call is refused by the service within seconds."""
        world = self.world
        began_us, now_us = world.asterisk.lives[channel.id].began_true_us, world.scheduler.now_us
        if channel.ended_by == "request":
            return
        unnoticed = now_us - began_us >= UNNOTICED_S * US_PER_S and not world.mishaps.active(began_us, now_us)
        if unnoticed or self._not_found(began_us, now_us):
            world.broken(f"the missed call {channel.id} was left ringing")

    def _not_found(self, began_us: int, now_us: int) -> bool:
        """Whether the link came back while a call waited, nothing has gone wrong but the link, and nobody looked."""
        mishaps, back_us = self.world.mishaps, self.link_back_us[-1] if self.link_back_us else now_us
        return (
            self.link_lost_us is None
            and began_us < back_us < now_us - FOUND_S * US_PER_S
            and not mishaps.struck_since(back_us)
            and not mishaps.active(began_us, now_us, but=("websocket",))
        )
