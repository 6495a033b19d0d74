"""What time it is at Asterisk, and how long ago something happened there.

Events carry Asterisk's wall clock; durations of ours are measured by a clock that never jumps. The two meet here:
`GET /asterisk/ping` answers with Asterisk's time, which is noted beside our own steady clock. So an answer that is
heard of late (a slow Asterisk, a stopped service) still counts from when it happened, on whichever machine, and a
step of either wall clock is found at the next look instead of being taken for a delay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import structlog

from stasis_callback.ari.errors import AriError
from stasis_callback.ari.events import parse_time_us
from stasis_callback.ari.rest import Rest
from stasis_callback.clock import US_PER_S, Clock

log = structlog.get_logger()

PLAUSIBLE_AGE_S = 0.5
"""An event that seems older than this (or to come from the future) makes us ask Asterisk for its time again."""
STEP_S = 2.0
"""Wall clocks that move apart by more than this have been stepped; less is drift, or a slow answer."""
REMEMBERED_UNSURE_S = 1.0
"""How exactly a former process has noted the two clocks at once: it waits for a database in between."""
PRECISION_S = 0.01
"""Asterisk's times have milliseconds."""
DRIFT = 0.0005
"""Drift by which a measured clock becomes less certain, in seconds per second: an upper bound for machine clocks."""


@dataclass(frozen=True, slots=True)
class _Look:
    """A measurement of Asterisk's clock at one moment of our clock."""

    asterisk_us: int
    wall_us: int
    steady_s: float
    unsure_s: float


@dataclass(frozen=True, slots=True)
class _Step:
    """Asterisk's clock was stepped, at a time between two looks at it."""

    before: _Look
    found_s: float


