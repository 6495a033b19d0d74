"""Topping up a book, for accounts and for the shared funds of customers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


def top_up(s: Stores, pay_in: Callable[..., bool], amount_micros: int, key: str | None, note: str) -> bool:
    """Top up by `pay_in`, which pays into a book or an account; False when this key has done so already.

    The key is chosen before the unit of the database: when the answer to its commit is lost, it runs again and adds
    nothing. Raises InvalidInput.
    """
    if key is not None:
        checked_key(key)
    printable(note, "note")
    with posting_with(key) as own_key:
        return s.database.unit(lambda: pay_in(amount_micros, key=own_key, note=note, operator=operator()))


By = Annotated[
    str, typer.Option("--by", metavar="AMOUNT", help="Amount to add; negative to deduct, for example -1.50.")
]
Reason = Annotated[str, typer.Option(help="Reason, stored with the entry.", metavar="TEXT")]
AdjustKey = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="Idempotency key: repeating the command with the same key adjusts only once.",
        metavar="WORD",
    ),
]


def adjust_book(s: Stores, book: Callable[[], int], amount_micros: int, key: str | None, reason: str) -> bool:
    """Correct what is in a book, as `top_up` does; False when this key has done so already. Raises InvalidInput."""
    if key is not None:
        checked_key(key)
    printable(reason, "reason")
    with posting_with(key) as own_key:
        return s.database.unit(
            lambda: s.accounts.adjust(book(), amount_micros, key=own_key, reason=reason, operator=operator())
        )


def adjusted(done: bool, key: str | None) -> str:
    """What `adjust_book` did, as the start of a sentence."""
    return "adjusted by" if done else f"was already adjusted with key {key} by"


def checked_key(key: str, limit: int = 200) -> str:
    """Returns `key`. Raises InvalidInput for one that people take for another: empty, or with spaces around it."""
    if not printable(key, "key", limit):
        raise InvalidInput("the key is empty: to go without a key, omit --key")
    if key != key.strip():
        raise InvalidInput(f"key {key!r} has spaces around it: leave them out")
    return key


def topped_up(done: bool, key: str | None) -> str:
    """What `top_up` did, as the start of a sentence."""
    return "topped up by" if done else f"was already topped up with key {key} by"


@contextmanager
def posting_with(key: str | None) -> Iterator[str]:
    """The operator's key of a posting, or a new one. Raises InvalidInput when it belongs to another posting."""
    try:
        yield key or secrets.token_hex(8)
    except InvariantBroken:
        raise InvalidInput(
            f"key {key!r} was already used for another account or amount: use a new key"
        ) from None
