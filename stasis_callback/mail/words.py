"""The answer to a mail: constant words in the language of the instance, and headers that no machine answers to."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cache
from pathlib import Path

from stasis_callback.clock import US_PER_S
from stasis_callback.core.numbers import mask

FOLDER = Path(__file__).parent / "texts"
LANGUAGES = ("en", "es", "fr", "it", "ru")

TEXT_OF = {
    "": "accepted",
    "repeated": "repeated",
    "in_progress": "in_progress",
    "queue_full": "queue_full",
    "wrong_login": "wrong_login",
    "too_many_requests": "wait",
    "locked_out": "wait",
    "bad_callback_number": "number",
    "own_number": "number",
    "destination_not_in_tariff": "number",
    "bad_destination": "destination",
    "same_number": "destination",
    "own_destination": "destination",
    "destination_not_allowed": "destination",
    "no_funds": "funds",
    "daily_limit": "funds",
    "no_command": "unreadable",
    "several_commands": "unreadable",
    "malformed": "unreadable",
    "too_long": "unreadable",
}
"""The text for each outcome; any other has to do with the account."""

_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>", re.ASCII)


def answer_text(language: str, reason: str, number_a: str) -> str:
    """The sentence for an outcome. The number is masked: a mail is read by many."""
    texts = _texts(language if language in LANGUAGES else "en")
    return texts[TEXT_OF.get(reason, "account")].format(number=mask(number_a))


def answer_mail(
    *, address: str, recipient: str, message_id: str, language: str, text: str, own_id: str, now_us: int
) -> str:
    """The whole answer, as text. `message_id` is that of the mail answered; nothing else of it comes back."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = address
    mail["To"] = recipient
    mail["Subject"] = _texts(language if language in LANGUAGES else "en")["subject"]
    mail["Date"] = format_datetime(datetime.fromtimestamp(now_us // US_PER_S, UTC))
    mail["Message-ID"] = f"<{own_id}@{address.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-replied"  # RFC 3834
    if _MESSAGE_ID.fullmatch(message_id):
        mail["In-Reply-To"] = mail["References"] = message_id
    mail.set_content(text + "\n", cte="quoted-printable")
    return mail.as_string()


@cache
def _texts(language: str) -> dict[str, str]:
    return tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
