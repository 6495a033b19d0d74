"""What is around a service: its log, signals and ports, and what is waited for before anything begins.

The order matters. Ports are had first: a process that cannot listen must not have touched a call. The database is
waited for; until it is there the web says so. Last, Asterisk is asked whether another process is connected.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Protocol, TypeVar

import structlog

from stasis_callback import logs
from stasis_callback.ari.client import AriClient
from stasis_callback.ari.errors import AriError
from stasis_callback.clock import Clock, wait_until
from stasis_callback.core.errors import CallbackError, NodeAlive, StoreUnavailable
from stasis_callback.listening import Port, mail_port, web_port
from stasis_callback.settings import Settings
from stasis_callback.store.stores import Stores, open_stores

log = structlog.get_logger()

T = TypeVar("T")

WRONG_SETTINGS, REPLACED, TAKEN = 2, 3, 4
"""Exit codes; deploy/stasis-callback.service knows them, docs/operations.md explains them."""
TAKEN_REASON = (
    "another process is connected to Asterisk with the same application name (ari.app): stop it first, "
    "or use --take-over, which ends it"
)
TAKEN_S = 3.0
"""A process that is just ending gets so long to disconnect."""
TAKE_OVER_S = 30.0
"""A process that was replaced gets so long to end."""
AGAIN_S = 1.0
"""So often what is not to be had is tried again: a database that is away, a port of a process that ends."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What this process listens on; None for what is switched off."""

    web: Port | None
    mail: Port | None

    @classmethod
    def of(cls, settings: Settings, *, only_web: bool) -> Ports:
        """Have them. Raises CallbackError when one cannot be had; the others are given back."""
        web = web_port(settings.web) if settings.web.enabled or only_web else None
        try:
            takes_mails = settings.email.enabled and settings.email.listener != "off" and not only_web
            return cls(web, mail_port(settings.email) if takes_mails else None)
        except CallbackError:
            if web:
                web.close()
            raise

    def close(self) -> None:
        """Give them back."""
        for port in (self.web, self.mail):
            if port:
                port.close()


NO_PORTS = Ports(None, None)


class Runnable(Protocol):
    """What runs in the foreground."""

    def run(self) -> int:
        """Work until stopped; the exit code."""

    def stop(self) -> None:
        """Make `run` return."""

    def taken(self) -> bool:
        """Whether another process does its work already."""


class Process:
    """One run of a service, from its ports to its exit code."""

    def __init__(self, settings: Settings, make: Callable[[Stores, Clock, Ports], Runnable]) -> None:
        self._settings = settings
        self._make = make
        self._clock = Clock()
        self._stopped = self._clock.inbox()
        self._service: Runnable | None = None
        self._away = ""

    def run(self, *, only_web: bool, take_over: bool) -> int:
        """Run it until SIGTERM or SIGINT; the exit code. Raises CallbackError when it cannot begin."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        if take_over:
            self._end_other()
        patience_s = TAKE_OVER_S if take_over else 0.0
        ports = self._again(lambda: Ports.of(self._settings, only_web=only_web), CallbackError, patience_s)
        try:
            with self._made(ports) as service:
                return self._served(service, take_over, patience_s) if service else 0
        finally:
            ports.close()

    def _end_other(self) -> None:
        client = AriClient.of(self._settings.ari)
        try:
            client.replace_others()
        except AriError as error:
            log.warning("service.no_other", reason=str(error))  # it is Asterisk that is away
        finally:
            client.close()

    def _again(self, once: Callable[[], T], error_type: type[Exception], patience_s: float) -> T:
        """What `once` gives; within the patience it is tried again: another process is ending."""
        until_s = self._clock.monotonic_s() + patience_s
        while True:
            try:
                return once()
            except error_type:
                if self._clock.monotonic_s() >= until_s or self._stopped.get(AGAIN_S) is not None:
                    raise

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopped.put("stop")
        if self._service:
            self._service.stop()

    def _served(self, service: Runnable, take_over: bool, patience_s: float) -> int:
        if not take_over and not wait_until(lambda: not service.taken(), timeout_s=TAKEN_S, every_s=0.5):
            log.error("service.not_started", reason=TAKEN_REASON)
            return TAKEN
        self._service = service
        if len(self._stopped):  # before there was anything to stop
            return 0
        log.info("service.started", node=self._settings.node)
        try:
            code = self._again(service.run, NodeAlive, patience_s)  # raised with nothing begun
        except NodeAlive as error:
            log.error("service.not_started", reason=str(error))
            return TAKEN
        log.info("service.stopped", node=self._settings.node)
        return code

    @contextmanager
    def _made(self, ports: Ports) -> Iterator[Runnable | None]:
        """The service over its database, as soon as that can be used; None when the process was stopped before."""
        with ExitStack() as opened:
            try:
                service: Runnable | None = self._tried(ports, opened)
            except StoreUnavailable as error:
                service = self._waited(ports, opened, error)
            yield service

    def _waited(self, ports: Ports, opened: ExitStack, error: StoreUnavailable) -> Runnable | None:
        log.error("database.away", reason=str(error), again_s=AGAIN_S)
        self._away = str(error)
        with self._answering(ports):
            while self._stopped.get(AGAIN_S) is None:
                try:
                    service = self._tried(ports, opened)
                except StoreUnavailable as still:
                    self._away = str(still)
                else:
                    log.info("database.there")
                    return service
        return None

    def _tried(self, ports: Ports, opened: ExitStack) -> Runnable:
        with ExitStack() as attempt:
            stores = open_stores(self._settings.database.url, self._settings.node, self._clock)
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


def run(
    settings: Settings,
    make: Callable[[Stores, Clock, Ports], Runnable],
    *,
    only_web: bool = False,
    take_over: bool = False,
) -> int:
    """Run a service in the foreground until SIGTERM or SIGINT; the exit code."""
    logs.configure(settings.log_format)
    with logs.nothing_beside():
        try:
            return Process(settings, make).run(only_web=only_web, take_over=take_over)
        except CallbackError as error:
            log.error("service.not_started", reason=str(error))
            return WRONG_SETTINGS
