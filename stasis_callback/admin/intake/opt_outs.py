"""`opt-out`: numbers that nobody has called by a form or a mail."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import phone_number, printable, store
from stasis_callback.admin.listing import USUAL_ROWS, Page, listed
from stasis_callback.admin.output import Record

app = typer.Typer(
    name="opt-out",
    help="Numbers whose owners do not want to be called because somebody wrote them into a form.",
)

Number = Annotated[
    str, typer.Argument(metavar="NUMBER", help="Number in E.164: 3 to 15 digits, country code first.")
]


@app.command()
def add(
    number: Number,
    note: Annotated[str, typer.Option(help="Who has asked for it, and when.", metavar="TEXT")] = "",
) -> None:
    """Stop calling a number for web forms, the API and mails. Callers of an access number are still called back."""
    number, note = phone_number(number), printable(note, "note")
    with store() as s, recorded(s, "opt-out", number):
        s.opt_outs.add(number, note)
    typer.echo(f"{number} is not called for others any more")


@app.command()
def remove(number: Number) -> None:
    """Allow calls to a number again."""
    number = phone_number(number)
    with store() as s, recorded(s, "opt-out", number):
        s.opt_outs.remove(number)
    typer.echo(f"{number} is called again")


@listed(app, ("number", "note", "created_at"), rows=USUAL_ROWS, key="number")
def list_all(page: Page) -> list[Record]:
    """List the numbers."""
    with store() as s:
        return [asdict(one) for one in s.opt_outs.all(limit=page.fetched, after=page.after)]
