"""Counters of what was done how often, kept in the database: they hold across processes and restarts."""

from __future__ import annotations

from peewee import Case

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.limits import Limit
from stasis_callback.store.database import Database
from stasis_callback.store.models import Allowance


class Limits:
    """Counters by key, such as `web:help:number:420212345678`. Every change is one conditional statement."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def take(self, key: str, limit: Limit) -> bool:
        """Count one more; False, and nothing counted, when the limit is reached.

        The window begins with the first and is not prolonged by what is refused. Any number of processes and threads
        together get no more than `limit.count`.
        """
        now_us = self._clock.now_us()
        until_us = now_us + limit.period_s * US_PER_S
        over = Allowance.until_us <= now_us
        with self._database.transaction():
            changed = (
                Allowance.insert(key=key, count=1, until_us=until_us)
                .on_conflict(
                    conflict_target=[Allowance.key],
                    update={
                        Allowance.count: Case(None, [(over, 1)], Allowance.count + 1),
                        Allowance.until_us: Case(None, [(over, until_us)], Allowance.until_us),
                    },
                    where=over | (Allowance.count < limit.count),
                )
                .as_rowcount()
                .execute()
            )
        return bool(changed)

    def give_back(self, key: str) -> None:
        """It did not count after all."""
        with self._database.transaction():
            Allowance.update(count=Allowance.count - 1).where(
                Allowance.key == key, Allowance.count > 0
            ).execute()

    def clear(self, key: str) -> None:
        """Count from the beginning again."""
        with self._database.transaction():
            Allowance.delete().where(Allowance.key == key).execute()

    def wait_s(self, key: str) -> int:
        """How long until the window of this key is over, in whole seconds; 0 when none is open."""
        with self._database.reading():
            row = Allowance.get_or_none(Allowance.key == key)
            left_us = row.until_us - self._clock.now_us() if row else 0
            return max(-(-left_us // US_PER_S), 0)

    def forget_old(self) -> None:
        """Remove the windows that are over."""
        with self._database.transaction():
            Allowance.delete().where(Allowance.until_us <= self._clock.now_us()).execute()
