"""What is going on now, as panels: each is a command of the shell, run once for everybody who looks."""

from __future__ import annotations

from dataclasses import dataclass

from stasis_callback.admin.commands import Command, Done, described, run
from stasis_callback.clock import Clock
from stasis_callback.store.stores import Stores

FRESH_S = 2.0
"""Panels younger than this are shown again: ten browsers ask the database no more often than one."""
PANELS: dict[str, tuple[str, ...]] = {
    "live": ("call", "live"),
    "queue": ("request", "list", "--state=queued", "--limit=20"),
    "outcomes": ("report", "calls", "--by=outcome", "--from=today"),
    "refusals": ("report", "refusals", "--from=today"),
    "traffic": ("report", "calls", "--by=trunk", "--from=today"),
    "trunks": ("trunk", "list"),
    "nodes": ("node", "list"),
}


@dataclass(frozen=True, slots=True)
class Panel:
    """One of them."""

    name: str
    command: Command
    done: Done


class Overview:
    """The panels."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock
        self._lock = clock.lock()
        self._made_at_s = float("-inf")
        self._panels: tuple[Panel, ...] = ()

    def panels(self) -> tuple[Panel, ...]:
        """What is going on."""
        with self._lock:
            if self._clock.monotonic_s() - self._made_at_s >= FRESH_S:
                self._panels = tuple(self._panel(name, words) for name, words in PANELS.items())
                self._made_at_s = self._clock.monotonic_s()
            return self._panels

    def _panel(self, name: str, words: tuple[str, ...]) -> Panel:
        # Nobody's name: it is shown to all, and changes nothing.
        return Panel(name, described()[" ".join(words[:2])], run(words, "console", self._stores))
