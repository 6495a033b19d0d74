"""The web server on a socket, over a small business and a clock that tests set; no Asterisk behind it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from pydantic import SecretStr
from shop import Shop, open_shop

from stasis_callback.monitoring.monitor import Monitor
from stasis_callback.settings import DatabaseSettings, Settings, WebSettings
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.web.server import WebServer
from stasis_callback.workers import Workers

SECRET = "a secret of tests, long enough to be one"
ACCOUNT, PASSWORD = "6192345678", "1ak45"
FIRST, SECOND = "+44 20 7123 4567", "+447400900123"
FIRST_E164, SECOND_E164 = "442071234567", "447400900123"
HELP_DESK = "442079460958"


class Site:
    """A running web server. `ended` has the callbacks that were to be ended in Asterisk."""

    def __init__(self, shop: Shop, **web: Any) -> None:
        self.shop = shop
        self.stores = shop.stores
        self.ended: list[str] = []
        self.woken = 0
        self.trouble = ""
        self.workers = Workers()
        self.http = requests.Session()
        self.settings = Settings(
            database=DatabaseSettings(url=shop.url, free_limit_mb=0),
            web=WebSettings(**{"enabled": True, "port": free_port(), "secret": SecretStr(SECRET), **web}),
        )
        self.monitor = Monitor(
            self.settings.database, shop.stores, shop.clock, self.workers, trouble=lambda: self.trouble
        )
        self.server = WebServer(
            self.settings,
            shop.stores,
            shop.clock,
            wake_dialer=self._wake,
            end_call=self._end,
            monitor=self.monitor,
            workers=self.workers,
        )

    def _wake(self) -> None:
        self.woken += 1

    def _end(self, request_id: str) -> bool:
        self.ended.append(request_id)
        return self.stores.requests.cancel(request_id)

    # --- the business -----------------------------------------------------------------------------------------

    def account(self, number: str = ACCOUNT, password: str = PASSWORD) -> AccountView:
        self.shop.account(number)
        return self.stores.accounts.change(number, password=password)

    def instance(self, name: str = "calls", kind: str = "extended", **options: str) -> None:
        defaults = {
            "simple": {"second_number": HELP_DESK},
            "extended": {},
            "hosted": {"second_number": HELP_DESK, "internal_account": "house"},
        }
        if kind == "hosted" and self.stores.accounts.find("house") is None:
            self.shop.account("house")
        self.stores.web_instances.add(name, {"type": kind, **defaults[kind], **options})

    def usual(self, **options: str) -> None:
        """One account, and an extended instance."""
        self.account()
        self.instance(**options)

    # --- requests ---------------------------------------------------------------------------------------------

    @property
    def base(self) -> str:
        return f"http://{self.server.app_address}"

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.server.app_address.partition(":")
        return host, int(port)

    def get(self, path: str, **values: Any) -> requests.Response:
        return self.http.get(self.base + path, allow_redirects=False, timeout=20, **values)

    def send(
        self, name: str = "calls", headers: Mapping[str, str] | None = None, **fields: str
    ) -> requests.Response:
        """Send the form as a program does; fields named "" are left out."""
        values = {"account": ACCOUNT, "password": PASSWORD, "first_number": FIRST, "second_number": SECOND}
        data = {name: text for name, text in (values | fields).items() if text != ""}
        return self.http.post(
            f"{self.base}/web/{name}", data, allow_redirects=False, timeout=20, headers=dict(headers or {})
        )

    def api(self, method: str, path: str, key: str = "", **values: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        headers |= values.pop("headers", {})
        return self.http.request(
            method, f"{self.base}/api/v1{path}", headers=headers, allow_redirects=False, timeout=30, **values
        )

    def key(self, *scopes: str, instance: str = "", name: str = "program") -> str:
        return self.stores.api_keys.add(name, scopes or ("create", "status", "cancel", "list"), instance)

    def raw(self, data: bytes, *, timeout_s: float = 15.0) -> bytes:
        """Send bytes as they are and read until the server closes."""
        with socket.create_connection(self.address, timeout_s) as connection:
            connection.sendall(data)
            return received(connection)

    def callbacks(self) -> list[Any]:
        """What was accepted, in no order."""
        return [row for row in self.shop.rows()["Request"] if row["state"] != "refused"]


def received(connection: socket.socket) -> bytes:
    """What comes until the other side closes; all there is when it breaks off or says nothing more."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except (ConnectionError, TimeoutError):
        pass
    return b"".join(parts)


def hidden(html: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', html)
    assert found, html
    return found[1]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def open_site(folder: Path, **web: Any) -> Iterator[Site]:
    with open_shop(folder) as shop:
        site = Site(shop, **web)
        site.monitor.start()
        site.server.start()
        try:
            yield site
        finally:
            site.http.close()
            site.server.stop()
            site.monitor.stop()
