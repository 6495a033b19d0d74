"""The faults of a plan, made to happen; the stages of calls that they fall into, and the times they explain."""

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
SLOW_FOR_S = 8.0
"""How long all requests are slow."""


INSIDE = ("request", "commit", "committed", "B held")
"""Moments within the service: there a fault comes at once, and not when the thread has gone on."""


class NotedFaults(Faults):
    """Faults of requests, noted when they hit."""

    def __init__(self, mishaps: Mishaps) -> None:
        super().__init__(lambda name, seconds: None)
        self._mishaps = mishaps
        self.flaky_percent = 0

    def due(self, act: Literal["5xx", "delay", "lose"], path: str) -> FaultyRequests | None:
        found = super().due(act, path)
        if found is None and act != "delay" and self._mishaps.strikes(self.flaky_percent):
            found = FaultyRequests(act, re.compile(""), 1)
        if found is not None:
            names = {"5xx": "ari 503", "delay": "ari slow", "lose": "ari answer lost"}
            self._mishaps.happened(names[act])
        return found


class Mishaps:
    """Starts and ends the faults of a plan."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._requests = NotedFaults(self)
        world.asterisk.faults = self._requests
        world.asterisk.switch.trunk_causes = self._requests.trunk_causes
        store = self._store = world.store_faults
        store.hit, store.strikes = self.happened, self.strikes
        store.on_commit = lambda: self.moment("commit")
        store.after_it = self._committed
        self._journal: Path | None = None
        """Where the journal is while it is hidden."""
        self._waiting: list[Fault] = []
        self._moments: Counter[Moment] = Counter()
        self._over = False
        self._legs_b = 0
        """As many were held for at the last look."""
        self._times: list[tuple[int, int, str]] = []
        """From when to when something is not as it should be."""
        self.journal_gone: list[tuple[int, int]] = []
        self.silences: list[tuple[int, int]] = []

    # --- when ----------------------------------------------------------------------------------------------------

    def plan(self) -> float:
        """Set all timers. Returns when the last timed fault ends, in seconds."""
        end_s = 0.0
        for fault in self._world.plan.faults:
            if fault.when:
                self._waiting.append(fault)
                continue
            self._world.scheduler.call_in(fault.at_s, lambda fault=fault: self._begin(fault))  # type: ignore[misc]
            lasts_s = 0.0 if "clock" in fault.kind else fault.seconds
            end_s = max(end_s, fault.at_s + max(lasts_s, 5.0))
        return end_s

    def moment(self, moment: Moment) -> None:
        """Start the faults that wait for this stage of a call."""
        self._moments[moment] += 1
        for fault in [one for one in self._waiting if one.when == moment]:
            if fault.turn == self._moments[moment]:
                self._waiting.remove(fault)
                if fault.at_s or moment not in INSIDE:
                    self._world.scheduler.call_in(fault.at_s, lambda fault=fault: self._begin(fault))  # type: ignore[misc]
                else:
                    self._begin(fault)

    def _committed(self) -> None:
        self.moment("committed")
        if any(one.when == "B held" for one in self._waiting):
            (row,) = self._world.rows("SELECT COUNT(*) AS n FROM leg WHERE side = 'b'")
            before, self._legs_b = self._legs_b, row["n"]
            if row["n"] > before:
                self.moment("B held")

    def end(self) -> None:
        """Cancel all faults that have not happened yet."""
        self._over = True
        self._waiting.clear()
        self._requests.clear()
        self._requests.flaky_percent = self._store.flaky_percent = 0
        self._store.before_commit = self._store.after_commit = 0
        self._world.shape.straighten()

    def strikes(self, percent: int) -> bool:
        """Draw whether a random fault happens this time."""
        return percent > 0 and self._world.scheduler.random.randrange(100) < percent

    # --- what it explains ----------------------------------------------------------------------------------------

    def happened(self, kind: str) -> None:
        """Count a fault in the stage of every call it falls into."""
        stages = self.stages()
        for stage in stages or ["no call"]:
            self._world.exercised[kind, stage] += 1
        self._lasts(kind, 0.0)
        self._world.note("fault", f"{kind} ({', '.join(stages) or 'no call'})")

    def stages(self) -> list[str]:
        """The stages of all calls, as Asterisk sees them."""
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

    def active(
        self, from_us: int, until_us: int, kinds: tuple[str, ...] = ("",), but: tuple[str, ...] = ()
    ) -> bool:
        """Whether a fault (of a kind with one of these prefixes, and none `but` these), or its aftermath, was active
        between these times.
        """
        return any(
            begin < until_us and end > from_us and kind.startswith(kinds) and not kind.startswith(but)
            for begin, end, kind in self._times
        )

    def struck_since(self, since_us: int) -> bool:
        """Whether a fault has begun, or has happened again, since then."""
        return any(begin >= since_us for begin, _, _ in self._times)

    def _lasts(self, kind: str, seconds: float) -> tuple[int, int]:
        """Note a fault that lasts this long from now on, and its aftermath."""
        now_us = self._world.scheduler.now_us
        span = now_us, now_us + round(seconds * US_PER_S)
        self._times.append((span[0], span[1] + AFTERMATH_US, kind))
        return span

    # --- one by one --------------------------------------------------------------------------------------------

    def _begin(self, fault: Fault) -> None:
        if self._over:
            return
        kind = fault.kind
        span = self._lasts(kind, 0.0 if "clock" in kind else fault.seconds)
        if kind == "journal unreadable":
            self.journal_gone.append(span)
        elif kind in ("asterisk frozen", "websocket half open", "events late"):
            self.silences.append(span)  # behind events that are late, the answer to a ping is late too
        if kind.startswith("ari"):
            self._fail_requests(fault)
        elif kind.startswith(("store", "database", "error")):
            self._fail_store(fault, span[1])
        else:
            self.happened(kind)
            self._strike(fault)

    def _fail_requests(self, fault: Fault) -> None:
        """Start a fault of requests; it is counted when it hits one."""
        if fault.kind == "ari flaky":
            self._requests.flaky_percent = fault.count
            self._world.scheduler.call_in(fault.seconds, self._requests_well)
            return
        path = re.compile(fault.path)
        plan = {
            "ari 503": FaultyRequests("5xx", path, fault.count),
            "ari slow": FaultyRequests("delay", path, fault.count, fault.seconds),
            "ari answer lost": FaultyRequests("lose", path, fault.count),
        }[fault.kind]
        self._requests.plans.append(plan)
        if fault.count < 0:
            lasts_s = SLOW_FOR_S if plan.act == "delay" else fault.seconds
            self._world.scheduler.call_in(lasts_s, lambda: setattr(plan, "count", 0))

    def _fail_store(self, fault: Fault, until_us: int) -> None:
        """Start a fault of the database; it is counted when it hits a transaction."""
        store = self._store
        match fault.kind:
            case "store flaky":
                store.flaky_percent = fault.count
                self._world.scheduler.call_in(fault.seconds, self._store_well)
            case "error before commit":
                store.before_commit += fault.count
            case "error after commit":
                store.after_commit += fault.count
            case kind:
                store.until_us[kind.partition(" ")[2]] = until_us

    def _strike(self, fault: Fault) -> None:  # noqa: C901 - a table
        """Start a fault that happens at once."""
        world = self._world
        asterisk, node, seconds = world.asterisk, world.node, fault.seconds
        match fault.kind:
            case "websocket dropped":
                asterisk.drop_websockets()
            case "websocket deaf":
                self._requests.deafen(fault.count)
                asterisk.drop_websockets()
            case "websocket refused":
                asterisk.refuse_websockets(seconds)
            case "websocket half open":
                for socket in list(asterisk.sockets):
                    socket.silence(seconds)
            case "events twice":
                world.shape.twice = fault.count / 100 if fault.count > 1 else 0.5
                world.scheduler.call_in(seconds, world.shape.straighten)
            case "events late":
                world.shape.late_s, world.shape.overtaking = min(seconds, 4.0), fault.count == 2
                world.scheduler.call_in(seconds, world.shape.straighten)
            case "asterisk frozen":
                asterisk.freeze(seconds)
            case "asterisk crashed" | "asterisk restarted":
                asterisk.crash(seconds, with_hangups=fault.kind == "asterisk restarted")
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
                self._step_asterisk(seconds)
            case "machine clock":
                node.step_clock(seconds)
                self._step_asterisk(seconds)
            case "trunk congested":
                asterisk.faults.trunk_answers(*[34] * fault.count)
            case "journal unreadable":
                self._hide_journal(seconds)

    def _step_asterisk(self, seconds: float) -> None:
        """Step its clock. This also affects a leg that has just ended, if the service does not know the end yet."""
        asterisk = self._world.asterisk
        asterisk.step_clock(seconds)
        settled = {row["leg_id"] for row in self._world.rows("SELECT leg_id FROM xdr")}
        for life in asterisk.lives.values():
            life.stepped = life.stepped or life.id not in settled

    def _requests_well(self) -> None:
        self._requests.flaky_percent = 0

    def _store_well(self) -> None:
        self._store.flaky_percent = 0

    def _hide_journal(self, seconds: float) -> None:
        """Replace the journal by a folder; Asterisk continues to write into its open file."""
        cel = self._world.asterisk.switch.cel
        if self._journal is not None:
            return
        shown = cel.path
        self._journal = cel.path = shown.rename(shown.with_name("moved-away"))
        shown.mkdir()

        def back() -> None:
            shown.rmdir()
            cel.path = cel.path.rename(shown)
            self._journal = None

        self._world.scheduler.call_in(seconds, back)
