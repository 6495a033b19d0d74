"""Bulk changes of rates: import, export, diff, history and rollback of a tariff."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, instant_us, printable, store, whole
from stasis_callback.admin.output import one_line, print_json, print_list, published
from stasis_callback.clock import iso

if TYPE_CHECKING:
    from stasis_callback.store.rates.book import RateView
    from stasis_callback.store.rates.tariffs import Change, NewRate
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
        help="Effective from this ISO 8601 time (UTC if no zone is given), for example 2027-01-31T18:00+01:00 "
        "[default: the next call].",
        metavar="TIME",
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        help="As of this ISO 8601 time, UTC if no zone is given [default: now].",
        metavar="TIME",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change without changing anything.")]
Note = Annotated[str, typer.Option(help="Note shown in `rate history`.", metavar="TEXT")]


def import_file(
    tariff: Tariff,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV file in UTF-8. Its first line names the columns in any order. Required: prefix, first_price. "
            "Optional: description, connect_fee, first_interval, next_interval, next_price, off_peak_first_price, "
            "off_peak_next_price, forbidden (yes or no), discontinued (yes or no), from (a time). Empty fields have "
            "the same defaults as in `rate add`.",
        ),
    ],
    begins: From = None,
    note: Note = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Add or change many rates from a file, all or none of them. Rates that are not in the file are kept."""
    from stasis_callback.admin.rates.file import BadLines, read_rates
    from stasis_callback.admin.rates.unsold import note as unsold_note
    from stasis_callback.admin.rates.unsold import unsold

    from_us, note = maybe_instant(begins), printable(note, "note")
    try:
        with _progress("reading") as progress:
            rates = read_rates(file, from_us, progress)
    except BadLines as error:
        for line in error.lines:
            typer.echo(one_line(line), err=True)
        raise
    with store() as s, _progress("comparing", len(rates)) as progress:
        diff = s.tariffs.put_rates(tariff, rates, dry_run=dry_run, note=note, progress=progress)
        opened = s.tariffs.terms(tariff).opened
    new_prefixes = {change.prefix for change in diff.changes}
    not_sold = [row for row in unsold((new.rate for new in rates), opened) if row["prefix"] in new_prefixes]
    if as_json:
        print_json({"dry_run": dry_run} | _json(diff.changes) | {"same": diff.same, "not_sold": not_sold})
        return
    if dry_run:
        _print_changes(diff.changes)
    typer.echo(f"{_counts(diff.changes, 'would be' if dry_run else 'were')}, {diff.same} unchanged")
    if not_sold:
        typer.echo(unsold_note(not_sold))


def check(tariff: Tariff, as_json: AsJson = False) -> None:
    """List what the rates of a tariff do not sell although their prefix fits, and prefixes that never match.

    A rate for 1 sells neither Jamaica nor 900 numbers, one for 44 no premium numbers: add a rate for their prefix to
    sell them, or open the tariff with `tariff set --open`.
    """
    from stasis_callback.admin.rates.unsold import unsold

    with store() as s:
        rates = [view.rate for view in s.tariffs.rates(tariff)]
        rows = unsold(rates, s.tariffs.terms(tariff).opened)
    dead = [rate.prefix for rate in rates if rate.prefix.startswith("0")]
    if as_json:
        print_json({"not_sold": rows, "never_match": dead})
        return
    print_list(
        [row | {"countries": " ".join(row["countries"])} for row in rows],
        ("prefix", "kind", "countries", "example"),
        as_json=False,
    )
    for prefix in dead:
        typer.echo(f"the rate for {prefix} never matches: no international number begins with 0")


def export(tariff: Tariff, at: At = None) -> None:
    """Print the effective rates as CSV for `rate import`. For JSON use `rate list --json`."""
    from stasis_callback.admin.rates.file import write_rates

    with store() as s:
        rates = s.tariffs.rates(tariff, maybe_instant(at))
    write_rates(rates, sys.stdout)


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
    same = len(after) - sum(not change.new.rate.discontinued for change in changes)
    if as_json:
        print_json(_json(changes) | {"same": same})
        return
    _print_changes(changes)
    typer.echo(f"{_counts(changes, 'are')}, {same} unchanged")


def history(
    tariff: Tariff,
    limit: Annotated[
        int, typer.Option(help="Maximum number of rows.", metavar="N", parser=whole(1, 10_000))
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """List the revisions of a tariff, newest first."""
    with store() as s:
        rows = [asdict(revision) for revision in s.tariffs.history(tariff, limit)]
    print_list(rows, ("number", "created_at", "kind", "rates", "note"), as_json=as_json)


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
    note = printable(note, "note")
    with store() as s:
        changes = s.tariffs.roll_back(tariff, revision, note, dry_run=dry_run)
    if as_json:
        print_json({"dry_run": dry_run} | _json(changes))
        return
    if dry_run:
        _print_changes(changes)
    typer.echo(_counts(changes, "would be" if dry_run else "were"))


# --- output ------------------------------------------------------------------------------------------------


def record(view: RateView | NewRate) -> dict[str, object]:
    """The fields that commands show for a rate. `from` is its start; None means the next call."""
    begins = {"from": None if view.from_us is None else iso(view.from_us)}
    return {"description": view.description} | asdict(view.rate) | begins


def maybe_instant(text: str | None) -> int | None:
    """The time given in an option in microseconds, None if it was not given. Raises InvalidInput."""
    return None if text is None else instant_us(text)


def _fields(rate: NewRate) -> dict[str, object]:
    return published(record(rate))


def _json(changes: Iterable[Change]) -> dict[str, object]:
    added, changed, removed = [], [], []
    for change in changes:
        if change.new.rate.discontinued:
            removed.append(_fields(change.new))
        elif change.old is None:
            added.append(_fields(change.new))
        else:
            changed.append({"old": _fields(change.old), "new": _fields(change.new)})
    return {"added": added, "changed": changed, "removed": removed}


def _counts(changes: Sequence[Change], verb: str) -> str:
    removed = sum(change.new.rate.discontinued for change in changes)
    added = sum(change.old is None for change in changes)
    text = f"{added} {verb} added, {len(changes) - added - removed} {verb} changed"
    return f"{text}, {removed} {verb} removed" if removed else text


def _print_changes(changes: Iterable[Change]) -> None:
    for change in changes:
        old, new = _fields(change.old) if change.old else {}, _fields(change.new)
        begins = f" from {new['from']}" if new["from"] else ""
        if new["discontinued"]:
            typer.echo(one_line(f"- {change.prefix}{begins}"))
            continue
        if old:
            steps = [f"{name} {old[name]} -> {new[name]}" for name in COLUMNS if old[name] != new[name]]
        else:
            steps = [f"{name} {new[name]}" for name in COLUMNS[1:] if new[name]]
        typer.echo(one_line(f"{'~' if old else '+'} {change.prefix} {', '.join(steps)}{begins}"))


def _rates_of(s: Stores, tariff: str, when: str) -> dict[str, NewRate]:
    from stasis_callback.store.rates.tariffs import NewRate

    if re.fullmatch(r"[0-9]{1,9}", when, re.ASCII):
        views = s.tariffs.rates(tariff, revision=int(when))
    else:
        views = s.tariffs.rates(tariff, None if when == "now" else instant_us(when))
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
