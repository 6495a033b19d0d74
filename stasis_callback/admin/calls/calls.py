"""`call`: the callbacks under way."""

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

app = typer.Typer(name="call", help="The callbacks under way.")
app.command("show")(requests.show)

ALL_CALLS = 1_000_000


@app.command()
def live(as_json: AsJson = False) -> None:
    """List the callbacks under way, leg by leg, the newest first.

    `seconds` are since the answer; `funded s` are the seconds from the answer that are paid for.
    """
    columns = ("call", "state", "side", "account", "number", "answered_at", "seconds", "funded_s")
    with store() as s:
        number_of = requests.account_numbers(s)
        calls = [
            (requests.request_record(view, number_of), requests.open_legs(s, view.id))
            for view in _under_way(s)
        ]
    if as_json:
        print_json([published(call) | {"legs": [published(leg) for leg in legs]} for call, legs in calls])
        return
    between = dict.fromkeys(columns)  # a call that is about to have a leg, or to end
    rows = [
        between | leg | {"call": call["id"], "state": call["state"]}
        for call, legs in calls
        for leg in legs or [{}]
    ]
    print_list(rows, columns, as_json=False)


@app.command()
def hangup(
    request_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The call's id, as in `call live`.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every call under way.")] = False,
) -> None:
    """End a call: the service sees the hang-up, charges the legs and ends the callback.

    A call of another node is ended by that node, within some seconds.
    """
    if every == (request_id is not None):
        raise InvalidInput("write the id of one call, or --all: see `stasis-callback call live`")
    with store() as s, asterisk(settings()) as client:
        views = _under_way(s) if request_id is None else [find_request(s, request_id)]
        for view in views:
            typer.echo(_end(s, client, view))
    if not views:
        typer.echo("no call is under way")


def _under_way(s: Stores) -> list[RequestView]:
    found = [view for state in UNDER_WAY for view in s.requests.newest(state=state, limit=ALL_CALLS)]
    return sorted(found, key=lambda view: view.created_at_us, reverse=True)


def _end(s: Stores, client: AriClient, view: RequestView) -> str:
    """End the legs of a call in Asterisk; a sentence that says what came of it."""
    if view.state is RequestState.QUEUED:
        raise InvalidInput(f"request {view.id} still waits: `stasis-callback request cancel {view.id}`")
    if view.state not in UNDER_WAY:
        return f"call {view.id} is over already ({view.outcome or view.state})"
    from stasis_callback.engine.ending import hang_up_legs

    ended = hang_up_legs(s, client, view.id)
    s.requests.cancel(view.id)  # so that nobody tries again, and its node ends what we cannot see
    if ended:
        return f"call {view.id}: {' and '.join(ended)} hung up"
    if view.claimed_by != settings().node:
        return f"call {view.id} is on node {view.claimed_by}, which ends it within some seconds"
    return f"call {view.id} has no leg in this Asterisk any more: the service is about to end it"
