"""The faults of a plan, made to happen; and the stages of calls that they happen in."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stasis_callback.testing.fake.faults import Faults
from stasis_callback.testing.fake.faults import Plan as FaultyRequests

from .plan import Fault, Moment
from .scheduler import US_PER_S

if TYPE_CHECKING:
    from .world import SimWorld


AFTERMATH_US = 15 * US_PER_S
"""Requests that time out, reconnecting, a look every five seconds."""


class NotedFaults(Faults):
    """Faults of requests, noted when they hit."""

    def __init__(self, mishaps: Mishaps) -> None:
        super().__init__(lambda name, seconds: None)
        self._mishaps = mishaps
        self.flaky_percent = 0

    def due(self, act: Literal["5xx", "delay", "lose"], path: str) -> FaultyRequests | None:
        """The plan that applies, noted."""
        found = super().due(act, path)
        if found is None and act != "delay" and self._mishaps.strikes(self.flaky_percent):
            found = FaultyRequests(act, re.compile(""), 1)
        if found is not None:
            names = {"5xx": "ari 503", "delay": "ari slow", "lose": "ari answer lost"}
            self._mishaps.happened(names[act])
        return found


class Mishaps:
    """Lets the faults of a plan happen, and ends them."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._faulty = world.asterisk.faults = NotedFaults(self)
        world.asterisk.switch.trunk_causes = world.asterisk.faults.trunk_causes
        world.store_faults.hit = self.happened
        world.store_faults.strikes = self.strikes
        world.store_faults.on_commit = self._before_commit
        world.store_faults.after_it = self._after_commit
        self._kill_at: tuple[int, float] | None = None
        self._until_us = 0
        self._hidden: Path | None = None
        self.journal_gone: list[tuple[int, int]] = []
        self.silences: list[tuple[int, int]] = []
        self._waiting: list[Fault] = []
        self._moments: Counter[Moment] = Counter()
        self._over = False
        self._times: list[tuple[int, int, str]] = []
        """From when to when something is not as it should be."""

    def strikes(self, percent: int) -> bool:
        """Whether it goes wrong this time."""
        return percent > 0 and self._world.scheduler.random.randrange(100) < percent

    def plan(self) -> float:
        """Set all timers; when the last fault that has a time is over, in seconds."""
        end_s = 0.0
        for fault in self._world.plan.faults:
            if fault.when:
                self._waiting.append(fault)
                continue
            self._world.scheduler.call_in(fault.at_s, lambda fault=fault: self._do(fault))  # type: ignore[misc]
            lasts_s = 0.0 if "clock" in fault.kind else fault.seconds
            end_s = max(end_s, fault.at_s + max(lasts_s, 5.0))
        return end_s

    def moment(self, moment: Moment) -> None:
        """Something happened in a call: the faults that wait for it are due."""
        self._moments[moment] += 1
        for fault in list(self._waiting):
            if fault.when == moment and fault.turn == self._moments[moment]:
                self._waiting.remove(fault)
                self._world.scheduler.call_in(fault.at_s, lambda fault=fault: self._do(fault))  # type: ignore[misc]

    def end(self) -> None:
        """Whatever has not happened yet does not happen any more."""
        self._over = True
        self._waiting.clear()
        self._world.asterisk.faults.clear()
        self._world.store_faults.before_commit = self._world.store_faults.after_commit = 0
        self._world.shape.late_s = self._world.shape.twice = 0.0
        self._requests_well()
        self._store_well()
        self._kill_at = None

    def happened(self, kind: str) -> None:
        """Count a fault in the stage of every call it falls into."""
        stages = self.stages()
        for stage in stages or ["no call"]:
            self._world.exercised[kind, stage] += 1
        self.lasts(kind, 0.0)
        self._world.note("fault", f"{kind} ({', '.join(stages) or 'no call'})")

    def stages(self) -> list[str]:
        """What calls are at, as Asterisk sees them."""
        channels = self._world.asterisk.switch.channels
        found = set()
        for channel in channels.values():
            request_id, _, side = channel.id.rpartition("-")
            if channel.kind == "incoming":
                found.add("incoming")
            elif side.startswith("b"):
                found.add("talk" if channel.state == "Up" else "B rings")
            elif channel.state != "Up":
                found.add("A rings")
            elif not any(other.startswith(f"{request_id}-b") for other in channels):
                found.add("menu")
        return sorted(found)

    def active(self, from_us: int, until_us: int, kinds: tuple[str, ...] = ("",)) -> bool:
        """Whether any fault (of a kind that begins so) was active between these times, or its aftermath."""
        return any(
            begin < until_us and end > from_us and kind.startswith(kinds) for begin, end, kind in self._times
        )

    def lasts(self, kind: str, seconds: float) -> tuple[int, int]:
        """Something goes wrong from now on for so long, and what it left behind for a while more."""
        now_us = self._world.scheduler.now_us
        span = now_us, now_us + round(seconds * US_PER_S)
        self._times.append((span[0], span[1] + AFTERMATH_US, kind))
        return span

    # --- one by one --------------------------------------------------------------------------------------------

    def _do(self, fault: Fault) -> None:  # noqa: C901 - a table
        if self._over:
            return
        world, kind = self._world, fault.kind
        requests, store = self._faulty, world.store_faults
        count, path = fault.count, fault.path
        span = self.lasts(kind, 0.0 if "clock" in kind else fault.seconds)
        if kind == "journal unreadable":
            self.journal_gone.append(span)
        elif kind in ("asterisk frozen", "websocket half open"):
            self.silences.append(span)
        match kind:
            case "ari 503":
                requests.answer_5xx(count, path)
            case "ari slow":
                requests.delay(path, fault.seconds, count=count)
            case "ari answer lost":
                requests.lose_answers(count, path)
            case "ari flaky":
                requests.flaky_percent = count
                world.scheduler.call_in(fault.seconds, self._requests_well)
            case "store flaky":
                store.flaky_percent = count
                world.scheduler.call_in(fault.seconds, self._store_well)
            case "error before commit":
                store.before_commit += count
            case "error after commit":
                store.after_commit += count
            case "service killed" if fault.commit:
                self._kill_at = (store.commits + fault.commit, fault.seconds)
            case "database locked" | "database full" | "database away":
                store.until_us[kind.partition(" ")[2]] = span[1]
            case _:
                self.happened(kind)
                self._now(fault)

    def _now(self, fault: Fault) -> None:  # noqa: C901 - a table
        world = self._world
        asterisk, node, seconds = world.asterisk, world.node, fault.seconds
        match fault.kind:
            case "websocket dropped":
                asterisk.drop_websockets()
            case "websocket half open":
                for socket in list(asterisk.sockets):
                    socket.silence(seconds)
            case "events twice":
                world.shape.twice = 0.5
                world.scheduler.call_in(seconds, self._events_once)
            case "events late":
                world.shape.late_s = min(seconds, 4.0)
                world.shape.overtaking = fault.count == 2
                world.scheduler.call_in(seconds, self._events_in_time)
            case "asterisk frozen":
                asterisk.freeze(seconds)
            case "asterisk crashed":
                asterisk.crash(seconds, with_hangups=False)
            case "asterisk restarted":
                asterisk.crash(seconds, with_hangups=True)
            case "power cut":
                node.kill(seconds)
                asterisk.crash(seconds, with_hangups=False)
            case "service killed":
                node.kill(seconds)
            case "service stopped":
                node.stop(seconds)
            case "service clock":
                node.step_clock(seconds)
            case "asterisk clock":
                asterisk.step_clock(seconds)
            case "machine clock":
                node.step_clock(seconds)
                asterisk.step_clock(seconds)
            case "trunk congested":
                asterisk.faults.trunk_answers(*[34] * fault.count)
            case "journal unreadable":
                self._hide_journal(seconds)

    def _requests_well(self) -> None:
        self._faulty.flaky_percent = 0

    def _store_well(self) -> None:
        self._world.store_faults.flaky_percent = 0

    def _events_once(self) -> None:
        self._world.shape.twice = 0.0

    def _events_in_time(self) -> None:
        self._world.shape.late_s = 0.0
        self._world.shape.overtaking = False

    def _hide_journal(self, seconds: float) -> None:
        """A folder stands where the journal was; Asterisk goes on writing into the file it has open."""
        cel = self._world.asterisk.switch.cel
        if self._hidden is not None:
            return
        shown = cel.path
        self._hidden = cel.path = shown.rename(shown.with_name("moved-away"))
        shown.mkdir()

        def back() -> None:
            shown.rmdir()
            cel.path = cel.path.rename(shown)
            self._hidden = None

        self._world.scheduler.call_in(seconds, back)

    def _before_commit(self, number: int) -> None:
        if self._kill_at is not None and number == self._kill_at[0] and number % 2:
            self._kill_now()

    def _after_commit(self, number: int) -> None:
        if self._kill_at is not None and number == self._kill_at[0]:
            self._kill_now()

    def _kill_now(self) -> None:
        assert self._kill_at is not None
        seconds, self._kill_at = self._kill_at[1], None
        self.happened("service killed")
        self._world.node.kill(seconds)
