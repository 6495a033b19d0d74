"""The environment of a service: log, signals, ports, and waiting for the database before anything starts.

The order matters. Ports are opened first: a process that cannot listen must not have touched a call. Then it waits
for the database, and the web server reports this. It asks Asterisk whether another process is connected. Last, it
takes its place in the database, which it waits for in the same way: a database that can be read may not be written.
"""

from __future__ import annotations

import ctypes
import gc
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Literal, Protocol, TypeVar

import structlog

from stasis_callback import logs
from stasis_callback.ari.client import AriClient
from stasis_callback.ari.errors import AriError
from stasis_callback.clock import Clock, wait_until
from stasis_callback.core.errors import CallbackError, NodeAlive, StoreUnavailable
from stasis_callback.listening import Port, mail_port, metrics_port, web_port
from stasis_callback.settings import Settings
from stasis_callback.store.stores import Patience, Stores, open_stores
from stasis_callback.systemd import Systemd

log = structlog.get_logger()

T = TypeVar("T")
Only = Literal["", "web", "journal"]
"""The part of a service that runs alone, "" for all of it."""

YOUNG_OBJECTS = 10_000
"""So many more objects than before, and the young ones are looked through for cycles (700 by Python's own choice)."""
PR_FUTEX_HASH, PR_FUTEX_HASH_SET_SLOTS = 78, 1
"""`prctl`: in how many places the kernel looks for a thread that is to be woken (Linux 6.17)."""
WAITING_PLACES = 4096
"""A power of two; 64 bytes each. Every live call is a thread that waits."""
WRONG_SETTINGS, REPLACED, TAKEN = 2, 3, 4
"""Exit codes; deploy/stasis-callback.service knows them, docs/operations.md explains them."""
TAKEN_REASON = (
    "another process is connected to Asterisk with the same application name (ari.app): stop it first, "
    "or use --take-over, which ends it"
)
TAKEN_S = 3.0
"""Time for an ending process to disconnect, in seconds."""
TAKE_OVER_S = 30.0
"""Time for a replaced process to end, in seconds."""
AGAIN_S = 1.0
"""Interval of retries for an unavailable database, or the port of a process that is ending, in seconds."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of this process; None for those that are disabled."""

    web: Port | None = None
    mail: Port | None = None
    metrics: Port | None = None

    @classmethod
    def of(cls, settings: Settings, *, only: Only = "") -> Ports:
        """Open the ports. Raises CallbackError if one cannot be opened; the others are closed again."""
        if only == "journal":
            return cls()  # those of the machine are the service's
        takes_mails = settings.email.enabled and settings.email.listener != "off" and not only
        with ExitStack() as opened:

            def keep(port: Port) -> Port:
                opened.callback(port.close)
                return port

            ports = cls(
                keep(web_port(settings.web)) if settings.web.enabled or only else None,
                keep(mail_port(settings.email)) if takes_mails else None,
                keep(metrics_port(settings.metrics)) if settings.metrics.enabled else None,
            )
            opened.pop_all()
        return ports

    def close(self) -> None:
        """Close the ports."""
        for port in (self.web, self.mail, self.metrics):
            if port:
                port.close()


NO_PORTS = Ports()


class Runnable(Protocol):
    """A service that runs in the foreground."""

    def enter(self) -> None:
        """Take its place in the database. Raises NodeAlive when another has it, and StoreUnavailable; then nothing is
        begun, and it may be tried again.
        """

    def run(self) -> int:
        """Run until stopped, after `enter`. Returns the exit code."""

    def stop(self) -> None:
        """Make `run` return."""

    def taken(self) -> bool:
        """Whether another process already does its work."""


