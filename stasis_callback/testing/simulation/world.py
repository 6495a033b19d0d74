"""One simulation from its plan to its end: the business, the people, the service, Asterisk, and what goes wrong."""

from __future__ import annotations

import random
import secrets
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from stasis_callback.ari.errors import AriError
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.engine.admission.orders import Answer, Order
from stasis_callback.testing.phones import Phone

from .asterisk import SimAsterisk
from .business import dnis_of, found, scratch
from .database import StoreFaults
from .mishaps import Mishaps
from .node import Node
from .people import SimPhone
from .plan import ACCESS, PIN_ACCESS, Asked, Plan
from .scheduler import START_US, US_PER_S, Scheduler
from .watcher import Watcher
from .wire import Shape

PATIENCE_S = 1_500.0
"""Virtual time after the last fault within which everything must have come to its end."""
CALLS_S = 240.0
"""Virtual time after the last call is asked for in which faults may still begin."""
LOOK_S = 2.0
AFTERWARDS_S = 12.0
BRIDGE_GOES_S = 0.06
"""Two rounds of housekeeping: nothing comes back."""
ASKS_AGAIN_S, ASKS_TIMES = 4.0, 4


class SimWorld:
    """One simulation. `run` may be called once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.folder: Path = scratch("simulation-")
        self.scheduler = Scheduler(random.Random(f"order {plan.seed}"))
        self.journal: list[tuple[int, str, str]] = []
        self.store_faults = StoreFaults()
        self.shape = Shape(random.Random(f"events {plan.seed}"))
        self.answers: dict[str, Answer] = {}
        """What web clients were told, by the key of their request."""
        self.asking: dict[str, object] = {}
        """By order that has no answer yet: the process that was asked, None where it is to be asked again."""
        self.exercised: Counter[tuple[str, str]] = Counter()
        """How often which fault happened in which stage of a call."""
        self.breaks: list[str] = []
        self.watcher = Watcher(self)
        self._reader: sqlite3.Connection | None = None

    def note(self, who: str, what: str) -> None:
        """Add a line to the journal."""
        self.journal.append((self.scheduler.now_us, who, what))

    def broken(self, sentence: str) -> None:
        """Record a violation."""
        at_s = (self.scheduler.now_us - START_US) / US_PER_S
        self.note("auditor", sentence)
        self.breaks.append(f"{at_s:.3f} s: {sentence}")

    def run(self) -> None:
        """Run from the first call until the last call and the service have ended."""
        url = found(self.plan, self.folder)
        with self._seeded(), self._logs_noted():
            phones: dict[str, Phone] = {}
            self.asterisk = SimAsterisk(self.scheduler, self.folder, phones)
            self.asterisk.watchers.append(self._note_entry)
            self.asterisk.switch.observer = self.watcher
            self.asterisk.switch.entry_s = self.plan.entry_s
            self.asterisk.switch.bridge_goes_s = min(self.plan.entry_s, BRIDGE_GOES_S)
            for number, scripts in self._scripts().items():
                phones[number] = SimPhone(
                    number,
                    scheduler=self.scheduler,
                    scripts=scripts,
                    noted=lambda words: self.note("people", words),
                )
            self.node = Node(self, url)
            self.mishaps = Mishaps(self)
            try:
                self._play()
            finally:
                self._end()

    def close(self) -> None:
        """Remove the files."""
        if self._reader is not None:
            self._reader.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- the course of things ------------------------------------------------------------------------------------

    def _play(self) -> None:
        self.node.start()
        for deed in self.plan.deeds:
            self.scheduler.call_in(deed.at_s, lambda deed=deed: self.node.have_done(deed))  # type: ignore[misc]
        for number, asked in enumerate(self.plan.asked):
            self.scheduler.call_in(asked.at_s, lambda number=number, asked=asked: self._ask(number, asked))  # type: ignore[misc]
        over_s = max([self.mishaps.plan(), *(asked.at_s for asked in self.plan.asked)], default=0.0) + 1.0
        self._wait_until(START_US + round(over_s * US_PER_S))
        self._wait_for_quiet(CALLS_S)
        self.mishaps.end()
        deadline_us = self.scheduler.now_us + round(PATIENCE_S * US_PER_S)
        quiet = False
        while not quiet and self.scheduler.now_us < deadline_us:
            self._wait_for_quiet((deadline_us - self.scheduler.now_us) / US_PER_S)
            self._wait_until(self.scheduler.now_us + round(AFTERWARDS_S * US_PER_S))
            quiet = self._quiet()
        self.finished_us = self.scheduler.now_us

    def _wait_for_quiet(self, patience_s: float) -> None:
        deadline_us = self.scheduler.now_us + round(patience_s * US_PER_S)
        while not self._quiet() and self.scheduler.now_us < deadline_us:
            self._wait_until(self.scheduler.now_us + round(LOOK_S * US_PER_S))

    def _wait_until(self, at_us: int) -> None:
        while self.scheduler.now_us < at_us:
            self.scheduler.sleep(at_us)
            if self.scheduler.failure is not None:
                raise self.scheduler.failure

    def _quiet(self) -> bool:
        """Whether nothing is in progress, as seen from outside.

        What is stopped or frozen has work before it that is not seen yet: what was sent to it meanwhile.
        """
        process = self.node.process
        return not (
            (process is not None and process.stopped)
            or self.asterisk.loop.frozen
            or any(asked in (None, process) for asked in self.asking.values())
            or self.asterisk.switch.channels
            or self.asterisk.switch.bridges
            or self.rows("SELECT 1 FROM request WHERE state IN ('queued', 'dialing', 'talking') LIMIT 1")
            or self.rows("SELECT 1 FROM leg WHERE state != 'settled' LIMIT 1")
        )

    def rows(self, statement: str, *values: object) -> list[Any]:
        """Committed rows, read without product code."""
        if self._reader is None:
            self._reader = sqlite3.connect(
                self.folder / "callback.db", isolation_level=None, check_same_thread=False
            )
            self._reader.row_factory = sqlite3.Row
        return self._reader.execute(statement, values).fetchall()

    def hindered(self, from_us: int, until_us: int) -> bool:
        """Whether the service was hindered between these times: a fault was active, or it was not running."""
        return self.mishaps.active(from_us, until_us)

    def _end(self) -> None:
        """Stop the service like SIGTERM, then kill the remaining processes."""
        self.leftovers: list[str] = []
        self.node.wanted = False
        process, service = self.node.process, self.node.service
        if self.scheduler.failure is None and process is not None and service is not None:
            service.stop()
            end_us = self.scheduler.now_us + 60 * US_PER_S
            while (
                self.scheduler.threads_of(process)
                and self.scheduler.now_us < end_us
                and not self.scheduler.failure
            ):
                self.scheduler.sleep(self.scheduler.now_us + US_PER_S // 2)
            self.leftovers = self.scheduler.threads_of(process)
        failure, self.scheduler.failure = self.scheduler.failure, None
        if self.node.process is not None:
            self.node.kill(0.0)
        self.asterisk.cancel_tasks()
        self.scheduler.sleep(self.scheduler.now_us + US_PER_S)
        if failure is not None:
            raise failure

    # --- people ----------------------------------------------------------------------------------------------------

    def _scripts(self) -> dict[str, Any]:
        theirs = {subscriber.number: subscriber.scripts for subscriber in self.plan.subscribers}
        return theirs | self.plan.friends

    def _ask(self, number: int, asked: Asked) -> None:
        subscriber = self.plan.subscribers[asked.subscriber]
        if asked.trigger == "order" and not subscriber.pin:
            self._order(f"order:{number}", subscriber.number, asked.destination, ASKS_TIMES)
            return
        dnis = (
            dnis_of(asked.subscriber) if asked.trigger == "dnis" else PIN_ACCESS if subscriber.pin else ACCESS
        )
        self.note("people", f"{subscriber.number} rings {dnis}")
        if self.asterisk.up:
            network, switch = self.asterisk.network, self.asterisk.switch
            self.asterisk.soon(lambda: switch.task(self._missed(network.ring(subscriber.number, dnis, 10.0))))

    @staticmethod
    async def _missed(ringing: Any) -> None:
        await ringing

    def _order(self, key: str, number: str, destination: str, tries: int) -> None:
        order = Order(key, "web", number, number, destination, instance="shop", options=self.plan.options)

        def answered(answer: Answer | None) -> None:
            self.note("people", f"{key} is told {answer.reason or 'accepted' if answer else 'nothing'}")
            if answer is not None:
                self.answers[key] = answer
            self.asking.pop(key, None)
            if answer is None and tries > 1:
                self.asking[key] = None
                self.scheduler.call_in(ASKS_AGAIN_S, lambda: self._order(key, number, destination, tries - 1))

        self.note("people", f"{number} orders a call to {destination} ({key})")
        self.asking[key] = self.node.process
        self.node.order(order, answered)

    # --- what is kept from the seed and written down ------------------------------------------------------------

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Make all random choices depend on the seed."""
        ids = random.Random(f"ids {self.plan.seed}")
        state, token_hex = random.getstate(), secrets.token_hex
        random.seed(f"product {self.plan.seed}")
        secrets.token_hex = lambda nbytes=32: ids.randbytes(nbytes or 32).hex()
        try:
            yield
        finally:
            random.setstate(state)
            secrets.token_hex = token_hex

    @contextmanager
    def _logs_noted(self) -> Iterator[None]:
        def capture(_logger: Any, _level: str, line: Any) -> Any:
            event = line.pop("event", "")
            if line.pop("exc_info", None):
                error = sys.exc_info()[1]
                line["error"] = repr(error)
                if not isinstance(error, AriError | StoreUnavailable):
                    self.broken(f"the service stumbles: {event} {error!r}")
            self.note(
                "log", f"{event} " + " ".join(f"{name}={value}" for name, value in sorted(line.items()))
            )
            raise structlog.DropEvent

        processors = structlog.get_config()["processors"]
        before = list(processors)
        processors[:] = [capture]
        structlog.configure(processors=processors)
        try:
            yield
        finally:
            processors[:] = before
            structlog.configure(processors=processors)

    def _note_entry(self, entry: Any) -> None:
        detail = entry.detail
        if entry.kind == "event":
            about = detail.get("channel") or detail.get("peer") or detail.get("bridge") or {}
            extra = detail.get("digit") or detail.get("dialstatus") or about.get("state") or ""
            if entry.name == "ChannelDtmfReceived":
                self.watcher.keyed(about["id"], detail["digit"])
            self.note("event", f"{entry.name} {about.get('id', '')} {extra}".rstrip())
        else:
            words = " ".join(f"{name}={detail[name]}" for name in sorted(detail) if name != "media")
            self.note(entry.kind, f"{entry.name} {words}".rstrip())
