"""Asterisk's clock and our steady one as one number of seconds, for what is tested beside them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from stasis_callback.clock import US_PER_S


def one_clock(now_s: Callable[[], float]) -> Any:
    """Stands for an `AsteriskTime` that is always sure."""
    return SimpleNamespace(
        now_us=lambda: int(now_s() * US_PER_S),
        at_us=lambda steady_s: int(steady_s * US_PER_S),
        steady_s=lambda at_us: at_us / US_PER_S,
        between_s=lambda at_us, *_: (at_us / US_PER_S, at_us / US_PER_S),
    )
