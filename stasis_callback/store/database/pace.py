"""Large work while the service is running: in small steps, each followed by a pause as long as the step.

SQLite has one writer, and a waiting process polls with pauses of up to 100 ms. Between transactions without pauses it
hardly ever gets its turn; with pauses, it does every other time.
"""

from __future__ import annotations

from stasis_callback.clock import Clock

ROWS_AT_ONCE = 500
"""The most rows that one transaction of a large change writes or removes: some milliseconds."""
SHORTEST_REST_S, LONGEST_REST_S = 0.005, 0.1


class Pace:
    """The pauses between the transactions of a large change."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._inbox = clock.inbox()
        self._since_s = clock.monotonic_s()

    def rest(self) -> None:
        """Wait as long as the step before took, within limits."""
        took_s = self._clock.monotonic_s() - self._since_s
        self._inbox.get(min(max(took_s, SHORTEST_REST_S), LONGEST_REST_S))
        self._since_s = self._clock.monotonic_s()
