"""`product`: products of accounts, which set their tariff."""

from __future__ import annotations

from typing import Annotated

import typer

from stasis_callback.admin.accounts.upkeep import Retired, add_upkeep, chosen
from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import AsJson, store
from stasis_callback.admin.output import few, print_list, print_one
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.options import CallOptions

app = typer.Typer(name="product", help="Products of accounts, which set their tariff.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Product name.")]
Tariff = Annotated[str, typer.Option(help="Tariff that rates the calls.", metavar="NAME")]


@app.command()
def add(name: Name, tariff: Tariff) -> None:
    """Add a product."""
    with store() as s, recorded(s, "product", name):
        s.accounts.add_product(name, tariff)
    typer.echo(f"product {name} added")


@app.command("set")
def change(
    name: Name,
    tariff: Tariff,
    access_code: Annotated[
        str,
        typer.Option(help="Only for calls with this access code (option access_code).", metavar="CODE"),
    ] = "",
) -> None:
    """Change the tariff of a product from the next call on. Its currency must stay the same."""
    CallOptions.parse({"access_code": access_code})
    with store() as s, recorded(s, "product", name):
        s.accounts.set_product(name, tariff, access_code)
    where = f" for access code {access_code}" if access_code else ""
    typer.echo(f"product {name} is rated by {tariff}{where} from the next call on")


add_upkeep(app, "product")


@app.command("list")
def list_all(retired: Retired = False, as_json: AsJson = False) -> None:
    """List all products, or those that are retired."""
    with store() as s:
        found = chosen(s, "product", s.accounts.products(), retired=retired)
        print_list(found, ("name", "tariff", "currency", "access_codes"), as_json=as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a product and its accounts."""
    with store() as s:
        product = next((p for p in s.accounts.products() if p["name"] == name), None)
        if product is None:
            raise InvalidInput(f"unknown product {name!r}: see `stasis-callback product list`")
        accounts = [a.number for a in s.accounts.all() if a.product == name]
    told = accounts if as_json else few(accounts, "account list --product")
    print_one(product | {"accounts": told}, as_json=as_json)
