"""`db`: the database file and its tables."""

from __future__ import annotations

import typer

from stasis_callback.admin.context import AsJson, database_path, open_database, settings
from stasis_callback.admin.output import print_one
from stasis_callback.core.errors import CallbackError

app = typer.Typer(name="db", help="The database and its tables.")


@app.command()
def upgrade() -> None:
    """Bring the tables up to date; makes the database when there is none."""
    url = settings().database.url
    applied = create_or_upgrade(url)
    for name in applied:
        typer.echo(f"applied {name}")
    typer.echo(f"{database_path(url)} is up to date")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show which database is used and what `db upgrade` would do to it; exit code 1 when it is not up to date."""
    url = settings().database.url
    if not database_path(url).is_file():
        raise CallbackError(
            f"there is no database {database_path(url)}: `stasis-callback db upgrade` makes it"
        )
    with open_database(url) as s:
        pending = s.database.pending_migrations()
    print_one({"url": url, "up_to_date": not pending, "pending": pending}, as_json=as_json)
    raise typer.Exit(1 if pending else 0)


def create_or_upgrade(url: str) -> list[str]:
    """Migrate, on a new file that only its owner can read when there is none; the migrations applied."""
    path = database_path(url)
    if path.parent.is_dir():
        path.touch(mode=0o600)
    with open_database(url) as s:
        return s.database.migrate()
