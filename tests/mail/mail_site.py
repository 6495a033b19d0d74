"""Listener, outbox and desk over a small business and a clock that tests set; no Asterisk behind them."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import structlog
from shop import NOON_US, Shop, open_shop

from stasis_callback.mail.server import MailServer, open_desk
from stasis_callback.settings import EmailSettings, Settings
from stasis_callback.store.accounts.accounts import AccountView

ADDRESS = "callback@calls.example"
ACCOUNT, PASSWORD = "6192345678", "1ak45"
FIRST, SECOND = "442071234567", "447400900123"
SENDER = "ann@people.example"
OURS = "mx.calls.example"
PASS = f"{OURS}; dmarc=pass header.from=people.example"

_numbers = count(1)


def mail(
    *,
    account: str = ACCOUNT,
    secret: str = PASSWORD,
    first: str = FIRST,
    second: str = SECOND,
    body: str | None = None,
    **headers: str | None,
) -> bytes:
    """A mail with a command, as our own mail server delivers it; a header that is None is left out."""
    usual = {
        "Authentication_Results": PASS,
        "From": f"Ann <{SENDER}>",
        "To": ADDRESS,
        "Subject": "call me",
        "Message_ID": f"<{next(_numbers)}@people.example>",
    }
    named = {name.replace("_", "-"): value for name, value in (usual | headers).items() if value is not None}
    text = body if body is not None else f"P {account} {secret} SN {first} DN {second}"
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"{head}\r\n{text}\r\n".encode("utf-8", "surrogateescape")


class MailSite:
    """A running mail server of the service. `log` has its log lines."""

    def __init__(self, shop: Shop, log: list[Any], **email: Any) -> None:
        self.shop = shop
        self.stores = shop.stores
        self.log = log
        self.woken = 0
        usual = {"enabled": True, "port": 0, "authserv_id": OURS, "smtp_port": 9}
        self.settings = Settings(email=EmailSettings(**{**usual, **email}))
        self.server = MailServer(self.settings, shop.stores, shop.clock, self._wake)
        self.desk = open_desk(self.settings, shop.stores, shop.clock)

    def _wake(self) -> None:
        self.woken += 1

    def account(self, number: str = ACCOUNT, password: str = PASSWORD) -> AccountView:
        self.shop.account(number)
        return self.stores.accounts.change(number, password=password)

    def usual(self, **options: str) -> None:
        """One account, and one instance."""
        self.account()
        self.stores.email_instances.add(ADDRESS, options)

    # --- mails --------------------------------------------------------------------------------------------------

    @property
    def address(self) -> tuple[str, int]:
        assert self.server.listener is not None
        return self.server.listener.address

    def lmtp(self, timeout_s: float = 30.0) -> smtplib.SMTP:
        """A connection as the operator's mail server makes it."""
        kind = smtplib.LMTP if self.settings.email.listener == "lmtp" else smtplib.SMTP
        if kind is smtplib.LMTP:
            client: smtplib.SMTP = smtplib.LMTP(*self.address)
            assert client.sock is not None
            client.sock.settimeout(timeout_s)
        else:
            client = smtplib.SMTP(*self.address, timeout=timeout_s)
        client.ehlo()
        return client

    def send(self, raw: bytes, *, to: str = ADDRESS, sender: str = SENDER) -> tuple[int, str]:
        """Deliver one mail; the answer after its data, or the first one that was not good."""
        with self.lmtp() as client:
            for answer in (client.mail(sender), client.rcpt(to)):
                if answer[0] >= 300:
                    return answer[0], answer[1].decode()
            code, words = client.data(raw)
            return code, words.decode()

    def taken(self, raw: bytes, **values: str) -> None:
        """Deliver one mail that has to be answered with 250."""
        code, words = self.send(raw, **values)
        assert code == 250, words

    def raw(self, data: bytes, *, timeout_s: float = 10.0) -> bytes:
        """Send bytes as they are and read until the other side closes or says nothing more."""
        with socket.create_connection(self.address, timeout_s) as connection:
            connection.sendall(data)
            parts = []
            try:
                while part := connection.recv(65_536):
                    parts.append(part)
            except (ConnectionError, TimeoutError):
                pass
            return b"".join(parts)

    # --- what came of them ---------------------------------------------------------------------------------------

    def callbacks(self) -> list[Any]:
        return [row for row in self.shop.rows()["Request"] if row["state"] != "refused"]

    def replies(self) -> list[Any]:
        return self.shop.rows()["EmailReply"]

    def reasons(self) -> list[str]:
        """Why mails were dropped, in order."""
        return [line["reason"] for line in self.log if line["event"] == "mail.dropped"]

    def refused(self) -> list[str]:
        """Why commands were refused, in order."""
        return [line["reason"] for line in self.log if line["event"] == "request.refused"]

    def is_unharmed(self) -> None:
        """A good mail still makes a callback; its numbers are used for nothing else."""
        before = len(self.callbacks())
        if self.stores.accounts.find("42") is None:
            self.account("42")
        self.taken(mail(account="42", first="442079460001", second="442079460002"))
        assert len(self.callbacks()) == before + 1


@contextmanager
def open_mail_site(folder: Path, *, now_us: int = NOON_US, **email: Any) -> Iterator[MailSite]:
    with open_shop(folder, now_us) as shop, structlog.testing.capture_logs() as log:
        site = MailSite(shop, log, **email)
        site.server.start()
        try:
            yield site
        finally:
            site.server.stop()
