"""`node`: the services that share this database, one for each Asterisk."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, operator, printable, settings, store, whole
from stasis_callback.admin.output import print_list
from stasis_callback.core.errors import CallbackError, InvalidInput
from stasis_callback.core.money import format_amount
from stasis_callback.core.states import RequestState

if TYPE_CHECKING:
    from stasis_callback.store.node.nodes import NodeView

app = typer.Typer(name="node", help="The services that share this database, one for each Asterisk.")

COLUMNS = ("name", "state", "calls", "holds", "held", "incarnation", "started_at", "seen_at")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The node's name, as in `node list`.")]
Reason = Annotated[str, typer.Option(help="Why: kept in `node history`.", metavar="TEXT")]


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all nodes with what they have under way.

    `draining` ones begin no new callbacks. `stopped` ones were stopped by somebody, `dead` ones were not; calls of
    either may go on in their Asterisk.
    """
    with store() as s:
        print_list([_record(node) for node in s.nodes.all()], COLUMNS, as_json=as_json)


@app.command()
def drain(name: Name, reason: Reason = "") -> None:
    """Let a node begin no new callbacks, also after a restart. Its calls go on; other nodes take what waits."""
    printable(reason, "reason")
    with store() as s:
        changed = s.nodes.set_draining(name, True, operator=operator(), reason=reason)
        nodes = s.nodes.all()
    calls = next(node.calls for node in nodes if node.name == name)
    typer.echo(f"node {name} {'begins' if changed else 'drains already: it begins'} no new callbacks")
    typer.echo(f"{calls} of its calls {'is' if calls == 1 else 'are'} under way")
    if not any(node.state == "alive" for node in nodes):
        typer.echo(f"no other node is alive: callbacks wait until `stasis-callback node resume {name}`")


@app.command()
def resume(name: Name, reason: Reason = "") -> None:
    """Let a drained node begin callbacks again."""
    printable(reason, "reason")
    with store() as s:
        changed = s.nodes.set_draining(name, False, operator=operator(), reason=reason)
    typer.echo(f"node {name} {'begins callbacks again' if changed else 'was not drained'}")


@app.command("take-over")
def take_over(name: Name, reason: Reason) -> None:
    """End what a dead node has left under way, without waiting for `limits.node_dead_after_s`.

    Better: start that node again, and it takes its calls up where they are. What is ended here is charged from this
    machine's billing journal where that has the call, else until the node was last known to live; the call itself may
    go on in its Asterisk for as long as is paid for. Where no phone has rung, the callback goes back into the queue.
    """
    if not printable(reason, "reason").strip():
        raise InvalidInput("taking over needs a reason: somebody will ask for it")
    with store() as s:
        node = s.nodes.named(name)
        if node.alive:
            raise InvalidInput(
                f"node {name} is alive and looks after its calls itself: `stasis-callback node drain {name}` "
                "lets it begin no new ones"
            )
        from stasis_callback.ari.cel import CelJournal
        from stasis_callback.engine.nodes import take_over as take

        done, failed = take(s, CelJournal(settings().asterisk.cel_path), name, operator(), reason)
        for request_id in done:
            waits = s.requests.get(request_id).state == RequestState.QUEUED
            typer.echo(f"request {request_id} {'waits for another node' if waits else 'is ended'}")
        left = s.nodes.named(name).calls
    if failed:
        raise CallbackError(
            "; ".join(
                f"request {request_id} could not be ended: {error}" for request_id, error in failed.items()
            )
        )
    if left:
        raise InvalidInput(
            f"{left} call(s) of node {name} are left: is it alive again? see `stasis-callback node list`"
        )
    if not done:
        typer.echo(f"node {name} has nothing under way")


@app.command()
def remove(name: Name, reason: Reason = "") -> None:
    """Forget a node that is no more; what it did stays."""
    printable(reason, "reason")
    with store() as s:
        s.nodes.remove(name, operator=operator(), reason=reason)
    typer.echo(f"node {name} is removed")


@app.command()
def history(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only of this node.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", metavar="N", parser=whole(1, 100_000))] = 100,
    as_json: AsJson = False,
) -> None:
    """List what was done to nodes, by whom and why, the newest first; of removed ones too."""
    with store() as s:
        events = [asdict(event) for event in s.nodes.history(name, limit)]
    print_list(events, ("at", "node", "event", "operator", "reason"), as_json=as_json)


def _record(node: NodeView) -> dict[str, object]:
    held = [format_amount(micros, currency) for currency, micros in sorted(node.held.items())]
    return {"name": node.name, "state": node.state} | asdict(node) | {"held": held}
