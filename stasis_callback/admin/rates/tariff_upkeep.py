"""`tariff copy`, `rename`, `retire` and `remove`."""

from __future__ import annotations

from typing import Annotated

import typer

from stasis_callback.admin.accounts.upkeep import NewName, add_upkeep
from stasis_callback.admin.context import store
from stasis_callback.admin.rates import tariffs

app = tariffs.app
add_upkeep(app, "tariff")


@app.command()
def copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Tariff to copy.")],
    new: NewName,
) -> None:
    """Copy a tariff under a new name, with its terms and all rates in force and scheduled."""
    with store() as s:
        rates = s.tariffs.copy(name, new)
    typer.echo(f"tariff {new} has {rates} rates of {name}")
