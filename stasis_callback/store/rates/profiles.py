"""How the lists of each carrier are read, kept by name for its next list."""

from __future__ import annotations

import json
from dataclasses import asdict

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.rate_columns import Profile
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.names import checked_name
from stasis_callback.store.rates.tables import RateProfile


class RateProfiles:
    """Profiles by name."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @read
    def find(self, name: str) -> Profile | None:
        """The profile with this name."""
        row = RateProfile.get_or_none(RateProfile.name == name)
        return _profile(row) if row else None

    @read
    def all(self) -> dict[str, Profile]:
        """Every profile by its name."""
        return {row.name: _profile(row) for row in RateProfile.select().order_by(RateProfile.name)}

    @unit
    def keep(self, name: str, profile: Profile) -> None:
        """Keep a profile in the place of what had this name."""
        text = json.dumps({key: value for key, value in asdict(profile).items() if value})
        self._database.lock("rate profiles")
        if not RateProfile.update(profile=text).where(RateProfile.name == checked_name(name)).execute():
            RateProfile.create(name=name, profile=text, created_at_us=self._clock.now_us())

    @unit
    def remove(self, name: str) -> None:
        """Forget a profile. Raises InvalidInput if there is none."""
        again = self._database.repeated(f"rate profile:{name}")
        if not RateProfile.delete().where(RateProfile.name == name).execute() and not again:
            raise InvalidInput(f"unknown profile {name!r}: see `stasis-callback rate profile list`")


def _profile(row: RateProfile) -> Profile:
    values = json.loads(row.profile)
    return Profile(**values | {"ignore": tuple(values.get("ignore", ()))})
