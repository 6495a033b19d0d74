"""Topping up a book, for accounts and for the shared funds of customers."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import operator, printable
from stasis_callback.core.errors import InvalidInput, InvariantBroken

if TYPE_CHECKING:
    from stasis_callback.store.stores import Stores

Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="Amount, for example 10 or 12.50.")]
Key = Annotated[
    str | None,
    typer.Option(
        help="Idempotency key: repeating the command with the same key tops up only once.", metavar="WORD"
    ),
]
Note = Annotated[str, typer.Option(help="Note stored with the payment.", metavar="TEXT")]


def top_up(s: Stores, book_id: int, amount_micros: int, key: str | None, note: str) -> str:
    """Top up a book; what was done, as the start of a sentence. Raises InvalidInput."""
    if key is not None and not printable(key, "key"):
        raise InvalidInput("the key is empty: to top up without a key, omit --key")
    printable(note, "note")
    try:
        done = s.ledger.top_up(
            book_id, amount_micros, key=key or secrets.token_hex(8), note=note, operator=operator()
        )
    except InvariantBroken:
        raise InvalidInput(
            f"key {key!r} was already used for another account or amount: use a new key"
        ) from None
    return DONE if done else f"was already topped up with key {key} by"


DONE = "topped up by"
