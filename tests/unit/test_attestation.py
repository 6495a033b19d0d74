"""What headers of carriers say of the caller's number; strangers write some of them."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stasis_callback.core.attestation import of_header, of_verstat, of_word
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.incoming import Invite, read
from stasis_callback.core.trunk_numbers import NumberForm

CALLER = "12155550112"
PASSED = f"<sip:+{CALLER};verstat=TN-Validation-Passed@x.org>"


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("A", "A"), ("b;", "B"), ('"C"', "C"), ("attest=B; origid=7b", "B"), ("x; attestation-level = 'c', y", "C"),
        ("TN-Validation-Passed", "A"), ("TN-Validation-Passed-B", "B"), ("TN-Validation-Failed-A", "failed"),
        ("verstat=TN-Validation-Passed;attest=C", "C"), ("No-TN-Validation", ""),
        ("Verified", "A"), ("Not Verified", ""), ("Not Applicable", ""), ("this is a test", ""), ("D", ""), ("", ""),
    ],
)  # fmt: skip
def test_words_of_carriers(text: str, level: str) -> None:
    assert of_word(text) == level


@pytest.mark.parametrize(
    ("verstat", "indicator", "level"),
    [
        ("tn-validation-passed", "", "A"),
        ("tn-validation-passed", "B", "B"),
        ("tn-validation-passed", "nonsense", "A"),
        ("tn-validation-passed-c", "A", "C"),
        ("tn-validation-failed", "A", "failed"),
        ("no-tn-validation", "A", ""),
        ("", "A", ""),
    ],
)
def test_a_level_beside_counts_with_a_verstat_only(verstat: str, indicator: str, level: str) -> None:
    assert of_verstat(verstat, indicator) == level


def passport(claims: object) -> str:
    payload = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJFUzI1NiJ9.{payload}.c2ln;info=<https://x.example/1.pem>;ppt=shaken"


@pytest.mark.parametrize(
    ("claims", "level"),
    [
        ({"attest": "A", "orig": {"tn": CALLER}}, "A"),
        ({"attest": "C", "orig": {"tn": f"+{CALLER}"}}, "C"),
        ({"attest": "A", "orig": {"tn": "12155550113"}}, "failed"),
        ({"attest": "A"}, "failed"),
        ({"attest": "D", "orig": {"tn": CALLER}}, ""),
        ({"attest": ["A"], "orig": {"tn": CALLER}}, ""),
        ({"orig": {"tn": CALLER}}, ""),
        (["A"], ""),
    ],
)
def test_a_token_must_be_about_the_caller(claims: object, level: str) -> None:
    assert of_header("Identity", passport(claims), CALLER) == level


@given(name=st.sampled_from(["Identity", "X-Own"]), text=st.text(max_size=300))
def test_no_text_is_too_strange(name: str, text: str) -> None:
    for written in (text, f"eyJ.{text}.x", passport(text)):
        assert of_header(name, written, CALLER) in ("", "A", "B", "C", "failed")


def test_a_header_that_the_trunk_names_counts_first_and_without_the_endpoints_trust() -> None:
    form = NumberForm(attestation="X-Twilio-VerStat")
    invite = Invite(
        "sip:1@x", from_=PASSED, asserted=PASSED, trusted=False, attested="TN-Validation-Passed-B"
    )
    found = read(invite, form)
    assert found.attestation == "B"
    assert "the attestation of the caller's number is B, by X-Twilio-VerStat" in found.notes
    assert read(invite, NumberForm()).attestation == ""
    silent = read(Invite("sip:1@x", from_=PASSED), form)
    assert silent.attestation == "A"
    assert "X-Twilio-VerStat says nothing of the caller's number" in silent.notes


@pytest.mark.parametrize("name", ["X Own", "X-Own)", "1", "X-Ö", "A" * 65, "X-Own,2"])
def test_a_header_has_a_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="is not the name of a header"):
        NumberForm(attestation=name)
