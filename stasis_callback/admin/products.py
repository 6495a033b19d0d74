"""`product`: what an account buys."""

from __future__ import annotations

from typing import Annotated

import typer

from stasis_callback.admin.context import AsJson, store
from stasis_callback.admin.output import print_list, print_one
from stasis_callback.core.errors import InvalidInput

app = typer.Typer(name="product", help="What an account buys: the tariff its calls are rated by.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The product's name.")]
Tariff = Annotated[str, typer.Option(help="The tariff calls are rated by.", metavar="NAME")]


@app.command()
def add(name: Name, tariff: Tariff) -> None:
    """Add a product."""
    with store() as s:
        s.accounts.add_product(name, tariff)
    typer.echo(f"product {name} added")


@app.command("set")
def change(name: Name, tariff: Tariff) -> None:
    """Give a product another tariff of the same currency, from the next call on."""
    with store() as s:
        s.accounts.set_product(name, tariff)
    typer.echo(f"product {name} is rated by {tariff} from the next call on")


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all products."""
    with store() as s:
        print_list(s.accounts.products(), ("name", "tariff", "currency"), as_json=as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a product and the accounts that have it."""
    with store() as s:
        product = next((p for p in s.accounts.products() if p["name"] == name), None)
        if product is None:
            raise InvalidInput(f"there is no product {name!r}: see `stasis-callback product list`")
        accounts = [a.number for a in s.accounts.all() if a.product == name]
        print_one(product | {"accounts": accounts}, as_json=as_json)
