"""`rate`: the price of calls to a prefix; the longest prefix of the number dialled counts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, printable, require_change, store, whole
from stasis_callback.admin.output import one_line, print_json, print_list, published
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import format_amount

if TYPE_CHECKING:
    from stasis_callback.store.rate_book import RateView
    from stasis_callback.store.tariffs import NewRate

app = typer.Typer(name="rate", help="The price of calls, by the longest prefix that fits.")

COLUMNS = (
    "prefix", "description", "connect_fee", "first_interval_s", "first_price", "next_interval_s", "next_price",
    "forbidden",
)  # fmt: skip

Tariff = Annotated[str, typer.Argument(metavar="TARIFF", help="The tariff's name.")]
Prefix = Annotated[str, typer.Argument(metavar="PREFIX", help="1 to 15 digits, without + or 00.")]
ConnectFee = Annotated[
    str | None, typer.Option(help="Charged once, when answered [default: 0].", metavar="AMOUNT")
]
FirstInterval = Annotated[
    str | None, typer.Option(help="Charged in full when answered [default: 1].", metavar="SECONDS")
]
NextInterval = Annotated[
    str | None, typer.Option(help="Charged in full once started [default: 1].", metavar="SECONDS")
]
NextPrice = Annotated[
    str | None,
    typer.Option(help="Per minute after the first interval [default: the first price].", metavar="AMOUNT"),
]
Description = Annotated[str | None, typer.Option(help="Where the prefix leads.", metavar="TEXT")]
Forbidden = Annotated[
    bool | None, typer.Option("--forbidden/--allowed", help="Never dial it [default: allowed].")
]


@app.command()
def add(
    tariff: Tariff,
    prefix: Prefix,
    first_price: Annotated[str, typer.Argument(metavar="PRICE", help="Per minute, like 0.12.")],
    next_price: NextPrice = None,
    connect_fee: ConnectFee = None,
    first_interval: FirstInterval = None,
    next_interval: NextInterval = None,
    description: Description = None,
    forbidden: Forbidden = None,
) -> None:
    """Add a rate to a tariff, from the next call on."""
    fields = _given(prefix, first_price, next_price, connect_fee, first_interval, next_interval, forbidden)
    with store() as s, s.database.transaction():
        if prefix in _in_force(s.tariffs.rates(tariff)):
            raise InvalidInput(
                f"tariff {tariff!r} has a rate for {prefix} already: change it with `rate set`"
            )
        s.tariffs.put_rates(tariff, [_new_rate(fields, description or "")])
    typer.echo(f"rate {prefix} added to {tariff}")


@app.command("set")
def change(
    tariff: Tariff,
    prefix: Prefix,
    first_price: Annotated[
        str | None, typer.Option(help="Per minute, in the first interval.", metavar="AMOUNT")
    ] = None,
    next_price: NextPrice = None,
    connect_fee: ConnectFee = None,
    first_interval: FirstInterval = None,
    next_interval: NextInterval = None,
    description: Description = None,
    forbidden: Forbidden = None,
) -> None:
    """Change what is given of a rate, from the next call on; the rest stays as it is."""
    require_change(
        first_price, next_price, connect_fee, first_interval, next_interval, description, forbidden
    )
    fields = _given(prefix, first_price, next_price, connect_fee, first_interval, next_interval, forbidden)
    with store() as s, s.database.transaction():
        old = _in_force(s.tariffs.rates(tariff)).get(prefix)
        if old is None:
            raise InvalidInput(f"tariff {tariff!r} has no rate for prefix {prefix!r}: see `rate list`")
        new = _new_rate(_texts(old) | fields, description if description is not None else old.description)
        s.tariffs.put_rates(tariff, [new])
    typer.echo(f"rate {prefix} of {tariff} changed")


@app.command()
def remove(tariff: Tariff, prefix: Prefix) -> None:
    """Take a rate out of a tariff, from the next call on."""
    with store() as s:
        s.tariffs.remove_rate(tariff, prefix)
    typer.echo(f"rate {prefix} removed from {tariff}")


@app.command("list")
def list_all(
    tariff: Tariff,
    prefix: Annotated[str, typer.Option(help="Only prefixes that begin so.", metavar="DIGITS")] = "",
    as_json: AsJson = False,
) -> None:
    """List the rates of a tariff."""
    with store() as s:
        rows = [_record(view) for view in s.tariffs.rates(tariff) if view.rate.prefix.startswith(prefix)]
    print_list(rows, COLUMNS, as_json=as_json)


@app.command("import")
def import_file(
    tariff: Tariff,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV in UTF-8. Its first line names the columns, in any order: prefix and first_price, and any of "
            "description, connect_fee, first_interval, next_interval, next_price, forbidden (yes or no). An empty "
            "field has the same default as in `rate add`.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be different and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add or change many rates at once, all or nothing; rates that are not in the file stay."""
    from stasis_callback.admin.rate_file import BadLines, read_rates

    try:
        rates = read_rates(file)
    except BadLines as error:
        for line in error.lines:
            typer.echo(one_line(line), err=True)
        raise
    # The old rates are only shown, so they are read before the import and not under its write lock: a service at
    # work waits for that.
    with store() as s, _progress(len(rates)) as progress:
        before = _in_force(s.tariffs.rates(tariff)) if dry_run or as_json else {}
        diff = s.tariffs.put_rates(tariff, rates, dry_run=dry_run, progress=progress)
    after = {new.rate.prefix: new for new in rates}
    added = (_fields(after[prefix]) for prefix in diff.added)
    changed = ((_fields(before.get(prefix)), _fields(after[prefix])) for prefix in diff.changed)
    if as_json:
        changes = [{"old": old, "new": new} for old, new in changed]
        print_json({"dry_run": dry_run, "added": list(added), "changed": changes, "same": diff.same})
        return
    if dry_run:
        _print_diff(added, changed)
    verb = "would be" if dry_run else "were"
    typer.echo(
        f"{len(diff.added)} {verb} added, {len(diff.changed)} {verb} changed, {diff.same} are the same"
    )


