"""`account topup`, `account adjust` and `account generate`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.accounts.accounts import Number, app
from stasis_callback.admin.accounts.cards import OutFile, read_codes, write_codes
from stasis_callback.admin.accounts.records import account_record
from stasis_callback.admin.context import AsJson, operator, printable, store, whole
from stasis_callback.admin.money.topup import (
    AdjustKey,
    Amount,
    By,
    Key,
    Note,
    Reason,
    adjust_book,
    adjusted,
    top_up,
    topped_up,
)
from stasis_callback.admin.output import complain, print_one, progress_bar
from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput, StoreUnavailable
from stasis_callback.core.money import format_amount, parse_amount, require_payable

if TYPE_CHECKING:
    from stasis_callback.store.accounts.opening import BatchOpening

Length = Annotated[
    int, typer.Option(help="Length of a code in characters.", metavar="N", parser=whole(1, 32))
]


@app.command()
def topup(number: Number, amount: Amount, key: Key = None, note: Note = "", as_json: AsJson = False) -> None:
    """Top up an account."""
    amount_micros = parse_amount(amount)
    with store() as s:
        account = s.accounts.named(number)
        require_payable(account.currency, amount_micros)
        done = top_up(s, partial(s.accounts.top_up, account.number), amount_micros, key, note)
        account = s.accounts.named(number)
        record = account_record(s, account)
    if as_json:
        print_one({"done": done, "amount_micros": amount_micros} | record, as_json=True)
        return
    what, balance = topped_up(done, key), format_amount(account.balance_micros, account.currency)
    moved = format_amount(amount_micros, account.currency)
    typer.echo(f"account {account.number} {what} {moved}: the balance is {balance}")


@app.command()
def adjust(number: Number, amount: By, reason: Reason, key: AdjustKey = None) -> None:
    """Correct a balance up or down. A deduction cannot exceed the available funds."""
    amount_micros = parse_amount(amount)
    with store() as s:
        account = s.accounts.named(number)
        require_payable(account.currency, amount_micros)
        book_id = account.book_id
        done = adjust_book(s, lambda: book_id, amount_micros, key, reason)
        account = s.accounts.named(number)
    what, balance = adjusted(done, key), format_amount(account.balance_micros, account.currency)
    moved = format_amount(amount_micros, account.currency)
    typer.echo(f"account {account.number} {what} {moved}: the balance is {balance}")


@app.command()
def generate(
    count: Annotated[
        int, typer.Argument(metavar="COUNT", help="Number of accounts.", parser=whole(1, 100_000))
    ],
    customer: Annotated[str, typer.Option(help="Customer who is billed.", metavar="NAME")],
    product: Annotated[str, typer.Option(help="Product of the accounts.", metavar="NAME")],
    batch: Annotated[str, typer.Option(help="Batch name.", metavar="NAME")],
    out: OutFile,
    length: Length = 12,
    alphabet: Annotated[
        str,
        typer.Option(
            help="Characters used in ids. PINs entered on a keypad need digits only.", metavar="CHARACTERS"
        ),
    ] = "0123456789",
    opening_balance: Annotated[
        str, typer.Option(help="Opening balance of each account.", metavar="AMOUNT")
    ] = "0",
    go_on: Annotated[
        bool,
        typer.Option("--continue", help="Go on with an interrupted run, whose file has the ids."),
    ] = False,
) -> None:
    """Open many accounts with random ids (PINs).

    They cannot be used until all of them are open: until then they have expired. An interrupted run is gone on with
    (--continue), or taken back with `account close-batch NAME --write-off`.
    """
    from stasis_callback.store.accounts.codes import random_codes
    from stasis_callback.store.accounts.opening import BatchOpening

    amount_micros = parse_amount(opening_balance)
    if amount_micros < 0:
        raise InvalidInput("the opening balance is negative: write 0 or more")
    printable(batch, "batch", 64)
    numbers = read_codes(out, "number", count) if go_on else []
    if not go_on and out.exists():
        raise InvalidInput(
            f"{out} already exists: choose a new file name, or go on with an interrupted run by --continue"
        )
    with store() as s:
        if not go_on:
            numbers = random_codes(count, length, alphabet, s.accounts.numbers())
            currency = s.accounts.customer_currency(customer)
            worth = format_amount(amount_micros, currency) if amount_micros else ""
            # Before the accounts: of those whose ids nobody knows there are none.
            write_codes(out, "number", numbers, (batch, worth))
        opening = BatchOpening(
            s.database, s.accounts, s.ledger, Clock(), customer, product, batch, amount_micros, operator()
        )
        _open_all(opening, numbers, batch, None if go_on else out)
    typer.echo(f"{count} accounts opened; their ids are in {out}")


def _open_all(opening: BatchOpening, numbers: Sequence[str], batch: str, new_file: Path | None) -> None:
    """Open the accounts of a batch; `new_file` goes away when none was opened."""
    opened = 0
    with progress_bar("accounts") as progress:

        def note(done: int, total: int) -> None:
            nonlocal opened
            opened = done
            progress(done, total)

        try:
            opening.open_all(numbers, note)
        except BaseException as error:
            # Of what was not answered nobody knows whether it was done.
            if 0 < opened < len(numbers) or isinstance(error, StoreUnavailable):
                complain(
                    f"{opened} of {len(numbers)} accounts are open, and cannot be used before all are: run the "
                    f"command again with --continue, or `stasis-callback account close-batch {batch} --write-off`"
                )
            elif not opened and new_file:
                new_file.unlink()
            raise
