"""What is put into a dial string: digits at the trunk, whatever the trunk's own rules say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stasis_callback.core.errors import InvariantBroken
from stasis_callback.core.trunk_numbers import NumberForm
from stasis_callback.engine.routing import Way


def _way(rules: str = "") -> Way:
    return Way("trunk", NumberForm(called_out=rules))


@pytest.mark.parametrize(
    ("rules", "dialled"), [("", "442071234567"), ("s/^/+/", "+442071234567"), ("s/^44/0/", "02071234567")]
)
def test_the_trunks_rules_are_applied_last(rules: str, dialled: str) -> None:
    assert _way(rules).dial_string("442071234567") == f"PJSIP/{dialled}@trunk"


@pytest.mark.parametrize("rules", ["s/^/sip/", "s/^[0-9]+$//", f"s/^/{'1' * 25}/"])
def test_rules_that_leave_no_number_dial_nothing(rules: str) -> None:
    with pytest.raises(InvariantBroken, match="number_rules"):
        _way(rules).dial_string("442071234567")


@given(st.text(max_size=40))
def test_no_text_gets_into_a_dial_string(text: str) -> None:
    try:
        endpoint = _way().dial_string(text)
    except InvariantBroken:
        return
    digits = endpoint.removeprefix("PJSIP/").removesuffix("@trunk")
    assert digits == text
    assert digits.isascii()
    assert digits.isdigit()
    assert 3 <= len(digits) <= 15
