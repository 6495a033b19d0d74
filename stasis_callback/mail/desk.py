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
from stasis_callback.core.mail_command import Command, MailCommand, VoucherCommand
from stasis_callback.core.words import Dropped, Refusal
from stasis_callback.crashpoint import crashpoint
from stasis_callback.engine.admission.logins import Credentials, Logins
from stasis_callback.engine.admission.orders import Order, Orders
from stasis_callback.engine.redeeming import redeem
from stasis_callback.mail.policy import (
    KeyLookups,
    domain_of,
    headers_of,
    is_ambiguous,
    proven_by_our_server,
    proven_by_signature,
)
from stasis_callback.mail.reading import Mail, MailRefused, read_mail
from stasis_callback.mail.words import Awaited, answer_mail, answer_text
from stasis_callback.settings import EmailSettings
from stasis_callback.store.intake.email_instances import EmailInstanceView
from stasis_callback.store.stores import Stores

log = structlog.get_logger()

BARE_CR = re.compile(rb"\r(?!\n)")
"""No mail program sends one (RFC 5322, 2.3). Python ends a line there and mail servers do not: what stands behind it
would be a header for us alone, whichever way the mail comes in.
"""

ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[^\s@<>\"(),:;\\\[\]]{1,255}")
"""A sender that can be compared and answered: the usual form of RFC 5322, without quotes and comments."""


class MailDesk:
    """Processes mails: accepts, refuses or drops them."""

    def __init__(self, settings: EmailSettings, stores: Stores, orders: Orders, clock: Clock) -> None:
        self._settings = settings
        self._stores = stores
        self._orders = orders
        self._logins = Logins(stores, clock)
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
        if isinstance(mail.command, VoucherCommand):
            reason: str = self._redeem(instance, mail.command, sender, key)
        elif mail.command:
            reason = self._decide(instance, mail.command, sender, key)
        else:
            reason = self._dropped(instance, mail.problem or Dropped.NO_COMMAND)
        crashpoint("mail-decided")
        self._answer(instance, mail, sender, key, reason)
        return reason

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

    def _decide(self, instance: EmailInstanceView, command: MailCommand, sender: str, key: str) -> str:
        known = self._stores.requests.with_key(key)
        if known is not None:  # delivered again, or sent twice: what was decided stays
            log.info("mail.repeated", instance=instance.name, call=known.id)
            return known.outcome if known.state == "refused" else ""
        configuration = instance.configuration
        settings = configuration.settings
        password, token = self._secrets(instance, command, sender)
        answer = self._orders.admit(
            Order(
                key=key,
                trigger="email",
                account=command.account,
                password=password,
                token=token,
                number_a=command.number_a,
                number_b=command.number_b,
                instance=instance.name,
                webhooks=settings.webhooks,
                source=sender,
                options=configuration.call_options(),
                limits=configuration.limits,
            )
        )
        return answer.reason

    def _secrets(
        self, instance: EmailInstanceView, command: Command, sender: str
    ) -> tuple[str | None, str | None]:
        """What the mail shows as a password and as a token; None for what the instance does not take."""
        settings, secret = instance.configuration.settings, command.secret
        if settings.require_registered and not self._stores.email_senders.registered(command.account, sender):
            secret = ""  # no password and no token: it looks and counts like a wrong one
        password = secret if settings.credential != "token" else None
        return password, secret if settings.credential != "password" else None

    def _redeem(self, instance: EmailInstanceView, command: VoucherCommand, sender: str, key: str) -> str:
        """Redeem the voucher of a mail. One that is delivered again finds its voucher redeemed."""
        stores, limits = self._stores, instance.configuration.limits
        if not stores.limits.take(f"request:email:{instance.name}:source:{sender}", limits.limit_source):
            return self._dropped(instance, Refusal.TOO_MANY_REQUESTS)
        password, token = self._secrets(instance, command, sender)
        known = self._logins.check(
            Credentials("email", command.account, password, token, source=sender, limits=limits)
        )
        token_id = known.token_id
        if known.account is None:
            # Delivered again, its token is used up.
            done = known.reason == Refusal.WRONG_LOGIN and token is not None
            done = done and stores.vouchers.redeemed(command.code, command.account) is not None
            return "" if done else self._dropped(instance, known.reason or Refusal.WRONG_LOGIN)
        redeemed = redeem(
            stores,
            known.account,
            command.code,
            limits.limit_logins,
            within=lambda: token_id is None or stores.email_senders.use(token_id, key),
        )
        return self._dropped(instance, redeemed.reason) if redeemed.reason else ""

    def _answer(self, instance: EmailInstanceView, mail: Mail, sender: str, key: str, reason: str) -> None:
        """Queue the reply, once for each mail."""
        settings = instance.configuration.settings
        if not settings.replies or self._stores.replies.known(key):
            return
        if not self._stores.limits.take(f"reply:{instance.name}:{sender}", settings.reply_limit):
            log.info("mail.not_answered", instance=instance.name)
            return
        recipient = mail.from_addresses[0]
        number = mail.command.number_a if isinstance(mail.command, MailCommand) else ""
        what = "redeemed" if isinstance(mail.command, VoucherCommand) and not reason else reason
        language = self._language(instance, mail, reason)
        content = answer_mail(
            address=instance.name,
            recipient=recipient,
            message_id=mail.message_id,
            language=language,
            text=answer_text(language, what, number),
            own_id=hashlib.sha256(f"answer to {key}".encode()).hexdigest()[:32],
            now_us=self._clock.now_us(),
        )
        request = self._stores.requests.with_key(key) if settings.reply_outcome and not reason else None
        if request is not None:
            later = Awaited(request.id, instance.name, mail.message_id, language)
            self._stores.replies.put(f"outcome of {key}", recipient, later.stored)
        self._stores.replies.put(key, recipient, content)

    def _language(self, instance: EmailInstanceView, mail: Mail, reason: str) -> str:
        """The account's language, for who has proven to know its password; else the instance's."""
        account = self._stores.accounts.find(mail.command.account) if mail.command and not reason else None
        return (account.language if account else "") or instance.configuration.language

    @staticmethod
    def _dropped(instance: EmailInstanceView, reason: Dropped | Refusal) -> Dropped | Refusal:
        log.info("mail.dropped", instance=instance.name, reason=reason)
        return reason


def _key(instance: EmailInstanceView, sender: str, mail: Mail, raw: bytes) -> str:
    """What makes a mail happen once: its Message-ID and sender, or all of it where it has none."""
    what = f"{sender} {mail.message_id}".encode() if mail.message_id else raw
    return f"email:{instance.name}:{hashlib.sha256(what).hexdigest()[:40]}"
