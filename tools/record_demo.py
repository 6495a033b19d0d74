"""Records `stasis-callback demo` as an animated picture: docs/images/demo.svg.

    .venv/bin/python tools/record_demo.py

A real run on the real Asterisk: each line appears when it was printed. The picture needs no script and loads nothing;
where nothing moves (`prefers-reduced-motion`, a printer) all lines are shown at once.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from xml.sax.saxutils import escape

TARGET = Path(__file__).parents[1] / "docs" / "images" / "demo.svg"
LINES, COLUMNS = 32, 108
LINE_PX, CHAR_PX, EDGE_PX = 18, 7.8, 16
HOLD_S = 6.0
"""The finished picture stays so long before it starts again."""

STYLE = """
  text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #d6deeb; white-space: pre; }
  .prompt { fill: #7fdbca; }
  .line { animation: appear WHOLEs steps(1) infinite; }
  @media (prefers-reduced-motion: reduce) { .line { animation: none; } }
"""


def record() -> list[tuple[float, str]]:
    """The lines of a demo, each with the second at which it was printed."""
    command = [sys.executable, "-u", "-m", "stasis_callback", "demo"]
    began_s, lines = 0.0, [(0.0, "$ stasis-callback demo")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            began_s = began_s or time.monotonic() - 1.0  # starting two Asterisks is not shown
            lines.append((time.monotonic() - began_s, line.rstrip("\n")))
    if demo.returncode:
        sys.exit(f"the demo failed with exit code {demo.returncode}")
    return lines[:LINES]


def picture(lines: list[tuple[float, str]]) -> str:
    """The lines as an SVG document."""
    whole_s = lines[-1][0] + HOLD_S
    width, height = COLUMNS * CHAR_PX + 2 * EDGE_PX, len(lines) * LINE_PX + 2 * EDGE_PX
    rules, texts = [], []
    for number, (at_s, text) in enumerate(lines):
        start = 100 * at_s / whole_s
        rules.append(
            f"@keyframes l{number} {{ 0% {{ opacity: 0 }} {start:.2f}% {{ opacity: 1 }} 100% {{ opacity: 1 }} }}"
        )
        kind = "line prompt" if text.startswith("$") else "line"
        y = EDGE_PX + LINE_PX * (number + 0.75)
        texts.append(
            f'<text class="{kind}" style="animation-name: l{number}" x="{EDGE_PX}" y="{y:.0f}">'
            f"{escape(text[:COLUMNS])}</text>"
        )
    style = STYLE.replace("WHOLE", f"{whole_s:.1f}") + "\n".join(rules)
    label = "A recording of the demo: a missed call is called back, connected and charged"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{label}">\n<style>{style}</style>\n'
        f'<rect width="100%" height="100%" rx="8" fill="#011627"/>\n' + "\n".join(texts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    TARGET.write_text(picture(record()))
    print(f"{TARGET} written")
