"""Makes docs/reference/cli.md from the commands themselves; a test fails when it is out of date.

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

`stasis-callback <noun> <verb>`; `python -m stasis_callback` is the same. Every listing has `--json` for
programs: amounts are given as text (`"balance": "1.50"`) and in millionths (`"balance_micros": 1500000`), times
in ISO 8601, UTC. [Options of an access number](options.md) are on a page of their own.

| Exit code | Meaning |
|---|---|
| 0 | Done. |
| 1 | `doctor`, `ledger verify` or `db status` found something, `access-number test` says no, or a fault. |
| 2 | What was entered cannot be used, or something is not set up: one sentence says what; nothing was changed. |
| 130 | Ended with Ctrl-C. |
"""


def commands(command: Any, context: typer.Context | None = None) -> Iterator[tuple[Any, Any]]:
    """Every command and group below `command` with its context, hidden ones left out."""
    name = "stasis-callback" if context is None else command.name
    own = command.context_class(command, info_name=name, parent=context, terminal_width=WIDTH)
    yield command, own
    for inner in getattr(command, "commands", {}).values():
        if not inner.hidden:
            yield from commands(inner, own)


def cli_reference(root: Any) -> str:
    """The whole page."""
    parts = [HEAD]
    for command, context in commands(root):
        level = "##" if hasattr(command, "commands") else "###"
        parts.append(f"{level} {context.command_path}\n\n```\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)