@app.command()
def explain(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The number dialled, like 420212345678.")],
    account: Annotated[str, typer.Option(help="Whose tariff counts.", metavar="ID")],
    seconds: Annotated[
        int, typer.Option(help="How long the talk is.", metavar="N", parser=whole(0, 1_000_000))
    ],
    as_json: AsJson = False,
) -> None:
    """Show each step of what a talk with a number costs, and which prefix decides."""
    from stasis_callback.admin.rate_explanation import explain_rate

    with store() as s:
        explanation = explain_rate(s, number, account, seconds)
    if as_json:
        print_json(published(explanation))
        return
    for step in explanation["steps"]:
        typer.echo(one_line(step))


# --- rates as texts, records and differences ----------------------------------------------------------------------


def _given(
    prefix: str,
    first_price: str | None,
    next_price: str | None,
    connect_fee: str | None,
    first_interval: str | None,
    next_interval: str | None,
    forbidden: bool | None,
) -> dict[str, str]:
    """What was written on the command line, as a line of a CSV file would have it."""
    fields = {
        "prefix": prefix,
        "first_price": first_price,
        "next_price": next_price,
        "connect_fee": connect_fee,
        "first_interval": first_interval,
        "next_interval": next_interval,
        "forbidden": None if forbidden is None else ("yes" if forbidden else "no"),
    }
    return {name: text for name, text in fields.items() if text is not None}


def _texts(old: RateView) -> dict[str, str]:
    return {
        "first_price": format_amount(old.rate.first_price_micros),
        "next_price": format_amount(old.rate.next_price_micros),
        "connect_fee": format_amount(old.rate.connect_fee_micros),
        "first_interval": str(old.rate.first_interval_s),
        "next_interval": str(old.rate.next_interval_s),
        "forbidden": "yes" if old.rate.forbidden else "no",
    }


def _new_rate(fields: dict[str, str], description: str) -> NewRate:
    from stasis_callback.admin.rate_file import rate_of
    from stasis_callback.store.tariffs import NewRate

    return NewRate(rate_of(fields), printable(description, "description"))


def _in_force(rates: list[RateView]) -> dict[str, RateView]:
    return {view.rate.prefix: view for view in rates}


def _record(view: RateView | NewRate) -> dict[str, object]:
    return {"description": view.description} | asdict(view.rate)


def _fields(rate: RateView | NewRate | None) -> dict[str, object]:
    return published(_record(rate)) if rate else {}


def _print_diff(
    added: Iterable[dict[str, object]], changed: Iterable[tuple[dict[str, object], dict[str, object]]]
) -> None:
    for new in added:
        fields = ", ".join(f"{name} {new[name]}" for name in COLUMNS[1:] if new[name])
        typer.echo(f"+ {new['prefix']} {fields}")
    for old, new in changed:
        steps = (f"{name} {old.get(name)} -> {new[name]}" for name in COLUMNS if old.get(name) != new[name])
        typer.echo(f"~ {new['prefix']} {', '.join(steps)}")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, for people at a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rates", total=total)
        yield lambda done: bar.update(task, completed=done) if done % 1000 == 0 else None
