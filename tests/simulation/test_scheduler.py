"""The scheduler: one thread at a time, virtual time, and processes that vanish where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from random import Random

import pytest

from stasis_callback.testing.simulation.clock import SimClock
from stasis_callback.testing.simulation.scheduler import US_PER_S, Killed, Process, Scheduler, Stuck


class Stage:
    """A scheduler with one process on it."""

    def __init__(self, seed: int = 1) -> None:
        self.scheduler = Scheduler(Random(seed))
        self.process = Process("service")
        self.clock = SimClock(self.scheduler, self.process)
        self.seen: list[object] = []

    def plays(self, seconds: float = 100.0) -> None:
        """Let virtual time pass."""
        end_us = self.scheduler.now_us + round(seconds * US_PER_S)
        while self.scheduler.now_us < end_us:
            self.scheduler.sleep(end_us)
            if self.scheduler.failure:
                raise self.scheduler.failure

    def ends(self) -> None:
        """End all threads of the process."""
        self.scheduler.kill(self.process)
        self.plays(1.0)
        assert self.scheduler.threads_of(self.process) == []


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.ends()


def test_waiting_takes_virtual_time_only(stage: Stage) -> None:
    def wait() -> None:
        began_s = stage.clock.monotonic_s()
        assert stage.clock.inbox().get(3600.0) is None
        stage.seen.append(stage.clock.monotonic_s() - began_s)

    stage.clock.start_thread(wait, "patient")
    stage.plays(4000.0)
    assert stage.seen == [3600.0]


def test_what_is_put_in_is_got_by_one_of_all_who_wait(stage: Stage) -> None:
    inbox = stage.clock.inbox()
    for n in range(3):
        stage.clock.start_thread(lambda: stage.seen.append(inbox.get(50.0)), f"waiter {n}")
    stage.scheduler.call_in(10.0, lambda: inbox.put("one"))
    stage.scheduler.call_in(20.0, lambda: inbox.put("two"))
    stage.plays()
    assert sorted(str(got) for got in stage.seen) == ["None", "one", "two"]


def test_a_lock_is_one_threads_at_a_time_and_may_be_taken_again_by_it(stage: Stage) -> None:
    lock = stage.clock.lock()
    inside: list[str] = []

    def work(name: str) -> None:
        with lock, lock:
            inside.append(name)
            assert inside == [name]
            stage.clock.inbox().get(1.0)
            inside.remove(name)
            stage.seen.append(name)

    for name in "abc":
        stage.clock.start_thread(partial(work, name), name)
    stage.plays()
    assert sorted(map(str, stage.seen)) == ["a", "b", "c"]


def test_different_seeds_choose_different_orders() -> None:
    orders = set()
    for seed in range(10):
        stage = Stage(seed)
        for name in "abc":
            stage.clock.start_thread(partial(stage.seen.append, name), name)
        stage.plays()
        orders.add("".join(map(str, stage.seen)))
    assert len(orders) > 1


def test_a_killed_process_does_nothing_more_not_even_what_it_would_do_at_the_end(stage: Stage) -> None:
    effects: list[str] = []

    def work() -> None:
        try:
            stage.clock.inbox().get(None)
        finally:
            stage.clock.inbox().get(0)  # where an effect would be: a request, a commit
            effects.append("done after death")

    stage.clock.start_thread(work, "victim")
    stage.scheduler.call_in(5.0, lambda: stage.scheduler.kill(stage.process))
    stage.plays(10.0)
    assert effects == []
    assert stage.scheduler.threads_of(stage.process) == []
    with pytest.raises(Killed):
        stage.clock.start_thread(work, "ghost")


def test_a_stopped_process_stands_still_while_time_goes_on(stage: Stage) -> None:
    def wait() -> None:
        stage.clock.inbox().get(1.0)
        stage.seen.append(stage.clock.monotonic_s())

    stage.clock.start_thread(wait, "stopped")
    stage.plays(0.5)  # it waits by now
    stage.process.stopped = True
    stage.plays(30.0)
    assert stage.seen == []
    stage.process.stopped = False
    stage.plays(1.0)
    assert stage.seen == [30.5]


def test_who_waits_without_waiting_is_found(stage: Stage) -> None:
    def busy() -> None:
        while True:
            stage.clock.inbox().get(0)

    stage.clock.start_thread(busy, "busybody")
    with pytest.raises(Stuck, match="busybody"):
        stage.plays()
    stage.scheduler.failure = None
