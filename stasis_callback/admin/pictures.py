"""What a telephone reads from a screen: QR codes, on a terminal and in the console."""

from __future__ import annotations

import io
import sys

import typer

from stasis_callback.admin.taking import taken


def print_qr(text: str) -> None:
    """Show a text as a QR code; nothing in a pipe."""
    caller = taken()
    if caller is None and not sys.stdout.isatty():
        return
    import segno  # only when one is drawn

    code, picture = segno.make(text, micro=False), io.StringIO()
    if caller is None:
        code.terminal(picture, compact=True)
        typer.echo(picture.getvalue())
    else:
        caller.picture(code.svg_inline(scale=5, dark="#000", light="#fff", omitsize=False))
