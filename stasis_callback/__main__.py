"""The program: the commands of `admin` and the one that runs the service. `stasis-callback` starts here."""

from __future__ import annotations

import sys

import typer

from stasis_callback.admin.app import app, execute
from stasis_callback.admin.context import settings, store


@app.command("run")
def run() -> None:
    """Run the service in the foreground until SIGTERM or Ctrl-C."""
    from stasis_callback import service

    with store():  # says what is missing, where the service would make an empty database
        pass
    raise typer.Exit(service.run(settings()))


def main() -> int:
    """The console script: its exit code."""
    return execute(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
