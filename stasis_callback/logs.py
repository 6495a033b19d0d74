"""Logging: one event name and its ids per line, for people or as JSON. Numbers are masked where they are logged.

Logging never blocks. A line is written immediately if possible; otherwise (the reader of the pipe is stopped or gone,
the disk is full) it is buffered, up to a limit, for a thread that retries. Lines above the limit are dropped and
counted; their number is logged once writing works again.
"""

from __future__ import annotations

import atexit
import io
import logging
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TextIO, cast

import structlog

from stasis_callback.clock import Clock, wait_until
from stasis_callback.workers import Worker

log = structlog.get_logger()

WAITING_LIMIT_BYTES = 1 << 20
AGAIN_S = 0.2
"""Interval of retries for buffered lines, in seconds."""
AT_EXIT_S = 2.0
"""Maximum wait for buffered lines at the end of the process, in seconds."""


class Outlet:
    """Writes lines to a descriptor that may be full, slow, or closed at the other end. `write` never blocks.

    One thread writes at a time, and only as much as there is room for (a pipe that polls as writable takes PIPE_BUF
    bytes without waiting). Lines that find another one waiting, or being written, queue behind it.
    """

    def __init__(self, descriptor: int, clock: Clock, say_dropped: Callable[[int], None]) -> None:
        """`say_dropped` is called with the number of lines that were dropped, once writing works again."""
        self._descriptor = descriptor
        self._say_dropped = say_dropped
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)
        self._lock = (
            clock.lock()
        )  # guards what follows, for an instant: never held while something is written
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._writing = False
        self._gap = 0
        self.dropped = 0
        """Lines dropped since the start."""
        self.worker = Worker("log", self._work, clock)

    def write(self, line: str) -> None:
        """Accept a line including its line end, without blocking."""
        data = line.encode(errors="backslashreplace")
        with self._lock:
            at_once = not self._writing and not self._waiting
            if at_once:
                self._writing = True
            else:
                self._queue(data)
        if not (at_once and self._wrote(data)) or self._waiting:
            with suppress(RuntimeError):  # no thread left: the next line tries again
                self.worker.start()
            self.worker.wake()

    def drain(self, timeout_s: float) -> bool:
        """Write the buffered lines; False if that was not possible within `timeout_s`."""
        return wait_until(self._drained, timeout_s=timeout_s)

    def _queue(self, data: bytes) -> None:
        # After a dropped line, all lines are dropped until the buffer is empty: one gap instead of scattered losses.
        if self._gap or self._waiting_bytes + len(data) > WAITING_LIMIT_BYTES:
            self._gap += 1
            self.dropped += 1
        else:
            self._waiting.append(data)
            self._waiting_bytes += len(data)

    def _wrote(self, data: bytes) -> bool:
        """Write as much as possible and keep the rest. Returns whether everything was written."""
        with suppress(OSError):  # no reader (EPIPE), no space (ENOSPC): retried
            while data and self._room.poll(0):
                data = data[os.write(self._descriptor, data[: select.PIPE_BUF]) :]
        with self._lock:
            self._writing = False
            if data:
                self._waiting.appendleft(data)
                self._waiting_bytes += len(data)
        return not data

    def _drained(self) -> bool:
        """Write buffered lines as far as possible. Returns whether neither lines nor an unreported gap remain."""
        while True:
            with self._lock:
                if self._writing:
                    return False
                if not self._waiting:
                    gap, self._gap = self._gap, 0
                    break
                data = self._waiting.popleft()
                self._waiting_bytes -= len(data)
                self._writing = True
            if not self._wrote(data):
                return False
        if gap:
            self._say_dropped(gap)
        return not gap

    def _work(self, worker: Worker) -> None:
        while worker.goes_on:
            worker.pause(None if self._drained() else AGAIN_S)


