"""`rename` of customers, products, tariffs and vendors; `remove` of all but tariffs."""

from __future__ import annotations

from typing import Annotated

import typer

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import store

NewName = Annotated[str, typer.Argument(metavar="NEW", help="New name.")]


def add_upkeep(app: typer.Typer, noun: str, *, removable: bool = True) -> None:
    """Add `rename` to a noun and, where it is `removable`, `remove`."""
    name = Annotated[str, typer.Argument(metavar="NAME", help=f"{noun.capitalize()} name.")]

    def rename(name: str, new: NewName) -> None:
        with store() as s:
            then = s.trail.change(noun, new, lambda: {"name": name if s.upkeep.exists(noun, name) else new})
            with then:
                s.upkeep.rename(noun, name, new)
        typer.echo(f"{noun} {name} is now called {new}")

    def remove(name: str) -> None:
        with store() as s, recorded(s, noun, name):
            s.upkeep.remove(noun, name)
        typer.echo(f"{noun} {name} removed")

    for command in (rename, remove):
        command.__annotations__["name"] = name
    rename.__doc__ = f"Rename a {noun}. Calls, ledger and reports use the new name."
    remove.__doc__ = f"Remove a {noun}. If anything depends on it, that is listed and nothing is removed."
    app.command("rename")(rename)
    if removable:
        app.command("remove")(remove)
