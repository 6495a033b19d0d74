"""A leg that outlives its paid time is told to end, again and again; an Asterisk that is away seldom."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from one_clock import one_clock

from stasis_callback.ari.errors import AriUnavailable
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.ivr.call import AWAY_AGAIN_S, OVERTIME_S, Call, LinkLost

PAID_S = 60.0
DUE_S = PAID_S + OVERTIME_S


class Overtime:
    """A call whose leg A is paid for a minute and does not end, at an Asterisk that may be away."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.told_s: list[float] = []
        clock = Clock()
        clock.monotonic_s = lambda: self.now_s  # type: ignore[method-assign]
        client: Any = SimpleNamespace(
            clock=clock,
            time=one_clock(lambda: self.now_s),
            channel=lambda name: SimpleNamespace(id=name, clock=clock, hang_up=self._tell),
        )
        self.watcher: Any = SimpleNamespace(
            connected=True, answered_s=None, watch=lambda *_: None, unwatch=lambda _: None
        )
        self.call = Call(client, self.watcher, recheck=lambda _: None)
        self.leg = self.call.add("x-a1", is_a=True)
        self.leg.answer_seen(0)
        self.leg.pay_until(PAID_S)

    def _tell(self) -> None:
        self.told_s.append(self.now_s)
        if not self.watcher.connected:
            raise AriUnavailable(0, "no connection")

    def goes_on_until(self, until_s: float) -> None:
        """Time passes, as the call wakes when it asked to."""
        while self.now_s < until_s:
            look_in_s = self.call._next_look_s()
            assert look_in_s is None or look_in_s > 0
            self.now_s = min(self.now_s + (look_in_s or until_s), until_s)
            self._looks()

    def link_is_lost(self) -> None:
        self.watcher.connected = False
        self.call.link_is_lost(LinkLost(int(self.now_s * US_PER_S), self.now_s, silent=False))
        self._looks()

    def link_is_back(self) -> None:
        self.watcher.connected = True
        self.call.link_is_back(int(self.now_s * US_PER_S))
        self._looks()

    def _looks(self) -> None:
        assert not self.call.wait(lambda: False, 0, despite_hangup=True)


@pytest.fixture
def talk() -> Overtime:
    return Overtime()


def test_a_leg_that_outlives_its_paid_time_is_told_once_a_second(talk: Overtime) -> None:
    talk.goes_on_until(DUE_S + 2.5)
    assert talk.told_s == [DUE_S, DUE_S + 1, DUE_S + 2]


def test_an_asterisk_that_is_away_is_told_seldom(talk: Overtime) -> None:
    """Thousands of calls would tell it, several times a second each, and log as often that they cannot."""
    talk.link_is_lost()
    talk.goes_on_until(DUE_S + 100)
    assert talk.told_s == [DUE_S, *(DUE_S + n * AWAY_AGAIN_S for n in (1, 2, 3))]


def test_it_is_told_at_once_when_it_is_back(talk: Overtime) -> None:
    talk.link_is_lost()
    talk.goes_on_until(DUE_S + 10)
    talk.link_is_back()
    talk.goes_on_until(DUE_S + 11.5)
    assert talk.told_s == [DUE_S, DUE_S + 10, DUE_S + 11]


def test_more_funds_count_from_then_on(talk: Overtime) -> None:
    talk.goes_on_until(DUE_S)
    talk.leg.pay_until(PAID_S)
    talk.goes_on_until(2 * DUE_S)
    assert talk.told_s == [DUE_S, DUE_S + PAID_S + OVERTIME_S]
