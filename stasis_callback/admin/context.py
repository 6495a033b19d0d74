"""What every command shares: the options before its name, the settings, and the open database."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stasis_callback.clock import Clock
from stasis_callback.core.errors import CallbackError, InvalidInput

if TYPE_CHECKING:
    from stasis_callback.ari.client import AriClient
    from stasis_callback.settings import Settings
    from stasis_callback.store.calls.requests import RequestView
    from stasis_callback.store.stores import Stores

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@dataclass
class Invocation:
    """What was written before the command's name."""

    config: Path | None = None
    debug: bool = False


invocation = Invocation()


def settings() -> Settings:
    """The settings of this node. Raises InvalidInput that names what is wrong."""
    from stasis_callback.settings import load_settings

    try:
        return load_settings(invocation.config)
    except ValueError as error:  # a table's environment variable that is no JSON
        raise InvalidInput(f"the environment: {error}") from None


def database_file(url: str) -> Path | None:
    """The file behind `sqlite:///file`; None for a server."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def shown_url(url: str) -> str:
    """A database's URL for people: without the password in it, a file by its path."""
    file = database_file(url)
    return str(file) if file else re.sub(r"(//[^:/@]*):[^@/]*@", r"\1:***@", url)


def existing_database() -> str:
    """The database's URL. Raises CallbackError when its file is not there: to open it would make an empty one."""
    from stasis_callback.settings import find_config

    url = settings().database.url
    file = database_file(url)
    if file and not file.is_file():
        remedy = "db upgrade` to create it" if find_config(invocation.config) else "init`"
        raise CallbackError(f"there is no database {file}: run `stasis-callback {remedy}")
    return url


@contextmanager
def store() -> Iterator[Stores]:
    """The database, open and up to date. Raises CallbackError that says which command makes it so."""
    with open_database(existing_database()) as stores:
        if stores.database.pending_migrations():
            raise CallbackError("the database is not up to date: run `stasis-callback db upgrade`")
        yield stores


@contextmanager
def open_database(url: str) -> Iterator[Stores]:
    """The database in whatever state it is. Raises CallbackError when it cannot be opened."""
    from stasis_callback.store.stores import open_stores

    stores = open_stores(url, "admin", Clock())
    try:
        yield stores
    finally:
        stores.database.close()


@contextmanager
def asterisk(config: Settings) -> Iterator[AriClient]:
    """Commands to this node's Asterisk. Raises InvalidInput when the settings cannot be right, AriError later."""
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
    """A callback by its id. Raises InvalidInput when there is none."""
    if not stores.requests.exists(request_id):
        raise InvalidInput(f"there is no request {request_id!r}: see `stasis-callback request list`")
    return stores.requests.get(request_id)


def operator() -> str:
    """Who enters this: the user of the operating system, kept with what moves money."""
    try:
        return getpass.getuser()[:64]
    except (KeyError, OSError):
        return str(os.getuid())


# --- what people type ------------------------------------------------------------------------------------------


def whole(least: int, most: int) -> Callable[[str | int], int]:
    """A parser of whole numbers for an option. ASCII digits only: `int` alone takes any script's."""

    def number(text: str | int) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", str(text), re.ASCII) or not least <= int(text) <= most:
            raise typer.BadParameter(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return number


def instant_us(text: str) -> int:
    """A time in ISO 8601 as microseconds since the epoch; UTC where it names no zone. Raises InvalidInput."""
    try:
        moment = datetime.fromisoformat(text if text.isascii() else "")
    except ValueError:
        moment = datetime.min
    if not 2000 <= moment.year <= 2999:
        raise InvalidInput(
            f"{text[:40]!r} is not a time: write it like 2027-01-31T18:00, 2027-01-31T18:00+01:00 or 2027-01-31 "
            "(UTC where no zone is named)"
        )
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def printable(text: str, what: str, limit: int = 200) -> str:
    """`text` when it can be shown on one line. Raises InvalidInput otherwise."""
    if len(text) > limit or not text.isprintable():
        raise InvalidInput(f"{what} {text[:40]!r}: at most {limit} printable characters")
    return text


def require_language(language: str) -> None:
    """Raises InvalidInput when there are no prompts in `language`."""
    from stasis_callback.ivr.prompts import languages
    from stasis_callback.resources import sounds_dir

    known = languages(sounds_dir())
    if language not in known:
        raise InvalidInput(f"there are no prompts in {language!r}: there are {', '.join(known)}")


def require_change(*values: object) -> None:
    """Raises InvalidInput when a `set` command was given nothing to set."""
    if all(value is None for value in values):
        raise InvalidInput("there is nothing to change: give at least one option, see --help")
