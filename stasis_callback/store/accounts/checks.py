"""What people enter for accounts, checked. Each raises InvalidInput: what to write."""

from __future__ import annotations

import re

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.numbering import is_emergency, read_number
from stasis_callback.store.database.names import checked_name as checked_name

STATUSES = ("active", "blocked", "closed")
DAYS_LIMIT = 36_500
SIMULTANEOUS_LIMIT = 1000
_ACCOUNT_ID = re.compile(r"[A-Za-z0-9._@-]{1,64}", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2}", re.ASCII)


def account_id(text: str) -> str:
    """Check an account id or alias. Raises InvalidInput."""
    if not _ACCOUNT_ID.fullmatch(text):
        raise InvalidInput(
            f"{text!r} is not a valid account id: use 1 to 64 letters, digits, dots, dashes, underscores or @"
        )
    return text


def days(count: int) -> int | None:
    """Days after some use; 0 takes the rule away."""
    if not 0 <= count <= DAYS_LIMIT:
        raise InvalidInput(f"invalid number of days ({count}): write 1 to {DAYS_LIMIT}, or 0 for no expiry")
    return count or None


def simultaneous_calls(count: int) -> int:
    """Check a number of simultaneous calls. Raises InvalidInput."""
    if not 1 <= count <= SIMULTANEOUS_LIMIT:
        raise InvalidInput(f"invalid number of simultaneous calls ({count}): write 1 to {SIMULTANEOUS_LIMIT}")
    return count


def status(text: str) -> str:
    """Check an account status. Raises InvalidInput."""
    if text not in STATUSES:
        raise InvalidInput(f"{text!r} is not a status: use one of {', '.join(STATUSES)}")
    return text


def language(text: str) -> str:
    """Check a language code; "" is allowed. Raises InvalidInput."""
    if text and not _LANGUAGE.fullmatch(text):
        raise InvalidInput(
            f"language {text!r} is invalid: write a two-letter code, for example en, or nothing"
        )
    return text


def callback_number(number: str) -> str:
    """A callback number in E.164 digits; "" is allowed. Raises InvalidInput."""
    return stored_number(number, "callback number") if number else ""


def stored_number(written: str, what: str) -> str:
    """The E.164 digits of a number that will be called. Raises InvalidInput, also for an emergency number."""
    number = read_number(written)
    if number is None:
        raise InvalidInput(
            f"{what} {written[:40]!r} is not a phone number: write it with its country code, for example 420212345678"
        )
    if is_emergency(number):
        raise InvalidInput(
            f"{what} {number} is an emergency number, which is never called: write another number"
        )
    return number
