"""Bulk changes of rates: import, export, diff, history and rollback of a tariff."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, printable, store, whole
from stasis_callback.admin.days import local_time, operators_zone, since_us
from stasis_callback.admin.listing import AsCsv, print_records
from stasis_callback.admin.output import one_line, print_json, print_json_parts, print_list, published
from stasis_callback.admin.rates.profiles import (
    ByName,
    ColumnNames,
    Cost,
    Dates,
    Decimal,
    Delimiter,
    Encoding,
    Ignore,
    Intervals,
    Per,
    SheetName,
    TimeZone,
    given_profile,
    keep,
    profile_for,
)
from stasis_callback.admin.tables import cell
from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput

if TYPE_CHECKING:
    from stasis_callback.core.rating import Rate
    from stasis_callback.store.rates.book import RateView
    from stasis_callback.store.rates.tariffs import Change, NewRate, Spool
    from stasis_callback.store.stores import Stores

COLUMNS = (
    "prefix", "description", "connect_fee", "first_interval_s", "first_price", "next_interval_s", "next_price",
    "off_peak_first_price", "off_peak_next_price", "forbidden",
)  # fmt: skip

Tariff = Annotated[str, typer.Argument(metavar="TARIFF", help="Tariff name.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Effective from this day or time on, for example 2027-02-01, 2027-01-31T18:00 or "
        "2027-01-31T18:00+01:00; in your time zone if it has none [default: the next call].",
        metavar="WHEN",
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        help="As of this time or the beginning of this day, for example 2027-01-31T18:00 [default: now].",
        metavar="WHEN",
    ),
]
ListFrom = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Rates without a date are effective from this day or time on, for example 2027-02-01 [default: now, "
        "which is the next call].",
        metavar="WHEN",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change without changing anything.")]
Note = Annotated[str, typer.Option(help="Note shown in `rate history`.", metavar="TEXT")]


ListFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        readable=False,  # it is opened anyhow: the error then says who may not
        help="CSV or .xlsx file. One of its first lines names the columns in any order. Required: prefix, "
        "first_price. Optional: description, connect_fee, first_interval, next_interval, next_price, "
        "off_peak_first_price, off_peak_next_price, forbidden (yes or no), discontinued (yes or no), from (a "
        "time). Empty fields have the same defaults as in `rate add`. Common column names and formats of "
        "carriers are detected, and shown.",
    ),
]
Replace = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="The list is complete: withdraw all rates that it does not have, from its date (or --from) on.",
    ),
]


def import_file(
    tariff: Tariff,
    file: ListFile,
    begins: ListFrom = None,
    replace_all: Replace = False,
    by_name: ByName = None,
    columns: ColumnNames = None,
    ignore: Ignore = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    sheet: SheetName = None,
    decimal: Decimal = None,
    dates: Dates = None,
    time_zone: TimeZone = None,
    per: Per = None,
    intervals: Intervals = None,
    cost: Cost = False,
    note: Note = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Add or change many rates from a list, all or none of them. Other rates are kept, except with --replace.

    Rates with a past date take effect at once. Ambiguous values are refused.
    """
    from stasis_callback.admin.rates.lists import rate_list
    from stasis_callback.store.rates.tariffs import Spool

    note = printable(note, "note")
    from_us = None if begins == "now" else maybe_instant(begins)
    given = given_profile(
        columns, ignore, encoding, delimiter, sheet, decimal, dates, time_zone, per, intervals, cost
    )
    with store() as s, Spool() as spool:
        profile, currency = profile_for(s, by_name, given), s.tariffs.named(tariff).currency
        with rate_list(file, profile, currency) as rates, _progress("reading", rates.lines) as progress:
            rates.read(spool.add, from_us, lambda text: typer.echo(one_line(text), err=True), progress)
        complete_us = _complete_us(spool, begins, from_us) if replace_all else None
        with _progress("comparing", spool.prefixes) as compared, _progress("writing") as written:
            s.tariffs.put_list(
                tariff,
                spool,
                complete_us=complete_us,
                dry_run=dry_run,
                note=note,
                compared=compared,
                written=written,
            )
        if not dry_run and keep(s, by_name, given):
            rates.said.append(f"profile: kept as {by_name}")
        _tell(spool, rates.said, s.tariffs.terms(tariff).opened, dry_run=dry_run, as_json=as_json)


def _complete_us(spool: Spool, begins: str | None, from_us: int | None) -> int:
    """When what is not in a complete list ends: with its only date, or at the time that was given; 0: at once."""
    if begins is not None:
        return from_us or 0
    starts = spool.starts()
    if len(starts) > 1:
        raise InvalidInput(
            "the rates of the list begin at different times: add --from, when the missing rates are withdrawn, for "
            "example --from now"
        )
    return starts[0] or 0


