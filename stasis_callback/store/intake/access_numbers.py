"""Access numbers: the numbers that subscribers call, with the options of their callbacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.numbers import is_dialable, may_be_same
from stasis_callback.core.options import CallOptions
from stasis_callback.core.stored_options import CALL_OPTIONS
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.foreign import usable
from stasis_callback.store.database.statements import every, one
from stasis_callback.store.intake.tables import AccessNumber

_SELECT = "SELECT number, enabled, options FROM access_number"
_BY_NUMBER = f"{_SELECT} WHERE number = ?"
_ALL = f"{_SELECT} ORDER BY number"
_NUMBERS = "SELECT number FROM access_number ORDER BY number"


@dataclass(frozen=True, slots=True)
class AccessNumberView:
    """An access number; `stored` has the options that differ from the defaults, as texts.

    One with options by which nobody can be served is not `enabled`.
    """

    number: str
    enabled: bool
    stored: Mapping[str, str]
    options: CallOptions
    """All options, defaults included, as far as those that are stored can be used."""


class AccessNumbers:
    """The configured access numbers. Read at every call, so a change counts from the next one on."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @unit
    def add(self, number: str, stored: Mapping[str, str]) -> None:
        """Raises InvalidInput when the number is taken or no number, or an option cannot be used."""
        if not is_dialable(number):
            raise InvalidInput(
                f"access number {number!r} is invalid: write 3 to 15 digits in E.164, country code first"
            )
        CallOptions.parse(stored)
        self._database.lock("access_numbers")
        again = self._database.repeated(f"access number:{number}")
        if AccessNumber.get_or_none(AccessNumber.number == number) is not None:
            if again:
                return
            raise InvalidInput(f"access number {number} already exists")
        AccessNumber.create(
            number=number,
            enabled=True,
            options=json.dumps(dict(stored)),
            created_at_us=self._clock.now_us(),
        )

    @unit
    def change(self, number: str, stored: Mapping[str, str], *, enabled: bool | None = None) -> None:
        """Set options (an empty text restores the default) and switch the number on or off; all or nothing."""
        self._database.lock("access_numbers")
        before = self.named(number)
        merged = CALL_OPTIONS.changed(before.stored, stored)
        values = {"options": json.dumps(merged)} | ({} if enabled is None else {"enabled": enabled})
        AccessNumber.update(values).where(AccessNumber.number == number).execute()

    def remove(self, number: str) -> None:
        """Within a transaction: remove an access number. Raises InvalidInput if it does not exist."""
        self._database.lock("access_numbers")
        AccessNumber.delete().where(AccessNumber.number == self.named(number).number).execute()

    @read
    def find(self, number: str) -> AccessNumberView | None:
        """The access number, enabled or not."""
        row = one(_BY_NUMBER, number)
        return _view(*row) if row else None

    @read
    def owns(self, number: str) -> bool:
        """Whether a number may be one of our access numbers, in any form: calling it would call ourselves."""
        return any(may_be_same(own, number) for own in self.numbers())

    @read
    def numbers(self) -> list[str]:
        """The numbers of them all, enabled or not."""
        return [number for (number,) in every(_NUMBERS)]

    @read
    def find_among(self, number: str) -> tuple[AccessNumberView | None, list[str]]:
        """The access number, enabled or not, and all that there are."""
        rows = every(_ALL)
        found = next((_view(*row) for row in rows if row[0] == number), None)
        return found, [own for own, _, _ in rows]

    def named(self, number: str) -> AccessNumberView:
        """The access number. Raises InvalidInput if it does not exist."""
        view = self.find(number)
        if view is None:
            raise InvalidInput(f"unknown access number {number!r}: see `stasis-callback access-number list`")
        return view

    @read
    def all(self) -> list[AccessNumberView]:
        """Every access number."""
        return [_view(*row) for row in every(_ALL)]


def _view(number: str, enabled: bool, options: str) -> AccessNumberView:
    stored = json.loads(options)
    found = usable(f"access number {number}", CALL_OPTIONS, stored)
    return AccessNumberView(number, bool(enabled) and not found.trouble, stored, found.options)
