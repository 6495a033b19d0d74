"""Much work beside a running service: in small steps, with as long a rest after each as the step took.

SQLite has one writer, and a process that waits for its turn asks again and again, with pauses of up to 100 ms. Who
writes without a rest is hardly ever met between two transactions; with rests others come in every other time.
"""

from __future__ import annotations

from stasis_callback.clock import Clock

ROWS_AT_ONCE = 500
"""The most rows that one transaction of a large change writes or removes: some milliseconds."""
SHORTEST_REST_S, LONGEST_REST_S = 0.005, 0.1


class Pace:
    """Rests of one large change."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._inbox = clock.inbox()
        self._since_s = clock.monotonic_s()

    def rest(self) -> None:
        """Wait as long as the step before took, within limits."""
        took_s = self._clock.monotonic_s() - self._since_s
        self._inbox.get(min(max(took_s, SHORTEST_REST_S), LONGEST_REST_S))
        self._since_s = self._clock.monotonic_s()
