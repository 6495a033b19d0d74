"""What an operator can set on an access number: every parameter with its default, unit, limits and meaning.

Only what differs from the default is stored, as text; `CallOptions.parse` is the one way in, so a value is checked
the moment it is entered. A request keeps the options it was accepted with: a change counts from the next call on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import parse_amount
from stasis_callback.core.numbers import parse_rules

RejectCause = Literal["busy", "congestion", "rejected", "no_answer"]


_TEXTS = (
    ("caller_id_a", r"([0-9]{3,15})?", "3 to 15 digits, or nothing"),
    ("caller_id_b", r"([0-9]{3,15})?", "3 to 15 digits, or nothing"),
    ("access_code", r"[A-Z0-9_]{0,32}", "up to 32 capitals, digits and underscores"),
    ("languages", r"[a-z]{2}(,[a-z]{2}){0,8}", "languages of two letters, like en or en,es,fr"),
    ("brand", r"[a-z0-9-]{0,32}", "up to 32 small letters, digits and dashes"),
    ("redial_key", r"[0-9]{0,2}", "one or two digits, or nothing"),
)
"""What texts must look like: name, pattern, and how to write it."""


def option(default: Any, meaning: str, *, least: float | None = None, most: float | None = None) -> Any:
    """A field with its default, meaning and limits, for a dataclass of options."""
    return field(default=default, metadata={"meaning": meaning, "least": least, "most": most})


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The parameters of a callback. Names ending in `_s` are seconds."""

    authentication: Literal["ani", "dnis", "pin", "ani_then_pin"] = option(
        "ani",
        "Who calls: the account of the caller's number (ani), of the access number (dnis), of a PIN keyed after the "
        "callback is answered (pin), or of the caller's number and, where that is unknown, of a PIN (ani_then_pin).",
    )
    internal_account: str = option(
        "", "For PINs: the account that pays for leg A; its tariff says where callbacks may go."
    )
    reject_cause: RejectCause = option(
        "busy",
        "How the missed call is refused: busy = 486, congestion = 503, rejected = 403, no_answer = 480.",
    )
    ani_rules: str = option(
        "",
        "Translation rules from the caller's number to an account id, like s/^0/44/; several separated by ;",
    )
    dial_rules: str = option(
        "s/^00//; s/^011//; s/^\\+//", "Translation rules from what the subscriber keys to an E.164 number."
    )
    callback_delay_s: float = option(0.0, "Wait this long before calling back.", least=0, most=3600)
    dedupe_window_s: float = option(
        60.0,
        "Further missed calls of the same account within this time make no second callback.",
        least=0,
        most=3600,
    )
    start_within_s: int = option(
        900,
        "Give a callback up that could not be begun so long after it was due: nobody expects it any more.",
        least=60,
        most=86400,
    )
    ring_timeout_a_s: int = option(30, "How long leg A may ring.", least=5, most=120)
    ring_timeout_b_s: int = option(45, "How long leg B may ring.", least=5, most=180)
    attempts_busy: int = option(2, "Attempts to reach leg A when it is busy.", least=1, most=10)
    attempts_no_answer: int = option(1, "Attempts to reach leg A when nobody answers.", least=1, most=10)
    attempts_congestion: int = option(
        3, "Attempts to reach leg A when the network is congested.", least=1, most=10
    )
    retry_interval_s: float = option(
        30.0, "Wait this long between two attempts at leg A.", least=0, most=3600
    )
    caller_id_a: str = option("", "Number shown on leg A; empty shows the access number that was called.")
    caller_id_b: str = option("", "Number shown on leg B; empty shows the subscriber's number.")
    access_code: str = option(
        "", "Rate calls by the product's tariff for this code; empty for its usual one."
    )
    languages: str = option(
        "en", "Languages, separated by commas; of several the subscriber chooses, unless the account has one."
    )
    brand: str = option("", "Folder of prompts that are played in place of the usual ones.")
    press_one: bool = option(
        False, "Go on only when 1 is pressed: a voicemail does not, so it hears no balance and makes no call."
    )
    login_attempts: int = option(3, "Tries at keying a PIN.", least=1, most=10)
    ask_password: bool = option(False, "Ask for the account's service password after the PIN.")
    register_ani: Literal["off", "ask", "always"] = option(
        "off",
        "After a PIN: offer to know the caller's number from now on (ask), or just remember it (always).",
    )
    lockout_failures: int = option(
        3, "Wrong PINs in a row that lock a caller's number out.", least=1, most=100
    )
    lockout_s: float = option(900.0, "How long it is locked out.", least=1, most=604800)
    welcome: bool = option(False, "Say a welcome first.")
    announce_balance: Literal["funds", "balance", "off"] = option(
        "funds", "Say what can be spent, credit included (funds), the balance alone, or nothing."
    )
    announce_credit_limit: bool = option(False, "Say the credit limit, where there is one.")
    low_balance_amount: str = option("0", "Funds below this amount are low.")
    low_balance_mode: Literal["none", "refuse", "disconnect"] = option(
        "none", "With low funds: go on, refuse every destination, or say so and hang up."
    )
    announce_duration: Literal["off", "exact", "minutes"] = option(
        "exact", "Say how long the call can last: exactly, in whole minutes (rounded up), or not at all."
    )
    destination_attempts: int = option(3, "Tries at keying a destination.", least=1, most=10)
    first_digit_timeout_s: float = option(8.0, "Wait for the first digit after the prompt.", least=1, most=60)
    inter_digit_timeout_s: float = option(
        4.0, "Wait for the next digit; then the number counts as complete.", least=1, most=30
    )
    terminator: Literal["#", "none"] = option("#", "The key that ends a number; without one a pause does.")
    speed_dial: bool = option(True, "One or two digits call a number stored with the account.")
    redial_key: str = option("", "One or two digits that call the last number again; empty for none.")
    calls_per_callback: int = option(
        10, "Destinations that can be called in one callback.", least=1, most=100
    )
    menu_afterwards: bool = option(
        False, "For requests that bring their destination: after that call, ask for another one."
    )
    menu_limit_s: int = option(
        120,
        "Longest time in menus, from the answer or the end of a call to the next call.",
        least=20,
        most=900,
    )
    low_funds_warning_s: int = option(
        60, "Warn the subscriber when this many seconds are left; 0 for never.", least=0, most=600
    )
    low_funds_repeat_s: int = option(
        0, "Repeat the warning after so many seconds; 0 for once only.", least=0, most=600
    )
    low_funds_warning: Literal["beep", "voice"] = option("beep", "How to warn.")
    margin_guard: bool = option(
        True, "Pass over trunks that cost more than the subscriber pays, or bill in another currency."
    )
    min_margin_percent: int = option(
        0, "What must be left of the price after the trunk's cost, with the guard on.", least=0, most=99
    )
    trunk_attempts: int = option(
        3, "Trunks a leg is tried on when they are congested or fail, one after another.", least=1, most=10
    )
    cut_before_s: int = option(0, "End the talk this many seconds before the funds do.", least=0, most=300)
    talk_limit_s: int = option(7200, "Longest talk with one destination.", least=10, most=86400)
    hold_slice_s: int = option(
        180,
        "Funds are held for so many seconds of talk at a time, so that calls can share them.",
        least=10,
        most=86400,
    )
    hold_extend_before_s: int = option(
        30,
        "Hold funds for the next slice when so many seconds are left of this one, at most half of a slice.",
        least=5,
        most=600,
    )

    def __post_init__(self) -> None:
        """Check what a type alone cannot say. Raises InvalidInput."""
        parse_rules(self.ani_rules)
        parse_rules(self.dial_rules)
        parse_amount(self.low_balance_amount)
        for name, pattern, hint in _TEXTS:
            value = getattr(self, name)
            if not re.fullmatch(pattern, value, re.ASCII):
                raise InvalidInput(f"{name} {value!r}: write {hint}")
        if self.authentication in ("pin", "ani_then_pin") and not self.internal_account:
            raise InvalidInput(
                f"authentication {self.authentication} needs an internal_account that pays for leg A"
            )

    @property
    def language_list(self) -> tuple[str, ...]:
        """The languages in the order of the menu."""
        return tuple(self.languages.split(","))

    @classmethod
    def parse(cls, stored: Mapping[str, str]) -> CallOptions:
        """Options from texts as entered or stored. Raises InvalidInput that names the option and its limits."""
        unknown = stored.keys() - OPTION_NAMES
        if unknown:
            raise InvalidInput(
                f"there is no option {min(unknown)!r}: see `stasis-callback access-number options`"
            )
        return cls(**parse_values(cls, stored))


