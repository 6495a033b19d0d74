"""What another version may have stored is read as far as it can be used, and what cannot be used is told once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TypeVar

import structlog

from stasis_callback.core.stored_options import StoredOptions, Usable

log = structlog.get_logger()
C = TypeVar("C")


def usable(of: str, kind: StoredOptions[C], stored: Mapping[str, str]) -> Usable[C]:
    """The options of a row; `of` says in the log whose they are."""
    found: Usable[C] = _usable(of, kind, tuple(stored.items()))
    return found


@lru_cache(maxsize=1024)
def _usable(of: str, kind: StoredOptions[C], stored: tuple[tuple[str, str], ...]) -> Usable[C]:
    """The same texts come with each call, and several times in a call."""
    found = kind.read(dict(stored))
    for name, error in found.ignored.items():
        tell_unusable(of, name, error)
    return found


@lru_cache(maxsize=1024)
def tell_unusable(of: str, option: str, error: str) -> None:
    """Say, once in a process, that a stored value does not count as it is."""
    log.warning("options.unusable", of=of, option=option, error=error)
