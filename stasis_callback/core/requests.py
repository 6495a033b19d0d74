"""What every trigger produces: one frozen request for a callback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Trigger = Literal["ani", "dnis", "pin", "web", "email", "cli"]
MISSED_CALL = ("ani", "dnis", "pin")
"""The triggers that are a missed call."""


@dataclass(frozen=True, slots=True)
class CallbackRequest:
    """A callback somebody asked for, before it is accepted or refused.

    `key` makes it happen once: the same key never leads to a second callback. `ani` and `dnis` are as the network
    delivered them. `destination` is the number leg B will call when the request brings it along ("": it is asked for
    in the conversation), `instance` the web or e-mail instance it came through.
    """

    key: str
    trigger: Trigger
    ani: str
    dnis: str
    destination: str = ""
    instance: str = ""
