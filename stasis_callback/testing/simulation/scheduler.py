"""Runs one thread at a time, in an order that the seed determines; time only passes when no thread can run.

The threads are real, but only one of them runs, and all others wait. It stops where it waits anyhow (an inbox, a
lock, a response of Asterisk) and where other threads could run in between (a request, a commit). Then the next thread
is drawn among those that can run. If there is none, time jumps to the next timer.

Work without its own thread (the loop of the fake Asterisk, the next step of a phone) is an `Actor` or a timer, and is
done by the running thread.
"""

from __future__ import annotations

import hashlib
import heapq
import threading
from collections.abc import Callable
from random import Random
from typing import Protocol

US_PER_S = 1_000_000
GRAIN_US = 1_000
"""Timers fire on whole milliseconds: that is all that Asterisk's events tell of a time."""

START_US = 1_800_000_000 * US_PER_S
"""When simulations begin: in 2027, at 08:00 UTC."""


BUSY_LIMIT = 50_000
"""Limit of turns without any time passing: more mean a busy loop."""
TURNS_LIMIT = 200_000
"""Limit of turns in total: more mean an endless loop."""


class Killed(BaseException):
    """The process of this thread was killed: the thread must have no further effect."""


class Stuck(Exception):
    """No thread can run and no timer is set: the simulation itself is wrong."""


class Actor(Protocol):
    """Does one step at each of its turns."""

    @property
    def ready(self) -> bool:
        """Whether it has a step to do now."""

    def act(self) -> None:
        """Do one step. Must not wait."""


class Process:
    """The threads of one start of the service, which are killed or stopped together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.stopped = False
        """As by SIGSTOP: its threads do not go on, while time does."""

    def check(self) -> None:
        """Raise Killed in a process that is dead."""
        if self.dead:
            raise Killed


class Thread:
    """A thread of the simulation. `process` is None for the simulation's own."""

    def __init__(self, name: str, process: Process | None) -> None:
        self.name = name
        self.process = process
        self.ready = True
        self.over = False
        self.gate = threading.Lock()
        self.gate.acquire()
        self.wait = 0
        """Counts its waits, so that the timer of an old one wakes nobody."""


class Timer:
    """A function that runs at a set time, unless it is cancelled."""

    __slots__ = ("act", "at_us")

    def __init__(self, at_us: int, act: Callable[[], None]) -> None:
        self.at_us = at_us
        self.act: Callable[[], None] | None = act

    def cancel(self) -> None:
        self.act = None


