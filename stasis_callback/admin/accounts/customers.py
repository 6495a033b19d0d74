"""`customer`: the people and companies who are billed."""

from __future__ import annotations

from typing import Annotated

import typer

from stasis_callback.admin.accounts.upkeep import Retired, add_upkeep
from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import AsJson, require_change, store
from stasis_callback.admin.listing import USUAL_ROWS, Page, listed
from stasis_callback.admin.money.topup import (
    AdjustKey,
    Amount,
    By,
    Key,
    Note,
    Reason,
    adjust_book,
    adjusted,
    top_up,
    topped_up,
)
from stasis_callback.admin.output import FEW, Record, few, print_one
from stasis_callback.core.money import format_amount, parse_amount, require_payable

app = typer.Typer(name="customer", help="Customers: the people and companies who are billed.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Customer name.")]


@app.command()
def add(
    name: Name,
    currency: Annotated[str, typer.Option(help="Currency code, for example USD.", metavar="CODE")],
) -> None:
    """Add a customer."""
    with store() as s, recorded(s, "customer", name):
        s.accounts.add_customer(name, currency)
    typer.echo(f"customer {name} added")


@app.command("set")
def change(
    name: Name,
    credit_limit: Annotated[
        str | None,
        typer.Option(help="Credit limit: how far the shared balance may go below zero.", metavar="AMOUNT"),
    ] = None,
    daily_cap: Annotated[
        str | None,
        typer.Option(
            help="Maximum amount that all accounts together spend per day (UTC), or none for no cap.",
            metavar="AMOUNT",
        ),
    ] = None,
) -> None:
    """Change the limits of the funds shared by a customer's subordinate accounts, from the next call on."""
    require_change(credit_limit, daily_cap)
    no_cap = daily_cap == "none"
    limit_micros = None if credit_limit is None else parse_amount(credit_limit)
    cap_micros = None if daily_cap is None or no_cap else parse_amount(daily_cap)
    with store() as s, recorded(s, "customer", name):
        require_payable(s.accounts.customer_currency(name), limit_micros, cap_micros)
        s.accounts.set_customer(
            name, credit_limit_micros=limit_micros, daily_cap_micros=cap_micros, no_daily_cap=no_cap
        )
    typer.echo(f"customer {name} changed")


add_upkeep(app, "customer")


@app.command()
def adjust(name: Name, amount: By, reason: Reason, key: AdjustKey = None) -> None:
    """Correct the funds shared by a customer's subordinate accounts. A deduction cannot exceed what is available."""
    amount_micros = parse_amount(amount)
    with store() as s:
        currency = s.accounts.customer_currency(name)
        require_payable(currency, amount_micros)
        done = adjust_book(s, lambda: s.accounts.customer_book(name), amount_micros, key, reason)
    typer.echo(f"customer {name} {adjusted(done, key)} {format_amount(amount_micros, currency)}")


@app.command()
def topup(name: Name, amount: Amount, key: Key = None, note: Note = "") -> None:
    """Top up the funds shared by a customer's subordinate accounts."""
    amount_micros = parse_amount(amount)
    with store() as s:
        currency = s.accounts.customer_currency(name)
        require_payable(currency, amount_micros)
        done = top_up(
            s,
            lambda micros, **about: s.ledger.top_up(s.accounts.customer_book(name), micros, **about),
            amount_micros,
            key,
            note,
        )
    typer.echo(f"customer {name} {topped_up(done, key)} {format_amount(amount_micros, currency)}")


@listed(
    app, ("name", "currency", "balance", "held", "credit_limit", "daily_cap"), rows=USUAL_ROWS, key="name"
)
def list_all(page: Page, retired: Retired = False) -> list[Record]:
    """List customers by name, or those that are retired."""
    with store() as s:
        return [*s.search.customers(retired=retired, limit=page.fetched, after=page.after)]


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a customer and the customer's accounts."""
    with store() as s:
        accounts, count = s.search.numbers_of(customer=name, limit=-1 if as_json else FEW + 1)
        (customer,) = s.search.customers(name=name)
    told = accounts if as_json else few(accounts, "account list --customer", count)
    print_one(customer | {"accounts": told}, as_json=as_json)
