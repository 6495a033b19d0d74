"""Legs that Asterisk calls after the service has given up the request, and what the service must do then.

Asterisk may delay a request beyond the service's timeout, serve others meanwhile, and carry it out in the end, when
its call may be over. That is only allowed if the request was justified when it was sent, and the service ended the
leg as soon as it knew of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stasis_callback.testing.fake.model import Channel, Json

from .scheduler import US_PER_S
from .wire import REQUEST_TIMEOUT_S

if TYPE_CHECKING:
    from .world import SimWorld

ENDED_WITHIN_S = 0.1
"""A stray leg is ended within this by a service that is well: it hears of it, looks and asks for its end."""
FOUND_WITHIN_S = 6.0
"""Housekeeping finds it within this where the service was not well when it was called."""


@dataclass
class Strays:
    """The pending requests for legs of one simulation."""

    world: SimWorld
    in_order: dict[int, tuple[Json, int]] = field(default_factory=dict)
    """By their identity: requests for a leg that was open and not called yet, and when each was sent."""

    def asked(self, path: str, params: Json) -> None:
        """The service sends a request; for a leg, note whether it is justified now."""
        leg_id = str(params.get("channelId") or path.removeprefix("/channels/"))
        life = self.world.asterisk.lives.get(leg_id)
        called = life is not None and (life.offered or life.rang_before)
        if params.get("endpoint") and not called and not self._is_over(leg_id):
            self.in_order[id(params)] = params, self.world.scheduler.now_us

    def made(self, channel: Channel, params: Json) -> bool:
        """Whether a new leg is a stray; then it must end soon."""
        world = self.world
        _, sent_us = self.in_order.pop(id(params), (params, None))
        if sent_us is None or world.scheduler.now_us - sent_us < REQUEST_TIMEOUT_S * US_PER_S:
            return False
        if not (self._is_over(channel.id) or world.asterisk.lives[channel.id].rang_before):
            return False
        world.asterisk.lives[channel.id].stray = True
        world.note("auditor", f"{channel.id} is called so late that its call is over")
        self._look_again(channel, ENDED_WITHIN_S + world.plan.entry_s)
        return True

    def _is_over(self, leg_id: str) -> bool:
        """Whether a leg is settled, or not even noted."""
        rows = self.world.rows("SELECT 1 FROM leg WHERE id = ? AND state != 'settled'", leg_id)
        return not rows

    def _look_again(self, channel: Channel, within_s: float) -> None:
        """Check that the leg ended as soon as the service could end it."""
        world = self.world
        since_us, was_well = world.scheduler.now_us, self._is_well(channel)

        def look() -> None:
            if channel.gone:
                return
            if was_well and self._is_well(channel) and not world.mishaps.struck_since(since_us):
                world.broken(f"{channel.id} is called after its end, and is left to it")
                return
            self._look_again(channel, FOUND_WITHIN_S)

        world.scheduler.call_in(within_s, look)

    def _is_well(self, channel: Channel) -> bool:
        """Whether the service is running, receives events and can use its database, and could for some seconds, and
        does not wait for an answer of Asterisk about the same call.
        """
        world = self.world
        now_us = world.scheduler.now_us
        call = channel.id.rpartition("-")[0]
        waits = any(
            call in path and now_us - sent_us >= ENDED_WITHIN_S * US_PER_S
            for path, sent_us in world.asterisk.unanswered.values()
        )
        return (
            not waits
            and world.node.running
            and world.watcher.complaints.link_lost_us is None
            and not any(socket.silent for socket in world.asterisk.sockets)
            and not world.asterisk.loop.frozen
            and not world.shape.late_s
            and not world.mishaps.active(now_us, now_us + 1, ("database", "store", "error"))
        )
