"""What was called, earned and paid in a time, added up by the database: reports read no single call record.

Every line is about one group (an account, a day, ...) and one currency. Terms as ITU-T E.600 and E.425 have them:
ASR, the answer/seizure ratio, is answered legs of all attempts; ACD is the mean length of the answered ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import JOIN, ModelSelect, Value, fn

from stasis_callback.core.states import RequestState
from stasis_callback.store.accounts.tables import Account, Customer
from stasis_callback.store.calls.tables import Request, Xdr
from stasis_callback.store.database.database import LONG_S, Database, read
from stasis_callback.store.rates.tables import Trunk, Vendor

_GROUPS: dict[str, Callable[[], Any]] = {
    "account": lambda: Account.number,
    "customer": lambda: Customer.name,
    "prefix": lambda: Xdr.prefix,
    "trunk": lambda: Trunk.name,
    "vendor": lambda: Vendor.name,
    "side": lambda: Xdr.side,
    "outcome": lambda: Xdr.outcome,
}
GROUPS = ("day", *_GROUPS)
"""What calls can be added up by."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `from_us` on, and before `to_us`; `name` is what a line about it is called, such as a day."""

    name: str
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class CallsFilter:
    """Only what these name; "" takes everything."""

    account: str = ""
    prefix: str = ""
    trunk: str = ""


EVERYTHING = CallsFilter()


@dataclass(frozen=True, slots=True)
class CallsLine:
    """The legs of one group that ended in a time, in one currency. Amounts in micros.

    `cost_micros` is None when it is not known for every answered leg, or is in another currency: nothing is guessed.
    """

    group: str
    currency: str
    attempts: int
    answered: int
    duration_us: int
    charged_s: int
    amount_micros: int
    overrun_micros: int
    cost_micros: int | None

    @property
    def asr_percent(self) -> float:
        """Answered of all attempts, in percent; 0 without attempts."""
        return 100 * self.answered / self.attempts if self.attempts else 0.0

    @property
    def acd_s(self) -> float:
        """Mean length of the answered legs in seconds; 0 without any."""
        return self.duration_us / self.answered / 1_000_000 if self.answered else 0.0

    @property
    def revenue_micros(self) -> int:
        """What the subscribers paid: the charge without the house's overrun."""
        return self.amount_micros - self.overrun_micros

    @property
    def margin_micros(self) -> int | None:
        """What is left of the revenue after the cost; None where that is not known."""
        return None if self.cost_micros is None else self.revenue_micros - self.cost_micros

    @property
    def margin_percent(self) -> float | None:
        """The margin in percent of the revenue; None if it is undefined."""
        if self.margin_micros is None or not self.revenue_micros:
            return None
        return 100 * self.margin_micros / self.revenue_micros


@dataclass(frozen=True, slots=True)
class RefusalsLine:
    """How many requests were refused for one reason."""

    reason: str
    trigger: str
    count: int


class Reports:
    """Sums over the call records and the requests."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @read
    def calls(self, by: str, spans: Sequence[Span], only: CallsFilter = EVERYTHING) -> list[CallsLine]:
        """The legs that ended in any of `spans`, which are in order and do not overlap.

        By day: a line for each span that had calls. By anything else of `GROUPS`: the whole time, the greatest
        revenue first.
        """
        with self._database.patience(LONG_S):
            if by == "day":
                return [line for span in spans for line in _lines(None, span, only)]
            whole = Span("", spans[0].from_us, spans[-1].to_us)
            lines = _lines(_GROUPS[by](), whole, only)
        return sorted(lines, key=lambda line: (-line.revenue_micros, -line.attempts, line.group))

    @read
    def refusals(self, span: Span) -> list[RefusalsLine]:
        """The requests refused in a time by reason, the most frequent first. Throttled ones are not kept."""
        count = fn.COUNT(Request.id)
        rows = (
            Request.select(Request.outcome, Request.triggered_by, count.alias("count"))
            .where(
                Request.state == RequestState.REFUSED,
                Request.created_at_us >= span.from_us,
                Request.created_at_us < span.to_us,
            )
            .group_by(Request.outcome, Request.triggered_by)
            .order_by(count.desc(), Request.outcome, Request.triggered_by)
        )
        with self._database.patience(LONG_S):
            return [RefusalsLine(row.outcome, row.triggered_by, row.count) for row in rows]


def _lines(group: Any, span: Span, only: CallsFilter) -> list[CallsLine]:
    merged: dict[tuple[str, str], CallsLine] = {}
    for name, currency, cost_currency, *sums in _sums(group, span, only).tuples().iterator():
        attempts, answered, duration_us, charged_s, amount, overrun, cost = map(int, sums)
        known = cost_currency == currency or not duration_us
        line = CallsLine(
            name or "",
            currency,
            attempts,
            answered,
            duration_us,
            charged_s,
            amount,
            overrun,
            cost if known else None,
        )
        key = line.group, currency
        merged[key] = _together(merged[key], line) if key in merged else line
    return list(merged.values())


def _sums(group: Any, span: Span, only: CallsFilter) -> ModelSelect[Xdr]:
    """One row per group, currency, and currency of the cost."""
    name = Value(span.name) if group is None else group
    groups = [Xdr.currency, Xdr.cost_currency] if group is None else [group, Xdr.currency, Xdr.cost_currency]
    sums = [
        fn.COUNT(Xdr.id), fn.COUNT(Xdr.answered_at_us), fn.SUM(Xdr.duration_us), fn.SUM(Xdr.charged_s),
        fn.SUM(Xdr.amount_micros), fn.SUM(Xdr.overrun_micros), fn.SUM(Xdr.cost_micros),
    ]  # fmt: skip
    rows = Xdr.select(name, Xdr.currency, Xdr.cost_currency, *sums)
    # Only what is asked for is looked up: there may be a million rows.
    asked = {getattr(group, "model", None)} | ({Account} if only.account else set())
    asked |= {Trunk} if only.trunk else set()
    if asked & {Account, Customer}:
        rows = rows.join(Account)
    if Customer in asked:
        rows = rows.join(Customer)
    if asked & {Trunk, Vendor}:
        rows = rows.switch(Xdr).join(Trunk, JOIN.LEFT_OUTER)
    if Vendor in asked:
        rows = rows.join(Vendor, JOIN.LEFT_OUTER)
    rows = (
        rows.where(Xdr.ended_at_us >= span.from_us, Xdr.ended_at_us < span.to_us)
        .group_by(*groups)
        .order_by(*groups)
    )
    if only.account:
        rows = rows.where(Account.number == only.account)
    if only.prefix:
        rows = rows.where(Xdr.number.startswith(only.prefix))
    if only.trunk:
        rows = rows.where(Trunk.name == only.trunk)
    return rows


def _together(one: CallsLine, other: CallsLine) -> CallsLine:
    known = one.cost_micros is not None and other.cost_micros is not None
    return CallsLine(
        one.group,
        one.currency,
        one.attempts + other.attempts,
        one.answered + other.answered,
        one.duration_us + other.duration_us,
        one.charged_s + other.charged_s,
        one.amount_micros + other.amount_micros,
        one.overrun_micros + other.overrun_micros,
        (one.cost_micros or 0) + (other.cost_micros or 0) if known else None,
    )
