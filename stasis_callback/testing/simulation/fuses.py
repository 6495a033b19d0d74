"""I10 and I11: no timer of a leg reaches past what is held for it, when it is asked for and from when it counts.

What the service asks for must be paid for when it asks. Asterisk may be late to do it, and the timer counts from
then: one that reaches too far for that must be drawn in as soon as the service has had the chance to see it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stasis_callback.testing.fake.model import Channel, Json
from stasis_callback.testing.fake.switch import FUSE

from .money import price_of
from .scheduler import US_PER_S

if TYPE_CHECKING:
    from .asterisk import Life
    from .world import SimWorld

CORRECTED_WITHIN_S = 12.0
"""Two requests that time out, and the pause between."""
AT_ONCE_S = 0.001
"""The shortest timer there is: it ends a leg that has outlived its funds, and lets it cost nothing more."""
REQUEST_S = 5.0
"""A request to Asterisk is given up after this."""
TAKEN_IN_S = 0.1
"""An event that has arrived is taken in by the thread of its call within this."""


@dataclass
class Fuses:
    """The timers of one simulation."""

    world: SimWorld
    too_far: dict[str, str] = field(default_factory=dict)
    """Timers that reach too far now, and how."""
    late_s: dict[str, int] = field(default_factory=dict)
    """By leg: how many seconds its timer reached too far at most, which explains as long an overrun."""
    due_us: dict[str, int] = field(default_factory=dict)
    """By leg: when its timer runs out, in true time."""

    def asked(self, path: str, params: Json) -> None:
        """The service sends a request; if it sets a timer, that must be paid for already."""
        channel_id, after_s = _timer(path, params)
        if after_s is None or after_s <= AT_ONCE_S:
            return
        life = self.world.asterisk.lives.get(channel_id)
        if life is not None and life.ended_true_us is not None:
            return  # what is gone takes no timer
        if life is not None and self._answered_unheard(life):
            return  # it cannot know: the timer is judged from when it counts, and must be drawn in then
        reaches = self._past_funds(channel_id, after_s)
        if reaches is not None:
            self.world.broken(f"{reaches[0]}, when it is asked for")

    def _answered_unheard(self, life: Life) -> bool:
        """Whether the leg was answered, but the event is late, or lost with a dead link."""
        now_us, told_us = self.world.scheduler.now_us, self.world.asterisk.told_up_us.get(life.id)
        if life.answered_true_us is None:
            return False
        if told_us is None:
            return now_us - life.answered_true_us <= CORRECTED_WITHIN_S * US_PER_S
        # What came while the service was stopped is taken in when it goes on, however long that was.
        return now_us - max(told_us, self.world.node.went_on_us) < TAKEN_IN_S * US_PER_S

    def counts(self, channel: Channel, after_s: float) -> None:
        """A timer is in force from now on."""
        world = self.world
        self.due_us[channel.id] = world.scheduler.now_us + round(after_s * US_PER_S)
        if after_s <= 0:
            world.broken(f"{channel.id}: its timer is switched off")
            return
        reaches = self._past_funds(channel.id, after_s)
        if reaches is None:
            self.too_far.pop(channel.id, None)
            return
        sentence, too_far_s = reaches
        self.late_s[channel.id] = max(self.late_s.get(channel.id, 0), too_far_s)
        if channel.id not in self.too_far:
            self.too_far[channel.id] = sentence
            self._look_again(channel)

    def over(self, channel: Channel) -> bool:
        """Whether a leg has exceeded its hold, or a talk its limit, within a second, or its timer has run out, which
        Asterisk is late with: then the service may end it.
        """
        world, life = self.world, self.world.asterisk.lives[channel.id]
        if world.scheduler.now_us > self.due_us.get(channel.id, world.scheduler.now_us):
            return True
        if self._past_funds(channel.id, 1.0) is not None:
            return True
        limit_s, slice_s = (float(world.plan.options[name]) for name in ("talk_limit_s", "hold_slice_s"))
        now_us, answered_us = world.scheduler.now_us, life.answered_true_us or 0
        talked_s = (now_us - answered_us) / US_PER_S
        if "-b" not in channel.id:
            return False
        if talked_s + 1.0 > limit_s:
            return True
        # Where no request sets its timer for a whole slice, a talk ends with what was held, as by the timer; or with
        # the request that is waited for then.
        beyond_slice_s = (talked_s + 1.0) % slice_s - 1.0
        return beyond_slice_s < REQUEST_S + 1.0 and world.mishaps.active(
            now_us - round(slice_s * US_PER_S), now_us, ("ari slow",)
        )

    def _past_funds(self, channel_id: str, after_s: float) -> tuple[str, int] | None:
        """By how much a timer of `after_s` from now exceeds the funds of its leg: a text and seconds, or None."""
        world = self.world
        found = world.rows(
            "SELECT leg.number, hold.amount_micros, hold.state FROM leg JOIN hold ON hold.leg_id = leg.id"
            " WHERE leg.id = ?",
            channel_id,
        )
        price = price_of(world.plan.business.prices, found[0]["number"]) if found else None
        if price is None:
            return None
        life = world.asterisk.lives.get(channel_id)
        elapsed_s = 0.0
        if life is not None and life.answered_true_us is not None:
            elapsed_s = (world.scheduler.now_us - life.answered_true_us) / US_PER_S
        held = found[0]["amount_micros"] if found[0]["state"] == "open" else 0
        seconds = max(math.floor(elapsed_s + after_s), 0)
        if price.cost(seconds) <= held:
            return None
        paid_s = next((s for s in range(seconds, -1, -1) if price.cost(s) <= held), 0)
        sentence = (
            f"{channel_id}: its timer of {after_s:.3f} s, {elapsed_s:.3f} s after the answer, lets it cost"
            f" {price.cost(seconds)}, {held} are held"
        )
        return sentence, seconds - paid_s

    def _look_again(self, channel: Channel) -> None:
        """Whether the timer was shortened, after the service had time to do so."""
        world = self.world
        seen_us = world.scheduler.now_us

        def look() -> None:
            sentence = self.too_far.get(channel.id)
            if sentence is None or channel.gone:
                return
            if world.mishaps.active(seen_us, world.scheduler.now_us):
                self._look_again(channel)
                return
            world.broken(f"{sentence}, and stays so")

        world.scheduler.call_in(CORRECTED_WITHIN_S, look)


def _timer(path: str, params: Json) -> tuple[str, float | None]:
    """The leg a request is about, and the timer it sets."""
    parts = path.split("/")
    channel_id = str(params.get("channelId") or (parts[2] if len(parts) > 2 else ""))
    if path.endswith("/variable"):
        text = params.get("value") if params.get("variable") == FUSE else None
    else:
        text = (params.get("variables") or {}).get(FUSE)
    return channel_id, None if text is None else float(text)
