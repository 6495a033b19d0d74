"""What `doctor` looks at, a module for each part of an installation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. A warning does not stop calls; a problem does, or puts money or secrets at risk."""

    level: Literal["ok", "warning", "problem"]
    what: str
    advice: str = ""
