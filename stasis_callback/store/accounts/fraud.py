"""Fraud control in the database: counters of what legs cost, and what is set aside.

A leg is counted by the transaction that settles it, so once; who has then reached a budget is set aside by the same
one, and an alarm waits to be told. For the budgets of number ranges and of numbers called as leg B, what is held for
a leg is counted already by the transaction that notes it, and corrected at its end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import structlog

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.fraud import (
    DAY_S,
    HOUR_S,
    Ahead,
    Alarms,
    Budgets,
    Cause,
    Counter,
    Measure,
    OverBudget,
    Scope,
    Spent,
    worth_micros,
)
from stasis_callback.core.numbers import mask
from stasis_callback.core.words import FraudTrouble, Refusal
from stasis_callback.store.accounts.notices import note_alarm
from stasis_callback.store.accounts.tables import SetAside
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.limits import Addition, Limits
from stasis_callback.store.database.periods import row_after
from stasis_callback.store.database.statements import every, one, run

log = structlog.get_logger()

FOR_EVER_US = 2**62
_SUBJECTS, _PREFIXES = 16, 13
"""How many of each a statement asks for, so that it is the same for all legs."""
LONGEST_NUMBER = 15

SET_ASIDE = f"""(SELECT MIN(subject) FROM set_aside
    WHERE subject IN ({", ".join("?" * _SUBJECTS)}) AND until_us > ?)"""
"""A column: what of a leg is set aside, or null. Its values are those of `asked_subjects`."""
NEVER_CALLED = f"""EXISTS (SELECT 1 FROM never_call WHERE number IN ({", ".join("?" * _PREFIXES)}))"""
"""A column: whether a number is never called. Its values are those of `asked_prefixes`."""
_LOOK = f"SELECT {SET_ASIDE}, {NEVER_CALLED}, {NEVER_CALLED}"
_SET_ASIDE = """INSERT INTO set_aside (subject, measure, note, operator, at_us, until_us)
    SELECT CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT)
    WHERE NOT EXISTS (SELECT 1 FROM set_aside WHERE subject = ? AND until_us > ?) RETURNING id"""
RESERVED_BEFORE = f"""COALESCE(leg.reserved_before_s, 0), COALESCE(leg.reserved_before_micros, 0),
    COALESCE(leg.reserved_day, leg.dialed_at_us / {DAY_S * US_PER_S})"""
"""Columns: what budgets had counted of a leg before a day, and that day. A leg of the version before keeps none, and
counts for the day in which it was dialled.
"""
_RESERVED = f"SELECT reserved_s, reserved_micros, {RESERVED_BEFORE} FROM leg WHERE id = ?"
_RESERVE = """UPDATE leg SET reserved_s = ?, reserved_micros = ?, reserved_before_s = ?, reserved_before_micros = ?,
    reserved_day = ? WHERE id = ?"""
_LIVE = (
    "SELECT id, number, side FROM leg WHERE state <> 'settled' AND reserved_micros IS NOT NULL ORDER BY id"
)
_RESERVED_BEFORE = """UPDATE leg SET reserved_before_s = reserved_s, reserved_before_micros = reserved_micros,
    reserved_day = ? WHERE id = ? AND state <> 'settled'"""


def asked_subjects(subjects: Sequence[str], now_us: int) -> tuple[object, ...]:
    """The values of `SET_ASIDE`."""
    some = list(dict.fromkeys(subjects))[:_SUBJECTS]
    return (*some, *[""] * (_SUBJECTS - len(some)), now_us)


def asked_prefixes(number: str) -> tuple[object, ...]:
    """The values of `NEVER_CALLED`: all beginnings of a number that may be on the list."""
    return tuple(number[:length] for length in range(LONGEST_NUMBER - _PREFIXES + 1, LONGEST_NUMBER + 1))


def fraud_trouble(set_aside: str | None, never: object) -> FraudTrouble | None:
    """The reason to refuse that these columns are."""
    if never:
        return Refusal.NEVER_CALLED
    return Refusal.SET_ASIDE if set_aside else None


@dataclass(frozen=True, slots=True)
class SetAsideView:
    """Something that is, or was, set aside."""

    id: int
    subject: str
    measure: str
    note: str
    operator: str
    at_us: int
    until_us: int | None
    """None: until it is released."""
    released_at_us: int | None


@dataclass(frozen=True, slots=True)
class Use:
    """A leg that has ended: who is behind it, and what it took.

    `ahead` was counted before its end; of that, `before` stands in no counter of `day` (see `Ahead`).
    """

    cause: Cause
    spent: Spent
    ahead: Spent | None = None
    before: Spent = Spent()
    day: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """What a live leg may still use: the seconds that its hold pays for, billed as they would be, and their price."""

    number: str
    side: Literal["a", "b"]
    seconds: int
    micros: int
    currency: str

    @property
    def spent(self) -> Spent:
        """As the budgets count it, but for the call."""
        return Spent(0, self.seconds, worth_micros(self.micros, self.currency))

    def columns(self, budgets: Budgets, now_us: int) -> dict[str, object]:
        """What the row of a new leg has to keep of what `Fraud.reserve` counts."""
        if not budgets.ahead(self.number, self.side):
            return {}
        seconds, micros = self.spent.seconds, self.spent.micros
        return {"reserved_s": seconds, "reserved_micros": micros, "reserved_day": _day(now_us)}


class Fraud:
    """Counts, and sets aside."""

    def __init__(
        self, database: Database, limits: Limits, clock: Clock, budgets: Budgets, alarms: Alarms
    ) -> None:
        self._database = database
        self._limits = limits
        self._clock = clock
        self.budgets = budgets
        self.alarms = alarms

    # --- counting: within the transactions of legs ---------------------------------------------------------------

    def count(self, uses: Iterable[Use]) -> None:
        """Count legs that are being settled; whose budget is used up is set aside."""
        counters: dict[Counter, Spent] = {}
        for use in uses:
            for counter, spent in self._counted(use):
                counters[counter] = counters.get(counter, Spent()) + spent
        for counter, spent in self._added(counters).items():
            measure = counter.budget.reached(spent)
            if measure:
                self._set_aside_for(counter, measure, spent)

    def _counted(self, use: Use) -> Iterable[tuple[Counter, Spent]]:
        """What a leg adds to which counter."""
        if use.ahead is None:
            yield from ((counter, use.spent) for counter in self.budgets.counters(use.cause))
            return
        counted_ahead = self.budgets.ahead(use.cause.number, use.cause.side)
        more = Ahead(use.ahead, use.before, use.day).on(self._today).more(use.spent)
        for counter in self.budgets.counters(use.cause):
            spent = more if counter in counted_ahead else use.spent
            yield counter, replace(spent, calls=0) if counter.scope is Scope.RANGE else spent

    def reserve(self, held: Held) -> None:
        """Count what is held for a new leg, where its range or number has a budget.

        Raises OverBudget when that is too much.
        """
        self._add_within(self.budgets.ahead(held.number, held.side), held.spent, calls=1)

    def reserve_more(self, leg_id: str, held: Held) -> None:
        """The same for a leg whose hold is being changed. Raises OverBudget."""
        counters = self.budgets.ahead(held.number, held.side)
        if not counters:
            return
        seconds, micros, before_s, before_micros, day = one(_RESERVED, leg_id)
        if micros is None:
            return
        counted, before = Spent(0, seconds or 0, micros), Spent(0, before_s, before_micros)
        ahead = Ahead(counted, before, day).on(self._today)
        now, before = held.spent, ahead.earlier
        if now == ahead.total:
            return
        run(_RESERVE, now.seconds, now.micros, before.seconds, before.micros, ahead.day, leg_id)
        if (more := ahead.more(now)) != Spent():
            self._add_within(counters, more)

    def _add_within(self, counters: Sequence[Counter], spent: Spent, calls: int = 0) -> None:
        """Add to counters, to those of ranges also `calls`: other calls count once somebody was reached."""
        if not counters:
            return
        ranged = replace(spent, calls=calls)
        stand = self._added({one: ranged if one.scope is Scope.RANGE else spent for one in counters})
        for counter in counters:
            measure = counter.budget.exceeded(stand[counter])
            if measure and (spent.seconds > 0 or spent.micros > 0):
                raise OverBudget(counter, measure, stand[counter])

    def _added(self, counters: Mapping[Counter, Spent]) -> dict[Counter, Spent]:
        """Add to counters; what stands in each of them then, which is never less than nothing."""
        if not counters:
            return {}
        stand = self._limits.add([Addition(one.key, one.period_s, spent) for one, spent in counters.items()])
        found = {one: stand[one.key] for one in counters}
        # A leg gives back only what it has counted; but a day may begin in this moment, and a budget may be new.
        owed = {one: missing for one, spent in found.items() if (missing := Spent().beyond(spent)) != Spent()}
        return found | self._added(owed)

    @property
    def _today(self) -> int:
        return _day(self._clock.now_us())

    # --- setting aside -------------------------------------------------------------------------------------------

    @unit
    def note_over(self, over: OverBudget) -> None:
        """Set aside what a leg would have exceeded the budget of; after its transaction, which was taken back."""
        self._set_aside_for(over.counter, over.measure, over.spent)

    def _set_aside_for(self, counter: Counter, measure: Measure, spent: Spent) -> None:
        now_us, hours = self._clock.now_us(), self.budgets.set_aside_hours
        until_us = now_us + hours * HOUR_S * US_PER_S if hours else FOR_EVER_US
        if counter.period_s < hours * HOUR_S:  # what was too much for an hour
            period_us = counter.period_s * US_PER_S
            until_us = (now_us // period_us + 1) * period_us
        note = f"{counter.budget.in_words(measure, spent)} in {counter.period} ({counter.scope})"
        self._set_aside(counter.subject, measure, note, "", until_us)

    def _set_aside(self, subject: str, measure: Measure, note: str, operator: str, until_us: int) -> bool:
        now_us = self._clock.now_us()
        row = one(_SET_ASIDE, subject, measure.value, note, operator, now_us, until_us, subject, now_us)
        if row is None:
            return False
        about: dict[str, object] = {"subject": subject, "reason": measure.value, "note": note}
        about |= {} if until_us == FOR_EVER_US else {"until_us": until_us}
        if not operator:
            mail_from = self.alarms.mail_from if self.alarms.mail_to else ""
            note_alarm(f"fraud:{row[0]}", json.dumps(about), now_us, self.alarms.webhook, mail_from)
        log.warning("fraud.set_aside", subject=masked(subject), reason=measure.value, note=note)
        return True

    @unit
    def set_aside(self, subject: str, note: str, operator: str, until_us: int | None) -> None:
        """Set something aside by hand. Raises InvalidInput when it is already."""
        again = self._database.repeated(f"set aside:{subject}")
        done = self._set_aside(
            subject, Measure.OPERATOR, note, operator, FOR_EVER_US if until_us is None else until_us
        )
        if not done and not again:
            raise InvalidInput(f"{subject} is set aside already: see `stasis-callback fraud list`")

    @unit
    def release(self, subject: str, operator: str) -> None:
        """Let something go on, with new budgets. Raises InvalidInput when it is not set aside.

        What its live legs have counted is forgotten with the counters: only what they get from now on counts.
        """
        now_us = self._clock.now_us()
        again = self._database.repeated(f"release:{subject}")
        released = (
            SetAside.update(until_us=now_us, released_at_us=now_us, operator=operator)
            .where(SetAside.subject == subject, SetAside.until_us > now_us)
            .execute()
        )
        if not released and not again:
            raise InvalidInput(f"{subject} is not set aside: see `stasis-callback fraud list`")
        what, _, who = subject.partition(":")
        keys = {counter.key for counter in self.budgets.all_of(what, who)}
        # Before the counters, in the order in which legs lock them. Where such a leg counts for another budget too,
        # that keeps what the leg has counted there until now, used or not, until the day is over.
        for leg_id, number, side in every(_LIVE):
            if any(counter.key in keys for counter in self.budgets.ahead(number, side)):
                run(_RESERVED_BEFORE, self._today, leg_id)
        for key in sorted(keys):
            self._limits.clear(key)

    # --- looking ---------------------------------------------------------------------------------------------------

    @read
    def trouble(self, causes: Sequence[Cause]) -> FraudTrouble | None:
        """Why none of these legs, two at most, may go on; None while they may."""
        subjects = [subject for cause in causes for subject in self.budgets.subjects(cause)]
        first, last = causes[0].number, causes[-1].number
        asked = asked_subjects(subjects, self._clock.now_us())
        set_aside, *never = one(_LOOK, *asked, *asked_prefixes(first), *asked_prefixes(last))
        return fraud_trouble(set_aside, any(never))

    @read
    def spent(self, counters: Sequence[Counter]) -> dict[Counter, Spent]:
        """What stands in each counter now."""
        found = self._limits.spent([counter.key for counter in counters])
        return {counter: found.get(counter.key, Spent()) for counter in counters}

    @read
    def listed(self, *, active: bool = True, limit: int = -1, after: str = "") -> list[SetAsideView]:
        """What is set aside, the newest first; with `active` off also what was. From the one after `after` (its id)
        on; raises InvalidInput if that is not there.
        """
        rows = SetAside.select().order_by(SetAside.id.desc())
        rows = rows.where(SetAside.id < row_after(SetAside, SetAside.id, after).id) if after else rows
        rows = rows.where(SetAside.until_us > self._clock.now_us()) if active else rows
        return [_view(row) for row in (rows if limit < 0 else rows.limit(limit))]

    @read
    def active(self, subjects: Sequence[str]) -> list[SetAsideView]:
        """Which of these subjects are set aside."""
        rows = SetAside.select().where(
            SetAside.subject.in_(list(subjects)), SetAside.until_us > self._clock.now_us()
        )
        return [_view(row) for row in rows.order_by(SetAside.id)]


def _day(at_us: int) -> int:
    """The day of counters in UTC; the first is 1970-01-01."""
    return at_us // (DAY_S * US_PER_S)


def _view(row: SetAside) -> SetAsideView:
    until_us = None if row.until_us >= FOR_EVER_US else row.until_us
    return SetAsideView(
        row.id, row.subject, row.measure, row.note, row.operator, row.at_us, until_us, row.released_at_us
    )


def masked(subject: str) -> str:
    """A subject for the log: without the last digits of a number."""
    what, colon, who = subject.partition(":")
    return what + colon + (mask(who) if what in ("caller", "number", "account") else who)
