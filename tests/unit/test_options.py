"""The parameters of an access number: defaults, limits, and what is said about each."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.options import CallOptions, describe_options

OPTIONS = describe_options()
LIMITED = [f for f in fields(CallOptions) if f.metadata["least"] is not None]


def option_text(value: Any) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def test_every_option_is_described() -> None:
    assert [info.name for info in OPTIONS] == [f.name for f in fields(CallOptions)]
    for info in OPTIONS:
        assert info.meaning
        assert info.values


def test_every_number_has_limits() -> None:
    numeric = {f.name for f in fields(CallOptions) if type(f.default) in (int, float)}
    assert {f.name for f in LIMITED} == numeric


def test_options_left_alone_have_their_documented_defaults() -> None:
    assert CallOptions.parse({}) == CallOptions()
    for info in OPTIONS:
        assert option_text(getattr(CallOptions(), info.name)) == info.default


def test_every_documented_default_can_be_entered() -> None:
    assert CallOptions.parse({info.name: info.default for info in OPTIONS}) == CallOptions()


@pytest.mark.parametrize("option", LIMITED, ids=lambda f: f.name)
def test_limits_hold_at_both_ends(option: Any) -> None:
    least, most = option.metadata["least"], option.metadata["most"]
    step = 1 if type(option.default) is int else 0.001
    for value in (least, most):
        assert getattr(CallOptions.parse({option.name: str(value)}), option.name) == value
    for value in (least - step, most + step):
        with pytest.raises(InvalidInput, match=rf"{option.name} .*{least} to {most}"):
            CallOptions.parse({option.name: str(value)})
    documented = next(info for info in OPTIONS if info.name == option.name)
    assert documented.values == f"{least} to {most}"


@pytest.mark.parametrize("option", LIMITED, ids=lambda f: f.name)
@pytest.mark.parametrize("text", ["", "many", "1,5", "nan", "inf", "-inf", "0x10", "9" * 5000, "1\x00"])
def test_a_number_that_is_none_is_refused(option: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^{option.name} "):
        CallOptions.parse({option.name: text})


@pytest.mark.parametrize(
    ("name",              "text",              "why"),
    [
        ("wellcome",          "on",                "unknown option 'wellcome'"),
        ("__init__",          "on",                "unknown option"),
        ("welcome",           "yes",               "write on or off"),
        ("welcome",           "",                  "write on or off"),
        ("announce_balance",  "on",                "write one of funds, balance, off"),
        ("welcome",           "ON",                "write on or off"),
        ("languages",         "english",           "two-letter language codes"),
        ("authentication",    "pin",               "needs an internal_account"),
        ("low_balance_amount", "1,5",              "is not an amount"),
        ("lockout_failures",  "1_0",               "a whole number"),
        ("reject_cause",      "486",               "write one of busy, congestion, rejected, no_answer"),
        ("announce_duration", "",                  "write one of off, exact, minutes"),
        ("ring_timeout_a_s",  "30.5",              "write a whole number, 5 to 120"),
        ("caller_id_a",       "+420212345678",     "write 3 to 15 digits"),
        ("caller_id_b",       "Alice",             "write 3 to 15 digits"),
        ("caller_id_b",       "1" * 16,            "write 3 to 15 digits"),
        ("ani_rules",         "0 becomes 44",      "is not a translation rule"),
        ("dial_rules",        r"s/(\d+)+#/x/",     "translation rule"),
        ("dial_rules",        "s/0/1/;" * 72,      "at most 500 characters"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_refused_by_name(name: str, text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        CallOptions.parse({name: text})
    assert why in str(refused.value)


def test_all_kinds_of_values_are_read() -> None:
    options = CallOptions.parse(
        {
            "reject_cause": "congestion",
            "callback_delay_s": "2.5",
            "ring_timeout_a_s": "20",
            "caller_id_a": "420800123456",
            "welcome": "on",
            "announce_duration": "minutes",
            "ani_rules": "s/^0/44/",
        }
    )
    assert options == CallOptions(
        reject_cause="congestion",
        callback_delay_s=2.5,
        ring_timeout_a_s=20,
        caller_id_a="420800123456",
        welcome=True,
        announce_duration="minutes",
        ani_rules="s/^0/44/",
    )
