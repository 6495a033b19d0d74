"""A process beside the service, which starts it and ends it: the console must not take time from calls."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

import structlog

from stasis_callback.clock import Clock
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.workers import Worker

log = structlog.get_logger()

LOOK_S = 2.0
END_S = 5.0
"""The process gets so long to end when it is asked to; then it is killed."""


def beside(name: str, command: Sequence[str], wanted: Callable[[], bool], clock: Clock) -> Worker:
    """A worker that keeps a process running as soon as `wanted` says so. The process ends when its input does."""

    def work(worker: Worker) -> None:
        while worker.goes_on and not _is(wanted):
            worker.pause(LOOK_S)
        if worker.goes_on:
            _keep(worker, command, clock)

    return Worker(name, work, clock)


def _is(wanted: Callable[[], bool]) -> bool:
    try:
        return wanted()
    except StoreUnavailable:
        return False


def _keep(worker: Worker, command: Sequence[str], clock: Clock) -> None:
    """Run the process until the worker is stopped. Raises RuntimeError when it ends by itself."""
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            while worker.goes_on:
                if process.poll() is not None:
                    raise RuntimeError(f"the process ended with exit code {process.returncode}, see its log")
                worker.pause(LOOK_S)
        finally:
            _end(process, clock)


def _end(process: subprocess.Popen[bytes], clock: Clock) -> None:
    if process.poll() is None:
        process.terminate()
    until_s, pauses = clock.monotonic_s() + END_S, clock.inbox()
    while process.poll() is None and clock.monotonic_s() < until_s:
        pauses.get(0.05)
    if process.poll() is None:
        log.warning("process.killed", process=process.pid)
        process.kill()
