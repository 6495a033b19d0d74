"""`tariff copy` and `tariff rename`."""

from __future__ import annotations

from typing import Annotated

import typer

from stasis_callback.admin.accounts.upkeep import NewName, add_upkeep
from stasis_callback.admin.context import store
from stasis_callback.admin.rates import tariffs

app = tariffs.app
add_upkeep(app, "tariff", removable=False)


@app.command()
def copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Tariff to copy.")],
    new: NewName,
) -> None:
    """Copy a tariff under a new name, with its terms and all rates in force and scheduled."""
    from stasis_callback.store.rates.tariffs import NewRate

    with store() as s:
        old = s.tariffs.named(name)
        scheduled = [rate for rate in s.tariffs.scheduled(name) if not rate.rate.discontinued]
        rates = [NewRate(rate.rate, rate.description) for rate in s.tariffs.rates(name)]
        rates += [NewRate(rate.rate, rate.description, rate.from_us) for rate in scheduled]
        s.tariffs.add(new, old.currency, s.tariffs.terms(name))
        if rates:
            s.tariffs.put_rates(new, rates, kind="copy", note=f"of {name}")
    typer.echo(f"tariff {new} has {len(rates)} rates of {name}")
