"""The console on a socket, over a small business and a clock that tests set; operators with browsers of their own."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import unescape
from itertools import count
from pathlib import Path
from typing import Any

import pyotp
import requests
from shop import NOON_US, Shop, open_shop

from stasis_callback import __main__  # noqa: F401 - registers `run`
from stasis_callback.clock import US_PER_S
from stasis_callback.console.app import Console
from stasis_callback.console.server import as_web
from stasis_callback.listening import Port
from stasis_callback.settings import ConsoleSettings
from stasis_callback.web.serving import Serving

_forms = count(1)
PASSWORD = "correct horse battery"
ROLES = ("viewer", "support", "manager", "owner")
BOOKKEEPING = ("ConsoleSession", "ConsoleUser", "ConsoleForm", "Allowance")
"""Tables in which signing in and looking leave traces, which are no changes of the business."""


class Operator:
    """One operator's browser, without scripts."""

    def __init__(self, site: ConsoleSite, name: str, key: str) -> None:
        self.site, self.name, self.key = site, name, key
        self.http = requests.Session()
        self._tokens: dict[str, str] = {}

    def code(self) -> str:
        """The next code of their authenticator: time passes, because each is good once."""
        self.site.shop.clock.passes(30)
        return pyotp.TOTP(self.key).at(self.site.shop.clock.at_us // US_PER_S)

    def get(self, path: str, **values: Any) -> requests.Response:
        return self.http.get(self.site.base + path, allow_redirects=False, timeout=30, **values)

    def post(self, path: str, fields: Mapping[str, Any], **values: Any) -> requests.Response:
        return self.http.post(
            self.site.base + path, data=dict(fields), allow_redirects=False, timeout=30, **values
        )

    def token(self) -> str:
        """What the forms of this browser bring along; it belongs to the session."""
        session = str(self.http.cookies.get("console"))
        if session not in self._tokens:
            self._tokens = {session: hidden(self.get("/me").text, "form_token")}
        return self._tokens[session]

    def sign_in(self, password: str = PASSWORD, code: str = "") -> requests.Response:
        page = self.get("/sign-in")
        fields = {"form_token": hidden(page.text, "form_token"), "name": self.name, "password": password}
        return self.post("/sign-in", fields | {"code": code or self.code()})

    @property
    def is_in(self) -> bool:
        return self.get("/me").status_code == 200

    def does(
        self, command: str, files: Mapping[str, Any] | None = None, /, **fields: str
    ) -> requests.Response:
        """Send the form of a command, as its page has it. `__` in a name is a dot."""
        known = {"form_token": self.token(), "key.form": f"form-{next(_forms)}"}
        typed = {name.replace("__", "."): text for name, text in fields.items()}
        return self.post("/do/" + command.replace(" ", "/"), known | typed, files=files)


class ConsoleSite:
    """A running console. `operators` has one of each role, by the name of it."""

    def __init__(self, shop: Shop, **console: Any) -> None:
        self.shop = shop
        self.settings = ConsoleSettings(**console)
        self.console = Console(self.settings, shop.stores, shop.clock)
        self._port = Port("127.0.0.1", 0, what="the console", settings="console.port")
        self._serving = Serving(self.console.asgi, as_web(self.settings), shop.clock)
        self.base = "http://" + ":".join(map(str, self._port.address))
        self.operators: dict[str, Operator] = {}

    def start(self) -> None:
        self._serving.start(self._port)

    def stop(self) -> None:
        for operator in self.operators.values():
            operator.http.close()
        self._serving.stop()
        self._port.close()

    def operator(self, role: str, name: str = "") -> Operator:
        """An operator of this role, who is signed in."""
        name = name or role
        if name not in self.operators:
            key = self.shop.stores.operators.add(name, role, PASSWORD)
            self.operators[name] = Operator(self, name, key)
            assert self.operators[name].sign_in().headers["location"] == "/"
        return self.operators[name]

    def business(self) -> dict[str, Any]:
        """All rows but those of signing in."""
        return {name: rows for name, rows in self.shop.rows().items() if name not in BOOKKEEPING}

    def raw(self, head: str) -> bytes:
        """Send a request as it is; all that is answered."""
        host, _, port = self.base.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), 20) as connection:
            connection.sendall(head.encode())
            parts = []
            while part := connection.recv(65_536):
                parts.append(part)
        return b"".join(parts)


def hidden(html: str, name: str) -> str:
    """The value of a hidden field; "" if there is none."""
    found = re.search(rf'name="{re.escape(name)}" value="([^"]*)"', html)
    return unescape(found[1]) if found else ""


@contextmanager
def open_console(
    folder: Path, monkeypatch: Any, now_us: int = NOON_US, **console: Any
) -> Iterator[ConsoleSite]:
    with open_shop(folder, now_us) as shop:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("STASIS_CALLBACK_DATABASE__URL", shop.url)
        monkeypatch.setenv("STASIS_CALLBACK_ARI__URL", "http://127.0.0.1:9")
        site = ConsoleSite(shop, **console)
        site.start()
        try:
            yield site
        finally:
            site.stop()
