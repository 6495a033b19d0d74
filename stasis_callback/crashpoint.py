"""Named points where a test can have the process killed, as `kill -9` does: no handler runs, nothing is flushed.

`STASIS_CALLBACK_CRASH_AT=leg-ended` kills at that point. Without the variable this is one comparison.
"""

from __future__ import annotations

import os
import signal

_CRASH_AT = os.environ.get("STASIS_CALLBACK_CRASH_AT", "")


def crashpoint(name: str) -> None:
    """Kill the process here if the environment variable names this point."""
    if _CRASH_AT and name == _CRASH_AT:
        os.kill(os.getpid(), signal.SIGKILL)
