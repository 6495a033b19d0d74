"""What was called, earned and paid in a time, added up by the database: from the totals that are kept, and from
the call records that are not in them yet.

Every line is about one group (an account, a day, ...) and one currency. Terms as ITU-T E.600 and E.425 have them:
ASR, the answer/seizure ratio, is answered legs of all attempts; ACD is the mean length of the answered ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from peewee import fn

from stasis_callback.core.states import RequestState
from stasis_callback.core.unnamed import OTHERS as OTHERS
from stasis_callback.store.calls.sums import Filter, Row, Sums
from stasis_callback.store.calls.tables import Request
from stasis_callback.store.database.database import LONG_S, Database, read

GROUPS = ("day", *Sums.OF)
"""What calls can be added up by."""
CallsFilter = Filter
EVERYTHING = CallsFilter()


@dataclass(frozen=True, slots=True)
class Span:
    """From `from_us` on, and before `to_us`; `name` is what a line about it is called, such as a day."""

    name: str
    from_us: int
    to_us: int


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


class ReportTooLong(Exception):
    """A report that reads so much that nobody should wait for it before a page."""


class Reports:
    """Sums over the call records and the requests."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @read
    def calls(
        self,
        by: str,
        spans: Sequence[Span],
        only: CallsFilter = EVERYTHING,
        limit: int | None = None,
        groups: Sequence[str] = (),
        *,
        waits: bool = False,
    ) -> list[CallsLine]:
        """The legs that ended in any of `spans`, which are in order and follow one another.

        By day: a line for each span that had calls. By anything else of `GROUPS`: the whole time, the greatest
        revenue first. With a `limit` so many lines, with `groups` those, and a last one of each currency for all
        `OTHERS`. Raises ReportTooLong where somebody `waits` for it before a page.
        """
        times = [(span.from_us, span.to_us) for span in spans]
        with self._database.patience(LONG_S), self._database.moment():
            sums = Sums(only)
            if waits and sums.is_long(by, times, groups):
                raise ReportTooLong
            if by == "day":
                of_spans = sums.by_span(times)
                of_spans.sort(key=lambda found: found[0])
                return _lines((spans[n].name, row) for n, row in of_spans)
            of_groups, rest = sums.by(by, spans[0].from_us, spans[-1].to_us, limit, groups)
        lines = sorted(_lines(of_groups), key=lambda line: (-line.revenue_micros, -line.attempts, line.group))
        wanted = [line for line in lines if not groups or line.group in groups]
        shown = wanted if limit is None else wanted[:limit]
        one_by_one = {(line.group, line.currency) for line in shown}
        left = (line for line in lines if (line.group, line.currency) not in one_by_one)
        others = [*_lines((OTHERS, row) for row in rest), *left]
        return [*shown, *_merged(replace(line, group=OTHERS) for line in others)]

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


def _lines(rows: Iterable[tuple[str, Row]]) -> list[CallsLine]:
    return _merged(_line(group, row) for group, row in rows)


def _line(group: str, row: Row) -> CallsLine:
    attempts, answered, duration_us, charged_s, amount, overrun, cost = row.sums
    known = row.cost_currency == row.currency or not duration_us
    return CallsLine(
        group, row.currency, attempts, answered, duration_us, charged_s, amount, overrun, cost if known else None
    )  # fmt: skip


def _merged(lines: Iterable[CallsLine]) -> list[CallsLine]:
    """One line for each group and currency, in the order of the first of each."""
    merged: dict[tuple[str, str], CallsLine] = {}
    for line in lines:
        key = line.group, line.currency
        merged[key] = _together(merged[key], line) if key in merged else line
    return list(merged.values())


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
