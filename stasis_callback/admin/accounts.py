"""`account`: a subscriber's money and what they may do with it."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, printable, require_change, require_language, store
from stasis_callback.admin.output import print_list, print_one
from stasis_callback.clock import US_PER_S
from stasis_callback.core.errors import InvalidInput, InvariantBroken
from stasis_callback.core.money import format_amount, parse_amount

if TYPE_CHECKING:
    from stasis_callback.store.accounts import AccountView

app = typer.Typer(name="account", help="A subscriber's money and what they may do with it.")

LAST_YEAR = 2999

Number = Annotated[
    str,
    typer.Argument(
        metavar="NUMBER", help="The account's id: for callers known by their number, that number."
    ),
]
Product = Annotated[str, typer.Option(help="What the account buys.", metavar="NAME")]
CreditLimit = Annotated[
    str | None, typer.Option(help="How far below zero the balance may go.", metavar="AMOUNT")
]
CallbackNumber = Annotated[
    str | None,
    typer.Option(help="Call this number back instead of the caller's; '' for none.", metavar="DIGITS"),
]
Expires = Annotated[
    str | None,
    typer.Option(
        help="The last day (UTC) the account can be used, like 2027-12-31; or never.", metavar="DATE"
    ),
]


@app.command()
def add(
    number: Number,
    customer: Annotated[str, typer.Option(help="Who is billed.", metavar="NAME")],
    product: Product,
    credit_limit: CreditLimit = None,
    callback_number: CallbackNumber = None,
    expires: Expires = None,
    alias: Annotated[
        list[str] | None, typer.Option(help="A further id, as of a second phone; repeatable.", metavar="ID")
    ] = None,
) -> None:
    """Open an account with nothing in it."""
    limit_micros, expires_at_us = _credit_limit(credit_limit), _expiry(expires)
    with store() as s, s.database.transaction():
        s.accounts.add(
            number,
            customer=customer,
            product=product,
            credit_limit_micros=limit_micros or 0,
            callback_number=callback_number or "",
            aliases=alias or (),
        )
        if expires_at_us is not None:
            s.accounts.change(number, expires_at_us=expires_at_us)
    typer.echo(f"account {number} added")


Status = Annotated[
    str | None, typer.Option(help="Only an active account can call.", metavar="active|blocked|closed")
]
Bought = Annotated[str | None, typer.Option(help="What the account buys.", metavar="NAME")]
FurtherIds = Annotated[
    list[str] | None,
    typer.Option(help="A further id; repeatable, replaces all there were; '' for none.", metavar="ID"),
]
Language = Annotated[
    str | None,
    typer.Option(help="Two letters, like en; '' for the language of the access number.", metavar="LANGUAGE"),
]
ServicePassword = Annotated[
    bool | None,
    typer.Option(
        "--service-password/--no-service-password",
        help="Ask for a new service password, twice, or take it from standard input; or remove it.",
    ),
]
SpeedDials = Annotated[
    list[str] | None,
    typer.Option(
        help="A number behind one or two keys; repeatable, replaces all there were.", metavar="KEY=NUMBER"
    ),
]
NoSpeedDials = Annotated[bool, typer.Option("--no-speed-dials", help="Remove every speed dial.")]


@app.command("set")
def change(
    number: Number,
    status: Status = None,
    product: Bought = None,
    credit_limit: CreditLimit = None,
    callback_number: CallbackNumber = None,
    expires: Expires = None,
    alias: FurtherIds = None,
    language: Language = None,
    service_password: ServicePassword = None,
    speed_dial: SpeedDials = None,
    no_speed_dials: NoSpeedDials = False,
) -> None:
    """Change what is given, all or nothing, from the next call on."""
    speed_dials = {} if no_speed_dials else _speed_dials(speed_dial)
    require_change(
        status,
        product,
        credit_limit,
        callback_number,
        expires,
        alias,
        language,
        service_password,
        speed_dials,
    )
    if no_speed_dials and speed_dial:
        raise InvalidInput("write either --speed-dial or --no-speed-dials")
    limit_micros, expires_at_us = _credit_limit(credit_limit), _expiry(expires)
    if language:
        require_language(language)
    password = None if service_password is None else _new_password() if service_password else ""
    with store() as s, s.database.transaction():
        account = s.accounts.change(
            s.accounts.named(number).number,
            status=status,
            product=product,
            callback_number=callback_number,
            expires_at_us=expires_at_us,
            never_expires=expires == "never",
            credit_limit_micros=limit_micros,
            aliases=[] if alias == [""] else alias,
            language=language,
            password=password,
            speed_dials=speed_dials,
        )
    typer.echo(f"account {account.number} changed")


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
            done = s.ledger.top_up(book_id, amount_micros, key=key or secrets.token_hex(8), note=note)
        except InvariantBroken:
            raise InvalidInput(f"key {key!r} was used before, for another account or amount") from None
        account = s.accounts.named(number)
    if as_json:
        print_one({"done": done, "amount_micros": amount_micros} | _record(account), as_json=True)
        return
    what = "topped up by" if done else f"was topped up before with key {key} by"
    balance = format_amount(account.balance_micros, account.currency)
    typer.echo(f"account {account.number} {what} {format_amount(amount_micros)}: the balance is {balance}")


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all accounts."""
    columns = ("number", "customer", "product", "status", "balance", "held", "available", "currency")
    with store() as s:
        print_list([_record(account) for account in s.accounts.all()], columns, as_json=as_json)


