"""`email`: the addresses that take callbacks by mail, who may write to them, and the mail server's pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.context import AsJson, require_change, settings, store, whole
from stasis_callback.admin.intake.call_options import parse_options, require_what_is_named
from stasis_callback.admin.intake.instances import described, options_in_words
from stasis_callback.admin.output import print_json, print_list
from stasis_callback.core.email import EMAIL_NAMES, EmailSettings
from stasis_callback.core.errors import CallbackError, InvalidInput

if TYPE_CHECKING:
    from stasis_callback.store.intake.email_instances import EmailInstanceView

app = typer.Typer(name="email", help="E-mail instances: addresses that take callbacks by mail.")

TEMPORARY_FAILURE = 75
"""EX_TEMPFAIL of sysexits.h: the mail server keeps the mail and tries again. `execute` gives it for any failure."""

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The instance's address.")]
Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's number.")]
Sender = Annotated[str, typer.Argument(metavar="SENDER", help="The address of who writes.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="An option, see `email options`; repeatable; `name=` restores its default.",
    ),
]


@app.command()
def add(address: Address, options: Set = None) -> None:
    """Add an e-mail instance: an address that takes callbacks by mail."""
    address = address.lower()
    given = {option: text for option, text in _parsed(options).items() if text}
    with store() as s:
        require_what_is_named(s, given)
        s.email_instances.add(address, given)
        view = s.email_instances.named(address)
    typer.echo(f"e-mail instance {address} added")
    _warn(view)


@app.command("set")
def change(
    address: Address,
    options: Set = None,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Whether it takes mails.")
    ] = None,
) -> None:
    """Change what is given, all or nothing, from the next mail on."""
    require_change(options, enabled)
    address = address.lower()
    given = _parsed(options)
    with store() as s:
        require_what_is_named(s, given)
        s.email_instances.change(address, given, enabled=enabled)
        view = s.email_instances.named(address)
    typer.echo(f"e-mail instance {address} changed")
    _warn(view)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all e-mail instances with the options that differ from the defaults."""
    with store() as s:
        found = s.email_instances.all()
    rows = [{"address": view.name, "enabled": view.enabled, "options": dict(view.stored)} for view in found]
    print_list(rows, ("address", "enabled", "options"), as_json=as_json)


@app.command()
def show(address: Address, as_json: AsJson = False) -> None:
    """Show every option of an e-mail instance."""
    with store() as s:
        view = s.email_instances.named(address.lower())
    rows = options_in_words(EmailSettings, view.stored, view.configuration.call_options())
    if as_json:
        values = {str(row["option"]): row["value"] for row in rows}
        print_json({"address": view.name, "enabled": view.enabled, "options": values})
        return
    typer.echo(f"{view.name} ({'enabled' if view.enabled else 'disabled'})")
    print_list(rows, ("option", "value", "set", "meaning"), as_json=False)


@app.command()
def remove(address: Address) -> None:
    """Take an e-mail instance away; its callbacks and call records stay."""
    with store() as s:
        s.email_instances.remove(address.lower())
    typer.echo(f"e-mail instance {address.lower()} removed")


@app.command("options")
def list_options(as_json: AsJson = False) -> None:
    """List every option with its default, allowed values and meaning."""
    print_list(described(EmailSettings), ("name", "default", "values", "meaning"), as_json=as_json)


@app.command("add-sender")
def add_sender(account: Account, sender: Sender) -> None:
    """Register an address that may write for an account, where an instance has require_registered=on."""
    with store() as s:
        added = s.email_senders.add(account, sender)
    state = "registered" if added else "registered already"
    typer.echo(f"{sender.lower()} is {state} for account {account}")


@app.command("remove-sender")
def remove_sender(account: Account, sender: Sender) -> None:
    """Take a registered address away."""
    with store() as s:
        s.email_senders.remove(account, sender)
    typer.echo(f"{sender.lower()} is no longer registered for account {account}")


@app.command("senders")
def list_senders(as_json: AsJson = False) -> None:
    """List all registered addresses with their accounts."""
    with store() as s:
        rows = s.email_senders.all()
    print_list(rows, ("account", "address", "created_at"), as_json=as_json)


@app.command("token")
def token(
    account: Account,
    count: Annotated[int, typer.Option(help="How many.", metavar="N", parser=whole(1, 1000))] = 1,
    days: Annotated[int, typer.Option(help="How long they work.", metavar="N", parser=whole(1, 3650))] = 365,
) -> None:
    """Print one-time tokens, each good in place of the password for one callback; they are kept nowhere."""
    with store() as s:
        for code in s.email_senders.give_out(account, count, days):
            typer.echo(code)


@app.command("withdraw-tokens")
def withdraw_tokens(account: Account) -> None:
    """Make all unused one-time tokens of an account useless."""
    with store() as s:
        count = s.email_senders.withdraw(account)
    typer.echo(f"{count} unused tokens of account {account} are withdrawn")


@app.command()
def receive(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="The instance it is for; with one instance only, that one.",
            metavar="ADDRESS",
            envvar=["ORIGINAL_RECIPIENT", "RECIPIENT"],
        ),
    ] = "",
) -> None:
    """Take one mail from standard input, for a mail server's pipe.

    The exit code is 0 when the mail is decided on, whatever was decided, and 75 when the mail server has to keep it
    and try again, whatever the reason.
    """
    try:
        _receive(to.lower())
    except CallbackError:
        raise
    except Exception as error:  # noqa: BLE001  the words of an error may be those of the mail
        raise CallbackError(f"the mail cannot be taken now: {type(error).__name__}") from None


def _receive(address: str) -> None:
    from stasis_callback import logs
    from stasis_callback.clock import Clock
    from stasis_callback.crashpoint import crashpoint
    from stasis_callback.mail.server import open_desk

    config = settings()
    raw = sys.stdin.buffer.read(config.email.size_limit_bytes + 1)
    crashpoint("mail-data")
    with store() as s:
        instances = s.email_instances.all()
        if len(instances) == 1 and not address:
            address = instances[0].name
        desk = open_desk(config, s, Clock())
        instance = desk.find(address)
        if instance is None:
            raise InvalidInput(
                f"there is no enabled e-mail instance {address!r}: see `stasis-callback email list`"
            )
        logs.configure(config.log_format)
        desk.receive(instance, raw)


def _parsed(options: list[str] | None) -> dict[str, str]:
    return parse_options(options or (), EMAIL_NAMES, "email options")


def _warn(view: EmailInstanceView) -> None:
    """What an operator should hear when setting it up."""
    own = view.configuration.settings
    if own.policy == "none":
        typer.echo(
            "warning: with policy=none anybody can write in anybody's name; the password alone protects calls"
        )
    elif own.policy == "authenticated" and not settings().email.authserv_id:
        typer.echo("warning: set email.authserv_id in the settings; until then no mail is believed")
