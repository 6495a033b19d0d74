"""`xdr`: call records, one per leg and attempt."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import digits, find_request, store
from stasis_callback.admin.listing import USUAL_ROWS, Page, listed
from stasis_callback.admin.output import Record
from stasis_callback.clock import US_PER_S
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.outcomes import Outcome

if TYPE_CHECKING:
    from stasis_callback.store.calls.legs import XdrView

app = typer.Typer(name="xdr", help="Call records (xDRs), one per leg and attempt.")

COLUMNS = ("leg_id", "number", "outcome", "ended_at", "charged_s", "amount")
MORE_COLUMNS = (
    "currency", "account", "side", "request_id", "prefix", "dialed_at", "answered_at", "duration_s", "overrun",
    "trunk", "cost", "cost_currency", "cause", "source",
)  # fmt: skip


@listed(app, COLUMNS, MORE_COLUMNS, rows=USUAL_ROWS, key="leg_id", dated=True)
def list_newest(
    page: Page,
    account: Annotated[str, typer.Option(help="Only this account.", metavar="ID")] = "",
    customer: Annotated[str, typer.Option(help="Only accounts of this customer.", metavar="NAME")] = "",
    request: Annotated[str, typer.Option(help="Only this callback request.", metavar="ID")] = "",
    number: Annotated[
        str,
        typer.Option(
            help="Only called numbers that begin with these digits.", metavar="DIGITS", parser=digits
        ),
    ] = "",
    trunk: Annotated[str, typer.Option(help="Only this trunk.", metavar="NAME")] = "",
    outcome: Annotated[
        str, typer.Option(help="Only legs with this outcome.", metavar="|".join(Outcome))
    ] = "",
) -> list[Record]:
    """List call records, newest first. `--since` and `--until` are compared with the end of the leg."""
    from stasis_callback.store.calls.finding import XdrFilter

    if outcome and outcome not in tuple(Outcome):
        raise InvalidInput(f"{outcome!r} is not an outcome: use one of {', '.join(Outcome)}")
    with store() as s:
        payer = s.accounts.named(account).number if account else ""
        if request:
            find_request(s, request)
        via = s.trunks.recorded(trunk) if trunk else ""
        only = XdrFilter(payer, customer, request, number, via, outcome, page.since_us, page.until_us)
        return [xdr_record(xdr) for xdr in s.finding.xdrs(only, page.fetched, page.after)]


def xdr_record(xdr: XdrView) -> dict[str, object]:
    """The fields that commands show for a call record. `duration_s` is text with millisecond precision.

    An unknown cost (the trunk of the settings) is None, not 0.
    """
    return asdict(xdr) | {
        "duration_s": f"{xdr.duration_us / US_PER_S:.3f}",
        "cost_micros": xdr.cost_micros if xdr.cost_currency else None,
    }
