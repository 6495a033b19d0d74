"""Rows with names: lookup by name, and validation of new names. Raises InvalidInput."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.unnamed import UNNAMED
from stasis_callback.store.database.database import Database
from stasis_callback.store.database.tables import Table

Named = TypeVar("Named", bound=Table)

_WORD = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)


def by_name(model: type[Named], name: str, noun: str) -> Named:
    """The row of a table with a column `name`. Raises InvalidInput that says where to look, also for hidden names."""
    row = model.get_or_none(model.name == name)  # type: ignore[attr-defined]
    if row is None or is_hidden(name):
        raise InvalidInput(f"unknown {noun} {name!r}: see `stasis-callback {noun} list`")
    return row


def in_use(model: type[Named], name: str, noun: str) -> Named:
    """The row with this name, to be used for something new. Raises InvalidInput also if it is retired."""
    row = by_name(model, name, noun)
    if row.retired_at_us is not None:
        raise InvalidInput(f"{noun} {name!r} is retired: take another, or run `{noun} retire {name} --undo`")
    return row


def hidden_name(of: object) -> str:
    """A name of a row that nobody is to find: no name that is given begins with a space."""
    return f" {of}"


def is_hidden(name: str) -> bool:
    """Whether a name is one that nobody gave."""
    return name.startswith(" ")


def checked_name(name: str) -> str:
    """A name for people, 1 to 64 printable characters. Raises InvalidInput otherwise."""
    if not (0 < len(name) <= 64 and name.isprintable() and name.strip() == name):
        raise InvalidInput(
            f"{name!r} is not a valid name: use 1 to 64 printable characters without surrounding spaces"
        )
    if name in UNNAMED:
        raise InvalidInput(f"{name!r} is a line of reports: take another name")
    return name


def checked_word(name: str, what: str) -> str:
    """A name for Asterisk's configuration files. Raises InvalidInput otherwise."""
    if not _WORD.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is not a valid name of {what}: use 1 to 40 letters, digits, dashes or underscores"
        )
    return name


def is_new(database: Database, model: Any, name: str, noun: str) -> bool:
    """True; False when an earlier run of this unit has made it. Raises InvalidInput when the name is taken."""
    again = database.repeated(f"{noun}:{name}")
    taken = model.get_or_none(model.name == name) is not None
    if taken and not again:
        raise InvalidInput(f"{noun} {name!r} already exists")
    return not taken
