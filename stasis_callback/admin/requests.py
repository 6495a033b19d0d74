"""`request`: the callbacks that were asked for, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, cast

import typer

from stasis_callback.admin.context import AsJson, find_request, settings, store, whole
from stasis_callback.admin.output import print_json, print_list, print_one, published
from stasis_callback.admin.xdrs import COLUMNS, xdr_record
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.requests import CallbackRequest, Trigger
from stasis_callback.core.states import RequestState

if TYPE_CHECKING:
    from stasis_callback.engine.stores import Stores
    from stasis_callback.store.requests import RequestView

app = typer.Typer(name="request", help="The callbacks that were asked for.")

STATES = "|".join(RequestState)
LEG_COLUMNS = ("id", "side", "account", "number", "dialed_at", "answered_at", "seconds", "funded_s")
_REFUSALS = {
    "repeated": "a callback of this account or number was asked for a moment ago (dedupe_window_s)",
    "in_progress": "a callback of this account or number waits or is under way",
    "queue_full": "too many callbacks wait (limits.queue)",
}

RequestId = Annotated[str, typer.Argument(metavar="ID", help="The request's id, as in `request list`.")]


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
        number_of = account_numbers(s)
        rows = [request_record(view, number_of) for view in s.requests.newest(state=state, limit=limit)]
    print_list(rows, columns, as_json=as_json)


@app.command()
def show(request_id: RequestId, as_json: AsJson = False) -> None:
    """Show a callback with its legs, those under way and those that have ended."""
    with store() as s:
        view = find_request(s, request_id)
        record = request_record(view, account_numbers(s))
        xdrs = [xdr_record(xdr) for xdr in s.calls.xdrs(request_id=request_id)]
        legs = open_legs(s, request_id)
    if as_json:
        options = {"options": json.loads(view.stored_options)}
        ended, under_way = [published(x) for x in xdrs], [published(leg) for leg in legs]
        print_json(published(record) | options | {"xdrs": ended, "open_legs": under_way})
        return
    print_one(record, as_json=False)
    if legs:
        typer.echo("\nlegs under way")
        print_list(legs, LEG_COLUMNS, as_json=False)
    if xdrs:
        typer.echo("\nxDRs")
        print_list(xdrs, COLUMNS, as_json=False)


@app.command()
def cancel(request_id: RequestId) -> None:
    """Take back a callback that still waits."""
    with store() as s:
        find_request(s, request_id)
        done = s.requests.cancel(request_id)
        state = s.requests.get(request_id).state
    if not done:
        under_way = state in (RequestState.DIALING, RequestState.TALKING)
        remedy = f"`stasis-callback call hangup {request_id}` ends it" if under_way else "it is over"
        raise InvalidInput(f"request {request_id} is {state}: {remedy}")
    typer.echo(f"request {request_id} is cancelled")


@app.command()
def retry(request_id: RequestId) -> None:
    """Ask for the same callback once more: the same account, number and options."""
    with store() as s:
        view = find_request(s, request_id)
        if not view.leg_a_number:
            raise InvalidInput(
                f"request {request_id} was refused ({view.outcome}) and has no number to call: "
                "see `stasis-callback access-number test`"
            )
        refusal, new_id = _ask_again(s, view)
    if refusal:
        raise InvalidInput(f"the callback is refused: {_REFUSALS[refusal]}")
    typer.echo(f"request {new_id} is queued")


def _ask_again(s: Stores, view: RequestView) -> tuple[str, str]:
    """The reason for a refusal and "", or "" and the id of the new request."""
    from stasis_callback.store.models import Request

    with s.database.transaction():
        before = f"retry:{view.id}:"
        key = before + str(Request.select().where(Request.key.startswith(before)).count() + 1)
        refusal = s.requests.accept(
            CallbackRequest(key, cast(Trigger, view.triggered_by), view.ani, view.dnis),
            account_id=view.account_id,
            # Whoever answers has to log in again.
            subscriber_id=None if view.triggered_by == "pin" else view.subscriber_id,
            leg_a_number=view.leg_a_number,
            stored_options=json.loads(view.stored_options),
            queue_limit=settings().limits.queue,
        )
        return refusal, "" if refusal else Request.get(Request.key == key).id


# --- records -----------------------------------------------------------------------------------------------------


def account_numbers(s: Stores) -> Callable[[int | None], str]:
    """A lookup of the id of an account by its row; each is read once."""
    return cache(lambda account_id: s.accounts.get(account_id).number if account_id else "")


def request_record(view: RequestView, number_of: Callable[[int | None], str]) -> dict[str, object]:
    """A request as commands show it."""
    return {
        "id": view.id,
        "state": str(view.state),
        "outcome": view.outcome,
        "account": number_of(view.account_id),
        "subscriber": number_of(view.subscriber_id),
        "triggered_by": view.triggered_by,
        "ani": view.ani,
        "dnis": view.dnis,
        "leg_a_number": view.leg_a_number,
        "attempts": view.attempts,
        "created_at_us": view.created_at_us,
        "due_at_us": view.due_at_us,
        "finished_at_us": view.finished_at_us,
    }


def open_legs(s: Stores, request_id: str) -> list[dict[str, object]]:
    """The legs under way: `seconds` since the answer, and the seconds from the answer that are paid for."""
    from stasis_callback.core.rating import cost_micros, longest_s
    from stasis_callback.engine.funding import ADOPTED_LIMIT_S

    now_us, number_of = Clock().now_us(), account_numbers(s)
    records = []
    for leg in s.calls.open_legs(request_id):
        price, held_micros = s.tariffs.version(leg.rate_id, leg.terms_id).price, s.ledger.held_micros(leg.id)
        start_us = leg.answered_at_us or leg.dialed_at_us
        cost_of = partial(cost_micros, price, start_us=start_us)
        funded_s = longest_s(cost_of, held_micros, ADOPTED_LIMIT_S)
        talked_s = None if leg.answered_at_us is None else (now_us - leg.answered_at_us) // US_PER_S
        record = asdict(leg) | {"account": number_of(leg.account_id)}
        records.append(record | {"seconds": talked_s, "funded_s": max(funded_s, 0)})
    return records
