"""The front desk: a mail becomes an order of the engine, or is dropped. Listener, pipe and mailbox share it.

When `receive` returns, the result of the mail is committed. It may be called again with the same mail: a
mail server that has not seen our answer does so.
"""

from __future__ import annotations

import hashlib
import re
from email.message import Message

import structlog

from stasis_callback.clock import Clock
from stasis_callback.core.mail_addresses import ADDRESS
from stasis_callback.core.mail_command import Command, VoucherCommand
from stasis_callback.core.words import Dropped
from stasis_callback.crashpoint import crashpoint
from stasis_callback.engine.admission.orders import Orders
from stasis_callback.mail.policy import (
    KeyLookups,
    domain_of,
    headers_of,
    is_ambiguous,
    proven_by_our_server,
    proven_by_signature,
)
from stasis_callback.mail.reading import Mail, MailRefused, read_mail
from stasis_callback.mail.words import Awaited, answer_mail
from stasis_callback.settings import EmailSettings
from stasis_callback.store.intake.email_instances import EmailInstanceView
from stasis_callback.store.stores import Stores
from stasis_callback.written.desk import Verdict, Written, WrittenDesk
from stasis_callback.written.words import reply_text

log = structlog.get_logger()

BARE_CR = re.compile(rb"\r(?!\n)")
"""No mail program sends one (RFC 5322, 2.3). Python ends a line there and mail servers do not: what stands behind it
would be a header for us alone, whichever way the mail comes in.
"""


class MailDesk:
    """Processes mails: accepts, refuses or drops them."""

    def __init__(self, settings: EmailSettings, stores: Stores, orders: Orders, clock: Clock) -> None:
        self._settings = settings
        self._stores = stores
        self._written_desk = WrittenDesk(stores, orders, clock)
        self._clock = clock
        self._keys = KeyLookups(settings.dns_server, clock)

    def find(self, address: str) -> EmailInstanceView | None:
        """The instance with this address that is switched on."""
        instance = self._stores.email_instances.find(address.lower()) if len(address) <= 254 else None
        return instance if instance and instance.enabled else None

    def receive(self, instance: EmailInstanceView, raw: bytes) -> str:
        """Decide on a mail: "" when it became a callback, else the reason why not.

        The reason is one of Dropped or Refusal. Raises what the database raises, and KeyLookupFailed: then the mail
        must be delivered again.
        """
        try:
            mail = read_mail(raw, region=instance.configuration.region)
        except MailRefused as refused:
            return self._dropped(instance, refused.reason)
        headers = headers_of(raw)
        distrust = self._distrust(instance, raw, mail, headers)
        if distrust:
            return self._dropped(instance, distrust)
        sender = mail.from_addresses[0].lower()
        key = _key(instance, sender, mail, raw)
        if mail.command is None:
            reason = self._dropped(instance, mail.problem or Dropped.NO_COMMAND)
            self._answer(instance, mail, sender, key, instance.configuration.language, Verdict(reason))
            return reason
        written = self._written(instance, mail.command, sender, key)
        verdict = self._written_desk.decide(written)
        if verdict.repeated:
            log.info("mail.repeated", instance=instance.name, call=verdict.request_id)
        elif isinstance(mail.command, VoucherCommand) or isinstance(verdict.reason, Dropped):
            self._dropped(instance, verdict.reason)
        crashpoint("mail-decided")
        language = self._written_desk.language(written, verdict)
        self._answer(instance, mail, sender, key, language, verdict)
        return verdict.reason

    def _distrust(
        self, instance: EmailInstanceView, raw: bytes, mail: Mail, headers: Message
    ) -> Dropped | None:
        """Why nothing in this mail counts; None when its sender is who the instance wants."""
        if b"\0" in raw:
            return Dropped.NUL
        if BARE_CR.search(raw):
            return Dropped.BARE_LINE_END
        if mail.is_automatic:
            return Dropped.AUTOMATIC
        if (
            len(mail.from_addresses) != 1
            or not ADDRESS.fullmatch(mail.from_addresses[0])
            or is_ambiguous(headers)
        ):
            return Dropped.BAD_SENDER
        domain = domain_of(mail.from_addresses[0])
        policy = instance.configuration.settings.policy
        if policy == "authenticated":
            proven = proven_by_our_server(headers, domain, self._settings.authserv_id)
        elif policy == "dkim":
            proven = proven_by_signature(raw, headers, domain, self._keys)
        else:
            proven = True
        return None if proven else Dropped.NOT_PROVEN

    def _written(self, instance: EmailInstanceView, command: Command, sender: str, key: str) -> Written:
        registered = self._stores.email_senders.registered
        belongs = not instance.configuration.settings.require_registered or registered(
            command.account, sender
        )
        return Written(
            "email", instance.name, instance.configuration, command, sender, belongs=belongs, key=key
        )

    def _answer(
        self,
        instance: EmailInstanceView,
        mail: Mail,
        sender: str,
        key: str,
        language: str,
        verdict: Verdict,
    ) -> None:
        """Queue the reply, once for each mail."""
        settings = instance.configuration.settings
        if not settings.replies or self._stores.replies.known(key):
            return
        if not self._stores.limits.take(f"reply:{instance.name}:{sender}", settings.reply_limit):
            log.info("mail.not_answered", instance=instance.name)
            return
        recipient = mail.from_addresses[0]
        content = answer_mail(
            address=instance.name,
            recipient=recipient,
            message_id=mail.message_id,
            language=language,
            text=reply_text(language, settings, mail.command, verdict.reason, verdict.at_us),
            own_id=hashlib.sha256(f"answer to {key}".encode()).hexdigest()[:32],
            now_us=self._clock.now_us(),
        )
        if settings.reply_outcome and verdict.request_id:
            later = Awaited(verdict.request_id, instance.name, mail.message_id, language)
            self._stores.replies.put(f"outcome of {key}", recipient, later.stored)
        self._stores.replies.put(key, recipient, content)

    @staticmethod
    def _dropped(instance: EmailInstanceView, reason: str) -> str:
        if reason:
            log.info("mail.dropped", instance=instance.name, reason=reason)
        return reason


def _key(instance: EmailInstanceView, sender: str, mail: Mail, raw: bytes) -> str:
    """What makes a mail happen once: its Message-ID and sender, or all of it where it has none."""
    what = f"{sender} {mail.message_id}".encode() if mail.message_id else raw
    return f"email:{instance.name}:{hashlib.sha256(what).hexdigest()[:40]}"
