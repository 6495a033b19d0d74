"""`request`: the callbacks that were asked for, and what became of them."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, find_request, store, whole
from stasis_callback.admin.output import print_json, print_list, print_one, published
from stasis_callback.admin.xdrs import COLUMNS
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.states import RequestState

if TYPE_CHECKING:
    from stasis_callback.store.requests import RequestView

app = typer.Typer(name="request", help="The callbacks that were asked for.")

STATES = "|".join(RequestState)


@app.command("list")
def list_newest(
    state: Annotated[str | None, typer.Option(help="Only those in this state.", metavar=STATES)] = None,
    limit: Annotated[
        int, typer.Option(help="At most so many.", metavar="N", parser=whole(1, 1_000_000))
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """List callbacks, the newest first."""
    if state is not None and state not in tuple(RequestState):
        raise InvalidInput(f"{state!r} is not a state: write one of {', '.join(RequestState)}")
    columns = ("id", "created_at", "state", "outcome", "account", "ani", "dnis", "attempts")
    with store() as s:
        number_of = cache(lambda account_id: s.accounts.get(account_id).number if account_id else "")
        rows = [
            _record(view, number_of(view.account_id)) for view in s.requests.newest(state=state, limit=limit)
        ]
    print_list(rows, columns, as_json=as_json)


@app.command()
def show(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="The request's id, as in `request list`.")],
    as_json: AsJson = False,
) -> None:
    """Show a callback with its legs."""
    with store() as s:
        view = find_request(s, request_id)
        account = s.accounts.get(view.account_id).number if view.account_id else ""
        xdrs = [asdict(xdr) for xdr in s.calls.xdrs(request_id=request_id)]
        open_legs = [asdict(leg) for leg in s.calls.open_legs(request_id)]
    record = _record(view, account)
    if as_json:
        legs = {"xdrs": [published(x) for x in xdrs], "open_legs": [published(leg) for leg in open_legs]}
        print_json(published(record) | legs)
        return
    print_one(record, as_json=False)
    if open_legs:
        typer.echo("\nlegs under way")
        print_list(open_legs, ("id", "number", "dialed_at", "answered_at"), as_json=False)
    if xdrs:
        typer.echo("\nxDRs")
        print_list(xdrs, COLUMNS, as_json=False)


def _record(view: RequestView, account: str) -> dict[str, object]:
    return {
        "id": view.id,
        "state": str(view.state),
        "outcome": view.outcome,
        "account": account,
        "triggered_by": view.triggered_by,
        "ani": view.ani,
        "dnis": view.dnis,
        "leg_a_number": view.leg_a_number,
        "attempts": view.attempts,
        "created_at_us": view.created_at_us,
        "due_at_us": view.due_at_us,
        "finished_at_us": view.finished_at_us,
    }
