"""Faults as data, and the journal: what goes wrong next, and what happened.

A test plans faults (`fake.faults.delay("/play", 0.3)`); the server asks this module before it answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from .model import Json


@dataclass(frozen=True)
class Entry:
    """One line of the journal, in the order the fake did it."""

    at_us: int
    kind: Literal["request", "event", "fault"]
    name: str
    """`POST /channels/cb-1-a`, `StasisStart`, `drop_websocket`, ..."""
    detail: Json


@dataclass
class Plan:
    """A fault for the next `count` requests whose path (without `/ari`) matches `path`; -1 = until cleared."""

    act: Literal["5xx", "delay", "lose"]
    path: re.Pattern[str]
    count: int
    seconds: float = 0.0

    def applies(self, path: str) -> bool:
        """True once per request while the count lasts."""
        if self.count == 0 or not self.path.search(path):
            return False
        self.count -= self.count > 0
        return True


@dataclass
class Faults:
    """What a fake Asterisk does wrong on request. Every method may be called from any thread."""

    _call: Callable[[str, float], Any]
    plans: list[Plan] = field(default_factory=list)
    duplicating: bool = False
    trunk_causes: list[int] = field(default_factory=list)
    deaf: int = 0

    def drop_websocket(self) -> None:
        """Cut every event connection without a close frame."""
        self._call("drop_websocket", 0.0)

    def freeze(self, seconds: float) -> None:
        """Stop everything for `seconds`, as SIGSTOP does; returns at once."""
        self._call("freeze", seconds)

    def restart(self) -> None:
        """As after `kill -9` and a new start: no channels, new `startup_time`, HANGUP rows missing in CEL."""
        self._call("restart", 0.0)

    def answer_5xx(self, count: int, path_regex: str = "") -> None:
        """Answer the next `count` matching requests with 503, without doing them."""
        self.plans.append(Plan("5xx", re.compile(path_regex), count))

    def lose_answers(self, count: int, path_regex: str = "") -> None:
        """Do the next `count` matching requests, then close the connection instead of answering."""
        self.plans.append(Plan("lose", re.compile(path_regex), count))

    def delay(self, path_regex: str, seconds: float, *, count: int = -1) -> None:
        """Wait `seconds` before doing matching requests."""
        self.plans.append(Plan("delay", re.compile(path_regex), count, seconds))

    def duplicate_events(self, on: bool = True) -> None:
        """Send every event twice."""
        self.duplicating = on

    def trunk_answers(self, *causes: int) -> None:
        """The trunk refuses the next outgoing calls with these Q.850 causes, one each (34 = 503)."""
        self.trunk_causes.extend(causes)

    def deafen(self, count: int) -> None:
        """Accept the next `count` event connections, answer their pings, and never send them anything.

        As Asterisk does now and then when the connection before them ends at the same moment.
        """
        self.deaf = count

    def is_deaf(self) -> bool:
        """True once per event connection while the count of `deafen` lasts."""
        found = self.deaf > 0
        self.deaf -= found
        return found

    def clear(self) -> None:
        """No more faults."""
        self.plans.clear()
        self.trunk_causes.clear()
        self.duplicating = False
        self.deaf = 0

    def due(self, act: Literal["5xx", "delay", "lose"], path: str) -> Plan | None:
        """The plan that applies to this request now, if any."""
        return next((plan for plan in self.plans if plan.act == act and plan.applies(path)), None)
