"""`config`: the settings of this node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stasis_callback.admin.context import AsJson, invocation, settings, shown_url
from stasis_callback.admin.output import print_json
from stasis_callback.disk import sqlite_file

app = typer.Typer(name="config", help="Settings of this node.")


@app.command()
def show(as_json: AsJson = False) -> None:
    """Show all effective settings. Secrets are hidden."""
    from stasis_callback.settings import find_config

    # Pydantic serializes a SecretStr as asterisks.
    values = settings().model_dump(mode="json")
    if not sqlite_file(values["database"]["url"]):
        values["database"]["url"] = shown_url(values["database"]["url"])
    source = str(find_config(invocation.config) or "")
    if as_json:
        print_json({"file": source or None, "settings": values})
        return
    typer.echo(f"# from {source or 'the defaults (no settings file)'}")
    for name, value in values.items():
        if not isinstance(value, dict):
            typer.echo(f"{name} = {value}")
    for name, value in values.items():
        if isinstance(value, dict):
            for inner, setting in value.items():
                typer.echo(f"{name}.{inner} = {setting}")


@app.command()
def check() -> None:
    """Check the settings. On an invalid setting, its name is printed and the exit code is 2."""
    from stasis_callback.settings import find_config

    settings()
    typer.echo(f"{find_config(invocation.config) or 'defaults (no settings file)'}: all settings are valid")


@app.command()
def asterisk(
    etc: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of Asterisk's configuration.")] = Path(
        "/etc/asterisk"
    ),
) -> None:
    """Write what an Asterisk with calls of its own needs for callbacks, as files in DIR/stasis-callback/.

    Nothing else is changed. Lists the files that Asterisk does not include yet, then the exit code is 1. Run it as a
    user who may write there; after an upgrade, run it again.
    """
    from stasis_callback.admin.node.additions import FOLDER, write

    missing = write(settings(), etc)
    typer.echo(f"{etc / FOLDER} written")
    if not missing:
        typer.echo(
            "all of it is included: have Asterisk read it with `asterisk -rx 'core reload'`, then run `doctor`"
        )
        return
    typer.echo("not included yet; add these lines at the end:")
    for name in missing:
        typer.echo(f"  {etc / name}: #include {FOLDER}/{name}")
    raise typer.Exit(1)
