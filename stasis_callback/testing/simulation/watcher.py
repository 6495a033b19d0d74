"""Looks on while things happen: what must hold at every instant and cannot be seen any more at the end.

It reads what is committed past all product code, and prices by its own `money`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stasis_callback.testing.fake.model import Channel, Json
from stasis_callback.testing.phones import SECOND_TRUNK

from .asterisk import TRUNK
from .complaints import Complaints
from .fuses import Fuses
from .scheduler import US_PER_S
from .strays import Strays

if TYPE_CHECKING:
    from .world import SimWorld

HEARD_S = 0.1
"""An event is with the service after so long."""
STARS_S = 5.0
"""A talk ends within so long after `**`."""


@dataclass
class Watcher:
    """The observer of one simulation."""

    world: SimWorld
    knew: dict[str, bool] = field(default_factory=dict)
    """By leg: whether it talked when the service first asked for its end."""
    within: int = 0
    """Requests sent within a transaction; one is told, all are one mistake."""
    stars_us: dict[str, int] = field(default_factory=dict)
    """When leg A last keyed a star."""
    complaints: Complaints = field(init=False)
    fuses: Fuses = field(init=False)
    strays: Strays = field(init=False)

    def __post_init__(self) -> None:
        self.complaints = Complaints(self.world)
        self.fuses = Fuses(self.world)
        self.strays = Strays(self.world)

    # --- what Asterisk is asked to do ----------------------------------------------------------------------------

    def leg_made(self, channel: Channel, params: Json) -> None:
        """I10, I15: the leg is stored and paid for, is dialled once, and no other callback calls the number."""
        world = self.world
        if self.strays.made(channel, params):
            return
        if world.asterisk.lives[channel.id].rang_before:
            world.broken(f"{channel.id} is called a second time under the same id")
        rows = world.rows(
            "SELECT leg.state, hold.state AS hold FROM leg JOIN hold ON hold.leg_id = leg.id WHERE leg.id = ?",
            channel.id,
        )
        if not rows:
            world.broken(f"{channel.id} is called without being noted and held for")
        elif rows[0]["state"] == "settled" or rows[0]["hold"] != "open":
            world.broken(
                f"{channel.id} is called although it is {rows[0]['state']}, its hold {rows[0]['hold']}"
            )
        number = channel.dial_string
        if "-a" in channel.id and number:
            others = [
                other.id
                for other in world.asterisk.switch.channels.values()
                if other.dial_string.partition("@")[0] == number.partition("@")[0]
                and other is not channel
                and "-a" in other.id
                and not self._came_this_moment(other)
            ]
            if others:
                world.broken(f"{channel.id} calls a number that {others[0]} is calling already")
        self._trunk_carries(channel)
        self.complaints.made(channel)
        if channel.fuse is None:
            world.broken(f"{channel.id} is made without a timer")

    def _came_this_moment(self, channel: Channel) -> bool:
        """Whether a channel is called long after it was given up, and so lately that nobody has heard of it."""
        life = self.world.asterisk.lives[channel.id]
        return life.stray and self.world.scheduler.now_us - life.began_true_us < HEARD_S * US_PER_S

    def _trunk_carries(self, channel: Channel) -> None:
        """No trunk exceeds its limit of calls."""
        world, trunk = self.world, channel.dial_string.partition("@")[2]
        limits = dict(zip((TRUNK, SECOND_TRUNK), world.plan.business.trunk_limits, strict=False))
        carried = [c for c in world.asterisk.switch.channels.values() if c.dial_string.endswith(f"@{trunk}")]
        limit = limits.get(trunk)
        if limit is not None and len(carried) > limit:
            world.broken(f"{channel.id} is call {len(carried)} on trunk {trunk}, which carries {limit}")

    def timer_set(self, channel: Channel, after_s: float) -> None:
        self.fuses.counts(channel, after_s)

    def hang_up_asked(self, channel: Channel) -> None:
        """A talk goes on until one of the two hangs up, keys `**`, or it is not paid for any more."""
        world = self.world
        request_id, _, side = channel.id.rpartition("-")
        if side[:1] not in ("a", "b") or not self.knew.get(channel.id) or not self._talks(channel):
            return
        if request_id in self.stars_us:
            # A service that was stopped meanwhile takes the keys when it goes on.
            keyed_us = self.stars_us[request_id]
            taken_us, now_us = max(keyed_us, world.node.went_on_us), world.scheduler.now_us
            # One that waits for a slow Asterisk, or that it refuses, does so after that.
            if now_us - taken_us < STARS_S * US_PER_S or world.mishaps.active(keyed_us, now_us, ("ari",)):
                return
        if self.fuses.over(channel):
            return  # Asterisk's own timer is late: its clock was put back
        if not world.rows("SELECT 1 FROM request WHERE id = ? AND cancel_wanted", request_id):
            world.broken(f"{channel.id} is hung up by the service while the two talk")

    def sent(self, method: str, path: str, params: Json, *, within: bool) -> None:
        """Nothing is sent within a transaction; timers are paid for; note what the service knew at a hang-up."""
        if method == "POST":
            self.fuses.asked(path, params)
            self.strays.asked(path, params)
            self.complaints.asked(path, params)
        if path not in ("/asterisk/ping", "/asterisk/info", "/channels"):
            self.world.mishaps.moment("request")
        if within:
            if not self.within:
                self.world.broken(f"{method} {path} was sent within a transaction of the database")
            self.within += 1
        if method == "DELETE" and path.startswith("/channels/"):
            channel = self.world.asterisk.switch.channels.get(path.removeprefix("/channels/"))
            if channel is not None:
                # What is asked again was decided the first time: a leg that rings may be answered in between.
                self.knew.setdefault(channel.id, self._talks(channel))

    def _talks(self, channel: Channel) -> bool:
        """Whether two parties are talking on this channel, long enough for the service to know."""
        lives = self.world.asterisk.lives
        if channel.bridge is None or channel.state != "Up":
            return False
        up = [lives[one.id].answered_true_us or 0 for one in channel.bridge.channels if one.state == "Up"]
        known_us = HEARD_S + self.world.shape.late_s
        return len(up) > 1 and max(up) < self.world.scheduler.now_us - known_us * US_PER_S

    def moment(self, channel: Channel, what: str) -> None:
        if channel.kind == "incoming":
            if what == "called":
                self.world.mishaps.moment("incoming")
            return
        if what == "answered":
            self.complaints.heard_us.setdefault(channel.id, self.world.scheduler.now_us)
        side = "B" if "-b" in channel.id else "A"
        self.world.mishaps.moment(f"{side} {what}")  # type: ignore[arg-type]

    def active(self, channel: Channel, digit: str) -> None:
        self.complaints.active(channel, digit)

    def gone(self, channel: Channel) -> None:
        self.complaints.ended(channel)

    def link(self, up: bool, *, noticed: bool) -> None:
        self.complaints.link(up, noticed=noticed)
        if up:
            self.world.mishaps.moment("linked")

    def keyed(self, channel_id: str, digit: str) -> None:
        if digit == "#":
            self.world.mishaps.moment("A keyed")
        if digit == "*":
            self.stars_us[channel_id.rpartition("-")[0]] = self.world.scheduler.now_us
