"""The program: the commands of `admin` and the one that runs the service. `stasis-callback` starts here."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from stasis_callback.admin.app import app, execute
from stasis_callback.admin.context import settings, store
from stasis_callback.admin.output import complain
from stasis_callback.core.errors import InvalidInput, NodeAlive


@app.command("run")
def run(
    only: Annotated[
        str, typer.Option(help="Serve the web alone; other nodes make the calls.", metavar="web")
    ] = "",
) -> None:
    """Run the service in the foreground until SIGTERM or Ctrl-C."""
    from stasis_callback import service

    if only not in ("", "web"):
        raise InvalidInput(f"--only {only!r}: the one part that can run alone is web")

    with store():  # says what is missing, where the service would make an empty database
        pass
    try:
        code = service.run(settings(), only_web=only == "web")
    except NodeAlive as error:
        complain(str(error))
        code = service.REPLACED_EXIT_CODE
    raise typer.Exit(code)


def main() -> int:
    """The console script: its exit code."""
    return execute(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
