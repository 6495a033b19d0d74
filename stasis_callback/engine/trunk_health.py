"""Which trunks fail, and which rest: a circuit breaker per trunk, in the memory of this process.

A trunk rests after some failures in a row: calls go over other trunks first, and over it only when these
fail. After its rest one call tries it (half-open). If that fails too, it rests twice as long. A call that it carries
ends all this.

Nothing is stored: after a restart each trunk is tried again, which is as good a way as any to find out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import structlog

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.answers import Meaning
from stasis_callback.core.backoff import doubling_s
from stasis_callback.core.trunk_state import TrunkState
from stasis_callback.engine.routing import Way

log = structlog.get_logger()

FAILURES_LIMIT = 5
FIRST_REST_S = 30.0
LONGEST_REST_S = 600.0


@dataclass(slots=True)
class _Trunk:
    state: TrunkState
    rests_until_s: float | None = None
    """By the steady clock."""


class TrunkHealth:
    """How the trunks do. Safe for any number of threads."""

    def __init__(
        self, clock: Clock, failures_limit: int = FAILURES_LIMIT, first_rest_s: float = FIRST_REST_S
    ) -> None:
        """After `failures_limit` failures in a row a trunk rests for `first_rest_s` seconds; 0: never."""
        self._clock = clock
        self._failures_limit = failures_limit
        self._first_rest_s = first_rest_s
        self._lock = clock.lock()
        self._trunks: dict[str, _Trunk] = {}
        self._failures: Counter[tuple[str, str]] = Counter()

    def in_turn(self, ways: Iterable[Way]) -> Iterator[Way]:
        """The ways in the order in which to try them: those whose trunk rests come last."""
        resting: list[Way] = []
        for way in ways:
            if self._may_try(way.endpoint):
                yield way
            else:
                resting.append(way)
        yield from resting

    def _may_try(self, trunk: str) -> bool:
        with self._lock:
            known = self._trunks.get(trunk)
            if known is None or known.rests_until_s is None:
                return True
            if self._clock.monotonic_s() < known.rests_until_s:
                return False
            # This call is the one that tries it. Others wait for how it goes, or for as long as it would rest anew.
            self._rest(known)
            return True

    def carried(self, trunk: str) -> None:
        """A call went through, to a person or to a number that does not exist."""
        with self._lock:
            known = self._trunks.get(trunk)
            if known is None or not known.state.failures:
                return
            if known.rests_until_s is not None:
                log.info("trunk.back", trunk=trunk)
            known.rests_until_s = None
            known.state = replace(known.state, failures=0, rests_until_us=None)

    def failed(self, trunk: str, meant: Meaning, answer: str) -> None:
        """The trunk failed to carry a call: `answer` is a SIP status, `silent`, or a Q.850 cause."""
        with self._lock:
            now_us = self._clock.now_us()
            self._failures[trunk, meant.value] += 1
            known = self._trunks.setdefault(trunk, _Trunk(TrunkState(trunk, 0, "", 0)))
            known.state = replace(
                known.state, failures=known.state.failures + 1, failure=answer, failed_at_us=now_us
            )
            if meant is Meaning.REFUSES_US:
                known.state = replace(known.state, refusal=answer, refused_at_us=now_us)
            if self._failures_limit and known.state.failures >= self._failures_limit:
                self._rest(known)
                log.warning(
                    "trunk.resting",
                    trunk=trunk,
                    failures=known.state.failures,
                    answer=answer,
                    seconds=self._rest_s(known),
                )

    def _rest(self, known: _Trunk) -> None:
        rest_s = self._rest_s(known)
        known.rests_until_s = self._clock.monotonic_s() + rest_s
        until_us = self._clock.now_us() + round(rest_s * US_PER_S)
        known.state = replace(known.state, rests_until_us=until_us)

    def _rest_s(self, known: _Trunk) -> float:
        """Twice as long with each further failure."""
        return doubling_s(
            self._first_rest_s,
            max(self._first_rest_s, LONGEST_REST_S),
            known.state.failures - self._failures_limit + 1,
        )

    def states(self) -> list[TrunkState]:
        """Every trunk that has failed since the start, by name."""
        with self._lock:
            return [self._trunks[name].state for name in sorted(self._trunks)]

    def failures(self) -> dict[tuple[str, str], int]:
        """How often trunks have failed since the start, by trunk and meaning."""
        with self._lock:
            return dict(self._failures)
