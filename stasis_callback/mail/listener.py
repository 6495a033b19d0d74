"""The listener behind the operator's mail server: LMTP (RFC 2033) or SMTP, one recipient for each mail.

A mail is committed before it gets its 250. What is wrong with a mail's content never gets a 5xx: the mail server
would bounce it to the envelope sender, who may be forged.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from stasis_callback.clock import Clock
from stasis_callback.core.words import Dropped
from stasis_callback.crashpoint import crashpoint
from stasis_callback.listening import Port, mail_port
from stasis_callback.mail.desk import MailDesk
from stasis_callback.settings import EmailSettings
from stasis_callback.workers import Pool, Worker

log = structlog.get_logger()

STOP_S = 10.0
ROUNDS, ROUND_S = 20, 0.1
LATER = "451 4.3.0 Not now, please try again"
IDENT = "stasis-callback"

T = TypeVar("T")

# What an honest mail server never sends (RFC 5321, 2.3.8), and what smuggles a second mail into a first one.
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")


class _Handler:
    """What aiosmtpd calls. Databases and hashes are waited for in threads of their own."""

    def __init__(self, desk: MailDesk, pool: Pool) -> None:
        self._desk = desk
        self._pool = pool

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if envelope.rcpt_tos:
            return "452 4.5.3 One recipient for each mail"
        try:
            found = await self._in_thread(self._desk.find, address)
        except Exception as error:  # noqa: BLE001  on any error the mail server keeps the mail
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
            return str(await self._in_thread(self._receive, envelope.rcpt_tos[0], raw))
        except Exception as error:  # noqa: BLE001  on any error the mail server keeps the mail
            log.error("mail.put_off", error=type(error).__name__)
            return LATER

    def _receive(self, address: str, raw: bytes) -> str:
        crashpoint("mail-data")
        instance = self._desk.find(address)
        if instance is None:
            return "550 5.1.1 There is no such address"
        if _BARE.search(raw):
            log.info("mail.dropped", instance=instance.name, reason=Dropped.BARE_LINE_END)
        else:
            self._desk.receive(instance, raw)
        return "250 2.0.0 OK"

    async def handle_exception(self, error: Exception) -> str:
        log.error("mail.put_off", error=type(error).__name__)
        return LATER

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def answer(set_it: Callable[..., None], value: object) -> None:
            if not done.done():  # the connection may be gone
                set_it(value)

        def task() -> None:
            try:
                result = function(*arguments)
            except Exception as error:  # noqa: BLE001  it is raised where it is waited for
                _tell(loop, answer, done.set_exception, error)
            else:
                _tell(loop, answer, done.set_result, result)

        self._pool.submit(task)
        return await done


def _tell(loop: asyncio.AbstractEventLoop, *call: Any) -> None:
    with suppress(RuntimeError):  # the loop has ended meanwhile: nobody waits any more
        loop.call_soon_threadsafe(*call)


class Listener:
    """The mail listener, in its own thread."""

    def __init__(
        self, settings: EmailSettings, desk: MailDesk, clock: Clock, port: Port | None = None
    ) -> None:
        """`port` is there already, or made at the start."""
        self._settings = settings
        self._pool = Pool("mail", settings.threads, clock)
        self._handler = _Handler(desk, self._pool)
        self._port = port
        self._end: Callable[[], object] = lambda: None
        self._open: set[asyncio.BaseTransport] = set()
        self._worker = Worker("mail-listener", self._work, clock)
        self.workers = [self._worker, *self._pool.workers]
        # Its log lines contain addresses, and there is one for everything that is not SMTP.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, once it is listening."""
        assert self._port is not None
        return self._port.address

    def start(self) -> None:
        """Take mails. Raises CallbackError when the port cannot be had."""
        self._port = self._port or mail_port(self._settings)
        self._pool.start()
        self._worker.start()
        log.info("mail.started", address=":".join(map(str, self.address)), protocol=self._settings.listener)

    def stop(self) -> None:
        """Take no more mails; one that is being decided on is finished, and sent again by the mail server."""
        self._worker.ask_to_stop()
        self._end()
        self._worker.stop(STOP_S)
        self._pool.stop(STOP_S)
        if self._port is not None:
            self._port.close()

    def _work(self, worker: Worker) -> None:
        asyncio.run(self._serve(worker))

    async def _serve(self, worker: Worker) -> None:
        assert self._port is not None
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        sockets = self._port.copies()
        servers = [await loop.create_server(self._session, sock=one) for one in sockets]
        self._end = lambda: _tell(loop, over.set)
        try:
            if worker.goes_on:
                await over.wait()
        finally:
            # A server that is closed forgets connections which are being accepted: first no more are accepted.
            for one in sockets:
                loop.remove_reader(one)
            await self._hang_up()
            for server in servers:
                server.close()

    async def _hang_up(self) -> None:
        """End every connection, those that were accepted a moment ago too."""
        for _ in range(ROUNDS):
            for transport in list(self._open):
                transport.abort() if isinstance(transport, asyncio.WriteTransport) else transport.close()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if not left:
                break
            await asyncio.wait(left, timeout=ROUND_S)
        self._open.clear()

    def _session(self) -> SMTP:
        kind = _LimitedLMTP if self._settings.listener == "lmtp" else _LimitedSMTP
        session = kind(
            self._handler,
            data_size_limit=self._settings.size_limit_bytes,
            hostname="localhost",
            ident=IDENT,
            timeout=self._settings.timeout_s,
            enable_SMTPUTF8=True,  # or the mail server bounces what was written from such an address
            loop=asyncio.get_running_loop(),
        )
        session.others, session.limit = self._open, self._settings.connections_limit
        return session


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
