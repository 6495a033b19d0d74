"""Callbacks that were asked for over the web, and call records: with filters, page by page, newest first."""

from __future__ import annotations

from dataclasses import dataclass

from stasis_callback.store.accounts.tables import Account
from stasis_callback.store.calls.legs import XdrView, xdr_rows, xdr_view
from stasis_callback.store.calls.request_view import RequestView, views_of
from stasis_callback.store.calls.tables import Request, Xdr
from stasis_callback.store.database.database import Database, read
from stasis_callback.store.database.periods import between


@dataclass(frozen=True, slots=True)
class Which:
    """Which callbacks: what is "" or None does not matter. `number` is the first or the second one; E.164 digits."""

    instance: str = ""
    state: str = ""
    account: str = ""
    number: str = ""
    reference: str = ""
    since_us: int | None = None
    until_us: int | None = None


class AskedCallbacks:
    """Callbacks that were asked for over the web, refused ones too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @read
    def page(
        self, which: Which, *, after: tuple[int, str] | None = None, limit: int = 50
    ) -> list[RequestView]:
        """Newest first; `after` is the time and id of the last one that was seen."""
        rows = Request.select().where(Request.triggered_by == "web", Request.instance != "")
        rows = rows.order_by(Request.created_at_us.desc(), Request.id.desc()).limit(limit)
        for column, value in (
            (Request.instance, which.instance),
            (Request.state, which.state),
            (Request.reference, which.reference),
        ):
            rows = rows.where(column == value) if value else rows
        if which.account:
            ids = Account.select(Account.id).where(Account.number == which.account)
            rows = rows.where(Request.account.in_(ids) | Request.subscriber.in_(ids))
        if which.number:
            first = (Request.leg_a_number == which.number) | (Request.ani == which.number)
            rows = rows.where(first | (Request.destination == which.number))
        rows = between(rows, Request.created_at_us, which.since_us, which.until_us)
        if after is not None:
            at_us, request_id = after
            same_time = (Request.created_at_us == at_us) & (Request.id < request_id)
            rows = rows.where((Request.created_at_us < at_us) | same_time)
        return views_of(rows)


class XdrPages:
    """Call records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @read
    def page(
        self,
        *,
        account: str = "",
        request_id: str = "",
        since_us: int | None = None,
        until_us: int | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[tuple[int, XdrView]]:
        """Call records with their row ids, of legs that ended in a period; `before` is the last row id seen."""
        rows = xdr_rows()
        rows = rows.order_by(Xdr.id.desc()).limit(limit)
        if account:
            rows = rows.where(Xdr.account == Account.select(Account.id).where(Account.number == account))
        if request_id:
            rows = rows.where(Xdr.request == request_id)
        rows = between(rows, Xdr.ended_at_us, since_us, until_us)
        if before is not None:
            rows = rows.where(Xdr.id < before)
        return [(row.id, xdr_view(row)) for row in rows]
