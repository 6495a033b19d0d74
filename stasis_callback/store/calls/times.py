"""The times that call records are added up for: hours, days and blocks of 32 days, all of UTC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stasis_callback.clock import US_PER_S

HOUR_US = 3600 * US_PER_S
LEVELS = (768, 24, 1)
"""How many hours the times have that are added up, the longest first; each is some of the next."""
BLOCK_US = LEVELS[0] * HOUR_US
"""The longest of them."""


@dataclass(frozen=True, slots=True)
class TimePiece:
    """A time that is some whole ones of `hours` hours; of 0 where it is none, and its call records are to be read."""

    hours: int
    from_us: int
    to_us: int


def pieces(from_us: int, to_us: int, levels: Sequence[int] = LEVELS) -> Iterator[TimePiece]:
    """A time from `from_us` on and before `to_us`, in pieces as long as possible, in order."""
    if from_us >= to_us:
        return
    if not levels:
        yield TimePiece(0, from_us, to_us)
        return
    long_us = levels[0] * HOUR_US
    first_us, last_us = -(-from_us // long_us) * long_us, to_us // long_us * long_us
    if first_us >= last_us:
        yield from pieces(from_us, to_us, levels[1:])
        return
    yield from pieces(from_us, first_us, levels[1:])
    yield TimePiece(levels[0], first_us, last_us)
    yield from pieces(last_us, to_us, levels[1:])
