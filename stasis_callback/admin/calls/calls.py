"""`call`: live callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.calls import requests
from stasis_callback.admin.context import AsJson, asterisk, find_request, settings, store
from stasis_callback.admin.listing import AsCsv, print_records
from stasis_callback.admin.output import print_json, published
from stasis_callback.clock import wait_until
from stasis_callback.core.errors import CallbackError, InvalidInput
from stasis_callback.core.states import UNDER_WAY, RequestState

if TYPE_CHECKING:
    from stasis_callback.ari.client import AriClient
    from stasis_callback.store.calls.requests import RequestView
    from stasis_callback.store.stores import Stores

app = typer.Typer(name="call", help="Live callbacks.")
app.command("show")(requests.show)

ALL_CALLS = 1_000_000
ENDED_S = 20.0
"""How long another node is given to end a call: it looks every five seconds."""


@app.command()
def live(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
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
    if as_json and not as_csv:
        print_json([published(call) | {"legs": [published(leg) for leg in legs]} for call, legs in calls])
        return
    between = dict.fromkeys(columns)  # a call with no leg: it is about to start or to end
    rows = [
        between | leg | {"call": call["id"], "state": call["state"]}
        for call, legs in calls
        for leg in legs or [{}]
    ]
    print_records(rows, columns, as_csv=as_csv, as_json=as_json)


@app.command()
def hangup(
    request_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Call id, as in `call live`.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="End all live calls.")] = False,
) -> None:
    """Hang up a call: its node then charges the legs and ends the callback.

    Works on any machine. For a call of another node the command waits until that node has ended it, and fails if it
    does not within 20 seconds, or is not running.
    """
    if every == (request_id is not None):
        raise InvalidInput("give either a call id or --all: see `stasis-callback call live`")
    config, failed = settings(), []
    with store() as s, asterisk(config) as client:
        views = _under_way(s) if request_id is None else [find_request(s, request_id)]
        ended = [(view, _end(s, client, view, config.node)) for view in views]
        for view, said in ended:
            problem = "" if said else _not_ended(s, view)
            if problem:
                failed.append(problem)
            else:
                typer.echo(said or f"call {view.id} was ended by node {view.claimed_by}")
    if failed:
        raise CallbackError("; ".join(failed))
    if not views:
        typer.echo("there are no live calls")


def _under_way(s: Stores) -> list[RequestView]:
    found = [view for state in UNDER_WAY for view in s.requests.newest(state=state, limit=ALL_CALLS)]
    return sorted(found, key=lambda view: view.created_at_us, reverse=True)


def _end(s: Stores, client: AriClient, view: RequestView, here: str) -> str:
    """Have a call ended. Returns a sentence about the result; "" if another node is still to end it."""
    if view.state is RequestState.QUEUED:
        raise InvalidInput(
            f"request {view.id} is still queued: use `stasis-callback request cancel {view.id}`"
        )
    if view.state not in UNDER_WAY:
        return f"call {view.id} has already ended ({view.outcome or view.state})"
    # Marked first: its node ends it whether or not the Asterisk of this machine can, and there is no retry.
    s.requests.cancel(view.id)
    if view.claimed_by != here:
        return ""
    from stasis_callback.engine.ending import hang_up_legs

    ended = hang_up_legs(s, client, view.id)
    if ended:
        return f"call {view.id}: {' and '.join(ended)} hung up"
    return f"call {view.id} has no more legs in this Asterisk: the service is about to end it"


def _not_ended(s: Stores, view: RequestView) -> str:
    """Wait until another node has ended a call that is marked to be ended; why it has not, or ""."""
    node = view.claimed_by
    if not s.nodes.lives(node):
        return (
            f"call {view.id} is on node {node}, which is not running: start it again, which ends the call, or run "
            f"`stasis-callback node take-over {node}`"
        )
    if wait_until(lambda: s.requests.state(view.id) not in UNDER_WAY, timeout_s=ENDED_S, every_s=0.2):
        return ""
    return (
        f"call {view.id} was not ended by node {node} within {ENDED_S:.0f} s; it will be as soon as that is "
        "possible: see the log of that node"
    )
