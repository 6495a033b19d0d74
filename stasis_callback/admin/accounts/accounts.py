"""`account`: subscriber accounts, with their balances, limits and settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from stasis_callback.admin.accounts.records import account_record, account_records
from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import (
    AsJson,
    operator,
    require_change,
    require_language,
    secret_input,
    store,
    whole,
)
from stasis_callback.admin.days import operators_zone, parse_day, require_to_come, until_us, warn_if_passed
from stasis_callback.admin.listing import USUAL_ROWS, Page, listed
from stasis_callback.admin.output import Record, print_one
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import parse_amount, require_payable

app = typer.Typer(name="account", help="Subscriber accounts: balances, limits and settings.")

Number = Annotated[
    str,
    typer.Argument(
        metavar="NUMBER", help="Account id. For callers identified by their number (ANI), this number."
    ),
]
Product = Annotated[str, typer.Option(help="Product, which sets the tariff.", metavar="NAME")]
CreditLimit = Annotated[
    str | None, typer.Option(help="Credit limit: how far the balance may go below zero.", metavar="AMOUNT")
]
CallbackNumber = Annotated[
    str | None,
    typer.Option(
        help="Call this number back instead of the caller's number; '' removes it.", metavar="DIGITS"
    ),
]
Expires = Annotated[
    str | None,
    typer.Option(
        help="Last day on which the account can be used, for example 2027-12-31, or never.",
        metavar="DATE",
    ),
]


AccountKind = Annotated[
    str,
    typer.Option(
        help="debit: prepaid; credit: postpaid up to its credit limit; subordinate: spends its customer's funds "
        "[default: debit, or credit with a credit limit].",
        metavar="debit|credit|subordinate",
    ),
]
OpeningBalance = Annotated[
    str | None,
    typer.Option(help="Opening balance: amount credited when the account is opened.", metavar="AMOUNT"),
]
SimultaneousCalls = Annotated[
    int | None,
    typer.Option(
        help="Maximum number of simultaneous callbacks; 1 for a new account.",
        metavar="N",
        parser=whole(1, 1000),
    ),
]
DailyCap = Annotated[
    str | None, typer.Option(help="Maximum amount spent per day (UTC), or none for no cap.", metavar="AMOUNT")
]
DaysAfterFirstUse = Annotated[
    int | None,
    typer.Option(
        help="Days after the first use when the account expires; 0: never.",
        metavar="N",
        parser=whole(0, 36_500),
    ),
]
DaysAfterLastUse = Annotated[
    int | None,
    typer.Option(
        help="Days after the last use when the account expires; 0: never.",
        metavar="N",
        parser=whole(0, 36_500),
    ),
]


@app.command()
def add(
    number: Number,
    customer: Annotated[str, typer.Option(help="Customer who is billed.", metavar="NAME")],
    product: Product,
    credit_limit: CreditLimit = None,
    callback_number: CallbackNumber = None,
    expires: Expires = None,
    kind: AccountKind = "",
    opening_balance: OpeningBalance = None,
    simultaneous_calls: SimultaneousCalls = None,
    daily_cap: DailyCap = None,
    days_after_first_use: DaysAfterFirstUse = None,
    days_after_last_use: DaysAfterLastUse = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(help="Additional id, for example a second phone number; repeatable.", metavar="ID"),
    ] = None,
) -> None:
    """Open an account, optionally with an opening balance."""
    limit_micros, expires_at_us = _credit_limit(credit_limit), expiry_us(expires)
    opening_micros = parse_amount(opening_balance) if opening_balance is not None else 0
    cap_micros, _ = _daily_cap(daily_cap)
    require_to_come(expires_at_us, expires)
    with store() as s, recorded(s, "account", number):
        account = s.accounts.add(
            number,
            customer=customer,
            product=product,
            kind=kind,
            credit_limit_micros=limit_micros or 0,
            callback_number=callback_number or "",
            aliases=alias or (),
        )
        require_payable(account.currency, limit_micros, opening_micros, cap_micros)
        s.accounts.change(
            number,
            expires_at_us=expires_at_us,
            simultaneous_calls=simultaneous_calls,
            daily_cap_micros=cap_micros,
            days_after_first_use=days_after_first_use,
            days_after_last_use=days_after_last_use,
        )
        if opening_balance is not None:
            s.ledger.top_up(
                account.book_id,
                opening_micros,
                key=f"opening:{number}",
                note="opening balance",
                operator=operator(),
            )
    typer.echo(f"account {number} added")


Status = Annotated[
    str | None,
    typer.Option(help="New status; only active accounts can make calls.", metavar="active|blocked"),
]
Bought = Annotated[str | None, typer.Option(help="New product, which sets the tariff.", metavar="NAME")]
FurtherIds = Annotated[
    list[str] | None,
    typer.Option(
        help="Additional id; repeatable; replaces all existing aliases; '' removes them.", metavar="ID"
    ),
]
Language = Annotated[
    str | None,
    typer.Option(
        help="Two-letter language code, for example en; '' uses the language of the access number.",
        metavar="LANGUAGE",
    ),
]
ServicePassword = Annotated[
    bool | None,
    typer.Option(
        "--service-password/--no-service-password",
        help="Set the service password (prompted twice, or read from standard input), or remove it.",
    ),
]
SpeedDials = Annotated[
    list[str] | None,
    typer.Option(
        help="Speed dial: one or two keys and the number they call; repeatable; replaces all existing ones.",
        metavar="KEY=NUMBER",
    ),
]
NoSpeedDials = Annotated[bool, typer.Option("--no-speed-dials", help="Remove all speed dials.")]


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
    simultaneous_calls: SimultaneousCalls = None,
    daily_cap: DailyCap = None,
    days_after_first_use: DaysAfterFirstUse = None,
    days_after_last_use: DaysAfterLastUse = None,
) -> None:
    """Change the given settings, all or none of them. Changes take effect from the next call."""
    speed_dials = {} if no_speed_dials else _speed_dials(speed_dial)
    rules = (simultaneous_calls, daily_cap, days_after_first_use, days_after_last_use)
    texts = (status, product, credit_limit, callback_number, expires, alias, language)
    require_change(*texts, service_password, speed_dials, *rules)
    if status == "closed":
        raise InvalidInput(
            f"to close an account use `account close {number}`, which checks its balance first"
        )
    if no_speed_dials and speed_dial:
        raise InvalidInput("--speed-dial and --no-speed-dials cannot be used together")
    limit_micros, expires_at_us = _credit_limit(credit_limit), expiry_us(expires)
    cap_micros, no_daily_cap = _daily_cap(daily_cap)
    if language:
        require_language(language)
    password = None if service_password is None else _new_password() if service_password else ""
    with store() as s, recorded(s, "account", s.accounts.named(number).number):
        account = s.accounts.named(number)
        require_payable(account.currency, limit_micros, cap_micros)
        account = s.accounts.change(
            account.number,
            status=status,
            product=product,
            callback_number=callback_number,
            expires_at_us=expires_at_us,
            never_expires=expires == "never",
            credit_limit_micros=limit_micros,
            simultaneous_calls=simultaneous_calls,
            daily_cap_micros=cap_micros,
            no_daily_cap=no_daily_cap,
            days_after_first_use=days_after_first_use,
            days_after_last_use=days_after_last_use,
            aliases=[] if alias == [""] else alias,
            language=language,
            password=password,
            speed_dials=speed_dials,
        )
    typer.echo(f"account {account.number} changed")
    warn_if_passed(expires_at_us, f"account {account.number}")


@app.command()
def block(number: Number) -> None:
    """Block an account from making calls. A live call ends when the funds held for it are used up."""
    _set_status(number, "blocked")


@app.command()
def unblock(number: Number) -> None:
    """Unblock an account, so that it can make calls again."""
    _set_status(number, "active")


WriteOff = Annotated[
    bool, typer.Option("--write-off", help="Write off the remaining balance or debt to the house.")
]


@app.command()
def close(number: Number, write_off: WriteOff = False) -> None:
    """Close an account. Its balance must be zero, or be written off with --write-off."""
    with store() as s, recorded(s, "account", s.accounts.named(number).number):
        account = s.accounts.close(number, write_off=write_off, operator=operator())
    typer.echo(f"account {account.number} is closed")


def _set_status(number: str, status: str) -> None:
    with store() as s, recorded(s, "account", s.accounts.named(number).number):
        account = s.accounts.named(number)
        if account.status == "closed":
            raise InvalidInput(
                f"account {account.number} is closed: reopen it with `account set --status active`"
            )
        s.accounts.change(account.number, status=status)
    typer.echo(f"account {account.number} is {status}")


COLUMNS = ("number", "customer", "product", "status", "balance", "held", "currency")
MORE_COLUMNS = (
    "available", "credit_limit", "daily_cap", "kind", "batch", "aliases", "callback_number", "expires_on",
    "first_used_at", "last_used_at", "simultaneous_calls", "language",
)  # fmt: skip


@listed(app, COLUMNS, MORE_COLUMNS, rows=USUAL_ROWS, key="number")
def list_newest(
    page: Page,
    customer: Annotated[str, typer.Option(help="Only accounts of this customer.", metavar="NAME")] = "",
    product: Annotated[str, typer.Option(help="Only accounts with this product.", metavar="NAME")] = "",
    batch: Annotated[str, typer.Option(help="Only accounts of this batch.", metavar="NAME")] = "",
    status: Annotated[
        str, typer.Option(help="Only accounts with this status.", metavar="active|blocked|closed")
    ] = "",
    text: Annotated[
        str,
        typer.Option(
            help="Only accounts with this text in the id, an alias or the callback number.", metavar="TEXT"
        ),
    ] = "",
) -> list[Record]:
    """List accounts, newest first."""
    from stasis_callback.store.accounts.search import AccountFilter

    with store() as s:
        found = s.search.accounts(
            AccountFilter(customer, product, batch, status, text), page.fetched, page.after
        )
        return account_records(s, found)


@app.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """Show an account, found by its id or an alias."""
    with store() as s:
        # What people need of an expiry is the last day, not the moment after it.
        print_one(account_record(s, s.accounts.named(number)), as_json=as_json, hidden=("expires_at",))


def _new_password() -> str:
    password = secret_input("service password", confirmed=True)
    if not password:
        raise InvalidInput("no password on standard input: to remove the password use --no-service-password")
    return password


def _speed_dials(words: Iterable[str] | None) -> dict[str, str] | None:
    """Parse `KEY=NUMBER` arguments. Raises InvalidInput for a repeated key; the store checks the rest."""
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
            f"credit limit {text} is negative: write a positive amount, by which the balance may go below zero"
        )
    return micros


def _daily_cap(text: str | None) -> tuple[int | None, bool]:
    """The daily cap in micros (None: unchanged), and whether it is to be removed."""
    return (None, text == "none") if text in (None, "none") else (parse_amount(str(text)), False)


def expiry_us(text: str | None) -> int | None:
    """The end of the given day in the operator's time zone, in microseconds; None for `never` or None.

    Raises InvalidInput.
    """
    return (
        None
        if text is None or text == "never"
        else until_us(parse_day(text, zone := operators_zone()).isoformat(), zone)
    )
