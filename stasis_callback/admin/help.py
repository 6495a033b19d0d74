"""Help texts: the list of commands has whole sentences, on as many lines as they need."""

from __future__ import annotations

import typer
from typer.core import TyperGroup


class FullHelp(TyperGroup):
    """A group whose `--help` does not cut off what its commands do."""

    def format_commands(self, ctx: typer.Context, formatter: typer.HelpFormatter) -> None:  # type: ignore[override, name-defined]
        """Write each visible command with the first paragraph of its help."""
        rows = [
            (name, " ".join((command.help or "").strip().partition("\n\n")[0].split()))
            for name, command in self.commands.items()
            if not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
