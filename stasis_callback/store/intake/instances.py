"""Web, e-mail and message instances: common code for all."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.stored_options import StoredOptions
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.foreign import usable
from stasis_callback.store.database.names import hidden_name, is_hidden, is_new
from stasis_callback.store.database.statements import one
from stasis_callback.store.database.trail import values_noted
from stasis_callback.store.intake.tables import ApiKey, EmailInstance, MessageInstance, WebInstance

C = TypeVar("C")
InstanceRow: TypeAlias = WebInstance | EmailInstance | MessageInstance

_BY_NAME = "SELECT name, enabled, options FROM {} WHERE name = ?"

URL_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
"""A name that is part of a URL."""


@dataclass(frozen=True, slots=True)
class InstanceKind(Generic[C]):
    """What tells the kinds apart: the table, how a name looks, and how options become a configuration."""

    model: type[InstanceRow]
    noun: str
    """`web`, `email` or `message`: the command's noun, and the word for people."""
    name: re.Pattern[str]
    name_rule: str
    options: StoredOptions[C]
    key_option: str = ""
    """The option that says which of its signing secrets is in force, 1 by default; "" for a kind without them."""


@dataclass(frozen=True, slots=True)
class InstanceView(Generic[C]):
    """An instance; `stored` has what differs from the defaults, as texts.

    One with options by which nobody can be served is not `enabled`.
    """

    name: str
    enabled: bool
    stored: Mapping[str, str]
    configuration: C
    """Everything that is set, defaults included, as far as it can be used."""


