"""`ledger`: the proof that every sum agrees."""

from __future__ import annotations

import typer

from stasis_callback.admin.context import AsJson, store
from stasis_callback.admin.output import print_json

app = typer.Typer(name="ledger", help="The books: every amount that moved.")


@app.command()
def verify(as_json: AsJson = False) -> None:
    """Recompute every balance, hold and charge; exit code 1 when something differs."""
    with store() as s:
        from stasis_callback.store.audit import verify as audit

        wrong = audit(s.database, s.tariffs)
    if as_json:
        print_json({"ok": not wrong, "findings": wrong})
    else:
        for sentence in wrong or ["the ledger is in order: every sum agrees"]:
            typer.echo(sentence)
    raise typer.Exit(1 if wrong else 0)
