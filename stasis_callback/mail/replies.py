"""Mails go out: from the outbox in the database through the operator's mail server, until it takes them."""

from __future__ import annotations

import smtplib

import structlog

from stasis_callback.clock import Clock
from stasis_callback.core.backoff import BackOff
from stasis_callback.mail.notices import NoticeMails
from stasis_callback.settings import EmailSettings
from stasis_callback.store.intake.replies import ReplyView
from stasis_callback.store.stores import Stores
from stasis_callback.workers import Worker

log = structlog.get_logger()

IDLE_S = 1.0
BATCH = 20
TIMEOUT_S = 10.0
AGAIN = BackOff(first_s=10.0, longest_s=1800.0, attempts=10)
"""10 s, 20 s ... half an hour: given up after some two hours; an old answer is worth nothing."""


class ReplySender:
    """The thread that sends replies."""

    def __init__(self, settings: EmailSettings, stores: Stores, clock: Clock) -> None:
        self._settings = settings
        self._stores = stores
        self._notices = NoticeMails(stores, clock)
        self.worker = Worker("mail-replies", self._work, clock)

    def start(self) -> None:
        """Start sending."""
        self.worker.start()

    def stop(self) -> None:
        """Stop; what is not sent yet is sent after the next start."""
        self.worker.stop(TIMEOUT_S)

    def _work(self, worker: Worker) -> None:
        while worker.goes_on:
            self._notices.write_due()
            if not self.send_due():
                worker.pause(IDLE_S)

    def send_due(self) -> int:
        """Send the due replies. Returns the number of attempts."""
        due = self._stores.replies.claim_due(BATCH)
        for reply in due:
            self._send(reply)
        return len(due)

    def _send(self, reply: ReplyView) -> None:
        try:
            with smtplib.SMTP(
                self._settings.smtp_host, self._settings.smtp_port, timeout=TIMEOUT_S
            ) as server:
                # The empty sender of a notification: nothing ever comes back, so there is no loop (RFC 3834).
                server.sendmail("", [reply.recipient], reply.content.encode("ascii"))
        except smtplib.SMTPRecipientsRefused as refused:
            code = next(iter(refused.recipients.values()))[0]
            self._failed(reply, f"status {code}", code >= 500)
        except smtplib.SMTPResponseException as error:
            self._failed(reply, f"status {error.smtp_code}", error.smtp_code >= 500)
        except (OSError, smtplib.SMTPException) as error:
            self._failed(reply, type(error).__name__, for_good=False)
        else:
            self._stores.replies.close(reply.id, "sent")
            log.info("mail.answered", reply=reply.id)

    def _failed(self, reply: ReplyView, error: str, for_good: bool) -> None:
        pause_s = None if for_good else AGAIN.pause_s(reply.attempts)
        if pause_s is None:
            self._stores.replies.close(reply.id, "failed")
        else:
            self._stores.replies.retry(reply.id, pause_s)
        log.warning("mail.answer_not_taken", reply=reply.id, error=error, given_up=pause_s is None)
