"""Looks on while things happen: what must hold at every instant and cannot be seen any more at the end.

It reads what is committed past all product code, and prices by its own `money`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stasis_callback.testing.fake.model import Channel
from stasis_callback.testing.phones import SECOND_TRUNK

from .asterisk import TRUNK
from .complaints import Complaints
from .money import price_of
from .scheduler import US_PER_S

if TYPE_CHECKING:
    from .world import SimWorld

CORRECTED_WITHIN_S = 12.0
"""A timer that took effect late, and so reaches too far, must be drawn in within two requests that time out."""
HEARD_S = 0.1
"""An event is with the service after so long."""
STARS_S = 5.0


@dataclass
class TooFar:
    """A timer that reaches past its funds."""

    since_us: int
    sentence: str


@dataclass
class Watcher:
    """The observer of one simulation."""

    world: SimWorld
    too_far: dict[str, TooFar] = field(default_factory=dict)
    overrun: dict[str, int] = field(default_factory=dict)
    """By leg: how many seconds its timer reached too far at most, which explains as long an overrun."""
    knew: dict[str, bool] = field(default_factory=dict)
    """By leg: whether it talked when the service last asked for its end."""
    within: int = 0
    """Requests sent within a transaction; one is told, all are one mistake."""
    stars_us: dict[str, int] = field(default_factory=dict)
    """When leg A last keyed a star."""
    complaints: Complaints = field(init=False)

    def __post_init__(self) -> None:
        """They look on too."""
        self.complaints = Complaints(self.world)

    # --- what Asterisk is asked to do ----------------------------------------------------------------------------

    def leg_made(self, channel: Channel) -> None:
        """I10, I15: noted and paid for, for the first time, and nobody else calls there."""
        world = self.world
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
            ]
            if others:
                world.broken(f"{channel.id} calls a number that {others[0]} is calling already")
        self._trunk_carries(channel)
        self.complaints.made(channel)
        if channel.fuse is None:
            world.broken(f"{channel.id} is made without a timer")

    def _trunk_carries(self, channel: Channel) -> None:
        """No trunk has more calls than it may."""
        world, trunk = self.world, channel.dial_string.partition("@")[2]
        limits = dict(zip((TRUNK, SECOND_TRUNK), world.plan.business.trunk_limits, strict=False))
        carried = [c for c in world.asterisk.switch.channels.values() if c.dial_string.endswith(f"@{trunk}")]
        limit = limits.get(trunk)
        if limit is not None and len(carried) > limit:
            world.broken(f"{channel.id} is call {len(carried)} on trunk {trunk}, which carries {limit}")

    def timer_set(self, channel: Channel, after_s: float) -> None:
        """I11: the timer of a leg ends within what is held for it, from the moment it counts."""
        world = self.world
        found = world.rows(
            "SELECT leg.number, hold.amount_micros, hold.state FROM leg JOIN hold ON hold.leg_id = leg.id"
            " WHERE leg.id = ?",
            channel.id,
        )
        if not found or after_s <= 0:
            if after_s <= 0:
                world.broken(f"{channel.id}: its timer is switched off")
            return
        price = price_of(world.plan.business.prices, found[0]["number"])
        life = world.asterisk.lives[channel.id]
        elapsed_s = 0.0
        if life.answered_true_us is not None:
            elapsed_s = (world.scheduler.now_us - life.answered_true_us) / US_PER_S
        held = found[0]["amount_micros"] if found[0]["state"] == "open" else 0
        seconds = max(math.floor(elapsed_s + after_s), 0)
        cost = price.cost(seconds) if price else 0
        if cost <= held:
            self.too_far.pop(channel.id, None)
            return
        sentence = (
            f"{channel.id}: its timer of {after_s:.3f} s, {elapsed_s:.3f} s after the answer, lets it cost"
            f" {cost}, {held} are held"
        )
        if channel.id not in self.too_far:
            self.too_far[channel.id] = TooFar(world.scheduler.now_us, sentence)
            reaches = next((s for s in range(seconds, -1, -1) if price is None or price.cost(s) <= held), 0)
            self.overrun[channel.id] = max(self.overrun.get(channel.id, 0), seconds - reaches)
            self._look_again(channel, CORRECTED_WITHIN_S)

    def _look_again(self, channel: Channel, after_s: float) -> None:
        """Whether it was drawn in, once the service has had the chance to."""
        world = self.world
        seen_us = world.scheduler.now_us

        def look() -> None:
            too_far = self.too_far.get(channel.id)
            if too_far is None or channel.gone:
                return
            if world.hindered_since(seen_us):
                self._look_again(channel, after_s)
                return
            world.broken(too_far.sentence)

        world.scheduler.call_in(after_s, look)

    def hang_up_asked(self, channel: Channel) -> None:
        """A talk goes on until one of the two hangs up, keys `**`, or it is not paid for any more."""
        world = self.world
        request_id, _, side = channel.id.rpartition("-")
        if side[:1] not in ("a", "b") or not self.knew.get(channel.id) or not self._talks(channel):
            return
        if world.scheduler.now_us - self.stars_us.get(request_id, 0) < STARS_S * US_PER_S:
            return
        cancelled = world.rows(
            "SELECT 1 FROM request_event WHERE request_id = ? AND step = 'cancelling'", request_id
        )
        if not cancelled:
            world.broken(f"{channel.id} is hung up by the service while the two talk")

    def sent(self, method: str, path: str, *, within: bool) -> None:
        """Nobody's writing waits for Asterisk; and what the service could know when it asked for a hang-up."""
        if within:
            if not self.within:
                self.world.broken(f"{method} {path} was sent within a transaction of the database")
            self.within += 1
        if method == "DELETE" and path.startswith("/channels/"):
            channel = self.world.asterisk.switch.channels.get(path.removeprefix("/channels/"))
            if channel is not None:
                self.knew[channel.id] = self._talks(channel)

    def _talks(self, channel: Channel) -> bool:
        """Whether two talk on this channel, since long enough for the service to have heard of it."""
        lives = self.world.asterisk.lives
        if channel.bridge is None or channel.state != "Up":
            return False
        up = [lives[one.id].answered_true_us or 0 for one in channel.bridge.channels if one.state == "Up"]
        known_us = HEARD_S + self.world.shape.late_s
        return len(up) > 1 and max(up) < self.world.scheduler.now_us - known_us * US_PER_S

    def moment(self, channel: Channel, what: str) -> None:
        """The faults that wait for this are due."""
        if channel.kind == "incoming":
            if what == "called":
                self.world.mishaps.moment("incoming")
            return
        if what == "answered":
            self.complaints.heard_us.setdefault(channel.id, self.world.scheduler.now_us)
        side = "B" if "-b" in channel.id else "A"
        self.world.mishaps.moment(f"{side} {what}")  # type: ignore[arg-type]

    def active(self, channel: Channel, digit: str) -> None:
        """Something is heard or keyed."""
        self.complaints.active(channel, digit)

    def gone(self, channel: Channel) -> None:
        """A channel is no more."""
        self.complaints.ended(channel)

    def link(self, up: bool) -> None:
        """The application's websocket comes or goes."""
        self.complaints.link(up)

    def keyed(self, channel_id: str, digit: str) -> None:
        """Leg A keyed something."""
        if digit == "*":
            self.stars_us[channel_id.rpartition("-")[0]] = self.world.scheduler.now_us
