"""The options of an access number, each with default, unit, limits and meaning.

Only values that differ from the default are stored, as text. All go through `CallOptions.parse`, so values are
checked when they are entered; `core.stored_options` reads stored ones. A request keeps the options with which it was
accepted: changes take effect from the next call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache, lru_cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import parse_amount
from stasis_callback.core.numbers import parse_rules

RejectCause = Literal["busy", "congestion", "rejected", "no_answer"]

WITHHELD = "withheld"
"""As a caller id: none is shown."""

_TEXTS = (
    ("caller_id_a", r"([0-9]{3,15})?", "3 to 15 digits, or nothing"),
    ("caller_id_b", rf"([0-9]{{3,15}}|{WITHHELD})?", f"3 to 15 digits, {WITHHELD}, or nothing"),
    ("access_code", r"[A-Z0-9_]{0,32}", "up to 32 capital letters, digits and underscores"),
    ("languages", r"[a-z]{2}(,[a-z]{2}){0,8}", "two-letter language codes, for example en or en,es,fr"),
    ("brand", r"[a-z0-9-]{0,32}", "up to 32 lower-case letters, digits and dashes"),
    ("region", r"([A-Z]{2})?", "a two-letter country code in capitals, for example GB, or nothing"),
    ("redial_key", r"[0-9]{0,2}", "one or two digits, or nothing"),
    ("voucher_key", r"[0-9]{0,2}", "one or two digits, or nothing"),
)
"""The format of text options: name, pattern, and a description of the pattern."""


class OutOfRange(InvalidInput):
    """A number beyond a limit of its option."""

    def __init__(self, message: str, nearest: str) -> None:
        super().__init__(message)
        self.nearest = nearest
        """The limit, as text."""


def option(default: Any, meaning: str, *, least: float | None = None, most: float | None = None) -> Any:
    """A dataclass field with default, meaning and limits."""
    return field(default=default, metadata={"meaning": meaning, "least": least, "most": most})


OPTION_GROUPS = {
    "who": (
        "authentication", "min_attestation", "internal_account", "login_attempts", "ask_password", "lockout_failures",
        "lockout_s", "register_ani", "ani_rules",
    ),
    "refusal": ("reject_cause", "dedupe_window_s"),
    "leg_a": (
        "callback_delay_s", "ring_timeout_a_s", "start_within_s", "attempts_busy", "attempts_no_answer",
        "attempts_congestion", "retry_interval_s", "caller_id_a",
    ),
    "heard": (
        "answer_check", "languages", "brand", "welcome", "announce_balance", "announce_credit_limit",
        "low_balance_amount", "low_balance_mode",
    ),
    "dialled": (
        "dial_rules", "region", "destination_attempts", "first_digit_timeout_s", "inter_digit_timeout_s",
        "terminator", "speed_dial", "redial_key", "voucher_key",
    ),
    "talk": (
        "announce_duration", "ring_timeout_b_s", "caller_id_b", "low_funds_warning_s", "low_funds_repeat_s",
        "low_funds_warning", "calls_per_callback", "menu_afterwards",
    ),
    "cost": (
        "menu_limit_s", "talk_limit_s", "hold_slice_s", "hold_extend_before_s", "margin_guard", "min_margin_percent",
        "trunk_attempts", "cut_before_s", "access_code",
    ),
    "told": ("webhooks",),
}  # fmt: skip
"""The options by what they are about, as the guide to access numbers explains them."""

WEBHOOKS = "Web instance whose `webhook_url` receives the steps of these callbacks; empty: none."


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The options of a callback. Those whose names end in `_s` are seconds."""

    authentication: Literal["ani", "dnis", "pin", "ani_then_pin"] = option(
        "ani",
        "How the account is identified. ani: by the caller's number; dnis: by the access number; pin: by a PIN "
        "entered after the callback is answered; ani_then_pin: by the caller's number, or by a PIN if it is unknown.",
    )
    internal_account: str = option(
        "", "With PINs: account that pays for leg A; its tariff determines which numbers can be called back."
    )
    min_attestation: Literal["off", "A", "B"] = option(
        "off",
        "Identify accounts by the caller's number only if the carriers vouch for it (STIR/SHAKEN) with at least this "
        "attestation; off: whatever they say.",
    )
    reject_cause: RejectCause = option(
        "busy",
        "SIP status that refuses the missed call: busy = 486, congestion = 503, rejected = 403, no_answer = 480.",
    )
    ani_rules: str = option(
        "",
        "Translation rules from the caller's number to an account id, for example s/^0/44/; separated by ;",
    )
    dial_rules: str = option(
        "",
        "Translation rules from the digits dialled by the subscriber to an E.164 number, before the number is read; "
        "for what `region` does not know.",
    )
    region: str = option(
        "",
        "Country of numbers without a country code, for example GB: they are read as one dials there, with its own "
        "international and carrier prefixes. Empty: only international numbers, 00 and 011 count as +.",
    )
    # Two days: a time of day that is chosen is further ahead than one where clocks are put back meanwhile.
    callback_delay_s: float = option(0.0, "Delay before calling back.", least=0, most=172_800)
    dedupe_window_s: float = option(
        60.0,
        "Further missed calls for the same account within this time do not cause another callback, unless the first "
        "one failed.",
        least=0,
        most=3600,
    )
    start_within_s: int = option(
        900,
        "Give up a callback that could not be started within this time after it was due.",
        least=60,
        most=86400,
    )
    ring_timeout_a_s: int = option(30, "Maximum ringing time of leg A.", least=5, most=120)
    ring_timeout_b_s: int = option(45, "Maximum ringing time of leg B.", least=5, most=180)
    attempts_busy: int = option(2, "Maximum number of attempts for leg A if it is busy.", least=1, most=10)
    attempts_no_answer: int = option(
        1, "Maximum number of attempts for leg A if it is not answered.", least=1, most=10
    )
    attempts_congestion: int = option(
        3, "Maximum number of attempts for leg A if the network is congested.", least=1, most=10
    )
    retry_interval_s: float = option(30.0, "Delay between two attempts for leg A.", least=0, most=3600)
    caller_id_a: str = option("", "Caller id on leg A, in E.164; empty: the access number that was called.")
    caller_id_b: str = option(
        "",
        "Caller id on leg B, in E.164; empty: the subscriber's number, unless the subscriber withholds it; "
        "withheld: none.",
    )
    access_code: str = option(
        "", "Use the product's tariff for this access code; empty: its standard tariff."
    )
    languages: str = option(
        "en",
        "Languages, separated by commas. If several, the subscriber chooses one, unless the account has a language.",
    )
    brand: str = option("", "Folder of brand-specific prompts that replace the standard ones.")
    answer_check: Literal["off", "press_one", "amd"] = option(
        "off",
        "Make sure that a person answers leg A, so that a voicemail hears no balance and makes no call: not at all, "
        "by pressing 1, or by Asterisk listening for two to five seconds (amd), and by pressing 1 only in doubt.",
    )
    login_attempts: int = option(3, "Maximum number of attempts to enter a PIN.", least=1, most=10)
    ask_password: bool = option(False, "Also ask for the account's service password after the PIN.")
    register_ani: Literal["off", "ask", "always"] = option(
        "off",
        "After a PIN login, add the caller's number to the account as an alias: never, after asking, or always.",
    )
    lockout_failures: int = option(
        3,
        "Consecutive wrong PINs that lock out the caller's number; wrong voucher codes that lock the vouchers of the "
        "account.",
        least=1,
        most=100,
    )
    lockout_s: float = option(900.0, "Duration of the lockout.", least=1, most=604800)
    welcome: bool = option(False, "Play a welcome message first.")
    announce_balance: Literal["funds", "balance", "off"] = option(
        "funds", "Announce the available funds including credit (funds), the balance only, or nothing."
    )
    announce_credit_limit: bool = option(False, "Announce the credit limit, if there is one.")
    low_balance_amount: str = option("0", "Threshold below which funds count as low.")
    low_balance_mode: Literal["none", "refuse", "disconnect"] = option(
        "none", "With low funds: continue (none), refuse all destinations, or announce it and disconnect."
    )
    announce_duration: Literal["off", "exact", "minutes"] = option(
        "exact", "Announce the maximum call duration: exactly, in whole minutes (rounded up), or not at all."
    )
    destination_attempts: int = option(
        3, "Maximum number of attempts to enter a destination.", least=1, most=10
    )
    first_digit_timeout_s: float = option(
        8.0, "Maximum wait for the first digit after the prompt.", least=1, most=60
    )
    inter_digit_timeout_s: float = option(
        4.0,
        "Maximum wait for the next digit; after that the number is considered complete.",
        least=1,
        most=30,
    )
    terminator: Literal["#", "none"] = option("#", "Key that ends a number; none: a pause ends it.")
    speed_dial: bool = option(
        True, "Enable speed dials: one or two digits call a number stored with the account."
    )
    redial_key: str = option("", "One or two digits that redial the last number; empty: no redial.")
    voucher_key: str = option(
        "",
        "One or two digits that redeem a voucher: its code is asked for and the new balance said. Empty: vouchers "
        "cannot be redeemed by phone.",
    )
    calls_per_callback: int = option(
        10, "Maximum number of destinations called in one callback.", least=1, most=100
    )
    menu_afterwards: bool = option(
        False, "For requests with a given destination: ask for another destination after that call."
    )
    menu_limit_s: int = option(
        120,
        "Maximum time in menus, from the answer or the end of a call to the next call.",
        least=20,
        most=900,
    )
    low_funds_warning_s: int = option(
        60, "Warn the subscriber when this many seconds remain; 0: never.", least=0, most=600
    )
    low_funds_repeat_s: int = option(
        0, "Interval at which the warning is repeated; 0: once only.", least=0, most=600
    )
    low_funds_warning: Literal["beep", "voice"] = option("beep", "Type of the warning.")
    margin_guard: bool = option(
        True, "Skip trunks that cost more than the subscriber pays, or whose tariff has another currency."
    )
    min_margin_percent: int = option(
        0, "With margin_guard: minimum margin, in percent of the price.", least=0, most=99
    )
    trunk_attempts: int = option(
        3,
        "Maximum number of trunks tried for a leg, one after another, if they are congested or fail.",
        least=1,
        most=10,
    )
    cut_before_s: int = option(
        0, "End the call this many seconds before the funds run out.", least=0, most=300
    )
    talk_limit_s: int = option(7200, "Maximum call duration per destination.", least=10, most=86400)
    hold_slice_s: int = option(
        180,
        "Length of a slice: funds are held for this many seconds of talk at a time, so that calls can share them.",
        least=10,
        most=86400,
    )
    hold_extend_before_s: int = option(
        30,
        "Hold funds for the next slice when this many seconds of the current one remain; at most half of a slice.",
        least=5,
        most=600,
    )
    webhooks: str = option("", WEBHOOKS)

    def __post_init__(self) -> None:
        """Check what types cannot express. Raises InvalidInput."""
        parse_rules(self.ani_rules)
        parse_rules(self.dial_rules)
        parse_amount(self.low_balance_amount)
        for name, pattern, hint in _TEXTS:
            value = getattr(self, name)
            if not re.fullmatch(pattern, value, re.ASCII):
                raise InvalidInput(f"{name} {value!r} is invalid: write {hint}")
        if self.voucher_key and self.voucher_key == self.redial_key:
            raise InvalidInput("voucher_key and redial_key are the same: give one of them other digits")
        if self.authentication in ("pin", "ani_then_pin") and not self.internal_account:
            raise InvalidInput(
                f"authentication {self.authentication} needs an internal_account, which pays for leg A"
            )

    @property
    def language_list(self) -> tuple[str, ...]:
        """The languages in the order of the menu."""
        return tuple(self.languages.split(","))

    @classmethod
    def parse(cls, stored: Mapping[str, str]) -> CallOptions:
        """Options from text values, as entered. Raises InvalidInput, which names the invalid option."""
        unknown = stored.keys() - OPTION_NAMES
        if unknown:
            raise InvalidInput(
                f"unknown option {min(unknown)!r}: see `stasis-callback access-number options`"
            )
        return _parsed(tuple(stored.items()))


