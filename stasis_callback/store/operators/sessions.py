"""Sessions of the console, in the database: a restart ends none, and each node knows all."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.operators.operators import Role
from stasis_callback.store.operators.tables import ConsoleForm, ConsoleSession, ConsoleUser

SEEN_EVERY_S = 60
"""A session is noted as used at most this often: a page is not a commit."""
FORMS_KEPT_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class SessionView:
    """Who is signed in."""

    name: str
    role: Role
    proved_at_us: int


class Sessions:
    """Who is signed in, and which forms were sent."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def open(self, name: str) -> str:
        """Sign an operator in: the token for their browser. They must have been recognised."""
        token = secrets.token_urlsafe(32)

        def once() -> None:
            if ConsoleSession.get_or_none(ConsoleSession.token_hash == _hash(token)) is None:
                now_us = self._clock.now_us()
                ConsoleSession.create(
                    token_hash=_hash(token),
                    user=ConsoleUser.get(ConsoleUser.name == name),
                    created_at_us=now_us, seen_at_us=now_us, proved_at_us=now_us,
                )  # fmt: skip

        self._database.unit(once)
        return token

    @read
    def find(self, token: str, *, idle_s: float, longest_s: float) -> SessionView | None:
        """Whose session this is; None if there is none, or it is unused for `idle_s` or older than `longest_s`."""
        row = (
            ConsoleSession.select(ConsoleSession, ConsoleUser)
            .join(ConsoleUser)
            .where(ConsoleSession.token_hash == _hash(token))
            .first()
        )
        now_us = self._clock.now_us()
        if row is None:
            return None
        if now_us - row.seen_at_us > idle_s * US_PER_S or now_us - row.created_at_us > longest_s * US_PER_S:
            return None
        return SessionView(row.user.name, Role(row.user.role), row.proved_at_us)

    @unit
    def used(self, token: str) -> None:
        """Note that a session is used."""
        now_us = self._clock.now_us()
        ConsoleSession.update(seen_at_us=now_us).where(
            ConsoleSession.token_hash == _hash(token),
            ConsoleSession.seen_at_us <= now_us - SEEN_EVERY_S * US_PER_S,
        ).execute()

    @unit
    def proved(self, token: str) -> None:
        """Note that the operator has given password and code again."""
        ConsoleSession.update(proved_at_us=self._clock.now_us()).where(
            ConsoleSession.token_hash == _hash(token)
        ).execute()

    @unit
    def close(self, token: str) -> None:
        """Sign out."""
        ConsoleSession.delete().where(ConsoleSession.token_hash == _hash(token)).execute()

    @unit
    def close_old(self, *, idle_s: float, longest_s: float) -> None:
        """Remove sessions that are over, and forms sent long ago."""
        now_us = self._clock.now_us()
        ConsoleSession.delete().where(
            (ConsoleSession.seen_at_us < now_us - int(idle_s * US_PER_S))
            | (ConsoleSession.created_at_us < now_us - int(longest_s * US_PER_S))
        ).execute()
        ConsoleForm.delete().where(ConsoleForm.sent_at_us < now_us - FORMS_KEPT_S * US_PER_S).execute()

    @unit
    def take_form(self, key: str) -> bool:
        """Note that a form was sent; False if it was before."""
        inserted = (
            ConsoleForm.insert(key=key, sent_at_us=self._clock.now_us())
            .on_conflict_ignore()
            .as_rowcount()
            .execute()
        )
        taken = inserted or self._database.noted(f"form:{key}")
        self._database.note(f"form:{key}", taken)
        return bool(taken)


def _hash(token: str) -> str:
    """It has 256 random bits: a fast hash hides it."""
    return hashlib.sha256(token.encode()).hexdigest()
