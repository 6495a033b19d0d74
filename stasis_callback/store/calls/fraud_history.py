"""What the fraud control has counted, read again from the call records: for other budgets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stasis_callback.core.fraud import Cause, Spent, cause_of_leg, spent_by
from stasis_callback.store.database.database import Database
from stasis_callback.store.database.statements import every

_AT_ONCE = 1000
_USES = """SELECT xdr.ended_at_us, xdr.id, account.number, xdr.number, xdr.side, xdr.account_id,
    request.subscriber_id, request.triggered_by, request.ani, request.link, request.source, xdr.outcome,
    xdr.charged_s, xdr.amount_micros, xdr.currency
    FROM xdr JOIN request ON request.id = xdr.request_id JOIN account ON account.id = xdr.account_id
    WHERE xdr.ended_at_us < ? AND (xdr.ended_at_us, xdr.id) > (?, ?) ORDER BY xdr.ended_at_us, xdr.id LIMIT ?"""


@dataclass(frozen=True, slots=True)
class PastUse:
    """A leg that has ended."""

    at_us: int
    cause: Cause
    spent: Spent


class FraudHistory:
    """Reads what legs took in the order in which they ended."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def uses(self, since_us: int, until_us: int) -> Iterator[PastUse]:
        """The legs that ended in a time, and reached somebody."""
        place: tuple[int, int] = (since_us - 1, 2**62)
        while rows := self._database.read(lambda place=place: every(_USES, until_us, *place, _AT_ONCE)):  # type: ignore[misc]
            for ended_at_us, _, account, number, side, account_id, subscriber_id, *rest in rows:
                trigger, ani, link, source, outcome, charged_s, amount_micros, currency = rest
                spent = spent_by(outcome, charged_s, amount_micros, currency)
                shared = account_id != subscriber_id
                if spent.calls:
                    yield PastUse(
                        ended_at_us,
                        cause_of_leg(account, number, side, shared, trigger, ani, link, source),
                        spent,
                    )
            place = rows[-1][0], rows[-1][1]
