"""The differences that an import or rollback makes in a tariff, computed without locks.

What is in force, and what is scheduled, is read by prefix beside the rates of the list: neither is held in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple, TypeVar

from peewee import ModelSelect, fn

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.numbers import checked_prefix
from stasis_callback.core.rating import Rate
from stasis_callback.store.rates.book import RateView
from stasis_callback.store.rates.rows import RATE_COLUMNS, in_force_or_later, in_pages, newest_terms
from stasis_callback.store.rates.spool import Change as Change
from stasis_callback.store.rates.spool import ListedRate, Spool
from stasis_callback.store.rates.spool import NewRate as NewRate
from stasis_callback.store.rates.tables import RateRow, Tariff

K = TypeVar("K")
L = TypeVar("L")
R = TypeVar("R")

FEW = 100
"""Up to this number of prefixes are looked up one by one; for more, the whole price list is read."""


@dataclass(frozen=True, slots=True)
class ImportDiff:
    """What an import changes, and how many of its rates change nothing."""

    changes: tuple[Change, ...]
    same: int

    @property
    def added(self) -> tuple[Change, ...]:
        """Changes that add a rate."""
        return tuple(change for change in self.changes if change.kind == "added")

    @property
    def changed(self) -> tuple[Change, ...]:
        """Changes that replace a rate."""
        return tuple(change for change in self.changes if change.kind == "changed")

    @property
    def removed(self) -> tuple[Change, ...]:
        """Changes that remove a rate."""
        return tuple(change for change in self.changes if change.kind == "removed")


def differences(
    tariff: Tariff, spool: Spool, now_us: int, complete_us: int | None, progress: Callable[[int], None]
) -> Iterator[Change]:
    """What putting the rates of `spool` into a tariff makes different, by prefix; counts in `spool.same` those that
    change nothing.

    With `complete_us` the list is complete: from then on there is nothing else in the tariff. `progress` is called
    with the number compared so far. Raises InvalidInput when a prefix can never match, or it stands twice, both times
    to begin at once.
    """
    if complete_us is not None:
        complete_us = max(complete_us, now_us)
    spool.same = done = 0
    by_prefix = groupby(spool.entries(), key=attrgetter("new.rate.prefix"))
    known = groupby(_versions(tariff, spool, now_us, complete=complete_us is not None), key=_prefix_of)
    for entries, versions in _beside(by_prefix, known):
        history = _History(versions)
        for entry in entries:
            done += 1
            progress(done)
            if not entry.new.rate.discontinued:  # what an older release took can be removed
                checked_prefix(entry.new.rate.prefix)
        begins = _begins(entries, now_us)
        changes = [*_changes(history, begins, now_us, complete_us)]
        listed = [c for c in changes if _is_listed(c.new.from_us or now_us, begins, complete_us)]
        spool.same += max(len(entries) - len(listed), 0)
        yield from changes


def restoring(tariff: Tariff, number: int, now_us: int) -> Iterator[Change]:
    """What makes the rates of a tariff again what they were after revision `number`, those of later times too."""
    newer = RateRow.alias()
    changed = newer.select(1).where(  # asked for each prefix: a list of them would be made anew for each page
        newer.tariff == tariff.id,
        newer.prefix == RateRow.prefix,
        newer.revision + 0 > number,
        newer.revision + 0 <= tariff.revision,
    )
    rows = RateRow.select().where(
        RateRow.tariff == tariff.id, RateRow.revision + 0 <= tariff.revision, fn.EXISTS(changed)
    )
    for _, of_prefix in groupby(_read(rows), key=_prefix_of):
        yield from _restored(list(of_prefix), number, now_us)


def without_repeats(tariff: Tariff, rows: Sequence[RateView], now_us: int) -> list[RateView]:
    """Of scheduled rates those that change something: without what takes another one back."""
    rows_of = in_force_or_later(tariff.id, now_us, tariff.revision)
    rows_of = rows_of.where(RateRow.prefix.in_({view.rate.prefix for view in rows}))
    histories = {prefix: _History([*some]) for prefix, some in groupby(_read(rows_of), key=_prefix_of)}
    return [view for view in rows if not histories[view.rate.prefix].repeats(view.from_us)]


class _Version(NamedTuple):
    """One version of the rate of a prefix."""

    revision: int
    from_us: int
    id: int
    new: NewRate
    takes_back: bool | None
    """Whether it was written to take a scheduled one back; None if that was not stored."""


_PLANNED = 1 << 62
"""The revision of what is planned: later than all there are."""
_prefix_of = attrgetter("new.rate.prefix")
_COLUMNS = (
    RateRow.revision,
    RateRow.from_us,
    RateRow.id,
    RateRow.description,
    RateRow.takes_back,
    *RATE_COLUMNS,
)


def _read(rows: ModelSelect[RateRow]) -> Iterator[_Version]:
    for _, revision, from_us, rate_id, description, takes_back, *values in in_pages(rows, *_COLUMNS):
        yield _Version(revision, from_us, rate_id, NewRate(Rate(*values), description), takes_back)


def _versions(tariff: Tariff, spool: Spool, now_us: int, *, complete: bool) -> Iterator[_Version]:
    """What is in force and what is scheduled, by prefix; of few prefixes only theirs, unless the list is complete."""
    rows = in_force_or_later(tariff.id, now_us, tariff.revision)
    if not complete and spool.prefixes <= FEW:
        rows = rows.where(RateRow.prefix.in_([entry.new.rate.prefix for entry in spool.entries()]))
    return _read(rows)


def _beside(
    left: Iterable[tuple[str, Iterable[L]]], right: Iterable[tuple[str, Iterable[R]]]
) -> Iterator[tuple[list[L], list[R]]]:
    """Two lists that are sorted by prefix, side by side; an empty one where one of them does not have the prefix."""
    lefts, rights = iter(left), iter(right)
    one, other = next(lefts, None), next(rights, None)
    while one or other:
        if other is None or (one is not None and one[0] < other[0]):
            yield list(one[1] if one else ()), []
            one = next(lefts, None)
        elif one is None or other[0] < one[0]:
            yield [], list(other[1])
            other = next(rights, None)
        else:
            yield list(one[1]), list(other[1])
            one, other = next(lefts, None), next(rights, None)


class _History:
    """The versions of one prefix, and those that are planned."""

    def __init__(self, versions: Sequence[_Version]) -> None:
        self._versions = [*versions]

    def at(self, time_us: int, revision: int = _PLANNED) -> NewRate | None:
        """What is in force at a time, as if nothing had changed after `revision`; None if nothing is."""
        newest = self._newest(time_us, revision)
        return newest.new if newest is not None and not newest.new.rate.discontinued else None

    def later_than(self, time_us: int) -> set[int]:
        """When other versions begin."""
        return {version.from_us for version in self._versions if version.from_us > time_us}

    def repeats(self, time_us: int) -> bool:
        """Whether the version that begins at this time takes a scheduled one back.

        Nothing that is stored is changed, so a version of the same time replaces it, and repeats what is in force
        before. It is no change of its own, whatever comes before it later. Where it was not stored, it is so if the
        version changed nothing when it was written.
        """
        newest = self._newest(time_us, _PLANNED)
        if newest is None or newest.from_us != time_us:
            return False
        if newest.takes_back is not None:
            return newest.takes_back
        found = None if newest.new.rate.discontinued else newest.new
        return self.at(time_us - 1, newest.revision) == found

    def plan(self, new: NewRate, from_us: int) -> None:
        """A version that replaces all others of its time."""
        newest = max((version.id for version in self._versions), default=0) + 1
        version = _Version(_PLANNED, from_us, newest, replace(new, from_us=None), new.takes_back)
        self._versions.append(version)

    def begins_at(self, time_us: int) -> bool:
        """Whether a version begins at this time."""
        return any(version.from_us == time_us for version in self._versions)

    def _newest(self, time_us: int, revision: int) -> _Version | None:
        """The version that counts at a time."""
        begun = (v for v in self._versions if v.from_us <= time_us and v.revision <= revision)
        return max(begun, key=lambda version: (version.from_us, version.id), default=None)


def _begins(entries: Sequence[ListedRate], now_us: int) -> dict[int, NewRate]:
    """When each of the rates of one prefix begins. What has been replaced by now has never to begin."""
    past = [entry for entry in entries if (entry.new.from_us or 0) <= now_us]
    if len(past) > 1 and past[0].new.from_us is None:
        raise InvalidInput(
            f"prefix {past[0].new.rate.prefix} is given twice for now: on line {past[0].line} without a date, and on "
            f"line {past[1].line} with one that has passed"
        )
    coming = {entry.new.from_us or 0: entry.new for entry in entries[len(past) :]}
    return ({now_us: replace(past[-1].new, from_us=None)} if past else {}) | coming


def _is_listed(time_us: int, begins: Mapping[int, NewRate], complete_us: int | None) -> bool:
    """Whether a list itself says something of a time."""
    return time_us in begins or (complete_us is not None and time_us >= complete_us)


def _changes(
    history: _History, begins: Mapping[int, NewRate], now_us: int, complete_us: int | None
) -> Iterator[Change]:
    """What has to be added to the versions of one prefix, so that from its times on it is what a list says.

    A version that only repeats what is before it follows what comes before it now: else the price that was taken
    back would return.
    """
    times = {*begins} if complete_us is None else {*begins, complete_us}
    listed: NewRate | None = None
    for time_us in sorted(times | history.later_than(min(times))) if times else ():
        if _is_listed(time_us, begins, complete_us):
            listed = wanted = begins.get(time_us, listed)
            if wanted is None and begins:
                continue  # it stays as it is until the first date of the list
        elif history.repeats(time_us):
            wanted = history.at(time_us - 1)
        else:
            continue
        present = history.at(time_us)
        begins_us = None if time_us == now_us else time_us
        if wanted is not None and not wanted.rate.discontinued:
            new = replace(wanted, from_us=begins_us)
            same = present is not None and replace(present, from_us=begins_us) == new
        else:
            gone = wanted or present
            if gone is None:
                continue
            new = NewRate(replace(gone.rate, discontinued=True), gone.description, begins_us)
            same = present is None
        if not same:
            new = replace(new, takes_back=_only_repeats(history, new, time_us, now_us))
            history.plan(new, time_us)
            yield Change(present, new)


def _only_repeats(history: _History, new: NewRate, time_us: int, now_us: int) -> bool:
    """Whether what is to be written for a later time is what is in force before it: it takes a scheduled one back."""
    wanted = None if new.rate.discontinued else replace(new, from_us=None)
    return time_us > now_us and history.at(time_us - 1) == wanted


def _restored(versions: list[_Version], number: int, now_us: int) -> Iterator[Change]:
    """What must be added to a prefix's versions so that from now on it is what those up to revision `number` say."""
    before, after = _History([v for v in versions if v.revision <= number]), _History(versions)
    for time_us in sorted({now_us} | after.later_than(now_us)):
        wanted, present = before.at(time_us), after.at(time_us)
        takes_back = time_us > now_us and (before.repeats(time_us) or not before.begins_at(time_us))
        if wanted == present and (time_us == now_us or takes_back == after.repeats(time_us)):
            continue
        if wanted is not None:
            yield Change(present, replace(wanted, from_us=time_us, takes_back=takes_back))
        elif present is not None:
            gone = replace(present.rate, discontinued=True)
            yield Change(present, NewRate(gone, present.description, time_us, takes_back))


def require_off_peak_hours(tariff: Tariff, changes: Iterable[Change]) -> None:
    """An off-peak price without hours would never be charged. Raises InvalidInput."""
    rates = (change.new.rate for change in changes)
    priced = (rate.prefix for rate in rates if rate.differs_off_peak and not rate.discontinued)
    if (prefix := next(priced, None)) is not None and not newest_terms(tariff.id).off_peak:
        raise InvalidInput(
            f"the rate for prefix {prefix} has an off-peak price, but tariff {tariff.name!r} has no off-peak hours: "
            f"set them first with `tariff set {tariff.name} --off-peak PERIODS`, or leave off-peak prices empty"
        )


def check_older(tariff: Tariff, number: int) -> None:
    """Raises InvalidInput where a tariff has no such revision before its newest."""
    if not 0 <= number < tariff.revision:
        raise InvalidInput(
            f"tariff {tariff.name!r} has no revision {number} to go back to: see `stasis-callback rate history`"
        )
