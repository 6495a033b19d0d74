"""What is asked about callbacks, and changes nothing."""

from __future__ import annotations

from stasis_callback.clock import Clock
from stasis_callback.core.states import RequestState
from stasis_callback.store.calls.request_view import (
    SELECT_REQUEST,
    RequestView,
    request_now,
    view_of,
    views_of,
)
from stasis_callback.store.calls.tables import Request
from stasis_callback.store.database.database import Database, read
from stasis_callback.store.database.identity import Identity
from stasis_callback.store.database.statements import one

BY_KEY = f"{SELECT_REQUEST} WHERE key = ?"
_STATE = "SELECT state FROM request WHERE id = ?"


class RequestLooks:
    """The request table, for looking."""

    def __init__(self, database: Database, clock: Clock, me: Identity) -> None:
        self._database = database
        self._clock = clock
        self._me = me

    @read
    def get(self, request_id: str) -> RequestView:
        """The request as it is now."""
        return request_now(request_id)

    @read
    def state(self, request_id: str) -> RequestState | None:
        """The state of a request; None if it does not exist."""
        row = one(_STATE, request_id)
        return RequestState(row[0]) if row else None

    @read
    def exists(self, request_id: str) -> bool:
        """Whether there is such a request."""
        return bool(Request.select().where(Request.id == request_id).exists())

    @read
    def with_key(self, key: str) -> RequestView | None:
        """The request with this key, accepted or refused."""
        row = one(BY_KEY, key)
        return view_of(row) if row else None

    @read
    def times_asked_again(self, request_id: str) -> int:
        """How often an operator has asked for the same as this request (`again_key`)."""
        return int(Request.select().where(Request.key.startswith(self.again_key(request_id, ""))).count())

    @staticmethod
    def again_key(request_id: str, time: int | str) -> str:
        """The key under which the same as a request is asked for the first, second, third time."""
        return f"retry:{request_id}:{time}"

    @read
    def count(self, state: str) -> int:
        """How many requests are in this state."""
        return int(Request.select().where(Request.state == state).count())

    @read
    def newest(self, *, state: str | None = None, limit: int = 100) -> list[RequestView]:
        """The newest requests, newest first."""
        rows = Request.select().order_by(Request.created_at_us.desc()).limit(limit)
        return views_of(rows.where(Request.state == state) if state else rows)
