"""Finding callbacks and call records, for listings and for the story of one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any

from peewee import SQL, ModelSelect, fn

from stasis_callback.core.states import UNDER_WAY, RequestState
from stasis_callback.core.transcript import TranscriptLine, lines_of
from stasis_callback.store.accounts.tables import Account, Customer
from stasis_callback.store.calls.legs import XdrView, xdr_rows, xdr_view
from stasis_callback.store.calls.repairs import RepairView
from stasis_callback.store.calls.request_view import RequestView, views_of
from stasis_callback.store.calls.tables import LegRow, Repair, Request, Xdr
from stasis_callback.store.database.database import Database, read
from stasis_callback.store.database.names import by_name
from stasis_callback.store.database.periods import begins, between, newest_first, sought
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
    def requests(self, only: RequestFilter, limit: int, after: str = "") -> list[RequestView]:
        """Callbacks, newest first, from the one after `after` (its id) on. Raises InvalidInput if there is none."""
        rows: ModelSelect[Any] = Request.select()
        if only.state:
            rows = rows.where(self._in_state(only.state))
        if only.outcome:
            rows = rows.where(Request.outcome == only.outcome)
        if only.trigger:
            rows = rows.where(Request.triggered_by == only.trigger)
        rows = between(rows, Request.created_at_us, only.since_us, only.until_us)
        rows = newest_first(rows, Request.created_at_us, Request.id, after)
        sought_for = list(_sought_requests(only))
        if not sought_for:
            return views_of(rows.limit(limit))
        often, seldom = (reduce(and_, conditions) for conditions in zip(*sought_for, strict=True))
        return views_of(sought(rows, Request.created_at_us, limit, often=often, seldom=seldom))

    def _in_state(self, state: str) -> Any:
        """Callbacks that are not over are few, and have an index; SQLite would sort all others for it too."""
        is_few = state in (*UNDER_WAY, RequestState.QUEUED) or self._database.kind != "sqlite"
        return (Request.state if is_few else Request.state.concat("")) == state

    @read
    def xdrs(self, only: XdrFilter, limit: int, after: str = "") -> list[XdrView]:
        """Call records, of the legs that ended last first, from the one after `after` (its leg) on. Raises
        InvalidInput for what does not exist.
        """
        rows = xdr_rows()
        if only.account:
            rows = rows.where(Xdr.account == Account.get(Account.number == only.account))
        if only.request_id:
            rows = rows.where(Xdr.request == only.request_id)
        if only.trunk:
            rows = rows.where(Xdr.trunk == by_name(Trunk, only.trunk, "trunk"))
        if only.outcome:
            rows = rows.where(Xdr.outcome == only.outcome)
        rows = between(rows, Xdr.ended_at_us, only.since_us, only.until_us)
        rows = newest_first(rows, Xdr.ended_at_us, Xdr.leg, after)
        sought_for = list(_sought_xdrs(only))
        if not sought_for:
            return [xdr_view(row) for row in rows.limit(limit)]
        often, seldom = (reduce(and_, conditions) for conditions in zip(*sought_for, strict=True))
        return [xdr_view(row) for row in sought(rows, Xdr.ended_at_us, limit, often=often, seldom=seldom)]

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


def _sought_requests(only: RequestFilter) -> Iterator[tuple[Any, Any]]:
    """Conditions for `sought`: as they are looked at row by row, and as indexes find them."""
    if only.account_id is not None:
        subscriber, payer = Request.subscriber == only.account_id, Request.account == only.account_id
        of_another = Request.subscriber.is_null() | (Request.subscriber != Request.account)
        ids = Request.select(Request.id)
        yield subscriber | payer, Request.id.in_(ids.where(subscriber) | ids.where(payer, of_another))
    if only.ani:
        yield _begin((Request.ani,), only.ani), Request.id.in_(_with_ani(only.ani))
    if only.number:
        # Not EXISTS, for which PostgreSQL reads all legs once, in place of those of each callback that it looks at.
        called = LegRow.select(SQL("TRUE")).where(
            LegRow.request == Request.id, LegRow.number.startswith(only.number)
        )
        own = (Request.ani, Request.leg_a_number, Request.destination)
        yield (
            _begin(own, only.number) | fn.COALESCE(called.limit(1), SQL("FALSE")),
            Request.id.in_(_with_number(only.number)),
        )


def _sought_xdrs(only: XdrFilter) -> Iterator[tuple[Any, Any]]:
    if only.number:
        yield Xdr.number.startswith(only.number), begins(Xdr.number, only.number)
    if only.customer:
        customer = by_name(Customer, only.customer, "customer")
        theirs = Account.select(Account.id).where(Account.customer == customer)
        yield Account.customer == customer, Xdr.account.in_(theirs)


def _begin(columns: Sequence[Any], digits: str) -> Any:
    """Whether one of the columns begins with digits, also behind a plus."""
    return reduce(or_, (column.startswith(start) for column in columns for start in (digits, f"+{digits}")))


def _with_ani(digits: str) -> Any:
    """The callbacks of callers whose number begins with digits."""
    ids = Request.select(Request.id)
    return ids.where(begins(Request.ani, digits)) | ids.where(begins(Request.ani, f"+{digits}"))


def _with_number(digits: str) -> Any:
    """The callbacks of which a number begins with digits. Legs that are over have a call record."""
    found, ids = _with_ani(digits), Request.select(Request.id)
    for start in (digits, f"+{digits}"):
        found |= ids.where(begins(Request.leg_a_number, start))
        found |= ids.where(begins(Request.destination, start), SQL("destination <> ''"))
    found |= Xdr.select(Xdr.request).where(begins(Xdr.number, digits))
    return found | LegRow.select(LegRow.request).where(
        SQL("state <> 'settled'"), begins(LegRow.number, digits)
    )
