"""What people enter for accounts, checked. Each raises InvalidInput: what to write."""

from __future__ import annotations

import re

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.numbers import is_dialable

STATUSES = ("active", "blocked", "closed")
DAYS_LIMIT = 36_500
SIMULTANEOUS_LIMIT = 1000
_LANGUAGE = re.compile(r"[a-z]{2}", re.ASCII)


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
    """Check a callback number; "" is allowed. Raises InvalidInput."""
    if number and not is_dialable(number):
        raise InvalidInput(
            f"callback number {number!r} is not a phone number: write 3 to 15 digits without + or 00"
        )
    return number
