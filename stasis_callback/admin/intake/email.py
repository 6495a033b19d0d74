"""`email`: e-mail instances, registered senders, one-time tokens, and delivery through a pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.context import AsJson, settings, store, whole
from stasis_callback.admin.intake.instances import InstanceCommands
from stasis_callback.admin.listing import AsCsv, print_records
from stasis_callback.core.email import EmailOptions
from stasis_callback.core.errors import CallbackError, InvalidInput

if TYPE_CHECKING:
    from stasis_callback.store.intake.email_instances import EmailInstanceView

app = typer.Typer(name="email", help="E-mail instances: addresses that accept callback requests by e-mail.")

TEMPORARY_FAILURE = 75
"""EX_TEMPFAIL of sysexits.h: the mail server keeps the mail and retries. `execute` returns it for any failure."""

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="E-mail address of the instance.")]
Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Account id (not an alias).")]
Sender = Annotated[str, typer.Argument(metavar="SENDER", help="E-mail address of the sender.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Set an option (see `email options`); repeatable; `name=` restores the default.",
    ),
]


def _warn(view: EmailInstanceView) -> None:
    """Print warnings about insecure or incomplete settings."""
    own = view.configuration.settings
    if own.policy == "none":
        typer.echo("warning: with policy=none senders can be forged; only the password protects the account")
    elif own.policy == "authenticated" and not settings().email.authserv_id:
        typer.echo(
            "warning: email.authserv_id is not set: until it is, all mails are refused as unauthenticated"
        )


COMMANDS = InstanceCommands(
    noun="e-mail",
    key="address",
    settings=EmailOptions,
    instances=lambda s: s.email_instances,
    call_options=lambda view: view.configuration.call_options(),
    warn=_warn,
)


@app.command()
def add(address: Address, options: Set = None) -> None:
    """Add an e-mail instance."""
    COMMANDS.add(address.lower(), options)


@app.command("set")
def change(
    address: Address,
    options: Set = None,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Accept or reject mails.")
    ] = None,
) -> None:
    """Change the given options, all or none of them. Changes take effect from the next mail."""
    COMMANDS.change(address.lower(), options, enabled)


@app.command("list")
def list_all(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all e-mail instances with their non-default options."""
    COMMANDS.list_all(as_csv, as_json)


@app.command()
def show(address: Address, as_json: AsJson = False) -> None:
    """Show all options of an e-mail instance."""
    COMMANDS.show(address.lower(), as_json)


@app.command()
def remove(address: Address) -> None:
    """Remove an e-mail instance. Its callbacks and call records are kept."""
    COMMANDS.remove(address.lower())


@app.command("options")
def list_options(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all options with default, allowed values and meaning."""
    COMMANDS.options(as_csv, as_json)


@app.command("add-sender")
def add_sender(account: Account, sender: Sender) -> None:
    """Register a sender address for an account, required by instances with require_registered=on."""
    with store() as s, recorded(s, "email senders", account):
        added = s.email_senders.add(account, sender)
    state = "registered" if added else "already registered"
    typer.echo(f"{sender.lower()} is {state} for account {account}")


@app.command("remove-sender")
def remove_sender(account: Account, sender: Sender) -> None:
    """Remove a registered sender address."""
    with store() as s, recorded(s, "email senders", account):
        s.email_senders.remove(account, sender)
    typer.echo(f"{sender.lower()} is no longer registered for account {account}")


@app.command("senders")
def list_senders(as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """List all registered sender addresses with their accounts."""
    with store() as s:
        rows = s.email_senders.all()
    print_records(rows, ("account", "address", "created_at"), as_csv=as_csv, as_json=as_json)


@app.command("token")
def token(
    account: Account,
    count: Annotated[int, typer.Option(help="Number of tokens.", metavar="N", parser=whole(1, 1000))] = 1,
    days: Annotated[int, typer.Option(help="Validity in days.", metavar="N", parser=whole(1, 3650))] = 365,
) -> None:
    """Generate one-time tokens. Each replaces the password for one callback. Only their hashes are stored."""
    with store() as s:
        for code in s.email_senders.give_out(account, count, days):
            typer.echo(code)


@app.command("withdraw-tokens")
def withdraw_tokens(account: Account) -> None:
    """Withdraw all unused one-time tokens of an account."""
    with store() as s:
        count = s.email_senders.withdraw(account)
    typer.echo(f"{count} unused tokens of account {account} are withdrawn")


@app.command()
def receive(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="E-mail instance of the mail; not needed if there is only one.",
            metavar="ADDRESS",
            envvar=["ORIGINAL_RECIPIENT", "RECIPIENT"],
        ),
    ] = "",
) -> None:
    """Read one mail from standard input, for delivery through a mail server's pipe.

    The exit code is 0 when the mail was processed, whether accepted or refused, and 75 on any failure: the mail
    server must then keep the mail and retry.
    """
    try:
        _receive(to.lower())
    except CallbackError:
        raise
    except Exception as error:  # noqa: BLE001  an error message may contain text of the mail
        raise CallbackError(f"the mail cannot be processed now: {type(error).__name__}") from None


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
                f"{address!r} is not an enabled e-mail instance: see `stasis-callback email list`"
            )
        logs.configure(config.log_format, config.log_level)
        desk.receive(instance, raw)
