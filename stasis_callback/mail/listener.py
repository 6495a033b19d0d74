"""The listener behind the operator's mail server: LMTP (RFC 2033) or SMTP, one recipient for each mail.

A mail is committed before it gets its 250. What is wrong with a mail's content never gets a 5xx: the mail server
would send that on to whoever is written in the envelope, who may have nothing to do with it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from stasis_callback.core.errors import CallbackError
from stasis_callback.crashpoint import crashpoint
from stasis_callback.mail.desk import MailDesk
from stasis_callback.settings import EmailSettings

log = structlog.get_logger()

START_S, STOP_S = 10.0, 10.0
LATER = "451 4.3.0 Not now, please try again"
IDENT = "stasis-callback"

# What an honest mail server never sends (RFC 5321, 2.3.8), and what smuggles a second mail into a first one.
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")


class _Handler:
    """What aiosmtpd calls. Databases and hashes are waited for in threads of their own."""

    def __init__(self, desk: MailDesk, pool: ThreadPoolExecutor) -> None:
        self._desk = desk
        self._pool = pool

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if envelope.rcpt_tos:
            return "452 4.5.3 One recipient for each mail"
        try:
            found = await self._in_thread(self._desk.find, address)
        except Exception as error:  # noqa: BLE001  whatever it is: the mail server keeps the mail
            log.error("mail.put_off", error=type(error).__name__)
            return LATER
        if found is None:
            return "550 5.1.1 There is no such address"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        raw = envelope.original_content or b""
        try:
            if envelope.mail_from in (None, "", "<>"):  # a notification: only the envelope says so
                raw = b"Return-Path: <>\r\n" + raw
            return str(await self._in_thread(self._take, envelope.rcpt_tos[0], raw))
        except Exception as error:  # noqa: BLE001  whatever it is: the mail server keeps the mail
            log.error("mail.put_off", error=type(error).__name__)
            return LATER

    def _take(self, address: str, raw: bytes) -> str:
        crashpoint("mail-data")
        instance = self._desk.find(address)
        if instance is None:
            return "550 5.1.1 There is no such address"
        if _BARE.search(raw):
            log.info("mail.dropped", instance=instance.name, reason="bare_line_end")
        else:
            self._desk.receive(instance, raw)
        return "250 2.0.0 OK"

    async def handle_exception(self, error: Exception) -> str:
        log.error("mail.put_off", error=type(error).__name__)
        return LATER

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)


class Listener:
    """Listens in a thread of its own."""

    def __init__(self, settings: EmailSettings, desk: MailDesk) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="mail")
        self._handler = _Handler(desk, self._pool)
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self.address = (settings.host, settings.port)
        """Host and port; where the settings say any port, the one it has once it listens."""
        self._open: set[asyncio.BaseTransport] = set()
        self._thread = threading.Thread(target=self._serve, name="mail-listener", daemon=True)
        # Its lines have addresses in them, and one for everything that is no SMTP.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)

    def start(self) -> None:
        """Listen. Raises CallbackError when the address cannot be had."""
        self._thread.start()
        try:
            self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(START_S)
        except OSError as error:
            self.stop()
            raise CallbackError(
                f"the mail listener cannot listen: look at email.host and email.port ({error.strerror})"
            ) from None
        self.address = self._server.sockets[0].getsockname()[:2]
        log.info("mail.started", address=":".join(map(str, self.address)), protocol=self._settings.listener)

    def stop(self) -> None:
        """Take no more mails; one that is being decided on is finished, and sent again by the mail server."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)
        self._pool.shutdown()

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(self._session, self._settings.host, self._settings.port)

    def _session(self) -> SMTP:
        kind = _LimitedLMTP if self._settings.listener == "lmtp" else _LimitedSMTP
        session = kind(
            self._handler,
            data_size_limit=self._settings.size_limit_bytes,
            hostname="localhost",
            ident=IDENT,
            timeout=self._settings.timeout_s,
            enable_SMTPUTF8=True,  # or the mail server bounces what was written from such an address
            loop=self._loop,
        )
        session.others, session.limit = self._open, self._settings.connections_limit
        return session

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._close())
        finally:
            self._loop.close()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for transport in list(self._open):
            transport.abort() if isinstance(transport, asyncio.WriteTransport) else transport.close()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class _Limited(SMTP):
    """Counts the connections, and turns away one too many before it costs anything."""

    others: set[asyncio.BaseTransport]
    limit: int
    _refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self.others) >= self.limit:
            self._refused = True
            if isinstance(transport, asyncio.WriteTransport):
                transport.write(b"421 4.3.2 Too many connections\r\n")
            transport.close()
            return
        self.others.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._refused:
            return
        self.others.discard(self.transport)
        super().connection_lost(error)

    def eof_received(self) -> bool | None:
        return None if self._refused else super().eof_received()


class _LimitedSMTP(_Limited):
    pass


class _LimitedLMTP(_Limited, LMTP):
    pass
