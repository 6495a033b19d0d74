"""Finding callbacks and call records, for listings and for the story of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peewee import ModelSelect

from stasis_callback.core.transcript import TranscriptLine, lines_of
from stasis_callback.store.accounts.tables import Account, Customer
from stasis_callback.store.calls.legs import XdrView, xdr_rows, xdr_view
from stasis_callback.store.calls.repairs import RepairView
from stasis_callback.store.calls.request_view import RequestView, views_of
from stasis_callback.store.calls.tables import LegRow, Repair, Request, Xdr
from stasis_callback.store.database.database import Database, read
from stasis_callback.store.database.names import by_name
from stasis_callback.store.database.periods import between
from stasis_callback.store.database.statements import every, one
from stasis_callback.store.money.views import LegFunds, funds_of_leg
from stasis_callback.store.rates.tables import Trunk

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which callbacks are wanted; "" is for any.

    `account_id` pays for one of the legs; `ani` is how the caller's number begins; `number` is how any number of the
    callback begins: the caller's, that of leg A, the wished one, or one that was called.
    """

    account_id: int | None = None
    ani: str = ""
    number: str = ""
    state: str = ""
    outcome: str = ""
    trigger: str = ""
    since_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class XdrFilter:
    """Which call records are wanted; "" is for any. `number` is how the called number begins; times
    are of the end.
    """

    account: str = ""
    customer: str = ""
    request_id: str = ""
    number: str = ""
    trunk: str = ""
    outcome: str = ""
    since_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class LegStory:
    """A leg from its dialling on, and its funds. Who pays, over which trunk ("" for the one of the settings)."""

    funds: LegFunds | None
    id: str
    side: str
    number: str
    account: str
    prefix: str
    trunk: str
    dialed_at_us: int
    answered_at_us: int | None


_LEGS = """SELECT leg.id, leg.side, leg.number, account.number, rate.prefix, COALESCE(trunk.name, ''),
    leg.dialed_at_us, leg.answered_at_us FROM leg JOIN account ON account.id = leg.account_id
    JOIN rate ON rate.id = leg.rate_id LEFT JOIN trunk ON trunk.id = leg.trunk_id
    WHERE leg.request_id = ? ORDER BY leg.dialed_at_us, leg.id"""


class CallSearch:
    """Reads callbacks and call records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @read
    def requests(self, only: RequestFilter, limit: int, offset: int = 0) -> list[RequestView]:
        """Callbacks, newest first."""
        rows: ModelSelect[Any] = Request.select()
        for column in ("state", "outcome"):
            if value := getattr(only, column):
                rows = rows.where(getattr(Request, column) == value)
        if only.trigger:
            rows = rows.where(Request.triggered_by == only.trigger)
        if only.account_id is not None:
            rows = rows.where((Request.account == only.account_id) | (Request.subscriber == only.account_id))
        if only.ani:
            rows = rows.where(_begins(Request.ani, only.ani) | _begins(Request.ani, f"+{only.ani}"))
        if only.number:
            rows = rows.where(_with_number(only.number))
        rows = between(rows, Request.created_at_us, only.since_us, only.until_us)
        rows = rows.order_by(Request.created_at_us.desc(), Request.id.desc())
        return views_of(rows.limit(limit).offset(offset))

    @read
    def xdrs(self, only: XdrFilter, limit: int, offset: int = 0) -> list[XdrView]:
        """Call records, of the legs settled last first. Raises InvalidInput for a customer that does not exist."""
        rows = xdr_rows()
        if only.account:
            rows = rows.where(Account.number == only.account)
        if only.customer:
            rows = rows.where(Account.customer == by_name(Customer, only.customer, "customer"))
        if only.request_id:
            rows = rows.where(Xdr.request == only.request_id)
        if only.number:
            rows = rows.where(_begins(Xdr.number, only.number))
        if only.trunk:
            rows = rows.where(Trunk.name == only.trunk)
        if only.outcome:
            rows = rows.where(Xdr.outcome == only.outcome)
        rows = between(rows, Xdr.ended_at_us, only.since_us, only.until_us)
        return [xdr_view(row) for row in rows.order_by(Xdr.id.desc()).limit(limit).offset(offset)]

    @read
    def xdrs_of_legs(self, leg_ids: Sequence[str]) -> dict[str, XdrView]:
        """The call records of these legs."""
        found: dict[str, XdrView] = {}
        for some in (leg_ids[start : start + _AT_ONCE] for start in range(0, len(leg_ids), _AT_ONCE)):
            rows = xdr_rows()
            found |= {row.leg_id: xdr_view(row) for row in rows.where(Xdr.leg.in_(list(some)))}
        return found

    @read
    def legs(self, request_id: str) -> list[LegStory]:
        """The legs of a callback in the order in which they were dialled, ended or not."""
        return [LegStory(funds_of_leg(row[0]), *row) for row in every(_LEGS, request_id)]

    @read
    def request_of_leg(self, leg_id: str) -> str:
        """The callback that a leg belongs to; "" for an unknown leg."""
        row = one("SELECT request_id FROM leg WHERE id = ?", leg_id)
        return str(row[0]) if row else ""

    @read
    def transcript(self, request_id: str) -> list[TranscriptLine]:
        """What was said and keyed in the last attempt of a callback that is over."""
        (stored,) = one("SELECT transcript FROM request WHERE id = ?", request_id)
        return lines_of(stored)

    @read
    def repairs(self, subjects: Sequence[str]) -> list[RepairView]:
        """What operators have repaired of a callback and its legs."""
        rows = Repair.select().where(Repair.subject.in_(list(subjects))).order_by(Repair.id)
        return [RepairView(row.subject, row.done, row.operator, row.reason, row.at_us) for row in rows]


def _with_number(digits: str) -> Any:
    columns = (Request.ani, Request.leg_a_number, Request.destination)
    found = Request.id.in_(LegRow.select(LegRow.request).where(_begins(LegRow.number, digits)))
    for column in columns:
        found |= _begins(column, digits) | _begins(column, f"+{digits}")
    return found


def _begins(column: Any, start: str) -> Any:
    return column.startswith(start)
