"""`rename`, `retire` and `remove` of customers, products, tariffs and vendors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import store
from stasis_callback.clock import Clock

if TYPE_CHECKING:
    from stasis_callback.store.stores import Stores

NewName = Annotated[str, typer.Argument(metavar="NEW", help="New name.")]

Retired = Annotated[bool, typer.Option("--retired", help="List only those that are retired.")]


def chosen(
    s: Stores, noun: str, records: Sequence[Mapping[str, Any]], *, retired: bool
) -> list[Mapping[str, Any]]:
    """Of records with names, those that are in use, or those that are retired."""
    names = s.upkeep.retired(noun)
    return [record for record in records if (record["name"] in names) == retired]


def add_upkeep(app: typer.Typer, noun: str) -> None:
    """Add `rename`, `retire` and `remove` to a noun."""
    name = Annotated[str, typer.Argument(metavar="NAME", help=f"{noun.capitalize()} name.")]

    def rename(name: str, new: NewName) -> None:
        with store() as s:
            renamed(s, noun, name, new)
        typer.echo(f"{noun} {name} is now called {new}")

    def retire(
        name: str,
        undo: Annotated[bool, typer.Option("--undo", help="Undo it: allow new uses again.")] = False,
    ) -> None:
        with (
            store() as s,
            s.trail.change(noun, name, lambda: {"retired": name in s.upkeep.retired(noun)}),
        ):
            s.upkeep.retire(noun, name, None if undo else Clock().now_us())
        typer.echo(f"{noun} {name} is {'in use again' if undo else 'retired'}")

    def remove(name: str) -> None:
        with store() as s, recorded(s, noun, name):
            s.upkeep.remove(noun, name, Clock().now_us())
        typer.echo(f"{noun} {name} removed")

    for command in (rename, retire, remove):
        command.__annotations__["name"] = name
    rename.__doc__ = f"Rename a {noun}. Calls, ledger and reports use the new name."
    remove.__doc__ = f"Remove a {noun}. If anything depends on it, that is listed and nothing is removed."
    retire.__doc__ = (
        f"Retire a {noun}: nothing new can use it, and `list` omits it. Existing uses of it continue."
    )
    app.command("rename")(rename)
    app.command("retire")(retire)
    app.command("remove")(remove)


def renamed(s: Stores, noun: str, name: str, new: str) -> None:
    """Rename a thing, noted in the audit log. Raises InvalidInput."""
    with s.trail.change(noun, new, lambda: {"name": name if s.upkeep.exists(noun, name) else new}):
        s.upkeep.rename(noun, name, new)
