"""`api-key`: keys for programs that use the JSON API."""

from __future__ import annotations

from typing import Annotated

import typer

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import AsJson, store
from stasis_callback.admin.output import print_list

app = typer.Typer(name="api-key", help="Keys for programs that use the JSON API.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the key, for example of the program that uses it.")
]


@app.command()
def add(
    name: Name,
    scopes: Annotated[
        list[str],
        typer.Option(
            "--scope", help="Permission; repeatable.", metavar="create|any-account|status|cancel|list"
        ),
    ],
    instance: Annotated[
        str, typer.Option(help="Only for this web instance; if omitted, for all.", metavar="NAME")
    ] = "",
) -> None:
    """Create a key and print it. It is shown only once: only its hash is stored."""
    with store() as s, recorded(s, "api-key", name):
        key = s.api_keys.add(name, scopes, instance)
    typer.echo(key)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all keys with their permissions. The keys themselves are not stored."""
    with store() as s:
        rows = [
            {
                "name": key.name,
                "scopes": list(key.scopes),
                "instance": key.instance,
                "created_at_us": key.created_at_us,
                "revoked_at_us": key.revoked_at_us,
            }
            for key in s.api_keys.all()
        ]
    print_list(rows, ("name", "scopes", "instance", "created_at", "revoked_at"), as_json=as_json)


@app.command()
def revoke(name: Name) -> None:
    """Revoke a key with immediate effect."""
    with store() as s, recorded(s, "api-key", name):
        done = s.api_keys.revoke(name)
    typer.echo(f"API key {name} is revoked" if done else f"API key {name} was already revoked")
