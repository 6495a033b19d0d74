"""What is put into a dial string: digits at the trunk, whatever the trunk's own rules say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stasis_callback.core.errors import InvariantBroken
from stasis_callback.core.numbers import parse_rules
from stasis_callback.engine.routing import Router


def _router(rules: str = "") -> Router:
    nothing: Any = None
    return Router(nothing, nothing, nothing, "trunk", parse_rules(rules))


@pytest.mark.parametrize(
    ("rules", "dialled"), [("", "442071234567"), ("s/^/+/", "+442071234567"), ("s/^44/0/", "02071234567")]
)
def test_the_trunks_rules_are_applied_last(rules: str, dialled: str) -> None:
    assert _router(rules).endpoint("442071234567") == f"PJSIP/{dialled}@trunk"


@pytest.mark.parametrize("rules", ["s/^/sip/", "s/^[0-9]+$//", f"s/^/{'1' * 25}/"])
def test_rules_that_leave_no_number_dial_nothing(rules: str) -> None:
    with pytest.raises(InvariantBroken, match="number_rules"):
        _router(rules).endpoint("442071234567")


@given(st.text(max_size=40))
def test_no_text_gets_into_a_dial_string(text: str) -> None:
    try:
        endpoint = _router().endpoint(text)
    except InvariantBroken:
        return
    digits = endpoint.removeprefix("PJSIP/").removesuffix("@trunk")
    assert digits == text
    assert digits.isascii()
    assert digits.isdigit()
    assert 3 <= len(digits) <= 15
