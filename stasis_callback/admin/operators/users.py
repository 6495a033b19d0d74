"""`console`: the web console and its operators."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import AsJson, require_change, secret_input, store
from stasis_callback.admin.listing import AsCsv, print_records
from stasis_callback.admin.pictures import print_qr
from stasis_callback.core.errors import InvalidInput

if TYPE_CHECKING:
    from stasis_callback.store.stores import Stores

app = typer.Typer(name="console", help="The web console for operators.")
users = typer.Typer(name="user", help="Operators of the console, and what they may do.")
app.add_typer(users)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name to sign in with.")]
ROLES = "viewer|support|manager|owner"
KEY_LINES = """\
Enter this key into an authenticator (time-based, 6 digits), or scan its QR code; it is not shown again:
{key}
{address}"""


@users.command()
def add(
    name: Name,
    role: Annotated[
        str,
        typer.Option(
            help="What they may do: viewer (look), support (accounts and calls, no money), manager (the business), "
            "owner (keys and operators too).",
            metavar=ROLES,
        ),
    ],
) -> None:
    """Add an operator. The password is typed without echo, or read from standard input.

    `run` starts the console when there is an operator.
    """
    with store() as s:
        password = _new_password()
        with recorded(s, "console-user", name):
            key = s.operators.add(name, role, password)
    typer.echo(f"operator {name} added")
    _print_key(name, key)


@users.command("set")
def change(
    name: Name,
    role: Annotated[str | None, typer.Option(help="What they may do.", metavar=ROLES)] = None,
    password: Annotated[
        bool, typer.Option("--password", help="Set a new password; it is typed, or read from standard input.")
    ] = False,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make a new key for their authenticator; the old one is void.")
    ] = False,
    unlock: Annotated[
        bool, typer.Option("--unlock", help="End the lockout after wrong passwords or codes.")
    ] = False,
) -> None:
    """Change an operator. Their sessions end."""
    require_change(role, password or None, new_key or None, unlock or None)
    with store() as s:
        _require_known(s, name)
        secret = _new_password() if password else None
        with recorded(s, "console-user", name):
            key = s.operators.change(name, role=role, password=secret, new_key=new_key)
        if unlock:
            s.limits.clear(login_key(name))
    typer.echo(f"operator {name} changed")
    if key:
        _print_key(name, key)


@users.command("list")
def list_all(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all operators with role and open sessions."""
    with store() as s:
        rows = [asdict(view) for view in s.operators.all()]
    print_records(rows, ("name", "role", "sessions", "created_at"), as_csv=as_csv, as_json=as_json)


@users.command()
def remove(name: Name) -> None:
    """Remove an operator and end their sessions. What they did stays in the audit log."""
    with store() as s, recorded(s, "console-user", name):
        s.operators.remove(name)
    typer.echo(f"operator {name} removed")


def login_key(name: str) -> str:
    """The counter of wrong logins of an operator."""
    return f"console:user:{name}"


def _print_key(name: str, key: str) -> None:
    from stasis_callback.store.operators.operators import code_address

    address = code_address(name, key)
    typer.echo(KEY_LINES.format(key=key, address=address))
    print_qr(address)


def _new_password() -> str:
    password = secret_input("new password", confirmed=True)
    if not password:
        raise InvalidInput("no password on standard input: write one line with at least 12 characters")
    return password


def _require_known(s: Stores, name: str) -> None:
    if name not in [view.name for view in s.operators.all()]:
        raise InvalidInput(f"unknown operator {name[:40]!r}: see `stasis-callback console user list`")