class AsteriskTime:
    """Asterisk's clock as seen from here. Until Asterisk was asked, ours is taken for it."""

    def __init__(self, rest: Rest, clock: Clock) -> None:
        self._rest = rest
        self._clock = clock
        self._look: _Look | None = None
        self._step: _Step | None = None

    def measure(self) -> bool:
        """Ask Asterisk for its time; False when it did not say. Logs a step of its clock or of ours."""
        began_s = self._clock.monotonic_s()
        try:
            body = self._rest.fetch("asterisk", "ping") or {}
        except AriError:
            return False
        ended_s, wall_us = self._clock.monotonic_s(), self._clock.now_us()
        asterisk_us = parse_time_us(body.get("timestamp"))
        if not asterisk_us:
            return False
        before, unsure_s = self._look, ended_s - began_s
        middle_s = began_s + unsure_s / 2
        look = _Look(asterisk_us, wall_us - int(unsure_s / 2 * US_PER_S), middle_s, unsure_s)
        if before is not None and self._was_stepped(before, look):
            self._step = _Step(before, look.steady_s)
            log.warning("asterisk.clock_stepped", seconds=round(self._jumped_s(before, look), 1))
        if before is None or not self._says_less(look, before):
            self._look = look
        return True

    def remember(self, asterisk_us: int, wall_us: int, steady_s: float) -> None:
        """What the two clocks showed at a moment of our steady clock, to a process before this one: where both were
        set since, that is a step like one that was found here. Less is known of it than of a later one.

        Not where ours was not set: how far the two were apart then is known from another moment, when the leg was
        noted, and a clock may have been set between the two.
        """
        if self._look is None and not self.measure():
            return
        look, before = self._look, _Look(asterisk_us, wall_us, steady_s, REMEMBERED_UNSURE_S)
        if look is None or (self._step is not None and self._step.before.steady_s >= steady_s):
            return
        ours_jumped_s = (look.wall_us - wall_us) / US_PER_S - (look.steady_s - steady_s)
        if abs(ours_jumped_s) > STEP_S and self._was_stepped(before, look):
            self._step = _Step(before, look.steady_s)

    def now_us(self) -> int:
        """Asterisk's wall clock now, microseconds since the epoch."""
        look = self._look
        if look is None:
            return self._clock.now_us()
        return look.asterisk_us + int((self._clock.monotonic_s() - look.steady_s) * US_PER_S)

    def ago_s(self, at_us: int) -> float:
        """How long ago it was `at_us` at Asterisk; never negative. May ask Asterisk: not for the reader thread."""
        age_s = self._age_s(at_us)
        if not -PLAUSIBLE_AGE_S <= age_s <= PLAUSIBLE_AGE_S and self.measure():
            age_s = self._age_s(at_us)
        return max(age_s, 0.0)

    def steady_s(self, at_us: int) -> float:
        """When by our steady clock it was `at_us` at Asterisk, now at the latest. May ask: not for the reader thread.

        By what was measured and not by an age: on a busy machine seconds pass between two lines of this thread.
        """
        age_s = self.ago_s(at_us)
        return self._clock.monotonic_s() - age_s if self._look is None else self.seen_s(at_us)

    def is_to_come(self, at_us: int) -> bool:
        """Whether a time is still to come at Asterisk: if it has happened, its clock was put back since. May ask."""
        self.ago_s(at_us)
        return self._age_s(at_us) < -STEP_S

    def between_s(
        self, at_us: int, since_s: float = -math.inf, by_s: float = math.inf
    ) -> tuple[float, float]:
        """The same of what happened after `since_s` and not after `by_s`, at the earliest and at the latest.

        The two differ for what is learnt late and may have been before a step of Asterisk's clock was found. Its time
        is by the clock of before the step, or by that of after it; the later counts. Where neither can be, because
        it was set more than once, it is known to have been by the time that this was found.
        """
        earliest_s = latest_s = self.steady_s(at_us)
        step, age_s = self._step, self._age_s(at_us)
        if step and abs(age_s) > PLAUSIBLE_AGE_S and (age_s < 0 or latest_s <= step.found_s):
            unstepped_s = step.before.steady_s + (at_us - step.before.asterisk_us) / US_PER_S
            stepped_s, known_by_s = self._clock.monotonic_s() - age_s, min(by_s, step.found_s)
            possible_s = [
                at_s
                for at_s in (unstepped_s, stepped_s)
                if since_s - PLAUSIBLE_AGE_S <= at_s <= known_by_s + PLAUSIBLE_AGE_S
            ]
            latest_s = min(max(possible_s, default=known_by_s), known_by_s)
            earliest_s = min(step.before.steady_s, latest_s)
        return max(min(earliest_s, by_s), since_s), max(min(latest_s, by_s), since_s)

    def seen_s(self, at_us: int) -> float:
        """The same by what was last measured, without asking: for the reader thread."""
        look, now_s = self._look, self._clock.monotonic_s()
        if look is None:
            return now_s
        return min(look.steady_s + (at_us - look.asterisk_us) / US_PER_S, now_s)

    def at_us(self, steady_s: float) -> int:
        """What Asterisk's clock showed at a moment of our steady clock, as far apart as the two are now."""
        return self.now_us() - int((self._clock.monotonic_s() - steady_s) * US_PER_S)

    def from_wall_us(self, wall_us: int) -> int:
        """What Asterisk's clock shows when ours shows `wall_us`, as far apart as the two are now."""
        return wall_us + int(self.ahead_s * US_PER_S)

    @property
    def ahead_s(self) -> float:
        """How far Asterisk's wall clock is before ours, in seconds; 0 while it was not asked."""
        look = self._look
        return (look.asterisk_us - look.wall_us) / US_PER_S if look else 0.0

    def _age_s(self, at_us: int) -> float:
        return (self.now_us() - at_us) / US_PER_S

    def _was_stepped(self, before: _Look, look: _Look) -> bool:
        """Whether Asterisk's clock moved otherwise than ours between two looks, each sure to half its round trip."""
        return abs(self._jumped_s(before, look)) > STEP_S + (before.unsure_s + look.unsure_s) / 2

    def _says_less(self, look: _Look, before: _Look) -> bool:
        """Whether a look agrees with the one before and is less sure: an answer that took seconds says little."""
        sure_to_s = before.unsure_s / 2 + (look.steady_s - before.steady_s) * DRIFT + PRECISION_S
        return (
            look.unsure_s / 2 > sure_to_s
            and abs(self._jumped_s(before, look)) <= look.unsure_s / 2 + sure_to_s
        )

    @staticmethod
    def _jumped_s(before: _Look, after: _Look) -> float:
        passed_s = after.steady_s - before.steady_s
        return (after.asterisk_us - before.asterisk_us) / US_PER_S - passed_s
