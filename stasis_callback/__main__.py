"""The program: the commands of `admin` and the one that runs the service. `stasis-callback` starts here."""

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
        str, typer.Option(help="Serve the web alone; other nodes make the calls.", metavar="web")
    ] = "",
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Run even where another process is connected: that one stops."),
    ] = False,
) -> None:
    """Run the service in the foreground until SIGTERM or Ctrl-C.

    Ports are had first; a database that is away is waited for. The exit code is 2 when something is wrong with the
    settings or a port is in use, 3 when another process took over, 4 when another one is connected already.
    """
    from stasis_callback import service

    if only not in ("", "web"):
        raise InvalidInput(f"--only {only!r}: the one part that can run alone is web")

    existing_database()  # says what is missing, where the service would make an empty one
    raise typer.Exit(service.run(settings(), only_web=only == "web", take_over=take_over))


def main() -> int:
    """The console script: its exit code."""
    return execute(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
