"""What happens in a simulation, as data: it can be printed, and kept as a test. `planner` draws it from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import TypeAdapter

from .money import PriceList
from .people import Script

HOME, ABROAD, FREE, DEAR, FORBIDDEN = "4202", "4420", "800", "4312", "882"
ACCESS, PIN_ACCESS, INTERNAL = "420800123456", "420800765432", "internal1"

Trigger = Literal["missed", "dnis", "order"]
FaultKind = Literal[
    "ari 503", "ari slow", "ari answer lost", "ari flaky", "store flaky", "websocket dropped", "websocket half open",
    "events twice", "events late", "asterisk frozen", "asterisk crashed", "asterisk restarted", "power cut",
    "service killed", "service stopped", "service clock", "asterisk clock", "machine clock", "database locked",
    "database full", "database away", "error before commit", "error after commit", "trunk congested",
    "journal unreadable", "websocket refused", "websocket deaf",
]  # fmt: skip
FAULTS: tuple[FaultKind, ...] = get_args(FaultKind)

Moment = Literal[
    "incoming", "A called", "A answered", "A keyed", "B called", "B answered", "B ended", "A ended",
    "request", "commit", "committed", "linked", "B held",
]  # fmt: skip
"""What a fault may wait for. `A keyed`: the end of a number. `request`: the service sends one to Asterisk. `commit`,
`committed`: just before and just after one. `linked`: the application's websocket is connected. `B held`: just
after the commit that holds for a leg B.
"""
MOMENTS: tuple[Moment, ...] = get_args(Moment)

DeedKind = Literal["top up", "block", "unblock", "take back"]


@dataclass(frozen=True)
class Fault:
    """A fault. `seconds` is its duration, or by how much a clock is stepped."""

    at_s: float
    """So long after the start; or, with `when`, after the `turn`-th time that this happens."""
    kind: FaultKind
    seconds: float = 0.0
    count: int = 1
    """How often; of what is flaky, in how many of a hundred, and so of events twice (1: half of them); of late
    events, 2 when they overtake others.
    """
    path: str = ""
    """Of ARI requests: a regular expression."""
    when: Moment | Literal[""] = ""
    turn: int = 1


@dataclass(frozen=True)
class Business:
    """Tariffs, trunks and access numbers: the same for many simulations."""

    prices: tuple[PriceList, ...]
    credits: tuple[int, ...]
    """The credit limit of each subscriber, in micros."""
    trunk_limits: tuple[int | None, ...] = ()
    """How many calls each of two trunks carries; empty for the one of the settings."""


@dataclass(frozen=True)
class Subscriber:
    """An account and its phone."""

    number: str
    funds_micros: int
    scripts: tuple[Script, ...] = ()
    pin: str = ""


@dataclass(frozen=True)
class Asked:
    """A request for a callback."""

    at_s: float
    trigger: Trigger
    subscriber: int
    destination: str = ""


@dataclass(frozen=True)
class Deed:
    """An action of an operator or a web user during the simulation."""

    at_s: float
    kind: DeedKind
    subscriber: int
    amount_micros: int = 0


@dataclass(frozen=True)
class Plan:
    """One simulation."""

    seed: int
    business: Business
    options: dict[str, str]
    subscribers: tuple[Subscriber, ...]
    friends: dict[str, tuple[Script, ...]]
    asked: tuple[Asked, ...]
    deeds: tuple[Deed, ...] = ()
    faults: tuple[Fault, ...] = ()
    internal_funds_micros: int = 0
    entry_s: float = 0.0
    """A leg enters the application so long after Asterisk has said that it is made, or leg A's answer."""

    def text(self) -> str:
        """As JSON, to read and to keep."""
        return _AS_JSON.dump_json(self, indent=1).decode()


_AS_JSON = TypeAdapter(Plan)


def load(text: str) -> Plan:
    """The plan in a text of `Plan.text`."""
    return _AS_JSON.validate_json(text)


def pin_of(subscriber: int) -> str:
    """The PIN of a subscriber who logs in."""
    return f"9000000{subscriber}"
