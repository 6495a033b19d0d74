"""Background threads: begun again after a failure, well again after a while, and stopped when asked."""

from __future__ import annotations

import threading

import pytest

from stasis_callback.clock import Clock, wait_until
from stasis_callback.workers import Pool, Worker, Workers


class Restless(Clock):
    """A clock with short waits, which can refuse to start threads."""

    threads_left = 1_000

    def start_thread(self, work: object, name: str) -> None:
        if not self.threads_left:
            raise RuntimeError("can't start new thread")
        self.threads_left -= 1
        super().start_thread(work, name)  # type: ignore[arg-type]


def test_a_worker_that_fails_says_so_and_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stasis_callback.workers.FIRST_PAUSE_S", 0.05)
    begun = threading.Semaphore(0)

    def work(worker: Worker) -> None:
        begun.release()
        if worker.restarts < 2:
            raise OSError("the log's disk is full")
        worker.pause(None)

    worker = Worker("errand", work, Clock())
    worker.start()
    for _ in range(3):
        assert begun.acquire(timeout=10)
    assert worker.trouble() == "errand failed: the log's disk is full"
    assert worker.restarts == 2
    assert worker.stop()
    assert worker.trouble() == ""


def test_a_worker_is_well_again_when_it_has_run_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stasis_callback.workers.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("stasis_callback.workers.WELL_AGAIN_S", 0.1)

    def work(worker: Worker) -> None:
        if not worker.restarts:
            raise ValueError("once")
        worker.pause(None)

    worker = Worker("errand", work, Clock())
    worker.start()
    assert wait_until(lambda: worker.restarts == 1 and worker.trouble() == "", timeout_s=10)
    assert worker.stop()


def test_a_thread_that_could_not_be_started_is_reported_and_started_later() -> None:
    clock = Restless()
    clock.threads_left = 0
    worker = Worker("errand", lambda worker: worker.pause(None), clock)
    workers = Workers()
    workers.add(worker)
    with pytest.raises(RuntimeError, match="thread"):
        worker.start()
    assert workers.troubles() == ["errand is not running"]
    clock.threads_left = 1
    workers.revive()
    assert workers.troubles() == []
    assert worker.stop()


def test_many_wake_ups_end_one_pause() -> None:
    rounds = threading.Semaphore(0)

    def work(worker: Worker) -> None:
        while worker.goes_on:
            rounds.release()
            worker.pause(None)

    worker = Worker("errand", work, Clock())
    for _ in range(5):
        worker.wake()
    worker.start()
    assert rounds.acquire(timeout=10)
    assert rounds.acquire(timeout=10)
    assert not rounds.acquire(timeout=0.1)
    assert worker.stop()


def test_a_pool_goes_on_after_a_task_that_failed() -> None:
    pool = Pool("errands", 2, Clock())
    done = threading.Semaphore(0)

    def fails() -> None:
        raise ValueError("a bad task")

    pool.start()
    for _ in range(4):
        pool.submit(fails)
    pool.submit(done.release)
    assert done.acquire(timeout=10)
    pool.stop()
    assert not any(worker.trouble() for worker in pool.workers)
