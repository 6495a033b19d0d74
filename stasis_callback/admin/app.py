"""The command line: `stasis-callback <noun> <verb>`. Registers all nouns and turns errors into one sentence."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Sequence
from copy import copy
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.main import get_command
from typer.models import TyperInfo

from stasis_callback.admin import audit
from stasis_callback.admin.accounts import batches, customers, fraud, products, vouchers
from stasis_callback.admin.calls import calls, reports, requests, why, xdrs
from stasis_callback.admin.context import invocation, printable, process_user
from stasis_callback.admin.elsewhere import commands as elsewhere
from stasis_callback.admin.help import FullHelp
from stasis_callback.admin.intake import access_numbers, api_keys, email, messages, never_call, opt_outs, web
from stasis_callback.admin.money import account_money as _account_money  # noqa: F401 - adds to `account`
from stasis_callback.admin.money import ledgers, payment_hooks
from stasis_callback.admin.money import statements as _statements  # noqa: F401 - adds to `account`, `customer`
from stasis_callback.admin.node import (
    backups,
    config,
    databases,
    doctor,
    installation,
    nodes,
    sounds,
    translations,
)
from stasis_callback.admin.operators import users
from stasis_callback.admin.output import complain
from stasis_callback.admin.rates import rates, routes, tariff_upkeep, trunks, vendors
from stasis_callback.core.errors import CallbackError, StoreUnavailable

NAME = "stasis-callback"

RUN_OTHERS = ("init",)
"""Commands that run other ones."""
# Plain help instead of boxes: `--help` then does not import rich and starts in half the time.
app = typer.Typer(name=NAME, cls=FullHelp, rich_markup_mode=None, pretty_exceptions_enable=False)
app.command("init")(installation.init)
for noun in (
    customers, tariff_upkeep, rates, products, batches, vouchers, vendors, trunks, routes, access_numbers,
    translations, requests, calls, xdrs, reports, ledgers, payment_hooks, web, email, messages, api_keys, opt_outs,
    never_call, fraud, nodes, audit, users, config, sounds, databases, elsewhere,
):  # fmt: skip
    app.add_typer(noun.app, cls=FullHelp)
app.command("doctor")(doctor.doctor)
app.command("why")(why.why)
app.command("backup")(backups.backup)
app.command("restore")(backups.restore)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"{NAME} {version(NAME)}")
        raise typer.Exit()


@app.callback()
def root(
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Settings file [default: $STASIS_CALLBACK_CONFIG, ./stasis-callback.toml, "
            "/etc/stasis-callback/stasis-callback.toml; the first one found].",
            metavar="FILE",
        ),
    ] = None,
    name: Annotated[
        str,
        typer.Option(
            "--as",
            help="Who you are, for the audit log and the ledger [default: who called sudo, or logged in].",
            metavar="NAME",
        ),
    ] = "",
    debug: Annotated[bool, typer.Option("--debug", help="Print a traceback on unexpected errors.")] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Callback calling on Asterisk: missed calls are called back, connected and charged."""
    invocation.config, invocation.debug = config_file, debug
    invocation.operator = printable(name, "name of the operator", 64).strip()


@app.command("demo")
def demo(
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Use the included simulated Asterisk instead of a real one.")
    ] = False,
) -> None:
    """Run a demonstration: one callback, from the missed call to the call records.

    Where no real Asterisk can run, the included simulated one takes its place.
    """
    from stasis_callback.admin.node.demo import run_demo

    raise typer.Exit(run_demo(simulated))


@app.command("docs", hidden=True)
def docs() -> None:
    """Print docs/reference/cli.md."""
    from stasis_callback.admin.node.reference import cli_reference

    typer.echo(cli_reference(get_command(app)), nl=False)


def tree(first: str = "") -> TyperGroup:
    """All commands, ready to be run; with `first`, the first word of a command line, those that it can mean.

    To make all takes longer than most commands do. Whoever adds one to `app` must have done so before.
    """
    if first in (command.name for command in app.registered_commands if command.name not in RUN_OTHERS):
        return _made(())
    nouns = tuple(group for group in app.registered_groups if _name(group) == first)
    return _made(nouns or tuple(app.registered_groups))


def _name(noun: TyperInfo) -> str:
    assert noun.typer_instance is not None
    return str(noun.typer_instance.info.name)


@cache
def _made(nouns: tuple[TyperInfo, ...]) -> TyperGroup:
    part = copy(app)
    part.registered_groups = list(nouns)
    made = get_command(part)
    assert isinstance(made, TyperGroup)
    return made


def execute(arguments: Sequence[str]) -> int:
    """Run one command. Exit code: 0 done, 1 findings or a failure, 2 invalid input (nothing changed), 130 Ctrl-C.

    `email receive` exits with EX_TEMPFAIL on every failure, even a mistyped option: on this code the mail server
    keeps the mail and retries, on any other it bounces the mail.
    """
    with invocation.of_one_command():
        code = _executed(arguments)
    return email.TEMPORARY_FAILURE if code and ("email", "receive") in pairwise(arguments) else code


def _executed(arguments: Sequence[str]) -> int:
    if any(not _is_text(argument) for argument in arguments):
        complain("an argument is not valid UTF-8 text")
        return 2
    try:
        code = tree(*arguments[:1]).main(list(arguments) or ["--help"], NAME, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except typer.TyperException as error:
        complain((_of_negative(error) or error.format_message()) + _help_hint(error))
    except CallbackError as error:
        complain(str(error))
        return 1 if isinstance(error, StoreUnavailable) else 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        return _silence_stdout()
    except OSError as error:
        if invocation.debug:
            traceback.print_exc()
        complain(_of_system(error))
    except Exception as error:  # noqa: BLE001  last resort: one sentence instead of a stack trace
        if invocation.debug:
            traceback.print_exc()
        complain(f"unexpected {type(error).__name__}: {error} (for a traceback run {NAME} --debug ...)")
        return 1
    return 2


_TO_DO = {
    errno.ENOSPC: "free some space on its disk, or take another place",
    errno.EDQUOT: "free some space of your quota, or take another place",
    errno.EROFS: "mount its disk writable, or take another place",
}


def _of_system(error: OSError) -> str:
    """What the system has refused, in words that fit the cause."""
    if isinstance(error, PermissionError) and error.filename:
        return (
            f"user {process_user()} may not read or write {error.filename}: change its owner or mode, or that of its "
            "folder, or take another place"
        )
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return f"{what}: {_TO_DO[error.errno]}" if error.errno in _TO_DO else what


def _is_text(argument: str) -> bool:
    """False if `argument` came from bytes that are not UTF-8; such text can be neither stored nor printed."""
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def _of_negative(error: typer.TyperException) -> str:
    """What to type in place of a negative number that was read as an option; "" for other errors."""
    option = str(getattr(error, "option_name", ""))
    context = getattr(error, "ctx", None)
    if context is None or not re.fullmatch(r"-[0-9.]", option[:2]):
        return ""
    amounts = [p for p in context.command.params if p.metavar == "AMOUNT" and p.param_type_name == "option"]
    required = next((p.opts[0] for p in amounts if p.required), "")
    if required:
        return f"a negative amount is written with its option, for example {required}=-5"
    return f"{option} is read as an option: write arguments that begin with - at the end, behind --"


def _help_hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see `{context.command_path} --help`)" if context else ""


def _silence_stdout() -> int:
    """Standard output was closed by its reader (`| head`): exit without a message."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
