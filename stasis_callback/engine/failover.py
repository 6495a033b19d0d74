"""One trunk after another, for leg A and leg B alike: until somebody answers, or it is not the trunk that fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import structlog

from stasis_callback.core.outcomes import Outcome
from stasis_callback.engine.funding import TrunkFull
from stasis_callback.engine.routing import Way
from stasis_callback.engine.settlement import end_of
from stasis_callback.ivr.call import Leg

log = structlog.get_logger()

FAILS_OVER = (Outcome.CONGESTION, Outcome.FAILED)
"""Ends that are the trunk's and not the other side's: another trunk may do better. A number that one carrier calls
unallocated (404) is not tried elsewhere: it is nearly always true, and costs the subscriber time.
"""

L = TypeVar("L")


@dataclass(frozen=True, slots=True)
class Tried(Generic[L]):
    """How it went: the leg that was tried last, and whether it was answered.

    `why_not` is for when no leg was tried, or no further one: `no_funds`, `trunks_full`.
    """

    last: L | None
    answered: bool = False
    why_not: Literal["", "no_funds", "trunks_full"] = ""


def over_trunks(
    ways: Sequence[Way],
    attempts: int,
    *,
    open_leg: Callable[[Way, int], L | None],
    dial: Callable[[L, Way], bool],
    leg_of: Callable[[L], Leg],
    may_go_on: Callable[[L], bool],
) -> Tried[L]:
    """Call a number over one trunk after another, `attempts` at most.

    `open_leg` notes and funds the first, second, third leg (None: there are no funds; TrunkFull: this trunk has no
    room), `dial` calls and says whether it was answered; `may_go_on` is asked before another trunk is tried.
    """
    last: L | None = None
    tried = 0
    for way in ways:
        if tried == attempts:
            break
        try:
            opened = open_leg(way, tried + 1)
        except TrunkFull:
            continue
        if opened is None:
            return Tried(last, why_not="no_funds")
        last, tried = opened, tried + 1
        if dial(opened, way):
            return Tried(opened, answered=True)
        leg = leg_of(opened)
        if outcome_of(leg) not in FAILS_OVER or not may_go_on(opened):
            break
        log.info("leg.failed_over", leg=leg.id)
    return Tried(last, why_not="" if tried else "trunks_full")


def outcome_of(leg: Leg) -> Outcome:
    """How an unanswered leg ended; of one whose end was not reported that is not known."""
    return end_of(leg).outcome if leg.ended else Outcome.FAILED
