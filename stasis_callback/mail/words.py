"""The answer to a mail: constant words in the language of the instance, and headers that no machine answers to."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from stasis_callback.clock import US_PER_S
from stasis_callback.written.words import texts

_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>", re.ASCII)


@dataclass(frozen=True, slots=True)
class Awaited:
    """An answer that is written when its callback is over: what has to be known of the mail then."""

    request_id: str
    address: str
    message_id: str
    language: str

    @property
    def stored(self) -> str:
        """As it stands in the outbox in place of a mail, which never begins like this."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, content: str) -> Awaited | None:
        """What was stored; None for a mail."""
        return cls(**json.loads(content)) if content.startswith("{") else None


def answer_mail(
    *, address: str, recipient: str, message_id: str, language: str, text: str, own_id: str, now_us: int
) -> str:
    """The whole answer, as text. `message_id` is that of the mail answered; nothing else of it comes back."""
    mail = _mail(address, recipient, texts(language)["subject"], own_id, now_us)
    mail["Auto-Submitted"] = "auto-replied"  # RFC 3834
    if _MESSAGE_ID.fullmatch(message_id):
        mail["In-Reply-To"] = mail["References"] = message_id
    mail.set_content(text + "\n", cte="quoted-printable")
    return mail.as_string()


def notice_mail(
    *, address: str, recipient: str, language: str, balance: str, own_id: str, now_us: int
) -> str:
    """A notice of a low balance, as text."""
    words = texts(language)
    mail = _mail(address, recipient, words["low_balance_subject"], own_id, now_us)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834
    mail.set_content(words["low_balance"].format(balance=balance) + "\n", cte="quoted-printable")
    return mail.as_string()


def alarm_mail(
    *,
    address: str,
    recipient: str,
    language: str,
    subject: str,
    note: str,
    until: str,
    own_id: str,
    now_us: int,
) -> str:
    """A notice of what was set aside, as text; `until` is "" where that lasts until it is released."""
    words = texts(language)
    subject = "".join(c if c.isprintable() else " " for c in subject)  # strangers write parts of it
    mail = _mail(address, recipient, words["alarm_subject"].format(subject=subject), own_id, now_us)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834
    text = words["alarm"].format(subject=subject, note=note, until=until or words["alarm_released"])
    mail.set_content(text + "\n", cte="quoted-printable")
    return mail.as_string()


def _mail(address: str, recipient: str, subject: str, own_id: str, now_us: int) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"] = address
    mail["To"] = recipient
    mail["Subject"] = subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(now_us // US_PER_S, UTC))
    mail["Message-ID"] = f"<{own_id}@{address.rpartition('@')[2]}>"
    return mail
