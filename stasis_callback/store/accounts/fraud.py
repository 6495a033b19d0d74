"""Fraud control in the database: counters of what legs cost, and what is set aside.

A leg is counted by the transaction that settles it, so once; who has then reached a budget is set aside by the same
one, and an alarm waits to be told. For the budgets of number ranges and of numbers called as leg B, what is held for
a leg is counted already by the transaction that notes it, and corrected at its end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import structlog

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.fraud import (
    HOUR_S,
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
from stasis_callback.store.database.statements import one, run

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
_RESERVED = "SELECT reserved_s, reserved_micros FROM leg WHERE id = ?"
_RESERVE = "UPDATE leg SET reserved_s = ?, reserved_micros = ? WHERE id = ?"


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
    """A leg that has ended: who is behind it, and what it took. `ahead` was counted before, today or earlier."""

    cause: Cause
    spent: Spent
    ahead: Spent | None = None
    ahead_today: bool = True


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


def counted_ahead(budgets: Budgets, held: Held) -> dict[str, object]:
    """What the row of a new leg has to keep of what `Fraud.reserve` counts."""
    if not budgets.ahead(held.number, held.side):
        return {}
    return {"reserved_s": held.spent.seconds, "reserved_micros": held.spent.micros}


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
        if not counters:
            return
        by_key = {counter.key: counter for counter in counters}
        stand = self._limits.add(
            [Addition(counter.key, counter.period_s, spent) for counter, spent in counters.items()]
        )
        for key, spent in stand.items():
            counter = by_key[key]
            measure = counter.budget.reached(spent)
            if measure:
                self._set_aside_for(counter, measure, spent)

    def _counted(self, use: Use) -> Iterable[tuple[Counter, Spent]]:
        """What a leg adds to which counter."""
        ahead = self.budgets.ahead(use.cause.number, use.cause.side) if use.ahead else []
        for counter in self.budgets.counters(use.cause):
            spent = use.spent
            # A counter of yesterday is gone, and with it what was counted ahead.
            if use.ahead and use.ahead_today and counter in ahead:
                calls = 0 if counter.scope is Scope.RANGE else spent.calls
                spent = replace(spent - use.ahead, calls=calls)
            yield counter, spent

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
        seconds, micros = one(_RESERVED, leg_id)
        now = held.spent
        more = now - Spent(0, seconds or 0, micros or 0)
        if micros is None or more == Spent():
            return
        run(_RESERVE, now.seconds, now.micros, leg_id)
        self._add_within(counters, more)

    def _add_within(self, counters: Sequence[Counter], spent: Spent, calls: int = 0) -> None:
        """Add to counters, to those of ranges also `calls`: other calls count once somebody was reached."""
        if not counters:
            return
        ranged = replace(spent, calls=calls)
        stand = self._limits.add(
            [
                Addition(one.key, one.period_s, ranged if one.scope is Scope.RANGE else spent)
                for one in counters
            ]
        )
        for counter in counters:
            measure = counter.budget.exceeded(stand[counter.key])
            if measure and (spent.seconds > 0 or spent.micros > 0):
                raise OverBudget(counter, measure, stand[counter.key])

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
        """Let something go on, with new budgets. Raises InvalidInput when it is not set aside."""
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
        for counter in self.budgets.all_of(what, who):
            self._limits.clear(counter.key)

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


def _view(row: SetAside) -> SetAsideView:
    until_us = None if row.until_us >= FOR_EVER_US else row.until_us
    return SetAsideView(
        row.id, row.subject, row.measure, row.note, row.operator, row.at_us, until_us, row.released_at_us
    )


def masked(subject: str) -> str:
    """A subject for the log: without the last digits of a number."""
    what, colon, who = subject.partition(":")
    return what + colon + (mask(who) if what in ("caller", "number", "account") else who)
