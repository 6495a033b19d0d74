"""Web instances: the ways to ask for callbacks over the web, any number of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.web import WEB_NAMES, WebConfiguration
from stasis_callback.store.database import Database
from stasis_callback.store.models import ApiKey, WebInstance

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class WebInstanceView:
    """A web instance; `stored` has what differs from the defaults, as texts."""

    name: str
    enabled: bool
    stored: Mapping[str, str]

    @property
    def configuration(self) -> WebConfiguration:
        """Everything that is set, defaults included."""
        return _parsed(json.dumps(dict(self.stored)))


@lru_cache(maxsize=256)
def _parsed(stored: str) -> WebConfiguration:
    return WebConfiguration.parse(json.loads(stored))


class WebInstances:
    """The configured web instances. Read at every request, so a change counts from the next one on."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, name: str, stored: Mapping[str, str]) -> None:
        """Raises InvalidInput when the name is taken or cannot be in an address, or an option cannot be used."""
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"{name!r}: a web instance's name is 1 to 32 small letters, digits and dashes")
        WebConfiguration.parse(stored)
        with self._database.transaction():
            if WebInstance.get_or_none(WebInstance.name == name) is not None:
                raise InvalidInput(f"web instance {name} exists already")
            WebInstance.create(
                name=name,
                enabled=True,
                options=json.dumps(dict(stored)),
                created_at_us=self._clock.now_us(),
            )

    def change(self, name: str, stored: Mapping[str, str], *, enabled: bool | None = None) -> None:
        """Set options (an empty text restores the default) and switch it on or off; all or nothing."""
        with self._database.transaction():
            row = self._row(name)
            merged = {k: v for k, v in (json.loads(row.options) | dict(stored)).items() if v != ""}
            unknown = {option: text for option, text in stored.items() if option not in WEB_NAMES}
            WebConfiguration.parse(unknown | merged)
            values = {"options": json.dumps(merged)} | ({} if enabled is None else {"enabled": enabled})
            WebInstance.update(values).where(WebInstance.id == row.id).execute()

    def remove(self, name: str) -> None:
        """Take it away. Raises InvalidInput while a key is for it alone: it would be a key for nothing."""
        with self._database.transaction():
            row = self._row(name)
            key = ApiKey.get_or_none(ApiKey.instance == name, ApiKey.revoked_at_us.is_null())
            if key is not None:
                raise InvalidInput(
                    f"API key {key.name!r} is for {name}: `stasis-callback api-key revoke {key.name}` first"
                )
            WebInstance.delete().where(WebInstance.id == row.id).execute()

    def find(self, name: str) -> WebInstanceView | None:
        """The instance, enabled or not."""
        with self._database.reading():
            row = WebInstance.get_or_none(WebInstance.name == name)
            return _view(row) if row else None

    def all(self) -> list[WebInstanceView]:
        """Every instance by name."""
        with self._database.reading():
            return [_view(row) for row in WebInstance.select().order_by(WebInstance.name)]

    @staticmethod
    def _row(name: str) -> WebInstance:
        row = WebInstance.get_or_none(WebInstance.name == name)
        if row is None:
            raise InvalidInput(f"there is no web instance {name!r}: see `stasis-callback web list`")
        return row


def _view(row: WebInstance) -> WebInstanceView:
    return WebInstanceView(row.name, bool(row.enabled), json.loads(row.options))
