"""The health checks of `doctor`, one module for each part of an installation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def to_start(runs: bool | None) -> str:
    """Advice where the service is missed. One that `runs` already is never started a second time."""
    if runs:
        return "its process is running: see its log, and restart it (`systemctl restart stasis-callback`)"
    return "start the service (`systemctl start stasis-callback`); its log says why it does not run"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. A problem stops calls or puts money or secrets at risk; a warning does not."""

    level: Literal["ok", "warning", "problem"]
    what: str
    advice: str = ""
