"""Quick, non-blocking checks of the database for `doctor`."""

from __future__ import annotations

from peewee import ModelSelect

from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.store.calls.tables import Request, Xdr
from stasis_callback.store.database.database import Database
from stasis_callback.store.database.tables import bound_database

PATIENCE_S = 2.0
LATEST = 5000
"""Only this many of the newest call records are examined, so that the cost does not grow with their number."""


def why_not_writable(database: Database) -> str:
    """Why nothing can be written now, "" when it can. Writes nothing."""
    try:
        with database.patience(PATIENCE_S), database.transaction():
            if database.kind == "postgresql":
                (read_only,) = bound_database.execute_sql("SHOW transaction_read_only").fetchone()
                return "the server is a standby, or was made read-only" if read_only == "on" else ""
    except StoreUnavailable as error:
        return str(error)
    return ""


def doubtful_xdrs(database: Database, since_us: int) -> tuple[int, int]:
    """How many of the call records written since then are estimates, and how many have a suspect clock."""
    rows = _latest().where(Xdr.created_at_us >= since_us)
    with database.reading():
        return rows.where(Xdr.source == "estimated").count(), rows.where(Xdr.clock_suspect).count()


def last_answered(database: Database, node: str) -> tuple[str, int, int] | None:
    """The last leg of a node that was answered and has ended: its id, when it was dialled, when it ended."""
    with database.reading():
        row = (
            _latest()
            .join(Request)
            .where(Request.claimed_by == node, Xdr.answered_at_us.is_null(False))
            .order_by(Xdr.id.desc())
            .first()
        )
    return (row.leg_id, row.dialed_at_us, row.ended_at_us) if row else None


def _latest() -> ModelSelect[Xdr]:
    newest = Xdr.select(Xdr.id).order_by(Xdr.id.desc()).limit(LATEST)
    return Xdr.select().where(Xdr.id.in_(newest))
