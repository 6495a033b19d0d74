"""`customer`: who is billed."""

from __future__ import annotations

from typing import Annotated

import typer

from stasis_callback.admin.context import AsJson, store
from stasis_callback.admin.output import print_list, print_one
from stasis_callback.core.errors import InvalidInput

app = typer.Typer(name="customer", help="Who is billed: a person or a company.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The customer's name.")]


@app.command()
def add(
    name: Name,
    currency: Annotated[str, typer.Option(help="Three letters, like USD.", metavar="CODE")],
) -> None:
    """Add a customer."""
    with store() as s:
        s.accounts.add_customer(name, currency)
    typer.echo(f"customer {name} added")


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all customers."""
    with store() as s:
        print_list(s.accounts.customers(), ("name", "currency"), as_json=as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a customer and their accounts."""
    with store() as s:
        customer = next((c for c in s.accounts.customers() if c["name"] == name), None)
        if customer is None:
            raise InvalidInput(f"there is no customer {name!r}: see `stasis-callback customer list`")
        accounts = [a.number for a in s.accounts.all() if a.customer == name]
        print_one(customer | {"accounts": accounts}, as_json=as_json)
