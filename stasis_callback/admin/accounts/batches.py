"""`account block-batch`, `unblock-batch` and `close-batch`: operations on all accounts of a batch."""

from __future__ import annotations

from typing import Annotated

import typer

from stasis_callback.admin.accounts.accounts import WriteOff
from stasis_callback.admin.accounts.accounts import app as app
from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import operator, store
from stasis_callback.core.errors import InvalidInput

Batch = Annotated[str, typer.Argument(metavar="BATCH", help="Batch name.")]


@app.command("block-batch")
def block(batch: Batch) -> None:
    """Block all active accounts of a batch, for example because its list of PINs was lost."""
    _set_status(batch, "active", "blocked")


@app.command("unblock-batch")
def unblock(batch: Batch) -> None:
    """Unblock all blocked accounts of a batch. Closed ones stay closed."""
    _set_status(batch, "blocked", "active")


@app.command("close-batch")
def close(batch: Batch, write_off: WriteOff = False) -> None:
    """Close all accounts of a batch, as `account close` closes one: all of them, or none."""
    with store() as s, recorded(s, "batch", batch):
        found = [account for account in s.accounts.all() if account.batch == batch != ""]
        if not found:
            raise InvalidInput(f"there is no batch {batch!r} of accounts: see `stasis-callback account list`")
        still_open = [account for account in found if account.status != "closed"]
        for account in still_open:
            s.accounts.close(account.number, write_off=write_off, operator=operator())
    typer.echo(f"{len(still_open)} accounts of batch {batch} are closed")


def _set_status(batch: str, old: str, new: str) -> None:
    with store() as s, recorded(s, "batch", batch):
        changed = s.upkeep.set_batch_status(batch, old, new)
    typer.echo(f"{changed} accounts of batch {batch} are {new}")