class Process:
    """One run of a service, from opening its ports to its exit code."""

    def __init__(self, settings: Settings, make: Callable[[Stores, Clock, Ports], Runnable]) -> None:
        self._settings = settings
        self._make = make
        self._clock = Clock()
        self._systemd = Systemd(self._clock)
        self._patience = Patience(self._clock)
        self._stopped = self._clock.inbox()
        self._service: Runnable | None = None
        self._away = ""

    def run(self, *, only: Only, take_over: bool) -> int:
        """Run it until SIGTERM or SIGINT. Returns the exit code. Raises CallbackError if it cannot start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGUSR1, _say_threads)
        if take_over:
            self._end_other()
        patience_s = TAKE_OVER_S if take_over else 0.0
        ports = self._again(lambda: Ports.of(self._settings, only=only), CallbackError, patience_s)
        self._systemd.ready()
        try:
            with ExitStack() as opened:
                service = self._patiently(lambda: self._made(ports, opened), ports)
                return self._served(service, ports, take_over, patience_s) if service else 0
        finally:
            self._systemd.stopping()
            ports.close()

    def _end_other(self) -> None:
        client = AriClient.of(self._settings.ari)
        try:
            client.replace_others()
        except AriError as error:
            log.warning("service.no_other", reason=str(error))  # Asterisk is not available
        finally:
            client.close()

    def _again(self, once: Callable[[], T], error_type: type[Exception], patience_s: float) -> T:
        """The result of `once`, retried within the time limit, because another process may be ending."""
        until_s = self._clock.monotonic_s() + patience_s
        while True:
            try:
                return once()
            except error_type:
                if self._clock.monotonic_s() >= until_s or self._is_stopped(AGAIN_S):
                    raise

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopped.put("stop")
        if self._service:
            self._service.stop()
        else:
            self._patience.hurry()

    def _is_stopped(self, within_s: float = 0.0) -> bool:
        """Whether it was told to stop, or is told within a number of seconds."""
        if self._stopped.get(within_s) is None:
            return False
        self._stopped.put("stop")  # for who asks next
        return True

    def _served(self, service: Runnable, ports: Ports, take_over: bool, patience_s: float) -> int:
        if not take_over and not wait_until(lambda: not service.taken(), timeout_s=TAKEN_S, every_s=0.5):
            log.error("service.not_started", reason=TAKEN_REASON)
            return TAKEN
        self._service = service
        if self._is_stopped():  # before the service was created
            return 0
        try:
            if not self._patiently(lambda: self._entered(service, patience_s), ports):
                return 0
        except NodeAlive as error:
            if self._is_stopped():
                return 0
            log.error("service.not_started", reason=str(error))
            return TAKEN
        log.info("service.started", node=self._settings.node)
        self._systemd.status(f"node {self._settings.node}")
        _look_for_cycles_seldom()
        _have_places_to_wait()
        code = service.run()
        log.info("service.stopped", node=self._settings.node)
        return code

    def _entered(self, service: Runnable, patience_s: float) -> bool:
        self._again(service.enter, NodeAlive, patience_s)
        return True

    def _patiently(self, once: Callable[[], T], ports: Ports) -> T | None:
        """What `once` gives, as soon as the database is available; None if the process was stopped before."""
        try:
            return once()
        except StoreUnavailable as error:
            self._away = str(error)
        if self._is_stopped():
            return None
        log.error("database.away", reason=self._away, again_s=AGAIN_S)
        self._systemd.status(f"waiting for the database: {self._away}")
        with self._answering(ports):
            while not self._is_stopped(AGAIN_S):
                try:
                    done = once()
                except StoreUnavailable as still:
                    self._away = str(still)
                else:
                    log.info("database.there")
                    return done
        return None

    def _made(self, ports: Ports, opened: ExitStack) -> Runnable:
        """The service, with its database open. It is closed with `opened`."""
        with ExitStack() as attempt:
            fraud = self._settings.fraud
            stores = open_stores(
                self._settings.database.url,
                self._settings.node,
                self._clock,
                fraud.budgets,
                fraud.alarms,
                self._patience,
            )
            attempt.callback(stores.database.close)
            service = self._make(stores, self._clock, ports)
            opened.push(attempt.pop_all())
        return service

    @contextmanager
    def _answering(self, ports: Ports) -> Iterator[None]:
        """Serve an explanation on the web until the database is available."""
        if ports.web is None:
            yield
            return
        from stasis_callback.web.waiting import waiting

        server = waiting(self._settings.web, self._clock, lambda: f"waiting for the database: {self._away}")
        server.start(ports.web)
        try:
            yield
        finally:
            server.stop()


def _look_for_cycles_seldom() -> None:
    """Python stops everything while it looks through all objects for cycles: 0.2 s with a thousand live calls.

    What is loaded now stays, and need not be looked at. What a look at all channels makes for a moment must not
    count as old, which has everything looked through.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def _have_places_to_wait() -> None:
    """Linux has as many places where threads wait as suit the processors: 16 with two of them, so that of 2,000 calls
    125 are looked through for each that is woken. Nothing to be done before 6.17, which has 256 for each processor.
    """
    with suppress(OSError, AttributeError):  # no such function of the C library
        ctypes.CDLL(None).prctl(PR_FUTEX_HASH, PR_FUTEX_HASH_SET_SLOTS, ctypes.c_ulong(WAITING_PLACES), 0, 0)


def _say_threads(_signal: int, _frame: FrameType | None) -> None:
    """Log what every thread is doing, for a process that seems to hang: `kill -USR1`."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        stack = "".join(traceback.format_stack(frame))
        log.info("process.thread", thread=names.get(ident, str(ident)), stack=stack)


def run(
    settings: Settings,
    make: Callable[[Stores, Clock, Ports], Runnable],
    *,
    only: Only = "",
    take_over: bool = False,
) -> int:
    """Run a service in the foreground until SIGTERM or SIGINT. Returns the exit code."""
    logs.configure(settings.log_format, settings.log_level)
    with logs.nothing_beside():
        try:
            return Process(settings, make).run(only=only, take_over=take_over)
        except CallbackError as error:
            log.error("service.not_started", reason=str(error))
            return WRONG_SETTINGS
