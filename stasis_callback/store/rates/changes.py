"""The differences that an import or rollback makes in a tariff, computed without locks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.numbers import checked_prefix
from stasis_callback.core.rating import Rate
from stasis_callback.store.rates.rows import RATE_COLUMNS, in_force
from stasis_callback.store.rates.tables import RateRow, Tariff

TIMES_LIMIT = 50
"""Different times at which the rates of one import may come into force."""


@dataclass(frozen=True, slots=True)
class NewRate:
    """A rate to put into a tariff, in force from `from_us` on; at once when that is None."""

    rate: Rate
    description: str = ""
    from_us: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What is different for one prefix. `old` is None where there was no rate; a removed one is discontinued in
    `new`.
    """

    old: NewRate | None
    new: NewRate

    @property
    def prefix(self) -> str:
        """The prefix that is changed."""
        return self.new.rate.prefix


@dataclass(frozen=True, slots=True)
class ImportDiff:
    """What an import changes, and how many of its rates change nothing."""

    changes: tuple[Change, ...]
    same: int

    @property
    def added(self) -> tuple[Change, ...]:
        """Changes that add a rate."""
        return tuple(change for change in self.changes if change.old is None)

    @property
    def changed(self) -> tuple[Change, ...]:
        """Changes that replace a rate."""
        return tuple(c for c in self.changes if c.old is not None and not c.new.rate.discontinued)

    @property
    def removed(self) -> tuple[Change, ...]:
        """Changes that remove a rate."""
        return tuple(change for change in self.changes if change.new.rate.discontinued)


def differences(
    tariff: Tariff, rates: Sequence[NewRate], now_us: int, progress: Callable[[int], None]
) -> ImportDiff:
    """What putting `rates` into a tariff makes different. `progress` is called with the number compared so far.

    Raises InvalidInput when a prefix stands twice or can never match, or a rate is to begin in the past: calls were
    rated without it.
    """
    _check(rates, now_us)
    known = _known_at(tariff, rates, now_us)
    changes: list[Change] = []
    for done, new in enumerate(rates, start=1):
        old = known.get(new.rate.prefix)
        if _differs(old, new):
            changes.append(Change(old, new))
        progress(done)
    return ImportDiff(tuple(changes), len(rates) - len(changes))


def restoring(tariff: Tariff, number: int, now_us: int) -> tuple[Change, ...]:
    """What makes the rates of a tariff again what they were after revision `number`, those of later times too."""
    changed = RateRow.select(RateRow.prefix).where(
        RateRow.tariff == tariff, RateRow.revision > number, RateRow.revision <= tariff.revision
    )
    rows = (
        RateRow.select(RateRow.revision, RateRow.from_us, RateRow.id, RateRow.description, *RATE_COLUMNS)
        .where(RateRow.tariff == tariff, RateRow.prefix.in_(changed), RateRow.revision <= tariff.revision)
        .order_by(RateRow.prefix)
    )
    versions = (
        _Version(revision, from_us, rate_id, NewRate(Rate(*values), description))
        for revision, from_us, rate_id, description, *values in rows.tuples().iterator()
    )
    by_prefix = groupby(versions, key=attrgetter("new.rate.prefix"))
    return tuple(
        change for _, of_prefix in by_prefix for change in _restored(list(of_prefix), number, now_us)
    )


class _Version(NamedTuple):
    """One version of the rate of a prefix."""

    revision: int
    from_us: int
    id: int
    new: NewRate


def _known_at(tariff: Tariff, rates: Sequence[NewRate], now_us: int) -> dict[str, NewRate]:
    """What is in force for each prefix of `rates` at the time the new one begins; nothing for a discontinued one."""
    wanted: dict[int, set[str]] = {}
    for new in rates:
        wanted.setdefault(max(new.from_us or 0, now_us), set()).add(new.rate.prefix)
    if len(wanted) > TIMES_LIMIT:
        raise InvalidInput(
            f"too many different start times ({len(wanted)}): at most {TIMES_LIMIT} are allowed in one import"
        )
    known: dict[str, NewRate] = {}
    for at_us, prefixes in wanted.items():
        rows = in_force(tariff.id, at_us, tariff.revision).where(~RateRow.discontinued)
        if len(prefixes) <= 100:
            rows = rows.where(RateRow.prefix.in_(prefixes))
        for description, *values in rows.select(RateRow.description, *RATE_COLUMNS).tuples().iterator():
            if values[0] in prefixes:
                known[values[0]] = NewRate(Rate(*values), description)
    return known


def _differs(old: NewRate | None, new: NewRate) -> bool:
    if new.rate.discontinued or old is None:
        return new.rate.discontinued == (old is not None)
    return old.rate != new.rate or old.description != new.description


def _restored(versions: list[_Version], number: int, now_us: int) -> Iterator[Change]:
    """What must be added to a prefix's versions so that from now on it is what those up to revision `number` say."""

    def at(time_us: int, candidates: Iterable[_Version]) -> NewRate | None:
        begun = [version for version in candidates if version.from_us <= time_us]
        best = max(begun, key=lambda version: (version.from_us, version.id), default=None)
        return best.new if best is not None and not best.new.rate.discontinued else None

    before = [version for version in versions if version.revision <= number]
    for time_us in sorted({now_us} | {v.from_us for v in versions if v.from_us > now_us}):
        wanted, present = at(time_us, before), at(time_us, versions)
        if wanted == present:
            continue
        if wanted is not None:
            yield Change(present, replace(wanted, from_us=time_us))
        elif present is not None:
            gone = replace(present.rate, discontinued=True)
            yield Change(present, NewRate(gone, present.description, time_us))


def _check(rates: Sequence[NewRate], now_us: int) -> None:
    (prefix, times), *_ = Counter(new.rate.prefix for new in rates).most_common(1) or [("", 0)]
    if times > 1:
        raise InvalidInput(f"prefix {prefix} is given twice: each prefix can have only one rate")
    for new in rates:
        if not new.rate.discontinued:  # what an older release took can be removed
            checked_prefix(new.rate.prefix)
    past = next((new.rate.prefix for new in rates if new.from_us is not None and new.from_us < now_us), "")
    if past:
        raise InvalidInput(
            f"the rate for prefix {past} starts in the past: omit its time to start it with the next call"
        )
