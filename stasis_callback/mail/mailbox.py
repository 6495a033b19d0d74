"""A mailbox that is read over IMAP: every unseen mail once, and then IDLE until there is another."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from imapclient import DELETED, SEEN, IMAPClient

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.words import Dropped
from stasis_callback.mail.desk import MailDesk
from stasis_callback.settings import EmailSettings
from stasis_callback.workers import Worker

log = structlog.get_logger()

TIMEOUT_S = 30.0
RETRY_S = 10.0
LOOK_S = 1
"""How soon it stops when it is told to."""
IDLE_S = 10.0
"""Interval in seconds at which the folder is read even without IDLE notifications, and failed mails are retried.

A mail can come with the very answer to IDLE: imapclient reads both, then polls the socket for what it has already.
"""
PUT_OFF_S = 86_400
"""A mail that could not be decided on for so long is dropped."""


class Mailbox:
    """The thread that reads the mailbox."""

    def __init__(self, settings: EmailSettings, desk: MailDesk, clock: Clock) -> None:
        self._settings = settings
        self._desk = desk
        self._clock = clock
        self.worker = Worker("mailbox", self._work, clock)

    def start(self) -> None:
        """Start reading."""
        self.worker.start()

    def stop(self) -> None:
        """Stop; a mail that is being decided on is finished."""
        self.worker.stop(TIMEOUT_S)

    def _work(self, worker: Worker) -> None:
        while worker.goes_on:
            try:
                with self._connected() as client:
                    log.info("mailbox.connected", host=self._settings.imap_host)
                    while worker.goes_on:
                        self._read_all(client)
                        self._wait(client)
            except Exception as error:  # noqa: BLE001  servers end connections in many ways: connect again
                log.warning("mailbox.lost", error=type(error).__name__)
                worker.pause(RETRY_S)

    def _connected(self) -> IMAPClient:
        s = self._settings
        client = IMAPClient(s.imap_host, s.imap_port, ssl=s.imap_tls, timeout=TIMEOUT_S)
        try:
            client.login(s.imap_user, s.imap_password.get_secret_value())
            self._opened(client)
        except BaseException:
            client.shutdown()
            raise
        return client

    def _opened(self, client: IMAPClient) -> object:
        """Open the folder, anew if it is open: what its next state is compared with."""
        folder = client.select_folder(self._settings.imap_folder)
        return folder.get(b"UIDNEXT"), folder.get(b"EXISTS")

    def _wait(self, client: IMAPClient) -> None:
        until_s = self._clock.monotonic_s() + IDLE_S
        client.idle()
        try:
            while self.worker.goes_on and self._clock.monotonic_s() < until_s:
                if client.idle_check(timeout=LOOK_S):
                    return
        finally:
            client.idle_done()

    def _read_all(self, client: IMAPClient) -> None:
        """Read until nothing has come meanwhile.

        A server tells of a new mail at the end of whichever command runs, and once (RFC 3501, 7): IDLE does not tell
        of one that came during the SEARCH before it.
        """
        before: object = None
        while self.worker.goes_on and (now := self._opened(client)) != before:
            self._read_unseen(client)
            before = now

    def _read_unseen(self, client: IMAPClient) -> None:
        instance = self._desk.find(self._settings.imap_address)
        if instance is None:
            log.warning("mailbox.no_instance", instance=self._settings.imap_address)
            return
        for uid in client.search("UNSEEN UNDELETED"):
            if not self.worker.goes_on:
                return
            if self._decided(client, uid):
                self._done(client, uid)

    def _decided(self, client: IMAPClient, uid: int) -> bool:
        """Whether nothing more is to be done about a mail."""
        facts = client.fetch(uid, ["RFC822.SIZE", "INTERNALDATE"]).get(uid)
        instance = self._desk.find(self._settings.imap_address)
        if facts is None or instance is None:  # gone, or switched off, meanwhile
            return False
        if facts[b"RFC822.SIZE"] > self._settings.size_limit_bytes:
            log.info("mail.dropped", instance=instance.name, reason=Dropped.TOO_LARGE)
            return True
        body = client.fetch(uid, ["BODY.PEEK[]"]).get(uid)
        if body is None:
            return False
        try:
            self._desk.receive(instance, body[b"BODY[]"])
        except Exception as error:  # noqa: BLE001  on any error the mail stays, and does not delay the next one
            log.error("mail.put_off", error=type(error).__name__)
            return self._too_old(facts[b"INTERNALDATE"])
        return True

    def _too_old(self, arrived: datetime) -> bool:
        now = datetime.fromtimestamp(self._clock.now_us() // US_PER_S, UTC)
        return (now - arrived.astimezone(UTC)).total_seconds() > PUT_OFF_S

    def _done(self, client: IMAPClient, uid: int) -> None:
        if self._settings.imap_keep:
            client.add_flags(uid, [SEEN])
            return
        client.add_flags(uid, [DELETED])
        client.expunge(uid if client.has_capability("UIDPLUS") else None)
