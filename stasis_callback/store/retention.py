"""Removes old data, a few hundred rows per transaction, with pauses, while the service is running.

It never removes anything that is open, transfers, entries, rows that others refer to, or rows by which a repeated
request is recognized as long as its sender may retry. In call records only the phone numbers are masked: their seals
contain a hash of the number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, reduce
from operator import or_
from typing import Any

import structlog
from peewee import ModelSelect, fn

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.retention import KINDS
from stasis_callback.core.states import RequestState
from stasis_callback.store.accounts.notices import old_notices
from stasis_callback.store.accounts.tables import Notice, SetAside
from stasis_callback.store.accounts.vouchers import remove_drafted_vouchers
from stasis_callback.store.calls.pseudonyms import count_numbers, pseudonymise
from stasis_callback.store.calls.tables import ChannelLife, LegRow, Request, RequestEvent
from stasis_callback.store.database.database import LONG_S, Database, read, unit
from stasis_callback.store.database.drafts import Draft, drafting
from stasis_callback.store.database.limits import Allowance
from stasis_callback.store.database.pace import ROWS_AT_ONCE, Pace
from stasis_callback.store.database.tables import Table
from stasis_callback.store.intake.tables import EmailReply, EmailToken, Idempotency, Throttle
from stasis_callback.store.money.chain import forgotten
from stasis_callback.store.rates.rows import remove_drafted_rates
from stasis_callback.store.rates.tables import RateRow, Tariff
from stasis_callback.workers import Worker

log = structlog.get_logger()

DAY_US = 86_400 * US_PER_S
LIVES_US = 3 * DAY_US
EVERY_S = 3600.0
SET_S = 60.0
"""A wall clock that moved by more than this against the steady one since the last round was set."""
NUMBERS, WINDOWS, DRAFTS = "numbers", "windows", "drafts"
ALL_KINDS = (*KINDS, WINDOWS, DRAFTS)
"""The kinds with a setting; expired rate limit windows, and what journals said; drafts that were never completed."""


@dataclass(frozen=True, slots=True)
class Purged:
    """The number of rows of one kind older than `days` that were removed, or would be."""

    kind: str
    days: int
    rows: int


class Retention:
    """Removes old data. `days` is the retention period of each kind; 0 keeps it for ever."""

    def __init__(self, database: Database, clock: Clock, days: Mapping[str, int]) -> None:
        self._database = database
        self._clock = clock
        self._days = dict(days) | {WINDOWS: 0, DRAFTS: 0}

    def worker(self) -> Worker:
        """The worker that purges every hour, for the first time after one."""
        return Worker("retention", self._work, self._clock)

    def _work(self, worker: Worker) -> None:
        while worker.goes_on:
            ahead_s = self._clock.wall_ahead_s()
            worker.pause(EVERY_S)
            # What is removed is gone. A clock that was wrong as the machine started is set soon after that.
            if abs(self._clock.wall_ahead_s() - ahead_s) > SET_S:
                log.warning("retention.waits", hint="the clock was set within the last hour")
                continue
            for purged in self.purge(goes_on=lambda: worker.goes_on):
                if purged.rows:
                    log.info("retention.removed", kind=purged.kind, rows=purged.rows)

    def purge(
        self, kinds: Sequence[str] = ALL_KINDS, *, goes_on: Callable[[], bool] = lambda: True
    ) -> Iterator[Purged]:
        """Remove old data of the given kinds, one after another, while `goes_on()` is true."""
        for kind in self._limited(kinds):
            removed = self._remove(kind, goes_on)
            if kind == DRAFTS:
                removed = self._clear_drafts(goes_on)
            elif kind == NUMBERS:
                removed += self._forget_numbers(goes_on)
            yield Purged(kind, self._days[kind], removed)

    def count(self, kinds: Sequence[str] = ALL_KINDS) -> Iterator[Purged]:
        """Count what `purge` would remove."""
        for kind in self._limited(kinds):
            rows = self._count(kind)
            if kind == DRAFTS:
                rows = sum(draft.written for draft in self._left())
            elif kind == NUMBERS:
                rows += count_numbers(self._database, self._before_us(kind))
            yield Purged(kind, self._days[kind], rows)

    def _limited(self, kinds: Sequence[str]) -> list[str]:
        """Those that are not kept for ever."""
        return [kind for kind in kinds if self._days[kind] or kind not in KINDS]

    def _remove(self, kind: str, goes_on: Callable[[], bool]) -> int:
        pace, removed = Pace(self._clock), 0
        for part in _PARTS[kind]:
            last = None
            while goes_on() and (keys := self._some(kind, part, last)):
                removed += self._act(kind, part, keys)
                last = keys[-1]
                pace.rest()
        return removed

    def _count(self, kind: str) -> int:
        with self._database.patience(LONG_S), self._database.reading():
            return sum(self._rows(kind, part).count() for part in _PARTS[kind])

    def _some(self, kind: str, part: _Part, last: Any) -> list[Any]:
        """The keys of some rows: looked for without a lock, however long that takes."""
        rows, key = self._rows(kind, part), _key(part.model)
        if part.in_turn:
            rows = rows.order_by(key) if last is None else rows.where(key > last).order_by(key)
        with self._database.patience(LONG_S), self._database.reading():
            return [key for (key,) in rows.limit(ROWS_AT_ONCE).tuples()]

    @unit
    def _act(self, kind: str, part: _Part, keys: Sequence[Any]) -> int:
        # What has come to life meanwhile stays.
        still = self._rows(kind, part).where(_key(part.model).in_(keys))
        return part.act([key for (key,) in still.tuples()])

    def _rows(self, kind: str, part: _Part) -> ModelSelect[Any]:
        return part.rows(self._before_us(kind))

    def _before_us(self, kind: str) -> int:
        return self._clock.now_us() - self._days[kind] * DAY_US

    def _forget_numbers(self, goes_on: Callable[[], bool]) -> int:
        pace, done = Pace(self._clock), 0
        for calls in pseudonymise(self._database, self._before_us(NUMBERS), ROWS_AT_ONCE):
            done += calls
            if not goes_on():
                break
            pace.rest()
        return done

    @read
    def _left(self) -> list[Draft]:
        return list(Draft.select().where(Draft.until_us <= self._clock.now_us()))

    def _clear_drafts(self, goes_on: Callable[[], bool]) -> int:
        cleared = 0
        for draft in self._left():
            what, _, name = draft.key.partition(":")
            remove = {"tariff": remove_drafted_rates, "vouchers": remove_drafted_vouchers}[what]
            if not goes_on():
                break
            with (
                suppress(InvalidInput),  # somebody goes on with the same: that clears it too
                drafting(self._database, self._clock, draft.key, busy="", remove_some=partial(remove, name)),
            ):
                cleared += draft.written
        return cleared


@dataclass(frozen=True)
class _Part:
    """A table with rows of a kind: which are over since before a time, by their keys, and what is done to them."""

    model: type[Table]
    rows: Callable[[int], ModelSelect[Any]]
    act: Callable[[Sequence[Any]], int]
    in_turn: bool = False
    """No index leads to them: the table is read once from its beginning, and not again for each transaction."""


def _deleted(model: type[Table], rows: Callable[[int], ModelSelect[Any]], *, in_turn: bool = False) -> _Part:
    key = _key(model)
    return _Part(model, rows, lambda keys: int(model.delete().where(key.in_(keys)).execute()), in_turn)


def _key(model: type[Table]) -> Any:
    return model._meta.primary_key


def _steps(before_us: int) -> ModelSelect[RequestEvent]:
    over = Request.select().where(Request.id == RequestEvent.request, Request.finished_at_us.is_null(False))
    return RequestEvent.select(RequestEvent.id).where(
        RequestEvent.at_us < before_us, RequestEvent.delivery != "due", fn.EXISTS(over)
    )


def _refused(before_us: int) -> ModelSelect[Request]:
    """One that is refused was due when it came."""
    old = Request.due_at_us < before_us
    return Request.select(Request.id).where(Request.state == RequestState.REFUSED, old)


def _set_aside(before_us: int) -> ModelSelect[SetAside]:
    return SetAside.select(SetAside.id).where(SetAside.until_us < before_us)


def _old_alarms(before_us: int) -> ModelSelect[Notice]:
    return old_notices(before_us).where(Notice.account.is_null())


def _idempotency(before_us: int) -> ModelSelect[Idempotency]:
    return Idempotency.select(Idempotency.key).where(Idempotency.created_at_us < before_us)


def _logins(before_us: int) -> ModelSelect[Throttle]:
    over = (Throttle.failed_at_us < before_us) & (Throttle.locked_until_us < before_us)
    return Throttle.select(Throttle.key).where(over)


def _windows(before_us: int) -> ModelSelect[Allowance]:
    return Allowance.select(Allowance.key).where(Allowance.until_us <= before_us)


def _replies(before_us: int) -> ModelSelect[EmailReply]:
    return EmailReply.select(EmailReply.id).where(EmailReply.created_at_us < before_us)


def _tokens(before_us: int) -> ModelSelect[EmailToken]:
    return EmailToken.select(EmailToken.id).where(EmailToken.expires_at_us < before_us)


def _rates(before_us: int) -> ModelSelect[RateRow]:
    """Prices that another one of the same prefix had replaced by then."""
    newer = RateRow.alias()
    same_time_but_newer = (newer.from_us == RateRow.from_us) & (newer.id > RateRow.id)
    replaced = newer.select(newer.id).where(
        newer.tariff == RateRow.tariff,
        newer.prefix == RateRow.prefix,
        newer.from_us <= before_us,
        newer.revision + 0 <= Tariff.revision,
        (newer.from_us > RateRow.from_us) | same_time_but_newer,
    )
    charged, paid = (
        LegRow.select(LegRow.id).where(rate == RateRow.id) for rate in (LegRow.rate, LegRow.cost_rate)
    )
    published = RateRow.select(RateRow.id).join(Tariff).where(RateRow.revision + 0 <= Tariff.revision)
    return published.where(fn.EXISTS(replaced), ~fn.EXISTS(charged), ~fn.EXISTS(paid))


def _undialled(before_us: int) -> ModelSelect[Request]:
    """Callbacks for which nobody was ever called, with numbers in them; the others lose theirs with their xDRs."""
    dialled = LegRow.select(LegRow.id).where(LegRow.request == Request.id)
    numbers = (Request.ani, Request.leg_a_number, Request.destination)
    with_number = reduce(or_, ((number != "") & ~number.endswith("x") for number in numbers))
    over = Request.finished_at_us.is_null(False) & (Request.created_at_us < before_us)
    return Request.select(Request.id).where(over, with_number, ~fn.EXISTS(dialled))


def _without_numbers(keys: Sequence[str]) -> int:
    rows = Request.select(Request.id, Request.ani, Request.leg_a_number, Request.destination)
    for row in rows.where(Request.id.in_(keys)):
        numbers = ("ani", "leg_a_number", "destination")
        left = {name: forgotten(text) for name in numbers if (text := getattr(row, name))}
        Request.update({**left, "source": ""}).where(Request.id == row.id).execute()
    return len(keys)


def _lives(before_us: int) -> ModelSelect[ChannelLife]:
    """No leg lasts as long: whoever had to settle it has done so, or has its node's own journal."""
    return ChannelLife.select(ChannelLife.id).where(ChannelLife.noted_at_us < before_us - LIVES_US)


_PARTS: Mapping[str, tuple[_Part, ...]] = {
    "steps": (_deleted(RequestEvent, _steps), _deleted(Notice, old_notices)),
    "refused": (_deleted(Request, _refused), _deleted(SetAside, _set_aside)),
    "idempotency": (_deleted(Idempotency, _idempotency),),
    "logins": (_deleted(Throttle, _logins),),
    "replies": (_deleted(EmailReply, _replies),),
    "tokens": (_deleted(EmailToken, _tokens),),
    "rates": (_deleted(RateRow, _rates, in_turn=True),),
    NUMBERS: (
        _Part(Request, _undialled, _without_numbers, in_turn=True),
        _deleted(SetAside, _set_aside),
        _deleted(Notice, _old_alarms),
    ),
    WINDOWS: (_deleted(Allowance, _windows), _deleted(ChannelLife, _lives)),
    DRAFTS: (),
}
