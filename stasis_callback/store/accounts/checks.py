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
        raise InvalidInput(f"{count} days: write 0 to {DAYS_LIMIT}, 0 for no such end")
    return count or None


def simultaneous_calls(count: int) -> int:
    """How many calls at once."""
    if not 1 <= count <= SIMULTANEOUS_LIMIT:
        raise InvalidInput(f"{count} calls at once: write 1 to {SIMULTANEOUS_LIMIT}")
    return count


def status(text: str) -> str:
    """A status of an account."""
    if text not in STATUSES:
        raise InvalidInput(f"{text!r} is not a status: write one of {', '.join(STATUSES)}")
    return text


def language(text: str) -> str:
    """Two letters, or nothing."""
    if text and not _LANGUAGE.fullmatch(text):
        raise InvalidInput(f"language {text!r}: write two letters, like en or ru, or nothing")
    return text


def callback_number(number: str) -> str:
    """Digits to dial, or nothing."""
    if number and not is_dialable(number):
        raise InvalidInput(f"callback number {number!r}: write 3 to 15 digits, without + or 00")
    return number
