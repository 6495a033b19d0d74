"""The request for a callback, in the same form for all triggers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Trigger = Literal["ani", "dnis", "pin", "web", "email", "message", "cli"]
MISSED_CALL = ("ani", "dnis", "pin")
"""The triggers that are missed calls."""


@dataclass(frozen=True, slots=True)
class Link:
    """A signed link to a hosted form; 0 for no limit."""

    id: str
    uses: int = 0
    """How many callbacks it may make in all."""
    money_micros: int = 0
    """None begins once its calls have cost so much; there is one at a time then."""


@dataclass(frozen=True, slots=True)
class CallbackRequest:
    """A request for a callback, before it is accepted or refused.

    `key` makes it idempotent: the same key never causes a second callback. `ani` and `dnis` are E.164 digits, or
    what came in their place; a `private` caller's number is not shown to leg B. `destination` is the number of leg B
    if the request has one ("": it is asked for in the conversation); `instance` is the web, e-mail or message
    instance that it came through.
    """

    key: str
    trigger: Trigger
    ani: str
    dnis: str
    destination: str = ""
    instance: str = ""
    private: bool = False
    reference: str = ""
    """The requester's own name for it."""
    webhooks: str = ""
    link: Link | None = None
    """The signed link that it came by."""
    source: str = ""
    """The address or sender that it came from."""
    attestation: str = ""
    """What the carrier says of the caller's number (STIR/SHAKEN): A, B, C, failed, or "" for nothing."""

    @property
    def told(self) -> str:
        """The web instance whose webhooks tell its steps: its own, or the one in `webhooks`; "" for none."""
        return self.instance if self.trigger == "web" else self.webhooks
