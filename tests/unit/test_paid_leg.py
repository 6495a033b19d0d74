"""The timer of a leg that was paid for and is not any more: none is set that would reach past its funds."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from one_clock import one_clock

from stasis_callback.core.rating import Price, Rate, Terms
from stasis_callback.engine.funding import PaidLeg
from stasis_callback.ivr.call import End, Leg

FUNDED_S = 30


@dataclass
class Asterisk:
    """A channel that notes what it is asked, its clock, and both times of the leg: all one number of seconds."""

    now_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    id: str = "x-b1"

    def leg(self) -> Any:
        """A leg that was answered at 0."""
        clock = SimpleNamespace(monotonic_s=lambda: self.now_s)
        channel: Any = SimpleNamespace(
            id=self.id,
            clock=clock,
            set_fuse=lambda after_s: self.asked.append(f"timer {after_s:.2f}"),
            hang_up=lambda: self.asked.append("hang up"),
        )
        leg = Leg(channel, one_clock(lambda: self.now_s))
        leg.answer_seen(0)
        return leg

    def paid(self) -> PaidLeg:
        """Paid for half a minute from the answer."""
        rate: Any = SimpleNamespace(price=Price(Rate("44"), Terms()))
        return PaidLeg(self.leg(), rate, 1, FUNDED_S, 0, 0)


@pytest.mark.parametrize(
    ("elapsed_s", "asked"),
    [
        (0.0, "timer 29.90"),
        (29.85, "timer 0.10"),
        (29.95, "hang up"),
        (65.8, "hang up"),
    ],
)
def test_no_timer_is_set_past_what_is_paid_for(elapsed_s: float, asked: str) -> None:
    """A process that was stopped for a minute comes round to a talk that should be over."""
    asterisk = Asterisk()
    paid = asterisk.paid()
    asterisk.now_s = elapsed_s
    assert paid.try_arm()
    assert asterisk.asked == [asked]


@pytest.mark.parametrize("over", ["hung up", "ended"])
def test_a_leg_that_is_to_end_gets_no_more_time(over: str) -> None:
    asterisk = Asterisk()
    paid = asterisk.paid()
    if over == "ended":
        paid.leg.end_seen(End(1_000_000, 16, None))
    else:
        paid.leg.hang_up()
    asterisk.asked.clear()
    assert paid.wind_up()
    assert asterisk.asked == []
