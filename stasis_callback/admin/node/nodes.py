"""`node`: the nodes that share this database, one for each Asterisk."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, operator, printable, settings, store, whole
from stasis_callback.admin.listing import AsCsv, print_records
from stasis_callback.core.errors import CallbackError, InvalidInput
from stasis_callback.core.money import format_amount
from stasis_callback.core.states import RequestState

if TYPE_CHECKING:
    from stasis_callback.store.node.nodes import NodeView

app = typer.Typer(name="node", help="Nodes: the services that share this database, one for each Asterisk.")

COLUMNS = ("name", "state", "calls", "holds", "held", "incarnation", "started_at", "seen_at")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Node name, as in `node list`.")]
Reason = Annotated[str, typer.Option(help="Reason, shown in `node history`.", metavar="TEXT")]


@app.command("list")
def list_all(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all nodes with their state and live calls.

    A `draining` node starts no new callbacks. A `stopped` node was shut down; a `dead` node disappeared without being
    shut down. Their calls may continue in their Asterisk.
    """
    with store() as s:
        print_records([_record(node) for node in s.nodes.all()], COLUMNS, as_csv=as_csv, as_json=as_json)


@app.command()
def drain(name: Name, reason: Reason = "") -> None:
    """Drain a node: it starts no new callbacks, even after a restart. Its calls continue."""
    printable(reason, "reason")
    with store() as s:
        changed = s.nodes.set_draining(name, True, operator=operator(), reason=reason)
        nodes = s.nodes.all()
    calls = next(node.calls for node in nodes if node.name == name)
    typer.echo(f"node {name} {'starts' if changed else 'is already draining and starts'} no new callbacks")
    typer.echo(f"it has {calls} live {'call' if calls == 1 else 'calls'}")
    if not any(node.state == "alive" for node in nodes):
        typer.echo(
            f"no other node is alive: callbacks stay queued until `stasis-callback node resume {name}`"
        )


@app.command()
def resume(name: Name, reason: Reason = "") -> None:
    """Resume a drained node, so that it starts callbacks again."""
    printable(reason, "reason")
    with store() as s:
        changed = s.nodes.set_draining(name, False, operator=operator(), reason=reason)
    typer.echo(f"node {name} {'starts callbacks again' if changed else 'was not drained'}")


@app.command("take-over")
def take_over(name: Name, reason: Reason) -> None:
    """End the calls that a dead node left behind, without waiting for `limits.node_dead_after_s`.

    It is better to restart that node: it then resumes its calls. A call ended here is charged according to this
    machine's CEL journal if the call is in it, otherwise up to the time the node was last seen; the call itself may
    continue in its Asterisk as long as its funds last. If no phone has rung yet, the callback is queued again.
    """
    if not printable(reason, "reason").strip():
        raise InvalidInput("the reason is empty: write why this node is taken over")
    with store() as s:
        node = s.nodes.named(name)
        if node.alive:
            raise InvalidInput(
                f"node {name} is alive and handles its calls itself: to prevent new ones, run "
                f"`stasis-callback node drain {name}`"
            )
        from stasis_callback.ari.cel import CelJournal
        from stasis_callback.engine.nodes import take_over as take

        done, failed = take(s, CelJournal(settings().asterisk.cel_path), name, operator(), reason)
        for request_id in done:
            waits = s.requests.get(request_id).state == RequestState.QUEUED
            typer.echo(f"request {request_id} {'is queued again' if waits else 'is ended'}")
        left = s.nodes.named(name).calls
    if failed:
        raise CallbackError(
            "; ".join(
                f"request {request_id} could not be ended: {error}" for request_id, error in failed.items()
            )
        )
    if left:
        raise InvalidInput(
            f"{left} call(s) of node {name} remain: check with `stasis-callback node list` whether it is alive again"
        )
    if not done:
        typer.echo(f"node {name} has no live calls")


@app.command()
def remove(name: Name, reason: Reason = "") -> None:
    """Remove a node that no longer exists. Its history and call records are kept."""
    printable(reason, "reason")
    with store() as s:
        s.nodes.remove(name, operator=operator(), reason=reason)
    typer.echo(f"node {name} is removed")


@app.command()
def history(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only this node.")] = None,
    limit: Annotated[
        int, typer.Option(help="Maximum number of rows.", metavar="N", parser=whole(1, 100_000))
    ] = 100,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """List administrative events of nodes with operator and reason, newest first, including removed nodes."""
    with store() as s:
        events = [asdict(event) for event in s.nodes.history(name, limit)]
    print_records(events, ("at", "node", "event", "operator", "reason"), as_csv=as_csv, as_json=as_json)


def _record(node: NodeView) -> dict[str, object]:
    held = [format_amount(micros, currency) for currency, micros in sorted(node.held.items())]
    return {"name": node.name, "state": node.state} | asdict(node) | {"held": held}