@app.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """Show an account, found by its id or an alias."""
    with store() as s:
        print_one(_record(s.accounts.named(number)), as_json=as_json)


def _record(account: AccountView) -> dict[str, object]:
    return {
        "number": account.number,
        "aliases": list(account.aliases),
        "customer": account.customer,
        "product": account.product,
        "status": account.status,
        "expires_at_us": account.expires_at_us,
        "callback_number": account.callback_number,
        "language": account.language,
        "has_service_password": bool(account.password_hash),
        "speed_dials": dict(account.speed_dials),
        "currency": account.currency,
        "balance_micros": account.balance_micros,
        "held_micros": account.held_micros,
        "credit_limit_micros": account.credit_limit_micros,
        "available_micros": account.available_micros,
    }


def _new_password() -> str:
    """Typed twice, unseen, or the first line of standard input; never an argument, which everybody can see."""
    if sys.stdin.isatty():
        typed: str = typer.prompt("service password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    password = typer.get_text_stream("stdin", errors="replace").readline().rstrip("\r\n")
    if not password:
        raise InvalidInput("there is no password on standard input: --no-service-password removes one")
    return password


def _speed_dials(words: Iterable[str] | None) -> dict[str, str] | None:
    """`KEY=NUMBER` words as a dict. Raises InvalidInput for a repeated key; the store checks the rest."""
    if words is None:
        return None
    given: dict[str, str] = {}
    for word in words:
        key, _, number = word.partition("=")
        if key in given:
            raise InvalidInput(f"speed dial {key} is given twice")
        given[key] = number
    return given


def _credit_limit(text: str | None) -> int | None:
    micros = None if text is None else parse_amount(text)
    if micros is not None and micros < 0:
        raise InvalidInput(
            f"credit limit {text}: write how far below zero the balance may go, without a minus"
        )
    return micros


def _expiry(text: str | None) -> int | None:
    """The end of a day in UTC; None for `never` or nothing."""
    if text is None or text == "never":
        return None
    problem = f"{text!r} is not a date: write it like 2027-12-31, or never"
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII) or int(text[:4]) > LAST_YEAR:
        raise InvalidInput(problem)
    try:
        day_after = date.fromisoformat(text) + timedelta(days=1)
    except ValueError:
        raise InvalidInput(problem) from None
    return int(datetime(day_after.year, day_after.month, day_after.day, tzinfo=UTC).timestamp()) * US_PER_S
