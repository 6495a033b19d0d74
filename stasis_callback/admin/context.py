"""Shared by all commands: global options, settings, the open database, and parsers of arguments."""

from __future__ import annotations

import getpass
import os
import pwd
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from stasis_callback.admin.taking import taken
from stasis_callback.clock import Clock
from stasis_callback.core.errors import CallbackError, InvalidInput
from stasis_callback.core.numbers import is_dialable
from stasis_callback.disk import sqlite_file

if TYPE_CHECKING:
    from stasis_callback.ari.client import AriClient
    from stasis_callback.settings import Settings
    from stasis_callback.store.calls.requests import RequestView
    from stasis_callback.store.stores import Stores

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


_OPERATOR: ContextVar[str] = ContextVar("named operator", default="")


@dataclass
class Invocation:
    """The global options, given before the command name."""

    config: Path | None = None
    debug: bool = False

    @property
    def operator(self) -> str:
        """Who is at work, in this context."""
        return _OPERATOR.get()

    @operator.setter
    def operator(self, name: str) -> None:
        _OPERATOR.set(name)

    @contextmanager
    def of_one_command(self) -> Iterator[None]:
        """What a command is given here ends with it, also where the next one runs in the same process."""
        before = self.config, self.debug, self.operator
        try:
            yield
        finally:
            self.config, self.debug, self.operator = before


invocation = Invocation()


def settings() -> Settings:
    """The settings of this node. Raises InvalidInput, which names the invalid setting."""
    from stasis_callback.settings import load_settings

    try:
        return load_settings(invocation.config)
    except ValueError as error:  # an environment variable for a whole table that is not JSON
        raise InvalidInput(f"invalid environment variable: {error}") from None


def shown_url(url: str) -> str:
    """A database URL to display: a file as its path, a server without its password."""
    file = sqlite_file(url)
    if file:
        return str(file)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", re.sub(r"(//[^:/@]*):[^@/]*@", r"\1:***@", url))


def existing_database() -> str:
    """The database URL. Raises CallbackError if its file does not exist, because opening it would create one."""
    from stasis_callback.settings import find_config

    url = settings().database.url
    file = sqlite_file(url)
    if file and not file.is_file():
        remedy = "db upgrade` to create it" if find_config(invocation.config) else "init`"
        raise CallbackError(f"database {file} does not exist: run `stasis-callback {remedy}")
    return url


@contextmanager
def store() -> Iterator[Stores]:
    """The open database. Raises CallbackError if it does not exist or needs a migration."""
    with open_database(existing_database()) as stores:
        stores.database.check_schema()
        yield stores


@contextmanager
def open_database(url: str) -> Iterator[Stores]:
    """The open database, without checking its migrations. Raises CallbackError if it cannot be opened."""
    from stasis_callback.store.stores import open_stores

    if caller := taken():  # it keeps its database open, and a process has one
        if url != caller.stores.database.url:
            raise InvalidInput("another database can only be opened on the command line")
        caller.stores.database.operator = operator()
        yield caller.stores
        return
    _require_access(url)
    fraud = settings().fraud
    stores = open_stores(url, "admin", Clock(), fraud.budgets, fraud.alarms)
    stores.database.operator = operator()
    try:
        yield stores
    finally:
        stores.database.close()


def _require_access(url: str) -> None:
    """Raises CallbackError if the database is a file that is another user's, and not ours to write."""
    file = sqlite_file(url)
    try:
        if not file or file.stat().st_uid == os.geteuid() or os.access(file, os.R_OK | os.W_OK):
            return
        owner = file.owner()
    except (OSError, KeyError):
        return  # what is wrong with it, who opens it tells
    raise CallbackError(
        f"user {process_user()} may not use the database {file}: run the command as its owner, for example with "
        f"`runuser -u {owner} -- stasis-callback ...`"
    )


def secret_input(what: str, *, confirmed: bool = False) -> str:
    """A secret: typed without echo, twice if `confirmed`, or a line of standard input; "" if there is none.

    Arguments would be visible to all users of the machine.
    """
    if caller := taken():
        return caller.asked(what)
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True, confirmation_prompt=confirmed, err=True))
    return str(typer.get_text_stream("stdin", errors="replace").readline()).rstrip("\r\n")


