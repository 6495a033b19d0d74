"""`message`: message instances, gateways through which callbacks are requested by SMS and messengers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, settings, store
from stasis_callback.admin.intake.instances import InstanceCommands
from stasis_callback.admin.listing import AsCsv
from stasis_callback.core.messages import MessageOptions

if TYPE_CHECKING:
    from stasis_callback.store.intake.message_instances import MessageInstanceView

app = typer.Typer(
    name="message", help="Message instances: gateways that hand over SMS and messages of messengers."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Instance name, part of its URL.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Set an option (see `message options`); repeatable; `name=` restores the default.",
    ),
]


def _address(name: str) -> str:
    return f"{settings().web.origin}/api/v1/messages/{name}"


def _warn(view: MessageInstanceView) -> None:
    """Print what keeps messages from being accepted."""
    web = settings().web
    if not web.enabled:
        typer.echo("warning: web.enabled is not set: nobody listens for messages")
    if view.configuration.settings.format == "twilio" and not web.twilio_auth_token.get_secret_value():
        typer.echo("warning: web.twilio_auth_token is not set: until it is, all messages are refused")


COMMANDS = InstanceCommands(
    noun="message",
    key="name",
    settings=MessageOptions,
    instances=lambda s: s.message_instances,
    call_options=lambda view: view.configuration.call_options(),
    headline=_address,
    warn=_warn,
)


@app.command()
def add(name: Name, options: Set = None) -> None:
    """Add a message instance, and print the URL for its gateway."""
    COMMANDS.add(name, options)


@app.command("set")
def change(
    name: Name,
    options: Set = None,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Accept or refuse messages.")
    ] = None,
) -> None:
    """Change the given options, all or none of them. Changes take effect from the next message."""
    COMMANDS.change(name, options, enabled)


@app.command("list")
def list_all(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all message instances with their non-default options."""
    COMMANDS.list_all(as_csv, as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show all options of a message instance."""
    COMMANDS.show(name, as_json)


@app.command()
def remove(name: Name) -> None:
    """Remove a message instance. Its callbacks and call records are kept."""
    COMMANDS.remove(name)


@app.command("options")
def list_options(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all options with default, allowed values and meaning."""
    COMMANDS.options(as_csv, as_json)


@app.command("secret")
def show_secret(name: Name) -> None:
    """Print the URL and signing secret of an instance, for its gateway. The secret is made of `web.secret`, and is
    stored nowhere; `secret_number` changes it.
    """
    from stasis_callback.web.signing import Signer

    with store() as s:
        own = s.message_instances.named(name).configuration.settings
    if own.format == "twilio":
        key = "Twilio signs with your auth token there: web.twilio_auth_token"
    else:
        key = Signer.of(settings().web).message_secret(name, own.secret_number)
    typer.echo(f"{_address(name)}\n{key}")
