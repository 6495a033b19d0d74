"""Entry point of `stasis-callback`: the commands of `admin`, and `run`, which runs the service."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from stasis_callback.admin.app import app, execute
from stasis_callback.admin.context import existing_database, settings
from stasis_callback.core.errors import InvalidInput


@app.command("run")
def run(
    only: Annotated[
        str, typer.Option(help="Run only the web server; other nodes make the calls.", metavar="web")
    ] = "",
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Start even if another process is connected; that process stops."),
    ] = False,
) -> None:
    """Run the service in the foreground until SIGTERM or Ctrl-C.

    The service first opens its ports, then waits for the database if it is unavailable. Exit codes: 2 if the settings
    are invalid or a port is in use, 3 if another process took over, 4 if another process is already connected.
    """
    from stasis_callback import service

    if only not in ("", "web"):
        raise InvalidInput(f"--only {only!r} is not supported: the only part that can run alone is web")

    existing_database()  # reports a missing database, which the service would otherwise create
    raise typer.Exit(service.run(settings(), only_web=only == "web", take_over=take_over))


def main() -> int:
    """The console script. Returns the exit code."""
    return execute(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
