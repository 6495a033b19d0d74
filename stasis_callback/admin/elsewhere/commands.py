"""`move-in`: subscribers, balances and rates from another system's database dump."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import operator, store
from stasis_callback.admin.output import progress_bar
from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import format_amount, parse_currency

if TYPE_CHECKING:
    from stasis_callback.admin.elsewhere.business import Business

app = typer.Typer(name="move-in", help="Move in from another system: subscribers, balances, rates.")

Read = Callable[[Path, str, str, int], "Business"]

Dump = Annotated[
    Path,
    typer.Argument(
        metavar="DUMP",
        help="SQL dump of its database (mysqldump, phpMyAdmin, pg_dump), or a folder with a CSV file for each table.",
        exists=True,
    ),
]
Currency = Annotated[
    str, typer.Option(help="Currency of its amounts [default: as the dump says].", metavar="CODE")
]
Region = Annotated[
    str,
    typer.Option(
        help="Country of caller ids that are written in national form, for example CZ.", metavar="CC"
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be moved, and what not.")]


@app.command("a2billing")
def from_a2billing(dump: Dump, currency: Currency = "", region: Region = "", dry_run: DryRun = False) -> None:
    """Move in from A2Billing: cards, caller ids, speed dials, call plans with their rates.

    Each card becomes a customer with one account, its call plan a tariff and a product. Nothing is moved twice: run
    it again after an interruption, or once more on the day of the change for new cards. See the guide "Moving in".
    """
    from stasis_callback.admin.elsewhere import a2billing

    _move(a2billing.read, dump, currency, region, dry_run)


@app.command("magnusbilling")
def from_magnusbilling(
    dump: Dump, currency: Currency = "", region: Region = "", dry_run: DryRun = False
) -> None:
    """Move in from MagnusBilling 7: users, caller ids, calling card PINs, plans with their rates.

    Each user becomes a customer with one account, the plan a tariff and a product. Nothing is moved twice: run it
    again after an interruption, or once more on the day of the change for new users. See the guide "Moving in".
    """
    from stasis_callback.admin.elsewhere import magnusbilling

    _move(magnusbilling.read, dump, currency, region, dry_run)


def _move(read: Read, dump: Path, currency: str, region: str, dry_run: bool) -> None:
    from stasis_callback.admin.elsewhere.arrival import move_in, rehearse
    from stasis_callback.core.numbering import known_region

    if region and not known_region(region):
        raise InvalidInput(f"{region!r} is not a country: write its two letters, for example CZ")
    found = read(dump, parse_currency(currency) if currency else "", region, Clock().now_us())
    in_dump = sum(person.balance_micros for person in found.people)
    typer.echo(f"in the dump: {len(found.people)} accounts with {format_amount(in_dump, found.currency)}")
    typer.echo(f"             {sum(map(len, found.tariffs.values()))} rates in {len(found.tariffs)} tariffs")
    if dry_run:
        with store() as stores, progress_bar("accounts") as progress:
            rehearse(stores, found, progress)
        _say_what_is_left(found)
        typer.echo("nothing was changed (--dry-run)")
        return
    with store() as stores, progress_bar("accounts") as progress:
        here = move_in(stores, found, operator(), progress)
    typer.echo(
        f"here now:    {here.accounts} accounts ({here.new_accounts} new) with "
        f"{format_amount(here.balances_micros, found.currency)}"
    )
    typer.echo(f"             {here.rates} rates, {here.callers} caller ids, {here.speed_dials} speed dials")
    _say_what_is_left(found)
    if here.balances_micros != in_dump:
        typer.echo("the balances differ: calls were made here since, or accounts were left out", err=True)


def _say_what_is_left(found: Business) -> None:
    for sentence, count in sorted(found.left.items()):
        typer.echo(f"left out: {count} x {sentence}")