class Instances(Generic[C]):
    """The configured instances of one kind. Read at every request, so a change counts from the next one on."""

    def __init__(self, database: Database, clock: Clock, kind: InstanceKind[C]) -> None:
        self._database = database
        self._clock = clock
        self._kind = kind
        self._model = kind.model
        self._by_name = _BY_NAME.format(kind.model._meta.table_name)

    @unit
    def add(self, name: str, stored: Mapping[str, str]) -> None:
        """Raises InvalidInput when the name is taken or cannot be one, or an option cannot be used."""
        kind = self._kind
        if not kind.name.fullmatch(name):
            raise InvalidInput(f"{name!r}: {kind.name_rule}")
        kind.options.parse(stored)
        self._one_by_one()
        if is_new(self._database, self._model, name, f"{kind.noun} instance"):
            stored = self._with_new_secret(name, stored)
            self._model.create(
                name=name,
                enabled=True,
                options=json.dumps(dict(stored)),
                created_at_us=self._clock.now_us(),
            )

    @unit
    def change(self, name: str, stored: Mapping[str, str], *, enabled: bool | None = None) -> None:
        """Set options (an empty text restores the default) and switch it on or off; all or nothing."""
        self._one_by_one()
        row = self._row(name)
        merged = self._kind.options.changed(json.loads(row.options), stored)
        if self._kind.key_option in stored:
            self._require_not_used_up(name, merged)
        values = {"options": json.dumps(merged)} | ({} if enabled is None else {"enabled": enabled})
        self._model.update(values).where(self._model.id == row.id).execute()

    @unit
    def remove(self, name: str) -> None:
        """Take it away. Raises InvalidInput while an API key is for it alone: it would be a key for nothing."""
        if self._database.repeated(f"remove:{name}") and self.find(name) is None:
            return
        self._one_by_one()
        row = self._row(name)
        is_for_it = (ApiKey.instance == name) & ApiKey.revoked_at_us.is_null()
        key = ApiKey.get_or_none(is_for_it) if self._model is WebInstance else None
        if key is not None:
            raise InvalidInput(
                f"API key {key.name!r} is for {name}: first run `stasis-callback api-key revoke {key.name}`"
            )
        self._model.delete().where(self._model.id == row.id).execute()
        if self._kind.key_option:
            self._note_used_up(name, row)

    @read
    def find(self, name: str) -> InstanceView[C] | None:
        """The instance, enabled or not."""
        row = None if is_hidden(name) else one(self._by_name, name)
        return self._view(*row) if row else None

    @read
    def all(self) -> list[InstanceView[C]]:
        """Every instance by name."""
        rows = self._model.select().order_by(self._model.name)
        return [self._view(row.name, row.enabled, row.options) for row in rows if not is_hidden(row.name)]

    def named(self, name: str) -> InstanceView[C]:
        """The instance, enabled or not. Raises InvalidInput if it does not exist."""
        view = self.find(name)
        if view is None:
            raise InvalidInput(self._unknown(name))
        return view

    def _row(self, name: str) -> InstanceRow:
        row = self._model.get_or_none(self._model.name == name)
        if row is None or is_hidden(name):
            raise InvalidInput(self._unknown(name))
        return row

    # --- secrets ---------------------------------------------------------------------------------------------------

    def _one_by_one(self) -> None:
        """Instances change one after the other: what one has, and which secrets are used up, is looked up first."""
        self._database.lock(f"{self._kind.noun} instances")

    def _used_up(self, name: str) -> int:
        """The last secret of the instances of this name that were removed; 0 if there was none.

        It and those before it are never good again: a row under a hidden name says so.
        """
        gone = self._model.get_or_none(self._model.name == hidden_name(name))
        return self._number(json.loads(gone.options)) if gone else 0

    def _number(self, stored: Mapping[str, str]) -> int:
        return int(stored.get(self._kind.key_option, "1"))

    def _noted(self, name: str) -> int:
        """The last secret of all instances of this name by the audit log; 0 if it knows of none."""
        noted = values_noted(self._kind.noun, name, self._kind.key_option)
        return 0 if noted is None else max([1, *(int(str(number)) for number in noted if number)])

    def _with_new_secret(self, name: str, stored: Mapping[str, str]) -> Mapping[str, str]:
        """The options of a new instance: with the first secret that no removed one of its name has had."""
        if not self._kind.key_option:
            return stored
        # Of those that were removed before they left a row, only the audit log knows.
        if (used := max(self._used_up(name), self._noted(name))) == 0:
            return stored
        self._keep_used_up(name, used)
        stored = {self._kind.key_option: str(used + 1), **stored}
        self._require_not_used_up(name, stored)
        try:
            self._kind.options.parse(stored)
        except InvalidInput as error:  # the numbers have come to their end
            raise InvalidInput(
                f"{name!r} has no secret left that a removed one did not have: take another name"
            ) from error
        return stored

    def _require_not_used_up(self, name: str, stored: Mapping[str, str]) -> None:
        used, option = self._used_up(name), self._kind.key_option
        if self._number(stored) <= used:
            raise InvalidInput(
                f"{option} {self._number(stored)} is of a {self._kind.noun} instance {name!r} that was removed: set "
                f"{option}={used + 1}, or more"
            )

    def _note_used_up(self, name: str, row: InstanceRow) -> None:
        numbers = self._used_up(name), self._noted(name), self._number(json.loads(row.options))
        self._keep_used_up(name, max(numbers))

    def _keep_used_up(self, name: str, number: int) -> None:
        gone = hidden_name(name)
        self._model.delete().where(self._model.name == gone).execute()
        self._model.create(
            name=gone,
            enabled=False,
            options=json.dumps({self._kind.key_option: str(number)}),
            created_at_us=self._clock.now_us(),
        )

    # --- rows ------------------------------------------------------------------------------------------------------

    def _unknown(self, name: str) -> str:
        noun = self._kind.noun
        return f"unknown {noun} instance {name!r}: see `stasis-callback {noun} list`"

    def _view(self, name: str, enabled: bool, options: str) -> InstanceView[C]:
        stored = json.loads(options)
        found = usable(f"{self._kind.noun} instance {name}", self._kind.options, stored)
        return InstanceView(name, bool(enabled) and not found.trouble, stored, found.options)
