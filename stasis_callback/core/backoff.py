"""How long to wait before something that failed is tried again: twice as long each time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackOff:
    """Pauses of `first_s`, twice that, ... up to `longest_s`; given up after `attempts` attempts."""

    first_s: float
    longest_s: float
    attempts: int

    def pause_s(self, attempts: int) -> float | None:
        """The pause after this many failed attempts (1 or more), in seconds; None when it is given up."""
        if attempts >= self.attempts:
            return None
        return doubling_s(self.first_s, self.longest_s, attempts)


def doubling_s(first_s: float, longest_s: float, failures: int) -> float:
    """The pause after this many failures in a row (1 or more), in seconds: doubled each time, up to `longest_s`."""
    # No pause is doubled 64 times; after a thousand failures a float would overflow.
    return min(first_s * 2.0 ** min(failures - 1, 64), longest_s)
