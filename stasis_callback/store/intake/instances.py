"""Web, e-mail and message instances: common code for all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeAlias, TypeVar

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.names import is_new
from stasis_callback.store.database.statements import one
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
    names: frozenset[str]
    parse: Callable[[Mapping[str, str]], C]


@dataclass(frozen=True, slots=True)
class InstanceView(Generic[C]):
    """An instance; `stored` has what differs from the defaults, as texts."""

    name: str
    enabled: bool
    stored: Mapping[str, str]
    kind: InstanceKind[C]

    @property
    def configuration(self) -> C:
        """Everything that is set, defaults included."""
        found: C = _parsed(self.kind.parse, tuple(self.stored.items()))
        return found


@lru_cache(maxsize=256)
def _parsed(parse: Callable[[Mapping[str, str]], C], stored: tuple[tuple[str, str], ...]) -> C:
    return parse(dict(stored))


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
        kind.parse(stored)
        if is_new(self._database, self._model, name, f"{kind.noun} instance"):
            self._model.create(
                name=name,
                enabled=True,
                options=json.dumps(dict(stored)),
                created_at_us=self._clock.now_us(),
            )

    @unit
    def change(self, name: str, stored: Mapping[str, str], *, enabled: bool | None = None) -> None:
        """Set options (an empty text restores the default) and switch it on or off; all or nothing."""
        row = self._row(name)
        merged = {k: v for k, v in (json.loads(row.options) | dict(stored)).items() if v != ""}
        unknown = {option: text for option, text in stored.items() if option not in self._kind.names}
        self._kind.parse(unknown | merged)
        values = {"options": json.dumps(merged)} | ({} if enabled is None else {"enabled": enabled})
        self._model.update(values).where(self._model.id == row.id).execute()

    @unit
    def remove(self, name: str) -> None:
        """Take it away. Raises InvalidInput while an API key is for it alone: it would be a key for nothing."""
        if self._database.repeated(f"remove:{name}") and self.find(name) is None:
            return
        row = self._row(name)
        is_for_it = (ApiKey.instance == name) & ApiKey.revoked_at_us.is_null()
        key = ApiKey.get_or_none(is_for_it) if self._model is WebInstance else None
        if key is not None:
            raise InvalidInput(
                f"API key {key.name!r} is for {name}: first run `stasis-callback api-key revoke {key.name}`"
            )
        self._model.delete().where(self._model.id == row.id).execute()

    @read
    def find(self, name: str) -> InstanceView[C] | None:
        """The instance, enabled or not."""
        row = one(self._by_name, name)
        return self._view(*row) if row else None

    @read
    def all(self) -> list[InstanceView[C]]:
        """Every instance by name."""
        rows = self._model.select().order_by(self._model.name)
        return [self._view(row.name, row.enabled, row.options) for row in rows]

    def named(self, name: str) -> InstanceView[C]:
        """The instance, enabled or not. Raises InvalidInput if it does not exist."""
        view = self.find(name)
        if view is None:
            raise InvalidInput(self._unknown(name))
        return view

    def _row(self, name: str) -> InstanceRow:
        row = self._model.get_or_none(self._model.name == name)
        if row is None:
            raise InvalidInput(self._unknown(name))
        return row

    def _unknown(self, name: str) -> str:
        noun = self._kind.noun
        return f"unknown {noun} instance {name!r}: see `stasis-callback {noun} list`"

    def _view(self, name: str, enabled: bool, options: str) -> InstanceView[C]:
        return InstanceView(name, bool(enabled), json.loads(options), self._kind)