def _tell(spool: Spool, said: list[str], opened: str, *, dry_run: bool, as_json: bool) -> None:
    """What an import has changed, or would."""
    from stasis_callback.admin.rates.unsold import note as unsold_note
    from stasis_callback.admin.rates.unsold import unsold

    rows = unsold(lambda: (entry.new.rate for entry in spool.entries()), opened)
    prefixes = {row["prefix"] for row in rows}
    new_prefixes = {change.prefix for change in spool.changes() if change.prefix in prefixes}
    not_sold = [row for row in rows if row["prefix"] in new_prefixes]
    if as_json:
        print_json_parts(
            {"dry_run": dry_run, "read_as": said} | _parts(spool) | {"same": spool.same, "not_sold": not_sold}
        )
        return
    for sentence in said:
        typer.echo(one_line(sentence))
    if dry_run:
        _print_changes(spool.changes())
    typer.echo(f"{_spooled(spool, dry_run)}, {spool.same} unchanged")
    if not_sold:
        typer.echo(unsold_note(not_sold))


def check(tariff: Tariff, as_json: AsJson = False) -> None:
    """List what the rates of a tariff do not sell although their prefix fits, and prefixes that never match.

    A rate for 1 sells neither Jamaica nor 900 numbers, one for 44 no premium numbers: add a rate for their prefix to
    sell them, or open the tariff with `tariff set --open`.
    """
    from stasis_callback.admin.rates.unsold import never_called, unsold

    with store() as s:

        def rates() -> Iterator[Rate]:
            with s.tariffs.each_rate(tariff) as views:
                yield from (view.rate for view in views)

        rows = unsold(rates, s.tariffs.terms(tariff).opened)
        dead = [rate.prefix for rate in rates() if never_called(rate.prefix)]
    if as_json:
        print_json({"not_sold": rows, "never_match": dead})
        return
    print_list(
        [row | {"countries": " ".join(row["countries"])} for row in rows],
        ("prefix", "kind", "countries", "example"),
        as_json=False,
    )
    for prefix in dead:
        why = (
            "no international number begins with 0" if prefix.startswith("0") else "it is an emergency number"
        )
        typer.echo(f"the rate for {prefix} never matches: {why}")


def export(
    tariff: Tariff,
    at: At = None,
    by_name: ByName = None,
    columns: ColumnNames = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    per: Per = None,
    intervals: Intervals = None,
) -> None:
    """Print the effective rates as CSV for `rate import`, or in the format of a profile.

    For JSON use `rate list --json`. Rates that the format cannot express are refused, for example different first and
    next prices with one column for prices.
    """
    from stasis_callback.admin.rates.export import written

    given = given_profile(
        columns, encoding=encoding, delimiter=delimiter, decimal=decimal, per=per, intervals=intervals
    )
    with store() as s:
        profile, currency = profile_for(s, by_name, given), s.tariffs.named(tariff).currency
        with s.tariffs.each_rate(tariff, maybe_instant(at)) as rates:
            for lines in written(rates, profile, currency):
                typer.echo(lines, nl=False)


def diff(
    tariff: Tariff,
    old: Annotated[
        str,
        typer.Argument(
            metavar="OLD", help="`now`, a time, or a revision number (the rates without any later change)."
        ),
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="What to compare with, in the same form as OLD.")],
    as_json: AsJson = False,
) -> None:
    """Show the differences between the rates effective at two times, or at two revisions."""
    with store() as s:
        before, after = _rates_of(s, tariff, old), _rates_of(s, tariff, new)
    changes = _between(before, after)
    of_kind = {kind: [c for c in changes if c.kind == kind] for kind in ("added", "changed", "removed")}
    same = len(after) - len(of_kind["added"]) - len(of_kind["changed"])
    if as_json:
        parts = {kind: [_fields(c.new) for c in some] for kind, some in of_kind.items()}
        print_json(parts | {"changed": [_pair(c) for c in of_kind["changed"]], "same": same})
        return
    _print_changes(changes)
    typer.echo(f"{_counts({kind: len(some) for kind, some in of_kind.items()}, 'are')}, {same} unchanged")


