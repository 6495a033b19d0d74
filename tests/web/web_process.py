"""The web server alone, for a process that is killed: it loads nothing of the tests, so that it starts quickly."""

from __future__ import annotations

from pydantic import SecretStr

from stasis_callback.clock import Clock, Inbox
from stasis_callback.monitoring.monitor import Monitor
from stasis_callback.settings import DatabaseSettings, Settings, WebSettings
from stasis_callback.store.stores import open_stores
from stasis_callback.web.server import WebServer
from stasis_callback.workers import Workers


def serve_web(url: str, port: int, secret: str) -> None:
    """Run the web server of the service until it is killed."""
    clock = Clock()
    stores = open_stores(url, "node1", clock)
    web = WebSettings(enabled=True, port=port, secret=SecretStr(secret))
    workers = Workers()
    monitor = Monitor(DatabaseSettings(url=url), stores, clock, workers, trouble=lambda: "")
    monitor.start()
    WebServer(
        Settings(web=web),
        stores,
        clock,
        wake_dialer=lambda: None,
        end_call=stores.requests.cancel,
        monitor=monitor,
        workers=workers,
    ).start()
    Inbox[None]().get(None)
