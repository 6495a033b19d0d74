"""`call`: live callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.calls import requests
from stasis_callback.admin.context import AsJson, asterisk, find_request, settings, store
from stasis_callback.admin.output import print_json, print_list, published
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.states import UNDER_WAY, RequestState

if TYPE_CHECKING:
    from stasis_callback.ari.client import AriClient
    from stasis_callback.store.calls.requests import RequestView
    from stasis_callback.store.stores import Stores

app = typer.Typer(name="call", help="Live callbacks.")
app.command("show")(requests.show)

ALL_CALLS = 1_000_000


@app.command()
def live(as_json: AsJson = False) -> None:
    """List live callbacks, leg by leg, newest first.

    `seconds` is the time since the leg was answered; `funded s` is the time that the held funds cover.
    """
    columns = ("call", "state", "side", "account", "number", "seconds", "funded_s")
    with store() as s:
        number_of = requests.account_numbers(s)
        calls = [
            (requests.request_record(view, number_of), requests.open_legs(s, view.id))
            for view in _under_way(s)
        ]
    if as_json:
        print_json([published(call) | {"legs": [published(leg) for leg in legs]} for call, legs in calls])
        return
    between = dict.fromkeys(columns)  # a call with no leg: it is about to start or to end
    rows = [
        between | leg | {"call": call["id"], "state": call["state"]}
        for call, legs in calls
        for leg in legs or [{}]
    ]
    print_list(rows, columns, as_json=False)


@app.command()
def hangup(
    request_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Call id, as in `call live`.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="End all live calls.")] = False,
) -> None:
    """Hang up a call: the service then charges the legs and ends the callback.

    A call on another node is ended by that node within a few seconds.
    """
    if every == (request_id is not None):
        raise InvalidInput("give either a call id or --all: see `stasis-callback call live`")
    with store() as s, asterisk(settings()) as client:
        views = _under_way(s) if request_id is None else [find_request(s, request_id)]
        for view in views:
            typer.echo(_end(s, client, view))
    if not views:
        typer.echo("there are no live calls")


def _under_way(s: Stores) -> list[RequestView]:
    found = [view for state in UNDER_WAY for view in s.requests.newest(state=state, limit=ALL_CALLS)]
    return sorted(found, key=lambda view: view.created_at_us, reverse=True)


def _end(s: Stores, client: AriClient, view: RequestView) -> str:
    """Hang up the legs of a call in Asterisk. Returns a sentence about the result."""
    if view.state is RequestState.QUEUED:
        raise InvalidInput(
            f"request {view.id} is still queued: use `stasis-callback request cancel {view.id}`"
        )
    if view.state not in UNDER_WAY:
        return f"call {view.id} has already ended ({view.outcome or view.state})"
    from stasis_callback.engine.ending import hang_up_legs

    ended = hang_up_legs(s, client, view.id)
    s.requests.cancel(view.id)  # prevents a retry, and lets its node end legs in another Asterisk
    if ended:
        return f"call {view.id}: {' and '.join(ended)} hung up"
    if view.claimed_by != settings().node:
        return f"call {view.id} is on node {view.claimed_by}, which will end it within a few seconds"
    return f"call {view.id} has no more legs in this Asterisk: the service is about to end it"
