"""Asterisk said nothing for a while: which legs ended in that silence, whether events or its journal tell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from one_clock import one_clock

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.ivr.call import Call, Leg, LinkLost

ANSWERED_S, LOST_S, BACK_S = 100.0, 103.0, 112.0
"""When leg A was answered, when Asterisk was last heard, and when it was heard again."""
A_MOMENT_S = 0.04
"""How far our idea of Asterisk's clock may be off."""


class Talk:
    """A call with a leg A, at an Asterisk whose clock stands where the scenario puts it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        clock = Clock()
        client: Any = SimpleNamespace(
            clock=clock,
            time=one_clock(lambda: self.now_s),
            channel=lambda name: SimpleNamespace(id=name, clock=clock, hang_up=lambda: None),
        )
        self.watcher: Any = SimpleNamespace(
            connected=True, answered_s=None, watch=lambda *_: None, unwatch=lambda _: None
        )
        self.call = Call(client, self.watcher, recheck=lambda _: None)
        self.leg: Leg = self.call.add("x-a1", is_a=True)

    def answered(self, at_s: float) -> None:
        self.leg.answer_seen(int(at_s * US_PER_S))

    def lost(self, *, silent: bool = True) -> None:
        self.call.link_is_lost(LinkLost(int(LOST_S * US_PER_S), LOST_S, silent))
        self._see()

    def heard_again(self) -> None:
        self.now_s = BACK_S
        self.call.link_is_back(int(BACK_S * US_PER_S))
        self._see()

    def answers_without_a_link(self) -> None:
        """Requests are answered again, and events do not come yet."""
        self.watcher.answered_s = BACK_S

    def hung_up_by_us(self, at_s: float) -> None:
        self.now_s = at_s
        self.leg.hang_up()

    def silent_since_s(self, ended_at_s: float) -> float | None:
        at_us = self.call.ended_in_silence_at_us(self.leg, int(ended_at_s * US_PER_S))
        return None if at_us is None else at_us / US_PER_S

    def _see(self) -> None:
        assert not self.call.wait(lambda: False, 0, despite_hangup=True)


@pytest.fixture
def talk() -> Talk:
    return Talk()


@pytest.mark.parametrize(
    ("ended_at_s", "silent_since_s"),
    [(LOST_S - 1, None), (LOST_S + 1, LOST_S), (BACK_S + 0.1, LOST_S), (BACK_S + 60, None)],
)
def test_a_leg_that_ends_in_the_silence_ended_as_it_began(
    talk: Talk, ended_at_s: float, silent_since_s: float | None
) -> None:
    talk.answered(ANSWERED_S)
    talk.lost()
    talk.heard_again()
    assert talk.silent_since_s(ended_at_s) == silent_since_s


@pytest.mark.parametrize(
    ("ended_at_s", "silent_since_s"), [(LOST_S + 1, LOST_S), (BACK_S + 0.1, LOST_S), (BACK_S + 60, None)]
)
def test_the_silence_is_over_when_asterisk_answers_though_its_link_stays_down(
    talk: Talk, ended_at_s: float, silent_since_s: float | None
) -> None:
    talk.answered(ANSWERED_S)
    talk.lost()
    assert talk.silent_since_s(BACK_S + 60) == LOST_S
    talk.answers_without_a_link()
    assert talk.silent_since_s(ended_at_s) == silent_since_s


def test_the_answer_may_be_what_was_heard_last_though_it_is_dated_a_moment_later(talk: Talk) -> None:
    talk.answered(LOST_S + A_MOMENT_S)
    talk.lost()
    talk.heard_again()
    assert talk.silent_since_s(BACK_S) == LOST_S + A_MOMENT_S


def test_an_answer_since_shows_that_it_was_the_network_that_fell_silent(talk: Talk) -> None:
    talk.lost()
    talk.answered(LOST_S + A_MOMENT_S)
    talk.heard_again()
    assert talk.silent_since_s(BACK_S) is None


def test_a_leg_that_outlives_the_silence_is_charged_until_we_end_it(talk: Talk) -> None:
    talk.answered(ANSWERED_S)
    talk.lost()
    talk.heard_again()
    talk.hung_up_by_us(BACK_S + 0.5)
    assert talk.silent_since_s(BACK_S + 0.6) is None


def test_a_leg_that_was_gone_before_we_could_end_it_did_not_outlive_the_silence(talk: Talk) -> None:
    talk.answered(ANSWERED_S)
    talk.lost()
    talk.heard_again()
    talk.hung_up_by_us(BACK_S + 0.5)
    assert talk.silent_since_s(BACK_S + 0.1) == LOST_S


def test_one_that_we_end_at_once_because_the_other_has_ended_may_have_been_over_before(talk: Talk) -> None:
    """Both had hung up while Asterisk was frozen; it came to the other leg first, and we ended this one."""
    talk.answered(ANSWERED_S)
    talk.lost()
    talk.heard_again()
    talk.hung_up_by_us(BACK_S + 0.1)
    assert talk.silent_since_s(BACK_S + 0.15) == LOST_S


def test_a_link_that_broke_is_no_silence(talk: Talk) -> None:
    talk.answered(ANSWERED_S)
    talk.lost(silent=False)
    talk.heard_again()
    assert talk.silent_since_s(BACK_S) is None
