"""`product`: products of accounts, which set their tariff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stasis_callback.admin.accounts.upkeep import Retired, add_upkeep, chosen
from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import AsJson, require_change, store
from stasis_callback.admin.listing import AsCsv, print_records
from stasis_callback.admin.output import FEW, Record, few, print_one
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import format_amount, parse_amount
from stasis_callback.core.options import CallOptions

if TYPE_CHECKING:
    from stasis_callback.store.intake.instances import Instances
    from stasis_callback.store.stores import Stores

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
    tariff: Annotated[
        str | None,
        typer.Option(help="Tariff that rates the calls; its currency must stay the same.", metavar="NAME"),
    ] = None,
    access_code: Annotated[
        str,
        typer.Option(help="This tariff only for calls with this access code.", metavar="CODE"),
    ] = "",
    low_balance: Annotated[
        str | None,
        typer.Option(
            help="Tell of a low balance when a call brings balance and credit limit of an account below this; "
            "`none`: never.",
            metavar="AMOUNT|none",
        ),
    ] = None,
    low_balance_webhook: Annotated[
        str | None,
        typer.Option(
            help="Tell the `webhook_url` of this web instance; `none`: no webhook.", metavar="NAME|none"
        ),
    ] = None,
    low_balance_mail: Annotated[
        str | None,
        typer.Option(
            help="Mail the account's registered senders from this e-mail instance; `none`: no mail.",
            metavar="ADDRESS|none",
        ),
    ] = None,
) -> None:
    """Change the tariff of a product, or who is told of a low balance of its accounts, from the next call on."""
    require_change(tariff, low_balance, low_balance_webhook, low_balance_mail)
    if access_code and tariff is None:
        raise InvalidInput("--access-code goes with --tariff")
    CallOptions.parse({"access_code": access_code})
    micros = None if low_balance in (None, "none") else parse_amount(str(low_balance))
    with store() as s, recorded(s, "product", name):
        if tariff is not None:
            s.accounts.set_product(name, tariff, access_code)
        s.accounts.set_low_balance(
            name,
            micros=micros,
            off=low_balance == "none",
            webhook=_instance(low_balance_webhook, s.web_instances),
            mail=_instance(low_balance_mail and low_balance_mail.lower(), s.email_instances),
        )
        product = _found(s, name)
    if tariff is not None:
        where = f" for access code {access_code}" if access_code else ""
        typer.echo(f"product {name} is rated by {tariff}{where} from the next call on")
    if low_balance or low_balance_webhook or low_balance_mail:
        typer.echo(_told(product))


def _instance(name: str | None, instances: Instances[Any]) -> str | None:
    """The name of an instance that is there, "" for none, None where nothing was said. Raises InvalidInput."""
    return "" if name == "none" else name and instances.named(name).name


def _told(product: Record) -> str:
    """Who is told of a low balance, as a sentence."""
    name, micros = product["name"], product["low_balance_micros"]
    tells = [str(product[field]) for field in ("low_balance_webhook", "low_balance_mail") if product[field]]
    if micros is None:
        return f"product {name} tells of no low balance"
    amount = format_amount(int(str(micros)), str(product["currency"]))
    if not tells:
        return f"product {name}: nobody is told below {amount} yet: give --low-balance-webhook or --low-balance-mail"
    return f"product {name} tells {' and '.join(tells)} when funds fall below {amount}"


def _found(s: Stores, name: str) -> Record:
    product = next((p for p in s.accounts.products() if p["name"] == name), None)
    if product is None:
        raise InvalidInput(f"unknown product {name!r}: see `stasis-callback product list`")
    return product


add_upkeep(app, "product")


@app.command("list")
def list_all(retired: Retired = False, as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all products, or those that are retired."""
    with store() as s:
        found = chosen(s, "product", s.accounts.products(), retired=retired)
        print_records(found, ("name", "tariff", "currency", "access_codes"), as_csv=as_csv, as_json=as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a product and its accounts."""
    with store() as s:
        product = _found(s, name)
        accounts, count = s.search.numbers_of(product=name, limit=-1 if as_json else FEW + 1)
    told = accounts if as_json else few(accounts, "account list --product", count)
    print_one({**product, "accounts": told}, as_json=as_json)
