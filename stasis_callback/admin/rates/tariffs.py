"""`tariff`: sets of rates in one currency."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from stasis_callback.admin.context import AsJson, store
from stasis_callback.admin.output import print_list, print_one
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.kinds import OPENABLE, parse_kinds

app = typer.Typer(name="tariff", help="Tariffs: sets of rates in one currency.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Tariff name.")]


@app.command()
def add(
    name: Name,
    currency: Annotated[str, typer.Option(help="Currency code, for example USD.", metavar="CODE")],
) -> None:
    """Add an empty tariff."""
    with store() as s:
        s.tariffs.add(name, currency)
    typer.echo(f"tariff {name} added")


@app.command("set")
def change(
    name: Name,
    opened: Annotated[
        str,
        typer.Option(
            "--open",
            help="Kinds of numbers that a rate of a shorter prefix sells too, separated by commas: "
            f"{', '.join(OPENABLE)}; none: only what a rate names.",
            metavar="KINDS",
        ),
    ],
) -> None:
    """Open a tariff for numbers that its rates do not name, from the next call on. Replaces what was open before.

    Without it, a rate for 44 sells no premium numbers, and a rate for 1 neither Jamaica nor 900: see `rate check`.
    Emergency numbers are never called.
    """
    kinds = parse_kinds("" if opened == "none" else opened)
    with store() as s:
        s.tariffs.set_terms(name, replace(s.tariffs.terms(name), opened=",".join(kinds)))
    typer.echo(
        f"tariff {name} is open for {', '.join(kinds)}" if kinds else f"tariff {name} is open for nothing"
    )


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all tariffs with the number of their rates."""
    with store() as s:
        print_list(s.tariffs.all(), ("name", "currency", "rates"), as_json=as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a tariff and the products that use it. For its rates see `rate list`."""
    with store() as s:
        tariff = next((t for t in s.tariffs.all() if t["name"] == name), None)
        if tariff is None:
            raise InvalidInput(f"unknown tariff {name!r}: see `stasis-callback tariff list`")
        products = [p["name"] for p in s.accounts.products() if p["tariff"] == name]
        opened = [str(kind) for kind in parse_kinds(s.tariffs.terms(name).opened)]
        print_one(tariff | {"products": products, "opened": opened}, as_json=as_json)
