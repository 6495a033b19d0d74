"""`never-call`: numbers that are called by nobody and for nobody."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import printable, store
from stasis_callback.admin.listing import USUAL_ROWS, Page, listed
from stasis_callback.admin.output import Record
from stasis_callback.core.errors import InvalidInput

app = typer.Typer(
    name="never-call",
    help="Numbers, and beginnings of numbers, that are never called: neither first nor as a destination.",
)

LEAST_DIGITS, MOST_DIGITS = 3, 15

Number = Annotated[
    str,
    typer.Argument(metavar="NUMBER", help="Number, or the beginning of numbers, in E.164: 3 to 15 digits."),
]


@app.command()
def add(
    number: Number,
    note: Annotated[str, typer.Option(help="Why, and since when.", metavar="TEXT")] = "",
) -> None:
    """Never call this number, or numbers that begin so, from now on. Calls that are under way get no more time."""
    number, note = _digits(number), printable(note, "note")
    with store() as s, recorded(s, "never-call", number):
        s.never_call.add(number, note)
    typer.echo(f"{number} and what begins with it is never called any more")


@app.command()
def remove(number: Number) -> None:
    """Take a number off the list."""
    with store() as s:
        number = number if s.never_call.all(only=printable(number, "number")) else _digits(number)
        with recorded(s, "never-call", number):
            s.never_call.remove(number)
    typer.echo(f"{number} is off the list: it is called where a tariff sells it")


@listed(app, ("number", "note", "created_at"), rows=USUAL_ROWS, key="number")
def list_all(page: Page) -> list[Record]:
    """List the numbers."""
    with store() as s:
        return [asdict(one) for one in s.never_call.all(limit=page.fetched, after=page.after)]


def _digits(text: str) -> str:
    from stasis_callback.core.numbering import read_beginning

    number = read_beginning(text)
    if number is None:
        raise InvalidInput(
            f"{text[:40]!r} begins no phone number: write digits, country code first, for example 4420"
        )
    if not LEAST_DIGITS <= len(number) <= MOST_DIGITS:
        raise InvalidInput(
            f"{text[:40]!r} has too few or too many digits: write {LEAST_DIGITS} to {MOST_DIGITS}, country code first"
        )
    return number