class _Lines:
    """The logger that gets rendered lines of any level from structlog."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def msg(self, line: str) -> None:
        self._outlet.write(line + "\n")

    debug = info = warning = error = critical = exception = msg


class _Stray(io.TextIOBase):
    """A replacement for `sys.stderr`: output becomes log lines."""

    def __init__(self) -> None:
        self._lock = Clock().lock()
        self._begun = ""

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.strip():
                log.warning("stderr", text=line)
        return len(text)


_outlet: Outlet | None = None
LEVELS = ("info", "warning", "error")
"""What `log_level` may be, the least severe first."""
_watchers: list[Callable[[str, Mapping[str, Any]], None]] = []


def watch(note: Callable[[str, Mapping[str, Any]], None]) -> None:
    """From now on, call `note` with the level and fields of each event, in the thread that logs it: it must not wait.

    It is given the events that `log_level` leaves out, too. Not those of the standard library.
    """
    _watchers.append(note)


def unwatch(note: Callable[[str, Mapping[str, Any]], None]) -> None:
    """No longer call `note`."""
    _watchers.remove(note)


def _watched(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for note in _watchers:
        with suppress(Exception):  # logging never stops work, and counting does not either
            note(event["level"], event)
    return event


def _from(level: str) -> structlog.types.Processor:
    """Leave out what is less than `level`."""
    below = LEVELS[: LEVELS.index(level)]

    def kept(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if event["level"] in below:
            raise structlog.DropEvent
        return event

    return kept


def configure(log_format: str, log_level: str = "info") -> Outlet:
    """Send structlog's and the standard library's lines to standard error, as `text` or `json`.

    Events below `log_level` (info, warning, error) are not written.
    """
    global _outlet
    if _outlet is None:
        _outlet = Outlet(_standard_error(), Clock(), lambda count: log.error("log.dropped", count=count))
        atexit.register(_outlet.drain, AT_EXIT_S)
    outlet = _outlet
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer(default=str)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=os.isatty(2))
    )
    usual: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.types.Processor] = [structlog.processors.format_exc_info, _surely(renderer)]
    structlog.configure(
        processors=[structlog.processors.add_log_level, _watched, _from(log_level), *usual, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Lines(outlet),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(outlet)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.processors.add_log_level, *usual, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    return outlet


def lines_dropped() -> int:
    """The number of lost lines of this process."""
    return _outlet.dropped if _outlet else 0


def silence() -> None:
    """Disable logging, for commands that print their own messages."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@contextmanager
def nothing_beside() -> Iterator[None]:
    """Log everything that would be printed to standard error: tracebacks of threads, output of libraries.

    Printing could block or fail there, and would not be JSON.
    """
    before = sys.stderr, sys.excepthook, threading.excepthook, sys.unraisablehook
    sys.stderr = cast(TextIO, _Stray())
    logging.captureWarnings(True)
    sys.excepthook = lambda kind, error, traceback: _fault("process.failed", kind, error, traceback)
    threading.excepthook = lambda args: _fault(
        "thread.failed",
        args.exc_type,
        args.exc_value,
        args.exc_traceback,
        thread=args.thread.name if args.thread else "",
    )
    sys.unraisablehook = lambda args: _fault(
        "cleanup.failed", args.exc_type, args.exc_value, args.exc_traceback, object=repr(args.object)
    )
    try:
        yield
    finally:
        logging.captureWarnings(False)
        sys.stderr, sys.excepthook, threading.excepthook, sys.unraisablehook = before


def _fault(
    event: str,
    kind: type[BaseException],
    error: BaseException | None,
    traceback: TracebackType | None,
    **ids: str,
) -> None:
    log.error(event, exc_info=(kind, error or kind(), traceback), **ids)


def _standard_error() -> int:
    """A duplicate descriptor for standard error; the null device if the process was started without one.

    Otherwise the next opened file would get number 2, and the lines meant for standard error.
    """
    if sys.stderr is not None:
        with suppress(OSError):
            return os.dup(2)
    null = os.open(os.devnull, os.O_RDWR)
    try:
        os.fstat(2)
    except OSError:
        os.dup2(null, 2)
    return null


def _surely(render: structlog.types.Processor) -> structlog.types.Processor:
    """Render a line; if that fails, because a value cannot be converted to text, render a line that says so."""

    def rendered(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        safe = {name: str(event.get(name, "")) for name in ("event", "level", "timestamp")}
        try:
            return render(logger, method, event)
        except Exception as error:  # noqa: BLE001  anything that the value's own code raises
            return render(logger, method, safe | {"not_shown": type(error).__name__})

    return rendered