def parse_values(owner: type, stored: Mapping[str, str]) -> dict[str, Any]:
    """Field values for a dataclass of options, from texts. Raises InvalidInput, which names the field."""
    return {name: _value(owner, name, text) for name, text in stored.items()}


@lru_cache(maxsize=1024)
def _parsed(stored: tuple[tuple[str, str], ...]) -> CallOptions:
    """The same texts come with each call of an access number, and several times in a call."""
    return CallOptions(**parse_values(CallOptions, dict(stored)))


@cache
def _kinds(owner: type) -> dict[str, Any]:
    """The type of each option."""
    return get_type_hints(owner)


OPTION_NAMES = frozenset(f.name for f in fields(CallOptions))


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One row of the options reference."""

    name: str
    default: str
    values: str
    meaning: str


def describe_options(owner: type = CallOptions) -> list[OptionInfo]:
    """All options with default, allowed values and meaning, in the order in which a call uses them."""
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
            raise InvalidInput(f"{name} {text!r} is invalid: write on or off")
        return text == "on"
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise InvalidInput(f"{name} {text!r} is invalid: write one of {', '.join(get_args(kind))}")
        return text
    if kind is str:
        default = next(f.default for f in fields(owner) if f.name == name)
        if text == "none" and (default or name.endswith("_rules")):
            # An empty text restores the default, so "no rules" needs a keyword.
            return ""
        if len(text) > 500:
            raise InvalidInput(f"{name} is too long: write at most 500 characters")
        return text
    return _number(owner, name, text)


def _number(owner: type, name: str, text: str) -> float:
    kind: type[int] | type[float] = _kinds(owner)[name]
    limits = next(f.metadata for f in fields(owner) if f.name == name)
    what = "a whole number" if kind is int else "a number"
    try:
        value = kind(text if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII) else "")
    except ValueError:
        raise InvalidInput(
            f"{name} {text!r} is invalid: write {what}, {limits['least']} to {limits['most']}"
        ) from None
    if not limits["least"] <= value <= limits["most"]:
        raise OutOfRange(
            f"{name} {text} is invalid: write {what}, {limits['least']} to {limits['most']}",
            str(limits["least"] if value < limits["least"] else limits["most"]),
        )
    return value
