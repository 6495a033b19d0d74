"""A read-only view of a request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from peewee import ModelSelect

from stasis_callback.clock import US_PER_S
from stasis_callback.core.options import CallOptions
from stasis_callback.core.states import RequestState
from stasis_callback.core.stored_options import CALL_OPTIONS
from stasis_callback.core.words import Ending, Refusal
from stasis_callback.store.calls.tables import Request
from stasis_callback.store.database.foreign import usable
from stasis_callback.store.database.statements import one

AT_ONCE_US = 60 * US_PER_S
"""A callback that waits no longer than this is made at once, as people see it."""
LEASE_S = 30
"""A node renews the lease of its calls while it lives, so the lease tells when it was last known to live."""


@dataclass(frozen=True, slots=True)
class RequestView:
    """A request as it was when it was read. `id` is the session id: see `leg_id`."""

    id: str
    key: str
    triggered_by: str
    ani: str
    dnis: str
    account_id: int
    subscriber_id: int | None
    leg_a_number: str
    stored_options: str
    state: RequestState
    outcome: str
    """As it is stored, also by another release: see `refusal` and `ending`."""
    attempts: int
    created_at_us: int
    due_at_us: int
    finished_at_us: int | None
    destination: str = ""
    instance: str = ""
    claimed_by: str = ""
    """The node that works on it, or did so last."""
    incarnation: str = ""
    """The start of that node."""
    lease_until_us: int = 0
    alive_mark: str = ""
    """When the lease was renewed, by the steady clock of its machine (`Clock.mark`)."""
    claims: int = 0
    """How often it was claimed: the number of the attempt that is under way."""
    cancel_wanted: bool = False
    reference: str = ""
    """The requester's own name for it."""
    told: str = ""
    """The web instance whose webhooks tell its steps; "" for none."""
    attestation: str = ""
    """How sure the carriers were of the caller's number: A, B, C, `failed`; "" where they said nothing."""

    @property
    def refusal(self) -> Refusal | None:
        """Why it was refused; None when it was not, or for a reason that this release does not know."""
        return Refusal.of(self.outcome) if self.state is RequestState.REFUSED else None

    @property
    def ending(self) -> Ending | None:
        """How it ended, or its last attempt; None while there is no end, or one this release does not know."""
        return None if self.state is RequestState.REFUSED else Ending.of(self.outcome)

    @property
    def call_at_us(self) -> int | None:
        """The time that was chosen for it, or set; None where it was to be made at once."""
        wait_us = int(self.options.callback_delay_s * US_PER_S)
        return self.created_at_us + wait_us if wait_us > AT_ONCE_US else None

    @property
    def last_alive_us(self) -> int:
        """When the node that worked on it was last known to live, as it was when this was read."""
        return self.lease_until_us - LEASE_S * US_PER_S

    def leg_id(self, side: str, number: int) -> str:
        """The id of leg `number` (from 1) of a side, "a" or "b", in the attempt under way: `-a1`, `-a1.2`, `-b3`.

        The attempt is in it: one that ended in a failure of ours may have called a leg B already.
        """
        return f"{self.id}-{side}{self.claims}" + (f".{number}" if number > 1 else "")

    @staticmethod
    def leg_number(leg_id: str) -> int:
        """Which leg of its side and attempt it is, from 1."""
        return int(leg_id.rpartition("-")[2].partition(".")[2] or 1)

    @property
    def options(self) -> CallOptions:
        """The options the request was accepted with, as far as they can be used."""
        return _read(self.stored_options)[0]

    @property
    def unreadable(self) -> str:
        """Why nobody may be called with its options, which another version has stored; "" as a rule."""
        return _read(self.stored_options)[1]


@dataclass(frozen=True, slots=True)
class Again:
    """When the next attempt is due: `after_s` seconds from now, or (None) when this one was.

    `attempts` is how many count so far, where that is less than were begun: one of which Asterisk never heard does
    not count. With None for `after_s` it keeps its time, so a service that dies again and again gives up in the end.
    """

    after_s: float | None
    attempts: int | None = None

    @classmethod
    def at_once(cls, request: RequestView, *, uncounted: bool) -> Again:
        """In place of the attempt of `request` that has ended; `uncounted`: that one does not count."""
        return cls(None, max(request.attempts - 1, 0) if uncounted else None)


@lru_cache(maxsize=256)
def _read(stored_options: str) -> tuple[CallOptions, str]:
    """Few different sets of options are in use at a time, and a call looks at its own again and again."""
    try:
        found = usable("callback", CALL_OPTIONS, json.loads(stored_options))
    except (ValueError, TypeError, AttributeError) as error:  # not a mapping of texts
        return CallOptions(), str(error)
    return found.options, found.trouble


REQUEST_COLUMNS = (
    "id", "key", "triggered_by", "ani", "dnis", "account_id", "subscriber_id", "leg_a_number", "options", "state",
    "outcome", "attempts", "created_at_us", "due_at_us", "finished_at_us", "destination", "instance", "claimed_by",
    "incarnation", "lease_until_us", "alive_mark", "claims", "cancel_wanted",
    "reference", "told", "attestation",
)  # fmt: skip
"""The fields of `RequestView` in their order, as the request table has them."""
_FIELDS = tuple(field.name for field in fields(RequestView))

_VIEWED = [getattr(Request, column) for column in REQUEST_COLUMNS]
SELECT_REQUEST = f"SELECT {', '.join(REQUEST_COLUMNS)} FROM request"
_BY_ID = f"{SELECT_REQUEST} WHERE id = ?"


def request_now(request_id: str) -> RequestView:
    """A request as it is now. Within a `read` or a unit."""
    return view_of(one(_BY_ID, request_id))


def view_of(row: Sequence[Any]) -> RequestView:
    """A row of the request table: its `REQUEST_COLUMNS`."""
    values = dict(zip(_FIELDS, row, strict=True))
    values["account_id"] = values["account_id"] or 0
    values["state"] = RequestState(values["state"])
    values["cancel_wanted"] = bool(values["cancel_wanted"])
    return RequestView(**values)


def views_of(rows: ModelSelect[Any]) -> list[RequestView]:
    """The views of selected rows of the request table."""
    return [view_of(row) for row in rows.select(*_VIEWED).tuples()]
