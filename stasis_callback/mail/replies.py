"""Mails go out: from the outbox in the database through the operator's mail server, until it takes them."""

from __future__ import annotations

import hashlib
import smtplib

import structlog

from stasis_callback.clock import Clock
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.mail.notices import AGAIN, NoticeMails
from stasis_callback.mail.words import Awaited, answer_mail
from stasis_callback.settings import EmailSettings
from stasis_callback.store.intake.replies import ReplyView
from stasis_callback.store.stores import Stores
from stasis_callback.workers import Worker
from stasis_callback.written.words import ending_text

log = structlog.get_logger()

IDLE_S = 1.0
BATCH = 20
TIMEOUT_S = 10.0
LOOK_S = 5.0
"""How soon it is looked again whether a callback is over."""


class ReplySender:
    """The thread that sends replies."""

    def __init__(self, settings: EmailSettings, stores: Stores, clock: Clock) -> None:
        self._settings = settings
        self._stores = stores
        self._clock = clock
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
            try:
                self._try(reply)
            except StoreUnavailable:
                raise  # of none is more known than before: all are due again
            except Exception as error:  # noqa: BLE001  whatever is wrong with one, the others go out
                self._failed(reply, type(error).__name__, for_good=False)
        return len(due)

    def _try(self, reply: ReplyView) -> None:
        awaited = Awaited.of(reply.content)
        if awaited is None:
            self._send(reply)
        else:
            self._look(reply, awaited)

    def _look(self, reply: ReplyView, awaited: Awaited) -> None:
        """Write the answer about the outcome of a callback when it is over."""
        requests = self._stores.requests
        request = requests.get(awaited.request_id) if requests.exists(awaited.request_id) else None
        if request is None:
            self._stores.replies.close(reply.id, "failed")
        elif request.finished_at_us is None:
            self._stores.replies.retry(reply.id, LOOK_S)
        else:
            own_id = hashlib.sha256(f"outcome of {request.key}".encode()).hexdigest()[:32]
            content = answer_mail(
                address=awaited.address,
                recipient=reply.recipient,
                message_id=awaited.message_id,
                language=awaited.language,
                text=ending_text(awaited.language, request.ending),
                own_id=own_id,
                now_us=self._clock.now_us(),
            )
            self._stores.replies.write(reply.id, content)

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
