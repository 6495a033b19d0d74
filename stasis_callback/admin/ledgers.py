"""`ledger`: the proof that every sum agrees."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from stasis_callback.admin.context import AsJson, operator, printable, store, whole
from stasis_callback.admin.output import print_json, print_list

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


@app.command()
def entries(
    account: Annotated[str, typer.Option(help="Whose: the account's id or an alias.", metavar="ID")],
    limit: Annotated[
        int, typer.Option(help="The newest so many.", metavar="N", parser=whole(1, 100_000))
    ] = 1000,
    as_json: AsJson = False,
) -> None:
    """List what moved an account's balance, with the balance after each entry."""
    with store() as s:
        rows = [asdict(line) for line in s.ledger.statement(s.accounts.named(account).book_id, limit)]
    columns = ("transfer", "created_at", "kind", "amount", "balance", "note", "operator", "reversed_by")
    print_list(rows, columns, as_json=as_json)


@app.command()
def reverse(
    transfer: Annotated[
        int, typer.Argument(metavar="TRANSFER", help="Its number.", parser=whole(1, 10**12 - 1))
    ],
    reason: Annotated[str, typer.Option(help="Why: kept with the entry.", metavar="TEXT")],
) -> None:
    """Take a posting back by its mirror image, once. The posting stays, and so does a call's xDR."""
    printable(reason, "reason")
    with store() as s:
        number = s.ledger.reverse(transfer, reason=reason, operator=operator())
    typer.echo(f"transfer {transfer} is taken back by transfer {number}")
