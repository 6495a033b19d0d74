"""Counters of failed logins: too many consecutive ones lock the key out for a time, even across restarts."""

from __future__ import annotations

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.limits import CLOCKS_APART_S
from stasis_callback.store.intake.tables import Throttle


class Throttles:
    """Counters of wrong logins by key, such as `ani:420212345678`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @read
    def locked(self, key: str) -> bool:
        """Whether this key is locked out now. A lockout that begins in the future says nothing: a clock was wrong."""
        row, now_us = Throttle.get_or_none(Throttle.key == key), self._clock.now_us()
        if row is None or row.locked_until_us <= now_us:
            return False
        begun: bool = row.failed_at_us <= now_us + CLOCKS_APART_S * US_PER_S
        return begun

    @unit
    def failed(self, key: str, *, limit: int, lock_s: float) -> bool:
        """Count a wrong login; True when it was the `limit`-th in a row: the key is locked for `lock_s` seconds."""
        self._database.lock(f"throttle:{key}")
        row = Throttle.get_or_none(Throttle.key == key)
        # An earlier run may have counted this one, and started anew.
        before = self._database.noted(f"failures:{key}")
        before = (row.failures if row else 0) if before is None else before
        self._database.note(f"failures:{key}", before)
        failures = 1 + before
        locked = failures >= limit
        now_us = self._clock.now_us()
        until_us = now_us + int(lock_s * US_PER_S) if locked else 0
        Throttle.insert(
            key=key, failures=0 if locked else failures, locked_until_us=until_us, failed_at_us=now_us
        ).on_conflict(
            conflict_target=[Throttle.key],
            preserve=[Throttle.failures, Throttle.locked_until_us, Throttle.failed_at_us],
        ).execute()
        return locked

    @unit
    def succeeded(self, key: str) -> None:
        """A right login: count from the beginning again."""
        Throttle.delete().where(Throttle.key == key).execute()