def history(
    tariff: Tariff,
    limit: Annotated[
        int, typer.Option(help="Maximum number of rows.", metavar="N", parser=whole(1, 10_000))
    ] = 100,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """List the revisions of a tariff, newest first."""
    with store() as s:
        rows = [asdict(revision) for revision in s.tariffs.history(tariff, limit)]
    print_records(rows, ("number", "created_at", "kind", "rates", "note"), as_csv=as_csv, as_json=as_json)


def roll_back(
    tariff: Tariff,
    revision: Annotated[
        int,
        typer.Argument(
            metavar="REVISION",
            help="Revision number, as in `rate history`; 0: without any rates.",
            parser=whole(0, 10**9),
        ),
    ],
    note: Note = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Restore all rates, including scheduled ones, to a revision. This makes a new revision and can be undone."""
    from stasis_callback.store.rates.tariffs import Spool

    note = printable(note, "note")
    with store() as s, Spool() as spool:
        s.tariffs.restore(tariff, revision, spool, note, dry_run=dry_run)
        if as_json:
            print_json_parts({"dry_run": dry_run} | _parts(spool))
            return
        if dry_run:
            _print_changes(spool.changes())
        typer.echo(_spooled(spool, dry_run))


# --- output ------------------------------------------------------------------------------------------------


def maybe_instant(text: str | None) -> int | None:
    """The day or time given in an option, in microseconds; None if it was not given. Raises InvalidInput."""
    return None if text is None else since_us(text)


def coming(text: str | None) -> int | None:
    """The same for a time that must not have passed: calls were rated without what would begin then. For one
    of today None, which is at once, as in a list.
    """
    from_us = maybe_instant(text)
    if from_us is not None and from_us < Clock().now_us():
        if from_us >= since_us("today"):
            return None
        raise InvalidInput("the rate starts in the past: omit its time to start it with the next call")
    return from_us


def _fields(rate: RateView | NewRate) -> dict[str, object]:
    from stasis_callback.store.rates.records import rate_record

    return published(rate_record(rate))


def _parts(spool: Spool) -> dict[str, object]:
    """The changes by kind, read while they are printed."""
    return {
        "added": (_fields(change.new) for change in spool.changes("added")),
        "changed": (_pair(change) for change in spool.changes("changed")),
        "removed": (_fields(change.new) for change in spool.changes("removed")),
    }


def _pair(change: Change) -> dict[str, object]:
    return {"old": _fields(change.old) if change.old else {}, "new": _fields(change.new)}


def _spooled(spool: Spool, dry_run: bool) -> str:
    verb = "would be" if dry_run else "were"
    return _counts({kind: spool.count(kind) for kind in ("added", "changed", "removed")}, verb)


def _counts(of: Mapping[str, int], verb: str) -> str:
    text = f"{of.get('added', 0)} {verb} added, {of.get('changed', 0)} {verb} changed"
    return f"{text}, {of['removed']} {verb} removed" if of.get("removed") else text


def _print_changes(changes: Iterable[Change]) -> None:
    zone = operators_zone()
    for change in changes:
        new, from_us = _fields(change.new), change.new.from_us
        begins = "" if from_us is None else f" from {local_time(from_us, zone)}"
        if new["discontinued"]:
            typer.echo(one_line(f"- {change.prefix}{begins}"))
            continue
        if change.old:
            said = steps(change.old, change.new)
        else:
            said = [f"{name} {new[name]}" for name in COLUMNS[1:] if new[name]]
        typer.echo(one_line(f"{'~' if change.old else '+'} {change.prefix} {', '.join(said)}{begins}"))


def steps(old: RateView | NewRate, new: NewRate) -> list[str]:
    """What differs, in words: `first_price 0.12 -> 0.15`."""
    before, after = _fields(old), _fields(new)
    return [
        f"{name} {cell(old_value) or 'none'} -> {cell(new_value) or 'none'}"
        for name in COLUMNS
        if (old_value := before[name]) != (new_value := after[name])
    ]


def _rates_of(s: Stores, tariff: str, when: str) -> dict[str, NewRate]:
    from stasis_callback.store.rates.tariffs import NewRate

    if re.fullmatch(r"[0-9]{1,9}", when, re.ASCII):
        views = s.tariffs.rates(tariff, revision=int(when))
    else:
        views = s.tariffs.rates(tariff, None if when == "now" else since_us(when))
    return {view.rate.prefix: NewRate(view.rate, view.description) for view in views}


def _between(before: dict[str, NewRate], after: dict[str, NewRate]) -> list[Change]:
    from stasis_callback.store.rates.tariffs import Change

    changes = [Change(before.get(p), new) for p, new in after.items() if before.get(p) != new]
    gone = [old for prefix, old in before.items() if prefix not in after]
    changes += [Change(old, replace(old, rate=replace(old.rate, discontinued=True))) for old in gone]
    return sorted(changes, key=lambda change: change.prefix)


@contextmanager
def _progress(doing: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, if that is a terminal. Yields a function of the number done."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda done: bar.update(task, completed=done) if done % 1000 == 0 else None
