"""What people enter for customers, products and accounts, checked. Each raises InvalidInput: what to write."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.numbers import is_dialable
from stasis_callback.store.database import Database
from stasis_callback.store.models import Book, Customer, Product, Tariff, Trunk, Vendor

Named = TypeVar("Named", Customer, Product, Tariff, Trunk, Vendor)

STATUSES = ("active", "blocked", "closed")
DAYS_LIMIT = 36_500
SIMULTANEOUS_LIMIT = 1000
_WORD = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2}", re.ASCII)


def by_name(model: type[Named], name: str, noun: str) -> Named:
    """The row with this name. Raises InvalidInput that says where to look."""
    row = model.get_or_none(model.name == name)
    if row is None:
        raise InvalidInput(f"there is no {noun} {name!r}: see `stasis-callback {noun} list`")
    return row


def checked_name(name: str) -> str:
    """A name for people, 1 to 64 printable characters. Raises InvalidInput otherwise."""
    if not (0 < len(name) <= 64 and name.isprintable() and name.strip() == name):
        raise InvalidInput(f"{name!r} is not a name: use 1 to 64 printable characters, no spaces around them")
    return name


def checked_word(name: str, what: str) -> str:
    """A name for Asterisk's configuration files. Raises InvalidInput otherwise."""
    if not _WORD.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is not the name of {what}: use 1 to 40 letters, digits, dashes, underscores"
        )
    return name


def is_new(database: Database, model: Any, name: str, noun: str) -> bool:
    """True; False when an earlier run of this unit has made it. Raises InvalidInput when the name is taken."""
    again = database.repeated(f"{noun}:{name}")
    taken = model.get_or_none(model.name == name) is not None
    if taken and not again:
        raise InvalidInput(f"{noun} {name!r} exists already")
    return not taken


def money(book: Book | None) -> dict[str, object]:
    """What a book holds, as a record; None throughout where there is no book."""
    names = ("balance_micros", "held_micros", "credit_limit_micros", "daily_cap_micros")
    return {name: getattr(book, name, None) for name in names}


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
