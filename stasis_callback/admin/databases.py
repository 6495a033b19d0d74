"""`db`: the database and its tables."""

from __future__ import annotations

from typing import Annotated

import typer

from stasis_callback.admin.context import AsJson, database_file, open_database, settings, shown_url
from stasis_callback.admin.output import print_one, progress_bar
from stasis_callback.core.errors import CallbackError

app = typer.Typer(name="db", help="The database and its tables.")


@app.command()
def upgrade() -> None:
    """Bring the tables up to date; makes the file when there is none."""
    url = settings().database.url
    applied = create_or_upgrade(url)
    for name in applied:
        typer.echo(f"applied {name}")
    typer.echo(f"{shown_url(url)} is up to date")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show which database is used and what `db upgrade` would do to it; exit code 1 when it is not up to date."""
    url = settings().database.url
    file = database_file(url)
    if file and not file.is_file():
        raise CallbackError(f"there is no database {file}: `stasis-callback db upgrade` makes it")
    with open_database(url) as s:
        pending = s.database.pending_migrations()
    shown = url if file else shown_url(url)
    print_one({"url": shown, "up_to_date": not pending, "pending": pending}, as_json=as_json)
    raise typer.Exit(1 if pending else 0)


@app.command()
def copy(
    to: Annotated[
        str,
        typer.Option(
            help="The other database, empty: postgresql://user@host/name or sqlite:///file.", metavar="URL"
        ),
    ],
) -> None:
    """Copy everything into another, empty database, and compare the sums. The service must be stopped.

    All or nothing. Afterwards put the new address into the settings.
    """
    from stasis_callback.store.copying import copy_database

    source = settings().database.url
    file = database_file(to)
    if file and file.parent.is_dir():
        file.touch(mode=0o600)
    with progress_bar("rows") as progress:
        copied = copy_database(source, to, progress)
    for table, rows in copied.items():
        typer.echo(f"{table}: {rows}")
    with open_database(to) as s:
        from stasis_callback.store.audit import verify

        wrong = verify(s.database, s.tariffs, whole=True)
    for sentence in wrong:
        typer.echo(sentence)
    if wrong:
        raise CallbackError(
            "the copy is complete, but the ledger in it is not in order: keep the old database"
        )
    typer.echo(
        f"{sum(copied.values())} rows are in {shown_url(to)}; every sum agrees, the ledger is in order"
    )


def create_or_upgrade(url: str) -> list[str]:
    """Migrate, on a new file that only its owner can read when there is none; the migrations applied."""
    file = database_file(url)
    if file and file.parent.is_dir():
        file.touch(mode=0o600)
    with open_database(url) as s:
        return s.database.migrate()
