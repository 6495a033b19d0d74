"""What an operator can set on an access number: every parameter with its default, unit, limits and meaning.

Only what differs from the default is stored, as text; `CallOptions.parse` is the one way in, so a value is checked
the moment it is entered. A request keeps the options it was accepted with: a change counts from the next call on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.numbers import is_dialable, parse_rules

RejectCause = Literal["busy", "congestion", "rejected", "no_answer"]


def _option(default: Any, meaning: str, *, least: float | None = None, most: float | None = None) -> Any:
    return field(default=default, metadata={"meaning": meaning, "least": least, "most": most})


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The parameters of a callback. Names ending in `_s` are seconds."""

    reject_cause: RejectCause = _option(
        "busy",
        "How the missed call is refused: busy = 486, congestion = 503, rejected = 403, no_answer = 480.",
    )
    ani_rules: str = _option(
        "",
        "Translation rules from the caller's number to an account id, like s/^0/44/; several separated by ;",
    )
    dial_rules: str = _option(
        "s/^00//; s/^011//; s/^\\+//", "Translation rules from what the subscriber keys to an E.164 number."
    )
    callback_delay_s: float = _option(0.0, "Wait this long before calling back.", least=0, most=3600)
    dedupe_window_s: float = _option(
        60.0,
        "Further missed calls of the same account within this time make no second callback.",
        least=0,
        most=3600,
    )
    ring_timeout_a_s: int = _option(30, "How long leg A may ring.", least=5, most=120)
    ring_timeout_b_s: int = _option(45, "How long leg B may ring.", least=5, most=180)
    attempts_busy: int = _option(2, "Attempts to reach leg A when it is busy.", least=1, most=10)
    attempts_no_answer: int = _option(1, "Attempts to reach leg A when nobody answers.", least=1, most=10)
    attempts_congestion: int = _option(
        3, "Attempts to reach leg A when the network is congested.", least=1, most=10
    )
    retry_interval_s: float = _option(
        30.0, "Wait this long between two attempts at leg A.", least=0, most=3600
    )
    caller_id_a: str = _option("", "Number shown on leg A; empty shows the access number that was called.")
    caller_id_b: str = _option("", "Number shown on leg B; empty shows the subscriber's number.")
    welcome: bool = _option(False, "Say a welcome first.")
    announce_balance: bool = _option(True, "Say the balance.")
    announce_duration: Literal["off", "exact", "minutes"] = _option(
        "exact", "Say how long the call can last: exactly, in whole minutes (rounded down), or not at all."
    )
    destination_attempts: int = _option(3, "Tries at keying a destination.", least=1, most=10)
    first_digit_timeout_s: float = _option(
        8.0, "Wait for the first digit after the prompt.", least=1, most=60
    )
    inter_digit_timeout_s: float = _option(
        4.0, "Wait for the next digit; then the number counts as complete.", least=1, most=30
    )
    calls_per_callback: int = _option(
        10, "Destinations that can be called in one callback.", least=1, most=100
    )
    menu_limit_s: int = _option(
        120, "Longest time in menus before a call; the fuse of leg A until then.", least=20, most=900
    )
    talk_limit_s: int = _option(7200, "Longest talk with one destination.", least=10, most=86400)

    def __post_init__(self) -> None:
        """Check what a type alone cannot say. Raises InvalidInput."""
        parse_rules(self.ani_rules)
        parse_rules(self.dial_rules)
        for name in ("caller_id_a", "caller_id_b"):
            value = getattr(self, name)
            if value and not is_dialable(value):
                raise InvalidInput(f"{name} {value!r}: write 3 to 15 digits, or nothing")

    @classmethod
    def parse(cls, stored: Mapping[str, str]) -> CallOptions:
        """Options from texts as entered or stored. Raises InvalidInput that names the option and its limits."""
        known = get_type_hints(cls)
        values: dict[str, Any] = {}
        for name, text in stored.items():
            if name not in known:
                raise InvalidInput(
                    f"there is no option {name!r}: see `stasis-callback access-number options`"
                )
            values[name] = _value(name, known[name], text)
        return cls(**values)


OPTION_NAMES = frozenset(f.name for f in fields(CallOptions))


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One line of the reference of options."""

    name: str
    default: str
    values: str
    meaning: str


def describe_options() -> list[OptionInfo]:
    """Every option with its default, allowed values and meaning, in the order of a call."""
    hints = get_type_hints(CallOptions)
    return [
        OptionInfo(f.name, _text(f.default), _values(hints[f.name], f.metadata), f.metadata["meaning"])
        for f in fields(CallOptions)
    ]


def _text(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _values(kind: Any, limits: Mapping[str, Any]) -> str:
    if kind is bool:
        return "on, off"
    if get_origin(kind) is Literal:
        return ", ".join(get_args(kind))
    if limits["least"] is not None:
        return f"{limits['least']} to {limits['most']}"
    return "text"


def _value(name: str, kind: Any, text: str) -> object:
    if kind is bool:
        if text not in ("on", "off"):
            raise InvalidInput(f"{name} {text!r}: write on or off")
        return text == "on"
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise InvalidInput(f"{name} {text!r}: write one of {', '.join(get_args(kind))}")
        return text
    if kind is str:
        if len(text) > 500:
            raise InvalidInput(f"{name}: at most 500 characters")
        return text
    return _number(name, kind, text)


def _number(name: str, kind: type[int] | type[float], text: str) -> float:
    limits = next(f.metadata for f in fields(CallOptions) if f.name == name)
    what = "a whole number" if kind is int else "a number"
    try:
        value = kind(text)
    except ValueError:
        raise InvalidInput(f"{name} {text!r}: write {what}, {limits['least']} to {limits['most']}") from None
    if not limits["least"] <= value <= limits["most"]:
        raise InvalidInput(f"{name} {text}: write {what}, {limits['least']} to {limits['most']}")
    return value
