"""`account statement` and `customer statement`: what moved in a month, for people, spreadsheets and printers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.accounts import accounts, customers
from stasis_callback.admin.context import AsJson, settings, store
from stasis_callback.admin.days import local_time, month_us, operators_zone, today
from stasis_callback.admin.files import must_be_new, new_file
from stasis_callback.admin.listing import AsCsv, print_records
from stasis_callback.admin.output import print_json, print_list, published
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import format_amount

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from stasis_callback.store.calls.legs import XdrView
    from stasis_callback.store.money.views import StatementLine
    from stasis_callback.store.stores import Stores

COLUMNS = ("at", "what", "number", "charged_s", "amount", "balance")
_CHARGE = "settle:"
_WHAT = {"topup": "top-up", "reversal": "taken back", "settle": "call"}

Month = Annotated[
    str, typer.Option(help="The month, for example 2026-11 [default: this month].", metavar="MONTH")
]
Html = Annotated[
    Path | None,
    typer.Option(help="Write it to this new HTML file, for printing.", metavar="FILE", writable=True),
]


@dataclass(frozen=True, slots=True)
class BookStatement:
    """The movements of one book in a month, oldest first. Amounts in micros."""

    owner: str
    currency: str
    opening_micros: int
    lines: Sequence[dict[str, object]]
    closing_micros: int


@accounts.app.command("statement")
def of_account(
    number: accounts.Number,
    month: Month = "",
    html: Html = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Print a month's statement of an account: all entries, with the balance before and after."""
    with store() as s:
        account = s.accounts.named(number)
        currency, books = account.currency, s.search.books(account=account.number)
        statements = [_statement(s, book_id, owner, currency, *_month(month)) for book_id, owner in books]
    _print(f"Account {account.number}", statements, month, html, as_csv=as_csv, as_json=as_json)


@customers.app.command("statement")
def of_customer(
    name: customers.Name,
    month: Month = "",
    html: Html = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Print a month's statement of a customer: shared funds and accounts. Accounts without entries are left out."""
    with store() as s:
        currency, books = s.accounts.customer_currency(name), s.search.books(customer=name)
        found = [_statement(s, book_id, owner, currency, *_month(month)) for book_id, owner in books]
    moved = [statement for statement in found if statement.lines or statement.closing_micros]
    _print(f"Customer {name}", moved, month, html, as_csv=as_csv, as_json=as_json)


def _month(text: str) -> tuple[int, int]:
    zone = operators_zone()
    return month_us(text or f"{today(zone):%Y-%m}", zone)


def _statement(
    s: Stores, book_id: int, owner: str, currency: str, since_us: int, until_us: int
) -> BookStatement:
    entries = s.ledger.entries(book_id, since_us, until_us)
    legs = [line.key.removeprefix(_CHARGE) for line in entries if line.key.startswith(_CHARGE)]
    calls = s.finding.xdrs_of_legs(legs)
    opening = s.search.balance_before(book_id, since_us)
    if entries:
        opening = entries[0].balance_micros - entries[0].amount_micros
    lines = [
        {"currency": currency} | _line(line, calls.get(line.key.removeprefix(_CHARGE))) for line in entries
    ]
    return BookStatement(owner, currency, opening, lines, entries[-1].balance_micros if entries else opening)


def _line(line: StatementLine, call: XdrView | None) -> dict[str, object]:
    what = _WHAT.get(line.kind, line.kind)
    if call is not None:
        what = "called back" if call.side == "a" else "call"
    elif line.note:
        what = f"{what}: {line.note}"
    return {
        "at_us": line.created_at_us,
        "what": what,
        "number": call.number if call else "",
        "charged_s": call.charged_s if call else None,
        "amount_micros": line.amount_micros,
        "balance_micros": line.balance_micros,
        "transfer": line.transfer,
        "leg_id": call.leg_id if call else "",
    }


def _print(
    title: str, found: Sequence[BookStatement], month: str, html: Path | None, *, as_csv: bool, as_json: bool
) -> None:
    if (html is not None) + as_csv + as_json > 1:
        raise InvalidInput("use only one of --html, --csv and --json")
    zone = operators_zone()
    named = month or f"{today(zone):%Y-%m}"
    if html is not None:
        must_be_new(html)
        with new_file(html) as file:
            file.write(_page(f"{title}, {named}", found, zone).encode())
        typer.echo(f"{html} written")
    elif as_json:
        print_json(
            {"month": named, "time_zone": settings().time_zone, "books": [_published(one) for one in found]}
        )
    elif as_csv:
        rows = [
            {"account": one.owner, "currency": one.currency} | line for one in found for line in one.lines
        ]
        print_records(
            rows, ("account", *COLUMNS, "currency"), ("transfer", "leg_id"), as_csv=True, as_json=False
        )
    else:
        for one in found:
            typer.echo(
                f"{one.owner}, {named}: {format_amount(one.opening_micros, one.currency)} at the beginning"
            )
            if one.lines:
                print_list(one.lines, COLUMNS, as_json=False)
            typer.echo(f"{format_amount(one.closing_micros, one.currency)} at the end\n")
        if not found:
            typer.echo("none", err=True)


def _published(one: BookStatement) -> dict[str, object]:
    head = {
        "account": one.owner,
        "currency": one.currency,
        "opening_micros": one.opening_micros,
        "closing_micros": one.closing_micros,
    }
    return published(head) | {"lines": [published(line) for line in one.lines]}


_STYLE = """body { font: 11pt sans-serif; margin: 2em auto; max-width: 50em; }
table { border-collapse: collapse; width: 100%; } th, td { padding: .2em .5em; text-align: left; }
th { border-bottom: 1px solid; } .n { text-align: right; font-variant-numeric: tabular-nums; }
tr { break-inside: avoid; } h2 { margin-top: 2em; break-after: avoid; }"""
_HEADS = ("Time", "", "Number", "Seconds", "Amount", "Balance")


def _page(title: str, found: Sequence[BookStatement], zone: ZoneInfo) -> str:
    """A page that needs nothing else, for printing."""
    parts = [
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f"<style>\n{_STYLE}\n</style></head><body>\n<h1>{escape(title)}</h1>",
        f"<p>Times are those of {escape(zone.key)}.</p>",
    ]
    for one in found:
        parts.append(f"<h2>{escape(one.owner)}</h2>\n<table><thead>{_row(_HEADS, 'th')}</thead>\n<tbody>")
        parts.append(
            _row(
                ("", "Balance at the beginning", "", "", "", format_amount(one.opening_micros, one.currency))
            )
        )
        parts += [_row(_cells(line, zone)) for line in one.lines]
        closing = format_amount(one.closing_micros, one.currency)
        parts.append(_row(("", "Balance at the end", "", "", "", closing)) + "</tbody></table>")
    return "\n".join([*parts, "</body></html>\n"])


def _cells(line: dict[str, object], zone: ZoneInfo) -> Sequence[str]:
    shown = published(line)
    at_us, seconds = line["at_us"], line["charged_s"]
    return (
        local_time(at_us, zone) if isinstance(at_us, int) else "",
        str(shown["what"]),
        str(shown["number"]),
        "" if seconds is None else str(seconds),
        str(shown["amount"]),
        str(shown["balance"]),
    )


def _row(cells: Sequence[str], tag: str = "td") -> str:
    words, figures = cells[:3], cells[3:]
    return (
        "<tr>"
        + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in words)
        + "".join(f'<{tag} class="n">{escape(text)}</{tag}>' for text in figures)
        + "</tr>"
    )
