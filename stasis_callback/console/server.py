"""The console's process: its database, its port, and its end together with the process that started it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

import structlog

from stasis_callback import logs
from stasis_callback.clock import Clock, Inbox
from stasis_callback.console.app import Console
from stasis_callback.core.web import parse_networks
from stasis_callback.listening import Port
from stasis_callback.settings import ConsoleSettings, Settings, WebSettings
from stasis_callback.store.stores import open_stores
from stasis_callback.web.serving import Serving
from stasis_callback.workers import Worker, Workers, regularly

log = structlog.get_logger()

TIDY_S = 600.0
CONNECTIONS_LIMIT = 200


def serve(settings: Settings, *, with_parent: bool) -> int:
    """Serve the console until SIGTERM or SIGINT; the exit code. Raises CallbackError if it cannot start.

    `with_parent`: until standard input ends, which it does with the process at its other end, however that ends.
    """
    logs.configure(settings.log_format, settings.log_level)
    clock = Clock()
    stopped: Inbox[str] = clock.inbox()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopper(stopped))
    port = console_port(settings.console)
    fraud = settings.fraud
    stores = open_stores(settings.database.url, "console", clock, fraud.budgets, fraud.alarms)
    try:
        stores.database.check_schema()
        console = Console(settings.console, stores, clock)
        serving = Serving(console.asgi, as_web(settings.console), clock)
        tidy = Worker("console-tidy", regularly(TIDY_S, console.visits.close_old), clock)
        if with_parent:
            clock.start_thread(lambda: _until_parent_ends(stopped), "parent")
        workers = Workers()
        workers.add(serving.worker, tidy)
        serving.start(port)
        tidy.start()
        log.info("console.started", address=":".join(map(str, port.address)))
        while stopped.get(5.0) is None:
            workers.revive()
        serving.stop()
        tidy.stop()
    finally:
        port.close()
        stores.database.close()
    log.info("console.stopped")
    return 0


def console_port(console: ConsoleSettings) -> Port:
    """The port of the console. Raises CallbackError."""
    return Port(
        console.address, console.port, what="the console", settings="console.address and console.port"
    )


def as_web(console: ConsoleSettings) -> WebSettings:
    """What a web server is told about its connections. Raises InvalidInput for addresses that are none."""
    parse_networks("setting console.trusted_proxies", console.trusted_proxies)
    return WebSettings(
        trusted_proxies=console.trusted_proxies,
        tls_certificate=console.tls_certificate,
        tls_key=console.tls_key,
        connections_limit=CONNECTIONS_LIMIT,
    )


def _stopper(stopped: Inbox[str]) -> Callable[[int, FrameType | None], None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.put("stop")

    return stop


def _until_parent_ends(stopped: Inbox[str]) -> None:
    while sys.stdin.buffer.read(1):
        pass
    stopped.put("stop")
