"""`voucher`: prepaid vouchers, whose codes top up an account once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from stasis_callback.admin.accounts.accounts import expiry_us
from stasis_callback.admin.accounts.cards import OutFile, write_codes
from stasis_callback.admin.context import AsJson, operator, secret_input, store, whole
from stasis_callback.admin.days import require_to_come
from stasis_callback.admin.listing import USUAL_ROWS, AsCsv, Page, listed, print_records
from stasis_callback.admin.money.account_money import Length
from stasis_callback.admin.output import Record, complain, progress_bar
from stasis_callback.core.errors import InvalidInput, StoreUnavailable
from stasis_callback.core.money import format_amount, parse_amount, parse_currency, require_payable

app = typer.Typer(name="voucher", help="Vouchers: each code tops up one account, once.")

Batch = Annotated[str, typer.Argument(metavar="BATCH", help="Batch name.")]


@app.command()
def generate(
    batch: Batch,
    count: Annotated[int, typer.Option(help="Number of vouchers.", metavar="N", parser=whole(1, 100_000))],
    amount: Annotated[str, typer.Option(help="Value of each voucher.", metavar="AMOUNT")],
    currency: Annotated[str, typer.Option(help="Currency code, for example USD.", metavar="CODE")],
    out: OutFile,
    length: Length = 14,
    alphabet: Annotated[
        str,
        typer.Option(
            help="Characters used in codes [default: capitals and digits that are not easily confused].",
            metavar="CHARACTERS",
        ),
    ] = "",
    expires: Annotated[
        str | None,
        typer.Option(help="Last day on which they can be redeemed, for example 2027-12-31.", metavar="DATE"),
    ] = None,
) -> None:
    """Generate a batch of vouchers, all or none of them."""
    from stasis_callback.store.accounts.codes import READABLE

    if out.exists():
        raise InvalidInput(f"{out} already exists: choose a new file name")
    expires_at_us, amount_micros = expiry_us(expires), parse_amount(amount)
    require_to_come(expires_at_us, expires)
    require_payable(parse_currency(currency), amount_micros)
    says = batch, format_amount(amount_micros, currency.upper()), f"until {expires}" if expires else ""

    def hand_over(codes: list[str]) -> Callable[[], None]:
        write_codes(out, "code", codes, says)
        return out.unlink

    with store() as s, progress_bar("vouchers") as progress:
        try:
            s.vouchers.generate(
                batch,
                count,
                amount_micros,
                currency,
                length=length,
                alphabet=alphabet or READABLE,
                expires_at_us=expires_at_us,
                progress=progress,
                hand_over=hand_over,
            )
        except StoreUnavailable:
            if out.exists():
                complain(
                    f"whether batch {batch} was made is not known: see `stasis-callback voucher list`; if it is not "
                    f"there, the codes in {out} are worth nothing"
                )
            raise
    typer.echo(
        f"{count} vouchers of {format_amount(amount_micros, currency.upper())} generated; their codes are in {out}"
    )


@app.command()
def redeem(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Account id or alias.")],
    code: Annotated[
        str | None,
        typer.Option(
            help="Voucher code; if omitted, it is prompted for or read from standard input.", metavar="CODE"
        ),
    ] = None,
) -> None:
    """Redeem a voucher: credit its value to an account."""
    typed = code if code is not None else _code()
    with store() as s:
        number = s.accounts.named(account).number
        voucher = s.vouchers.redeem(typed, number, operator())
        now = s.accounts.named(number)
    paid = format_amount(voucher.amount_micros, voucher.currency)
    balance = format_amount(now.balance_micros, now.currency)
    typer.echo(f"{paid} credited to account {number}: the balance is {balance}")


@app.command()
def block(batch: Batch) -> None:
    """Block the unused vouchers of a batch, for example because they were lost or stolen."""
    _block(batch, True)


@app.command()
def unblock(batch: Batch) -> None:
    """Unblock the blocked vouchers of a batch, so that they can be redeemed again."""
    _block(batch, False)


@app.command("list")
def list_all(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all batches with the number of new, redeemed and blocked vouchers."""
    with store() as s:
        columns = ("batch", "amount", "currency", "new", "redeemed", "blocked")
        print_records(s.vouchers.batches(), columns, as_csv=as_csv, as_json=as_json)


VOUCHER_COLUMNS = ("id", "state", "amount", "currency", "expires_at", "redeemed_by", "redeemed_at")


@listed(app, VOUCHER_COLUMNS, name="show", rows=USUAL_ROWS, key="id")
def show(batch: Batch, page: Page) -> list[Record]:
    """List the vouchers of a batch. Codes are not shown: only their hashes are stored."""
    with store() as s:
        found = s.vouchers.of_batch(batch, page.fetched, page.after)
    if not found and not page.after:
        raise InvalidInput(f"unknown batch {batch!r}: see `stasis-callback voucher list`")
    return [asdict(voucher) for voucher in found]


def _code() -> str:
    return secret_input("code").strip()


def _block(batch: str, blocked: bool) -> None:
    with store() as s:
        changed = s.vouchers.block(batch, blocked=blocked)
    typer.echo(f"{changed} vouchers of batch {batch} are {'blocked' if blocked else 'usable again'}")