class Scheduler:
    """Decides which thread runs, and keeps the time. Only `call_at` may be called by other threads."""

    def __init__(self, random: Random) -> None:
        self.now_us = START_US
        self.random = random
        self.stickiness = random.choice((0.0, 0.3, 0.7, 0.9))
        """How likely a thread that could go on does: short and long runs find different races."""
        self.switches = 0
        self._turns = self._all_turns = 0
        self.failure: BaseException | None = None
        self._digest = hashlib.sha256()
        self._main = Thread("main", None)
        self.current = self._main
        self._threads: list[Thread] = [self._main]
        self._actors: list[Actor] = []
        self._timers: list[tuple[int, int, Timer]] = []
        self._serial = 0

    # --- time --------------------------------------------------------------------------------------------------

    def call_at(self, at_us: int, act: Callable[[], None]) -> Timer:
        """Run a function at a time, or now if that is past. It must not wait."""
        at_us = max(-(-at_us // GRAIN_US) * GRAIN_US, self.now_us)
        timer = Timer(at_us, act)
        self._serial += 1
        heapq.heappush(self._timers, (at_us, self._serial, timer))
        return timer

    def call_in(self, seconds: float, act: Callable[[], None]) -> Timer:
        return self.call_at(self.now_us + round(seconds * US_PER_S), act)

    @property
    def digest(self) -> str:
        """A hash of every choice so far."""
        return self._digest.hexdigest()

    # --- threads -----------------------------------------------------------------------------------------------

    def add(self, actor: Actor) -> None:
        """Add an actor that gets turns."""
        self._actors.append(actor)

    def start(self, work: Callable[[], None], name: str, process: Process | None) -> None:
        """A new thread; it gets its first turn like any other."""
        thread = Thread(name, process)

        def run() -> None:
            thread.gate.acquire()
            try:
                if process is not None:
                    process.check()
                work()
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001 - it would vanish with the thread
                self.failure = self.failure or error
            thread.over = True
            self._threads.remove(thread)
            self._hand_over(self._next())

        self._threads.append(thread)
        threading.Thread(target=run, name=f"simulated {name}", daemon=True).start()

    def threads_of(self, process: Process) -> list[str]:
        """The names of the running threads of a process."""
        return [thread.name for thread in self._threads if thread.process is process]

    def give_way(self) -> None:
        """Let the scheduler choose whether another thread runs first. Raises Killed."""
        self._switch()

    def sleep(self, until_us: int | None) -> None:
        """Wait until woken, or until a time. Raises Killed."""
        me = self.current
        me.ready = False
        me.wait += 1
        wait = me.wait
        timer = None if until_us is None else self.call_at(until_us, lambda: self._time_is_up(me, wait))
        try:
            self._switch()
        finally:
            if timer is not None:
                timer.cancel()

    @staticmethod
    def wake(thread: Thread) -> None:
        """Let a sleeping thread continue."""
        thread.ready = True

    @staticmethod
    def _time_is_up(thread: Thread, wait: int) -> None:
        if thread.wait == wait:
            thread.ready = True

    def kill(self, process: Process) -> None:
        """Kill a process: each of its threads ends where it is, before anything else happens."""
        process.dead = True
        process.stopped = False
        for thread in self._threads:
            if thread.process is process:
                thread.ready = True

    # --- the baton ---------------------------------------------------------------------------------------------

    def _switch(self) -> None:
        me = self.current
        if me.process is not None:
            me.process.check()
        following = self._next()
        if following is not me:
            self._hand_over(following)
            me.gate.acquire()
        if me.process is not None:
            me.process.check()

    def _hand_over(self, following: Thread) -> None:
        self.switches += 1
        self.current = following
        following.gate.release()

    def _next(self) -> Thread:
        """Choose the next thread, after running actors and timers that are due."""
        me = self.current
        self._turns += 1
        self._all_turns += 1
        if self._turns > BUSY_LIMIT or self._all_turns > TURNS_LIMIT:
            self.failure = self.failure or Stuck(f"{me.name} is busy without end")
            self._turns = self._all_turns = 0  # raised once: the clean-up afterwards has its own turns
        while True:
            if self.failure is not None:
                self._main.ready = True
                return self._main
            threads = [t for t in self._threads if t.ready]
            dying = next((t for t in threads if t.process is not None and t.process.dead), None)
            if dying is not None:
                return dying
            threads = [t for t in threads if t.process is None or not t.process.stopped]
            if me in threads and self.random.random() < self.stickiness:
                return me
            actors = [actor for actor in self._actors if actor.ready]
            if not threads and not actors:
                self._advance()
                continue
            number = self.random.randrange(len(threads) + len(actors))
            self._digest.update(number.to_bytes(2, "big"))
            if number < len(threads):
                return threads[number]
            self._do(actors[number - len(threads)].act)

    def _advance(self) -> None:
        """Advance the time to the next timer."""
        while self._timers:
            at_us, _, timer = heapq.heappop(self._timers)
            if timer.act is None:
                continue
            if at_us > self.now_us:
                self.now_us, self._turns = at_us, 0
            act, timer.act = timer.act, None
            self._do(act)
            return
        self.failure = Stuck(f"nobody can go on: {[t.name for t in self._threads]}")

    def _do(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - the thread that happens to have the baton is not at fault
            self.failure = self.failure or error
