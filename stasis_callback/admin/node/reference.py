"""Generates docs/reference/cli.md from the commands; a test fails if the page is out of date.

stasis-callback docs > docs/reference/cli.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

WIDTH = 100

HEAD = """\
# Commands

<!-- Made by `stasis-callback docs > docs/reference/cli.md`: do not edit. -->

Usage: `stasis-callback <noun> <verb>`, or `python -m stasis_callback <noun> <verb>`. All listings have `--json` for
programs: amounts are given as text (`"balance": "1.50"`) and in millionths (`"balance_micros": 1500000`), times
in ISO 8601, UTC. The [options of an access number](options.md) have their own page.

| Exit code | Meaning |
|---|---|
| 0 | Done. |
| 1 | `doctor`, `ledger verify` or `db status` found a problem, `access-number test` refused, or the command failed. |
| 2 | Invalid input or incomplete setup. An error message says what is wrong; nothing was changed. |
| 130 | Interrupted with Ctrl-C. |
"""


def commands(command: Any, context: typer.Context | None = None) -> Iterator[tuple[Any, Any]]:
    """All commands and groups below `command`, each with its context; hidden ones are omitted."""
    name = "stasis-callback" if context is None else command.name
    own = command.context_class(command, info_name=name, parent=context, terminal_width=WIDTH)
    yield command, own
    for inner in getattr(command, "commands", {}).values():
        if not inner.hidden:
            yield from commands(inner, own)


def cli_reference(root: Any) -> str:
    """The page in Markdown."""
    parts = [HEAD]
    for command, context in commands(root):
        level = "##" if hasattr(command, "commands") else "###"
        parts.append(f"{level} {context.command_path}\n\n```\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)
