"""One trunk after another, for leg A and leg B alike: until somebody answers, or it is not the trunk that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from stasis_callback.core.answers import Meaning
from stasis_callback.core.outcomes import Outcome
from stasis_callback.engine.funding import TrunkFull
from stasis_callback.engine.routing import Way
from stasis_callback.engine.settlement import end_of, meaning_of
from stasis_callback.engine.trunk_health import TrunkHealth
from stasis_callback.ivr.call import Leg

log = structlog.get_logger()

L = TypeVar("L")


@dataclass(frozen=True, slots=True)
class Tried(Generic[L]):
    """How it went: the leg that was tried last, if any; was it answered, were there no funds for the next one.

    No leg although there are funds: all trunks are full.
    """

    last: L | None
    answered: bool = False
    no_funds: bool = False


def over_trunks(
    turn: Iterable[Way],
    attempts: int,
    health: TrunkHealth,
    *,
    open_leg: Callable[[Way, int], L | None],
    dial: Callable[[L, Way], bool],
    leg_of: Callable[[L], Leg],
    may_go_on: Callable[[L], bool],
) -> Tried[L]:
    """Call a number over one trunk after another in their turn (`TrunkHealth.in_turn`), `attempts` at most.

    `open_leg` notes and funds the first, second, third leg (None: there are no funds; TrunkFull: this trunk has no
    room), `dial` calls and says whether it was answered; `may_go_on` is asked before another trunk is tried.
    """
    last: L | None = None
    tried = 0
    judge = _Judge(health)
    for way in turn:
        if tried == attempts:
            break
        try:
            opened = open_leg(way, tried + 1)
        except TrunkFull:
            continue
        if opened is None:
            return Tried(last, no_funds=True)
        last, tried = opened, tried + 1
        if dial(opened, way):
            judge.answered(way)
            return Tried(opened, answered=True)
        if not judge.tries_another(way, leg_of(opened)) or not may_go_on(opened):
            break
    return Tried(last)


class _Judge:
    """What the attempts at one number say about their trunks."""

    def __init__(self, health: TrunkHealth) -> None:
        self._health = health
        self._doubtful: tuple[str, str] | None = None
        """The trunk that called the number unknown, and its answer: the next one shows which of them is right."""

    def answered(self, way: Way) -> None:
        """Somebody answered."""
        self._carried(way)

    def tries_another(self, way: Way, leg: Leg) -> bool:
        """Note how an attempt ended that was not answered; whether another trunk may do better."""
        meant = meaning_of(leg)
        answer = _answer_of(leg)
        if meant is Meaning.UNKNOWN_NUMBER:
            again = self._doubtful is None
            self._doubtful = self._doubtful or (way.endpoint, answer)
        elif meant.fails_over:
            again = True
            if leg.silent or (leg.ended is not None and leg.ended.source == "events"):
                self._health.failed(way.endpoint, meant, answer)
        else:
            again = False
            if meant is Meaning.INVALID:
                self._health.carried(way.endpoint)
            elif leg.ringing or not leg.hung_up_by_us:
                self._carried(way)
        if again:
            log.info("leg.failed_over", leg=leg.id, trunk=way.endpoint, answer=answer, meaning=meant)
        return again

    def _carried(self, way: Way) -> None:
        self._health.carried(way.endpoint)
        if self._doubtful is not None:
            # The number exists after all: that trunk does not know us, or not the number.
            self._health.failed(self._doubtful[0], Meaning.UNKNOWN_NUMBER, self._doubtful[1])


def _answer_of(leg: Leg) -> str:
    """What a carrier answered, in a word."""
    if leg.silent or leg.ended is None:
        return "silent"
    return str(leg.ended.sip_status or f"cause {leg.ended.cause}")


def outcome_of(leg: Leg) -> Outcome:
    """How an unanswered leg ended; of one whose end was not reported that is not known."""
    return end_of(leg).outcome if leg.ended else Outcome.FAILED
