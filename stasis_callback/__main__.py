"""Entry point of `stasis-callback`: the commands of `admin`, and `run`, which runs the service."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, cast, get_args

import typer

from stasis_callback.admin.app import app, execute
from stasis_callback.admin.context import existing_database, invocation, settings
from stasis_callback.admin.operators import users
from stasis_callback.core.errors import InvalidInput


@app.command("run")
def run(
    only: Annotated[
        str,
        typer.Option(
            help="Run only the web server, while other nodes make the calls; or only what forwards the CEL journal "
            "to other nodes, beside the service.",
            metavar="web|journal",
        ),
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
    from stasis_callback.process import Only

    if only not in get_args(Only):
        raise InvalidInput(
            f"--only {only!r} is not supported: the parts that can run alone are web and journal"
        )

    existing_database()  # reports a missing database, which the service would otherwise create
    code = service.run(settings(), only=cast(Only, only), take_over=take_over, console=_console())
    raise typer.Exit(code)


@users.app.command("serve")
def serve(
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="Also end when standard input does, as `run` wants it.")
    ] = False,
) -> None:
    """Serve the console in the foreground until SIGTERM or Ctrl-C.

    `run` does so by itself when there is an operator. This is for a console on another machine, with the same
    database; there it can neither hang up calls nor check Asterisk.
    """
    from stasis_callback.console.server import serve as serve_console

    existing_database()
    raise typer.Exit(serve_console(settings(), with_parent=with_parent))


def _console() -> Sequence[str]:
    """How `run` starts the console."""
    config = ["--config", str(invocation.config)] if invocation.config else []
    return [sys.executable, "-m", "stasis_callback", *config, "console", "serve", "--with-parent"]


def main() -> int:
    """The console script. Returns the exit code."""
    return execute(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
