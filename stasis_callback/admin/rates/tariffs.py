"""`tariff`: sets of rates in one currency, with common terms."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from stasis_callback.admin.accounts.upkeep import Retired, chosen
from stasis_callback.admin.context import AsJson, printable, require_change, store
from stasis_callback.admin.listing import AsCsv, print_records
from stasis_callback.admin.output import print_one
from stasis_callback.admin.rates import terms
from stasis_callback.admin.rates.changes import Note

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
    grace: terms.Grace = None,
    free: terms.Free = None,
    disconnect_fee: terms.DisconnectFee = None,
    disconnect_fee_after: terms.DisconnectFeeAfter = None,
    surcharge: terms.Surcharge = None,
    minimum: terms.Minimum = None,
    maximum: terms.Maximum = None,
    rounding_unit: terms.RoundingUnit = None,
    rounding: terms.Rounding = None,
    off_peak: terms.OffPeak = None,
    off_peak_by: terms.OffPeakBy = None,
    time_zone: terms.TimeZone = None,
    opened: terms.Opened = None,
    note: Note = "",
) -> None:
    """Change the terms of a tariff, of ours or of a vendor, from the next call on. Calls keep those they began with.

    They apply to all its rates. Without --open, a rate for 44 sells no premium numbers, and a rate for 1 neither
    Jamaica nor 900: see `rate check`. Emergency numbers are never called.
    """
    changes = terms.given(
        grace_s=grace,
        free_s=free,
        disconnect_fee_micros=disconnect_fee,
        disconnect_fee_after_s=disconnect_fee_after,
        surcharge_bp=surcharge,
        minimum_micros=minimum,
        maximum_micros=maximum,
        rounding_micros=rounding_unit,
        rounding=rounding,
        off_peak=off_peak,
        off_peak_by=off_peak_by,
        time_zone=time_zone,
        opened=opened,
    )
    require_change(*changes.values())
    with store() as s:
        old, new = s.tariffs.change_terms(name, changes, printable(note, "note"))
        currency = s.tariffs.named(name).currency
        off_peak_rates = s.tariffs.off_peak_rates(name) if new.off_peak != old.off_peak else None
    changed = terms.differences(old, new, currency)
    typer.echo(f"tariff {name}: {'; '.join(changed) or 'nothing changed'}")
    if off_peak is not None and (over := terms.dates_over(new)):
        typer.echo(
            f"warning: off-peak dates that have passed and never come again: {', '.join(over)}", err=True
        )
    if new.off_peak and off_peak_rates == 0:
        typer.echo(
            f"note: no rate of {name} has an off-peak price yet: see `rate set --off-peak-first-price`"
        )
    if not new.off_peak and off_peak_rates:
        typer.echo(
            f"note: {off_peak_rates} rate(s) of {name} have off-peak prices that are no longer charged"
        )


@app.command("list")
def list_all(retired: Retired = False, as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all tariffs with the number of their rates, or those that are retired."""
    with store() as s:
        found = chosen(s, "tariff", s.tariffs.all(), retired=retired)
        print_records(found, ("name", "currency", "rates"), as_csv=as_csv, as_json=as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a tariff, its terms, and the products and trunks that use it. For its rates see `rate list`."""
    from stasis_callback.store.rates.records import terms_record

    with store() as s:
        tariff = s.tariffs.summary(name)
        used = {
            "products": [p["name"] for p in s.accounts.products() if name in _tariffs_of(p)],
            "trunks": [trunk.name for trunk in s.trunks.all() if trunk.tariff == name],
        }
        print_one(tariff | used | terms_record(s.tariffs.terms(name)), as_json=as_json)


def _tariffs_of(product: dict[str, Any]) -> set[str]:
    """The tariffs of a product: the usual one, and those for access codes."""
    return {product["tariff"], *product["access_codes"].values()}
