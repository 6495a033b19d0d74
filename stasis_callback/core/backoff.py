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
        """The pause after so many failed attempts (1 or more), in seconds; None when it is given up."""
        if attempts >= self.attempts:
            return None
        return min(self.first_s * 2.0 ** (attempts - 1), self.longest_s)