@contextmanager
def asterisk(config: Settings) -> Iterator[AriClient]:
    """An ARI client for this node's Asterisk. Raises InvalidInput for invalid settings; its calls raise AriError."""
    from stasis_callback.ari.client import AriClient

    try:
        client = AriClient.of(config.ari)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    try:
        yield client
    finally:
        client.close()


def find_request(stores: Stores, request_id: str) -> RequestView:
    """A callback request by its id. Raises InvalidInput if it does not exist."""
    if not stores.requests.exists(request_id):
        raise InvalidInput(f"unknown request {request_id!r}: see `stasis-callback request list`")
    return stores.requests.get(request_id)


def operator() -> str:
    """Who runs the command, stored with every change: `--as`, or who called `sudo`, or who logged in."""
    if invocation.operator:
        return invocation.operator
    try:
        return (os.environ.get("SUDO_USER") or _logged_in() or getpass.getuser())[:64]
    except (KeyError, OSError):
        return str(os.getuid())


def process_user() -> str:
    """The user of this process, by name where there is one."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


_NOBODY_LOGGED_IN = 2**32 - 1


def _logged_in(path: Path = Path("/proc/self/loginuid")) -> str:
    """The user who logged in, also after `su` or `runuser`; "" if the kernel does not know."""
    try:
        user_id = int(path.read_text("ascii"))
        return "" if user_id == _NOBODY_LOGGED_IN else pwd.getpwuid(user_id).pw_name
    except (OSError, ValueError, KeyError):
        return ""


# --- argument parsers ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """A parser of whole numbers from `least` to `most`. ASCII digits only; `int` would accept those of any script."""

    least: int
    most: int
    __name__: ClassVar[str] = "whole number"  # typer asks parsers for it

    def __call__(self, text: str | int) -> int:
        """The number. Raises typer.BadParameter."""
        if not re.fullmatch(r"[0-9]{1,12}", str(text), re.ASCII) or not self.least <= int(text) <= self.most:
            raise typer.BadParameter(f"{text!r} is not a whole number between {self.least} and {self.most}")
        return int(text)


def whole(least: int, most: int) -> WholeNumber:
    """A parser of whole numbers from `least` to `most`."""
    return WholeNumber(least, most)


def printable(text: str, what: str, limit: int = 200) -> str:
    """Returns `text`. Raises InvalidInput if it is too long or has unprintable characters."""
    if len(text) > limit or not text.isprintable():
        raise InvalidInput(f"{what} {text[:40]!r} is invalid: write at most {limit} printable characters")
    return text


def phone_number(text: str) -> str:
    """E.164 digits for an international number as people write it. Raises InvalidInput."""
    from stasis_callback.core.numbering import read_number

    number = read_number(text)
    if number is None:
        raise InvalidInput(
            f"{text[:40]!r} is not a phone number: write it with its country code, for example 420212345678"
        )
    return number


def digits(text: str) -> str:
    """The digits with which numbers begin, as people write it: `+44 20`, `004420`, `4420`. Raises InvalidInput."""
    from stasis_callback.core.numbering import read_beginning

    found = (read_beginning(text) if text else "") or text.removeprefix("+").replace(" ", "")
    if not re.fullmatch("[0-9]{0,20}", found, re.ASCII) or bool(found) != bool(text):
        raise InvalidInput(
            f"{text[:40]!r} is not the beginning of a phone number: write digits, for example 4420"
        )
    return found


def own_number(text: str) -> str:
    """The digits of an access number: those that a trunk delivers, or an international number as people write it.

    Raises InvalidInput.
    """
    return text if is_dialable(text) else phone_number(text)


def require_language(language: str) -> None:
    """Raises InvalidInput if there are no prompts in `language`."""
    from stasis_callback.ivr import prompts
    from stasis_callback.resources import sounds_dir

    prompts.require_language(sounds_dir(), language)


def require_change(*values: object) -> None:
    """Raises InvalidInput if a `set` command was given no option."""
    if all(value is None for value in values):
        raise InvalidInput("nothing to change: give at least one option, see --help")
