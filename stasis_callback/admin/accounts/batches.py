"""`account block-batch` and `account unblock-batch`: operations on all accounts of a batch."""

from __future__ import annotations

from typing import Annotated

import typer

from stasis_callback.admin.accounts.accounts import app as app
from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import store

Batch = Annotated[str, typer.Argument(metavar="BATCH", help="Batch name.")]


@app.command("block-batch")
def block(batch: Batch) -> None:
    """Block all active accounts of a batch, for example because its list of PINs was lost."""
    _set_status(batch, "active", "blocked")


@app.command("unblock-batch")
def unblock(batch: Batch) -> None:
    """Unblock all blocked accounts of a batch. Closed ones stay closed."""
    _set_status(batch, "blocked", "active")


def _set_status(batch: str, old: str, new: str) -> None:
    with store() as s, recorded(s, "batch", batch):
        changed = s.upkeep.set_batch_status(batch, old, new)
    typer.echo(f"{changed} accounts of batch {batch} are {new}")
