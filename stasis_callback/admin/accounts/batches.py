"""`account block-batch`, `unblock-batch` and `close-batch`: operations on all accounts of a batch."""

from __future__ import annotations

from typing import Annotated

import typer

from stasis_callback.admin.accounts.accounts import WriteOff
from stasis_callback.admin.accounts.accounts import app as app
from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import operator, store
from stasis_callback.admin.output import complain, progress_bar
from stasis_callback.clock import Clock

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
    """Close all accounts of a batch, as `account close` closes one.

    None is closed while one of them has a live call, or a balance that is not written off. They are closed a few at a
    time, so that calls go on beside it; an interrupted run is gone on with by the same command.
    """
    from stasis_callback.store.accounts.closing import BatchClosing

    closed = left = 0
    with store() as s, progress_bar("accounts") as progress:

        def note(done: int, total: int) -> None:
            nonlocal closed, left
            closed, left = done, total - done
            progress(done, total)

        closing = BatchClosing(s.database, s.accounts, Clock(), batch, write_off, operator())
        try:
            number = closing.close_all(note)
        except BaseException:
            if left:
                complain(
                    f"{closed} accounts of batch {batch} were closed, {left} were not: run the command again"
                )
            raise
    typer.echo(f"{number} accounts of batch {batch} are closed")


def _set_status(batch: str, old: str, new: str) -> None:
    with store() as s, recorded(s, "batch", batch):
        changed = s.upkeep.set_batch_status(batch, old, new)
    typer.echo(f"{changed} accounts of batch {batch} are {new}")
