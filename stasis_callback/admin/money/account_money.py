"""`account topup`, `account adjust`, `account generate`: money in, money put right, many accounts at once."""

from __future__ import annotations

import csv
import io
import secrets
from pathlib import Path
from typing import Annotated

import typer

from stasis_callback.admin.accounts.accounts import Number, account_record, app
from stasis_callback.admin.context import AsJson, operator, printable, store, whole
from stasis_callback.admin.output import must_be_new, print_one, progress_bar, write_private
from stasis_callback.core.errors import InvalidInput, InvariantBroken
from stasis_callback.core.money import format_amount, parse_amount

OutFile = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FILE",
        help="A new CSV file only you can read: the codes are nowhere else.",
    ),
]
Length = Annotated[int, typer.Option(help="Characters of a code.", metavar="N", parser=whole(1, 32))]


@app.command()
def topup(
    number: Number,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="How much, like 10 or 12.50.")],
    key: Annotated[
        str | None,
        typer.Option(help="A word for this payment: used twice, it tops up once.", metavar="WORD"),
    ] = None,
    note: Annotated[str, typer.Option(help="Kept with the payment.", metavar="TEXT")] = "",
    as_json: AsJson = False,
) -> None:
    """Add money to an account."""
    amount_micros = parse_amount(amount)
    if key is not None and not printable(key, "key"):
        raise InvalidInput("the key must not be empty: leave --key out to top up without one")
    printable(note, "note")
    with store() as s:
        book_id = s.accounts.named(number).book_id
        try:
            done = s.ledger.top_up(
                book_id, amount_micros, key=key or secrets.token_hex(8), note=note, operator=operator()
            )
        except InvariantBroken:
            raise InvalidInput(f"key {key!r} was used before, for another account or amount") from None
        account = s.accounts.named(number)
        record = account_record(s, account)
    if as_json:
        print_one({"done": done, "amount_micros": amount_micros} | record, as_json=True)
        return
    what = "topped up by" if done else f"was topped up before with key {key} by"
    balance = format_amount(account.balance_micros, account.currency)
    typer.echo(f"account {account.number} {what} {format_amount(amount_micros)}: the balance is {balance}")


@app.command()
def adjust(
    number: Number,
    amount: Annotated[
        str, typer.Option("--by", metavar="AMOUNT", help="How much more, or with a minus less, like -1.50.")
    ],
    reason: Annotated[str, typer.Option(help="Why: kept with the entry.", metavar="TEXT")],
    key: Annotated[
        str | None,
        typer.Option(help="A word for this adjustment: used twice, it happens once.", metavar="WORD"),
    ] = None,
) -> None:
    """Put a balance right, upwards or downwards; not below what is held and the credit limit."""
    amount_micros = parse_amount(amount)
    printable(reason, "reason")
    printable(key or "", "key")
    with store() as s:
        account = s.accounts.named(number)
        try:
            done = s.ledger.adjust(
                account.book_id,
                amount_micros,
                key=key or secrets.token_hex(8),
                reason=reason,
                operator=operator(),
            )
        except InvariantBroken:
            raise InvalidInput(f"key {key!r} was used before, for another account or amount") from None
        account = s.accounts.named(number)
    what = "adjusted by" if done else f"was adjusted before with key {key} by"
    balance = format_amount(account.balance_micros, account.currency)
    typer.echo(f"account {account.number} {what} {format_amount(amount_micros)}: the balance is {balance}")


@app.command()
def generate(
    count: Annotated[int, typer.Argument(metavar="COUNT", help="How many.", parser=whole(1, 100_000))],
    customer: Annotated[str, typer.Option(help="Who is billed.", metavar="NAME")],
    product: Annotated[str, typer.Option(help="What the accounts buy.", metavar="NAME")],
    batch: Annotated[str, typer.Option(help="A name for them all.", metavar="NAME")],
    out: OutFile,
    length: Length = 12,
    alphabet: Annotated[
        str,
        typer.Option(
            help="Characters of the ids; a PIN that is keyed has digits only.", metavar="CHARACTERS"
        ),
    ] = "0123456789",
    opening_balance: Annotated[str, typer.Option(help="Put so much into each.", metavar="AMOUNT")] = "0",
) -> None:
    """Open many accounts with ids that cannot be guessed (PINs), all or nothing."""
    from stasis_callback.store.accounts.codes import random_codes

    amount_micros = parse_amount(opening_balance)
    if amount_micros < 0:
        raise InvalidInput("an opening balance must not be negative")
    must_be_new(out)
    with store() as s, progress_bar("accounts") as progress, s.database.transaction():
        taken = frozenset(account.number for account in s.accounts.all())
        numbers = random_codes(count, length, alphabet, taken)
        for done, number in enumerate(numbers, start=1):
            account = s.accounts.add(
                number, customer=customer, product=product, batch=printable(batch, "batch", 64)
            )
            if amount_micros:
                s.ledger.top_up(
                    account.book_id,
                    amount_micros,
                    key=f"opening:{number}",
                    note="opening balance",
                    operator=operator(),
                )
            progress(done, count)
        # Within the transaction: without the file nobody knows the ids, so there are to be no accounts.
        write_codes(out, "number", numbers)
    typer.echo(f"{count} accounts opened; their ids are in {out}")


def write_codes(path: Path, column: str, codes: list[str]) -> None:
    """A CSV file with one code on a line that nobody else can read. Raises InvalidInput if it exists."""
    must_be_new(path)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column])
    writer.writerows([code] for code in codes)
    write_private(path, text.getvalue())