def parse_values(owner: type, stored: Mapping[str, str]) -> dict[str, Any]:
    """The values for the fields of a dataclass of options, from texts. Raises InvalidInput that names the field."""
    return {name: _value(owner, name, text) for name, text in stored.items()}


@cache
def _kinds(owner: type) -> dict[str, Any]:
    """The type of every option."""
    return get_type_hints(owner)


OPTION_NAMES = frozenset(f.name for f in fields(CallOptions))


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One line of the reference of options."""

    name: str
    default: str
    values: str
    meaning: str


def describe_options(owner: type = CallOptions) -> list[OptionInfo]:
    """Every option with its default, allowed values and meaning, in the order of a call."""
    hints = _kinds(owner)
    return [
        OptionInfo(f.name, _text(f.default), _values(hints[f.name], f.metadata), f.metadata["meaning"])
        for f in fields(owner)
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


def _value(owner: type, name: str, text: str) -> object:
    kind = _kinds(owner)[name]
    if kind is bool:
        if text not in ("on", "off"):
            raise InvalidInput(f"{name} {text!r}: write on or off")
        return text == "on"
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise InvalidInput(f"{name} {text!r}: write one of {', '.join(get_args(kind))}")
        return text
    if kind is str:
        default = next(f.default for f in fields(owner) if f.name == name)
        if text == "none" and default:  # an empty text restores the default, so "no rules" needs a word
            return ""
        if len(text) > 500:
            raise InvalidInput(f"{name}: at most 500 characters")
        return text
    return _number(owner, name, text)


def _number(owner: type, name: str, text: str) -> float:
    kind: type[int] | type[float] = _kinds(owner)[name]
    limits = next(f.metadata for f in fields(owner) if f.name == name)
    what = "a whole number" if kind is int else "a number"
    try:
        value = kind(text if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII) else "")
    except ValueError:
        raise InvalidInput(f"{name} {text!r}: write {what}, {limits['least']} to {limits['most']}") from None
    if not limits["least"] <= value <= limits["most"]:
        raise InvalidInput(f"{name} {text}: write {what}, {limits['least']} to {limits['most']}")
    return value
