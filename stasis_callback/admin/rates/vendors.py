"""`vendor`: carriers from whom we buy termination."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from stasis_callback.admin.accounts.upkeep import Retired, add_upkeep, chosen
from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import AsJson, store
from stasis_callback.admin.listing import AsCsv, print_records
from stasis_callback.admin.output import print_one
from stasis_callback.core.errors import InvalidInput

app = typer.Typer(name="vendor", help="Vendors: carriers from whom we buy termination.")


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Vendor name.")],
    currency: Annotated[str, typer.Option(help="Currency of its invoices, for example USD.", metavar="CODE")],
) -> None:
    """Add a vendor."""
    with store() as s, recorded(s, "vendor", name):
        s.trunks.add_vendor(name, currency)
    typer.echo(f"vendor {name} added")


add_upkeep(app, "vendor")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Vendor name.")], as_json: AsJson = False
) -> None:
    """Show a vendor and its trunks."""
    with store() as s:
        vendor = next((asdict(vendor) for vendor in s.trunks.vendors() if vendor.name == name), None)
        if vendor is None:
            raise InvalidInput(f"unknown vendor {name!r}: see `stasis-callback vendor list`")
        trunks = [trunk for trunk in s.trunks.all() if trunk.vendor == name]
    vendor["trunks"] = [trunk.name for trunk in trunks]
    vendor["tariffs"] = sorted({trunk.tariff for trunk in trunks})
    print_one(vendor, as_json=as_json)


@app.command("list")
def list_all(retired: Retired = False, as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all vendors, or those that are retired."""
    with store() as s:
        found = chosen(s, "vendor", [asdict(vendor) for vendor in s.trunks.vendors()], retired=retired)
        print_records(found, ("name", "currency", "trunks"), as_csv=as_csv, as_json=as_json)
