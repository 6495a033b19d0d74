"""`xdr`: call records, one per leg and attempt."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, find_request, store, whole
from stasis_callback.admin.output import print_list
from stasis_callback.clock import US_PER_S

if TYPE_CHECKING:
    from stasis_callback.store.calls.legs import XdrView

app = typer.Typer(name="xdr", help="Call records (xDRs), one per leg and attempt.")

COLUMNS = (
    "leg_id", "account", "side", "number", "outcome", "answered_at", "duration_s", "charged_s", "amount", "currency",
    "trunk", "cost",
)  # fmt: skip


@app.command("list")
def list_newest(
    account: Annotated[str | None, typer.Option(help="Only this account.", metavar="ID")] = None,
    request: Annotated[str | None, typer.Option(help="Only this callback request.", metavar="ID")] = None,
    limit: Annotated[
        int,
        typer.Option(
            help="Maximum number of records; the newest are listed.", metavar="N", parser=whole(1, 1_000_000)
        ),
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """List call records in the order in which the legs ended."""
    with store() as s:
        number = None if account is None else s.accounts.named(account).number
        if request is not None:
            find_request(s, request)
        rows = [xdr_record(xdr) for xdr in s.calls.xdrs(account=number, request_id=request, limit=limit)]
    print_list(rows, COLUMNS, as_json=as_json)


def xdr_record(xdr: XdrView) -> dict[str, object]:
    """The fields that commands show for a call record. `duration_s` is text with millisecond precision.

    An unknown cost (the trunk of the settings) is None, not 0.
    """
    return asdict(xdr) | {
        "duration_s": f"{xdr.duration_us / US_PER_S:.3f}",
        "cost_micros": xdr.cost_micros if xdr.cost_currency else None,
    }
