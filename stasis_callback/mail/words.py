"""The answer to a mail: constant words in the language of the instance, and headers that no machine answers to."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import get_args

from stasis_callback.clock import US_PER_S
from stasis_callback.core.mail_command import Problem
from stasis_callback.core.numbers import mask
from stasis_callback.core.words import Dropped, Ending, Refusal

FOLDER = Path(__file__).parent / "texts"
LANGUAGES = ("en", "es", "fr", "it", "ru")

TEXT_OF_REFUSAL: Mapping[Refusal, str] = {
    Refusal.REPEATED: Refusal.REPEATED,
    Refusal.IN_PROGRESS: Refusal.IN_PROGRESS,
    Refusal.QUEUE_FULL: Refusal.QUEUE_FULL,
    Refusal.WRONG_LOGIN: Refusal.WRONG_LOGIN,
    Refusal.OPTED_OUT: "number",
    Refusal.NEVER_CALLED: "destination",
    Refusal.SET_ASIDE: "set_aside",
    Refusal.TOO_MANY_REQUESTS: "wait",
    Refusal.LOCKED_OUT: "wait",
    Refusal.BAD_CALLBACK_NUMBER: "number",
    Refusal.OWN_NUMBER: "number",
    Refusal.DESTINATION_NOT_IN_TARIFF: "number",
    Refusal.EMERGENCY_NUMBER: "emergency",
    Refusal.EMERGENCY_DESTINATION: "emergency",
    Refusal.BAD_DESTINATION: "destination",
    Refusal.SAME_NUMBER: "destination",
    Refusal.OWN_DESTINATION: "destination",
    Refusal.DESTINATION_NOT_ALLOWED: "destination",
    Refusal.NO_FUNDS: "funds",
    Refusal.DAILY_LIMIT: "funds",
    Refusal.ACCOUNT_BLOCKED: "account",
    Refusal.ACCOUNT_EXPIRED: "account",
    # Of forms and missed calls only: no mail is answered with one of these.
    Refusal.LINK_USED_UP: "account",
    Refusal.UNKNOWN_ACCESS_NUMBER: "account",
    Refusal.NO_ANI: "account",
    Refusal.BAD_ANI: "account",
    Refusal.UNKNOWN_ACCOUNT: "account",
    Refusal.NOT_ATTESTED: "account",
    Refusal.NO_ASSOCIATED_NUMBER: "account",
    Refusal.NO_INTERNAL_ACCOUNT: "account",
    Refusal.FAILED: "account",
}
"""The text for each refusal."""
TEXT_OF: Mapping[str, str] = {
    "": "accepted",
    "redeemed": "redeemed",
    Dropped.BAD_VOUCHER: "bad_voucher",
    **dict.fromkeys(get_args(Problem), "unreadable"),  # the sender of any other is not answered
    **{refusal.value: text for refusal, text in TEXT_OF_REFUSAL.items()},
}
"""The text for each outcome of a mail; any other, of an older release too, has to do with the account."""

TEXT_OF_ENDING: Mapping[Ending, str] = {
    Ending.COMPLETED: "ended_connected",
    Ending.HUNG_UP: "ended_hung_up",
    Ending.NOT_ACCEPTED: "ended_hung_up",
    Ending.LOGIN_FAILED: "ended_failed",
    Ending.LOW_BALANCE: "funds",
    Ending.NO_DESTINATION: "ended_other",
    Ending.INTERRUPTED: "ended_failed",
    Ending.CANCELLED: "ended_cancelled",
    Ending.TOO_LATE: "ended_failed",
    Ending.NO_ROUTE: "ended_failed",
    Ending.DESTINATION_NOT_IN_TARIFF: "number",
    Ending.EMERGENCY_NUMBER: "emergency",
    Ending.ACCOUNT_BLOCKED: "account",
    Ending.ACCOUNT_EXPIRED: "account",
    Ending.NO_FUNDS: "funds",
    Ending.DAILY_LIMIT: "funds",
    Ending.SET_ASIDE: "set_aside",
    Ending.NEVER_CALLED: "number",
    Ending.BUSY: "ended_not_reached",
    Ending.NO_ANSWER: "ended_not_reached",
    Ending.CONGESTION: "ended_not_reached",
    Ending.REJECTED: "ended_not_reached",
    Ending.UNALLOCATED: "ended_not_reached",
    Ending.NOT_DIALED: "ended_failed",
    Ending.FAILED: "ended_failed",
}
"""The text for each ending of a callback."""

_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>", re.ASCII)


def answer_text(language: str, reason: str, number_a: str) -> str:
    """The sentence for an outcome. The number is masked: a mail is read by many."""
    texts = _texts(language)
    return texts[TEXT_OF.get(reason, "account")].format(number=mask(number_a))


def ending_text(language: str, ending: Ending | None) -> str:
    """What became of a callback, in a sentence."""
    texts = _texts(language if language in LANGUAGES else "en")
    return texts[TEXT_OF_ENDING[ending] if ending else "ended_cancelled"]


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
    mail = _mail(address, recipient, _texts(language)["subject"], own_id, now_us)
    mail["Auto-Submitted"] = "auto-replied"  # RFC 3834
    if _MESSAGE_ID.fullmatch(message_id):
        mail["In-Reply-To"] = mail["References"] = message_id
    mail.set_content(text + "\n", cte="quoted-printable")
    return mail.as_string()


def notice_mail(
    *, address: str, recipient: str, language: str, balance: str, own_id: str, now_us: int
) -> str:
    """A notice of a low balance, as text."""
    texts = _texts(language)
    mail = _mail(address, recipient, texts["low_balance_subject"], own_id, now_us)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834
    mail.set_content(texts["low_balance"].format(balance=balance) + "\n", cte="quoted-printable")
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
    texts = _texts(language)
    subject = "".join(c if c.isprintable() else " " for c in subject)  # strangers write parts of it
    mail = _mail(address, recipient, texts["alarm_subject"].format(subject=subject), own_id, now_us)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834
    words = texts["alarm"].format(subject=subject, note=note, until=until or texts["alarm_released"])
    mail.set_content(words + "\n", cte="quoted-printable")
    return mail.as_string()


def _mail(address: str, recipient: str, subject: str, own_id: str, now_us: int) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"] = address
    mail["To"] = recipient
    mail["Subject"] = subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(now_us // US_PER_S, UTC))
    mail["Message-ID"] = f"<{own_id}@{address.rpartition('@')[2]}>"
    return mail


@cache
def _texts(language: str) -> dict[str, str]:
    language = language if language in LANGUAGES else "en"
    return tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
