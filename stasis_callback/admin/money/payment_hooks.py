"""`payment-hook`: through which payment providers tell of payments, signed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import AsJson, settings, store
from stasis_callback.admin.listing import AsCsv, print_records

app = typer.Typer(
    name="payment-hook",
    help="Signed webhooks by which payment providers top up accounts, once for each payment.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the hook, part of its URL.")]


@app.command()
def add(name: Name) -> None:
    """Add a hook, and print its URL and signing secret for the provider."""
    with store() as s, recorded(s, "payment-hook", name):
        hook = s.payment_hooks.add(name)
    _print(hook.name, hook.turn)


@app.command()
def secret(name: Name) -> None:
    """Print the URL and signing secret of a hook. The secret is made of `web.secret`, and is stored nowhere."""
    with store() as s:
        hook = s.payment_hooks.named(name)
    _print(hook.name, hook.turn)


@app.command()
def renew(name: Name) -> None:
    """Give a hook another secret and print it. The one before is no longer accepted."""
    with store() as s, recorded(s, "payment-hook", name):
        hook = s.payment_hooks.renew(name)
    _print(hook.name, hook.turn)


@app.command("list")
def list_all(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all hooks. `turn` counts the secrets of its name, those of removed hooks too."""
    with store() as s:
        rows = [asdict(hook) for hook in s.payment_hooks.all()]
    print_records(rows, ("name", "turn", "created_at"), as_csv=as_csv, as_json=as_json)


@app.command()
def remove(name: Name) -> None:
    """Remove a hook: its messages are refused from now on. Credited payments are kept."""
    with store() as s, recorded(s, "payment-hook", name):
        s.payment_hooks.remove(name)
    typer.echo(f"payment hook {name} removed")


def _print(name: str, turn: int) -> None:
    from stasis_callback.web.signing import Signer

    web = settings().web
    typer.echo(f"{web.origin}/api/v1/payments/{name}")
    typer.echo(Signer.of(web).payment_secret(name, turn))
