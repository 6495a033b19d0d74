"""The identity of this process among those that use the database."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

ACTIVE, DRAINING = "active", "draining"
"""States of a node: one that is draining takes no more calls."""


def new_incarnation() -> str:
    """A name that no start of any node has ever had."""
    return secrets.token_hex(8)


@dataclass
class Identity:
    """This process: it works on the calls that carry its incarnation, which nobody else ever has.

    A node gets calls only after it has entered. `asterisk` is "" until it is met.
    """

    name: str
    incarnation: str = field(default_factory=new_incarnation)
    asterisk: str = ""
    asterisk_started_at: str = ""
