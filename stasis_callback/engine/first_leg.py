"""Leg A of a callback that begins at once: noted and paid for by the very commit that accepts the callback."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from stasis_callback.engine.funding import TrunkFull, wanted_of_leg_a
from stasis_callback.engine.routing import Way
from stasis_callback.engine.tools import CallTools
from stasis_callback.store.calls.legs import Fare
from stasis_callback.store.calls.requests import RequestView


@dataclass
class FirstLeg:
    """What a callback begins with, when nothing was changed since it was examined."""

    tools: CallTools
    fare: Fare
    ways: Sequence[Way]
    """At least one."""
    at_us: int
    """When it is noted, by Asterisk's clock."""
    funded_s: int = 0
    """How long the held funds last; set once the leg is noted."""
    _turn: Iterator[Way] | None = None

    def note(self, request: RequestView) -> bool:
        """Within the transaction that accepts the callback: note leg A and hold its funds. False, and nothing is
        done, when there are no funds any more, or no room on the trunk.
        """
        self.funded_s = 0
        # The first way is taken when the callback is certain, and once: a trunk that rests is tried by one call.
        turn = self.turn
        way = next(turn)
        self._turn = chain([way], turn)
        try:
            self.funded_s = self.tools.funding.note_leg_a(
                request,
                replace(self.fare, carrier=way.carrier),
                wanted_of_leg_a(request),
                self.at_us,
                self.fare.account.spendable_micros(self.tools.clock.now_us()),
            )
        except TrunkFull:
            return False
        return self.funded_s > 0

    @property
    def turn(self) -> Iterator[Way]:
        """The ways in the order in which to try them: leg A is noted on the first."""
        if self._turn is None:
            self._turn = self.tools.health.in_turn(self.ways)
        return self._turn
