"""What an INVITE says of itself, read from the texts of its headers. tests/real/test_any_carrier.py sends them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stasis_callback.core.incoming import Address, Invite, address, addresses, read
from stasis_callback.core.trunk_numbers import NumberForm

ANY_FORM = st.builds(
    NumberForm,
    numbers=st.sampled_from(["e164", "+e164", "national:CZ", "national:US"]),
    identity=st.sampled_from(["pai", "from"]),
    called_from=st.sampled_from(["uri", "to"]),
)
MARKS = '<>"\\,;@= %\0'
WORDS = [
    "sip:",
    "tel:",
    "+420",
    "212345678",
    "%2B",
    "x.org",
    "phone-context",
    "privacy=full",
    "anonymous",
    "٤٢٠",
]
PIECES = st.sampled_from([*MARKS, *WORDS])
HEADER = st.lists(PIECES, max_size=20).map("".join) | st.text(max_size=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:+420212345678@x.org", Address("+420212345678", host="x.org")),
        ("<sip:%2B420212345678@x.org:5060;user=phone>;tag=1", Address("+420212345678", host="x.org")),
        ("<sip:420212345678:secret@x.org>", Address("420212345678", host="x.org")),
        ("<sip:212345678;Phone-Context=%2B420@x.org>", Address("212345678", "+420", host="x.org")),
        ("<sip:212345678@x.org;phone-context=+420>", Address("212345678", "+420", host="x.org")),
        ("<tel:212345678;phone-context=+420>", Address("212345678", "+420")),
        ("TEL:+420-212-345-678", Address("+420-212-345-678")),
        (
            '"A \\"B, <C>" <sip:1@x>;privacy="Full"',
            Address("1", display='A "B, <C>', host="x", privacy="full"),
        ),
        ("Jan <sip:1@x>", Address("1", display="Jan", host="x")),
        ("<sip:x.org>", Address(host="x.org")),
        ("sip:+420212345678", Address("+420212345678")),
        ("sip:1@x;privacy=full", Address("1", host="x", privacy="full")),
        ("<sip:1@x;privacy=full;party=called>", Address("1", host="x", privacy="full", party="called")),
        (f'"{"x" * 1500}" <sip:1@x>', Address("1", display="x" * 1500, host="x")),
        ("nonsense", Address(host="nonsense")),
        ("", Address()),
    ],
)
def test_an_address_is_taken_apart(text: str, expected: Address) -> None:
    assert address(text) == expected


OURS, MAIN = "<sip:420212345678@c>", "<sip:33123456789@c>"
PRIVATE = [
    {"from_": "<sip:266696687@c>", "asserted": OURS},
    {"from_": "<sip:+7378742833@c>", "asserted": OURS},
    {"from_": "<sip:123@anonymous.invalid>", "asserted": OURS},
    {"from_": '"Withheld Number" ' + OURS},
    {"from_": MAIN, "asserted": '"Anonymous" ' + OURS},
    {"privacy": "critical,id"},
    {"remote_party": f"{OURS};privacy=off,{OURS};privacy=full"},
    {"remote_party": "sip:420212345678@c;privacy=full"},
    {"remote_party": "<sip:420212345678@c;privacy=full>"},
    {"remote_party": f"{OURS};party=calling;privacy=uri-network"},
]
NOT_PRIVATE = [
    {"from_": '"Private Eye Ltd" ' + OURS},
    {"from_": '"Unknown" ' + OURS},
    {"privacy": "none"},
    {"remote_party": f"{OURS};privacy=off"},
    {"remote_party": "<sip:420800123456@c>;party=called;privacy=full"},
    {"remote_party": f"<sip:420800123456@c>;party=called,{OURS};party=calling"},
]


@pytest.mark.parametrize(
    ("headers", "private"), [*((h, True) for h in PRIVATE), *((h, False) for h in NOT_PRIVATE)]
)
def test_whether_a_caller_wants_to_be_private(headers: dict[str, str], private: bool) -> None:
    given: dict[str, Any] = {"uri": "sip:420800123456@h", "from_": OURS, **headers}
    invite = Invite(**given)
    found = read(invite, NumberForm())
    assert (found.caller, found.private) == ("420212345678", private)


def test_several_addresses_are_told_apart_by_commas_outside_of_names() -> None:
    header = '"One, <1>" <sip:1@x>, <tel:2>,sip:3@x'
    assert [found.user for found in addresses(header)] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("invite", "private"),
    [
        (Invite(privacy="id"), True),
        (Invite(privacy="User; ID"), True),
        (Invite(privacy="none"), False),
        (Invite(privacy="critical"), False),
        (Invite(remote_party="<sip:1@x>;privacy=full"), True),
        (Invite(remote_party="<sip:1@x>;privacy=uri, <sip:2@x>"), True),
        (Invite(remote_party="<sip:1@x>;privacy=off"), False),
        (Invite(remote_party="<sip:1@x>;privacy=name"), False),
        (Invite(remote_party="<sip:1@x>;privacy=full", trusted=False), True),
        (Invite(from_='"Anonymous" <sip:420212345678@x>'), True),
        (Invite(from_="<sip:anonymous@anonymous.invalid>"), True),
        (Invite(from_='"Unknown" <sip:420212345678@x>'), False),
        (Invite(), False),
    ],
)
def test_who_wants_to_be_private_is_heard(invite: Invite, private: bool) -> None:
    assert invite.private is private


def test_headers_come_percent_encoded_from_the_dialplan() -> None:
    args = [
        "uri=sip%3A1%40x",
        "to=",
        "from=%22a%2Cb%22%20%3Csip%3A2%40x%3E",
        "pai=%3Csip%3A3%40x%3E",
        "pai=%3Ctel%3A4%3E",
    ]
    assert Invite.of_args([*args, "rpid=", "privacy=id", "trusted=true"]) == Invite(
        "sip:1@x", "", '"a,b" <sip:2@x>', "<sip:3@x>,<tel:4>", "", "id"
    )
    assert Invite.of_args([]) is None
    assert Invite.of_args(["uri=x", "trusted=false"]) == Invite("x", trusted=False)


def test_each_stage_is_told() -> None:
    form = NumberForm("national:CZ", called_in="s/^9//")
    call = read(
        Invite("sip:9800123456;npdi@x", from_="<sip:alice@x>", asserted="<sip:anonymous@x>", privacy="id"),
        form,
    )
    assert (call.called, call.caller, call.private) == ("420800123456", "alice", True)
    assert call.notes == (
        "the request's address has 9800123456",
        "called_in makes 800123456 of it",
        "national:CZ makes 420800123456 of it",
        "P-Asserted-Identity has anonymous",
        "that is a withheld number",
        "From has alice",
        "not a phone number",
        "the caller requests privacy: the number is never shown to leg B",
    )


def test_what_is_no_number_is_kept_short() -> None:
    call = read(Invite(f"sip:{'s' * 500}@x", from_=f"<sip:{'a' * 500}@x>"), NumberForm())
    assert (call.called, call.caller) == ("s" * 64, "a" * 64)


@given(HEADER, HEADER, HEADER, HEADER, HEADER, HEADER, st.booleans(), ANY_FORM)
def test_no_text_breaks_the_reading(
    uri: str, to: str, from_: str, asserted: str, remote: str, privacy: str, trusted: bool, form: NumberForm
) -> None:
    call = read(Invite(uri, to, from_, asserted, remote, privacy, trusted), form)
    assert isinstance(call.called, str)
    assert isinstance(call.caller, str)


@given(HEADER, ANY_FORM)
def test_a_number_that_was_read_is_read_again_as_itself(text: str, form: NumberForm) -> None:
    number = form.caller(address(text).user, address(text).context)
    if number is not None:
        assert form.caller(f"+{number}") == number


@pytest.mark.parametrize(
    ("asserted", "from_", "expected"),
    [
        ("<sip:+12155550112;verstat=TN-Validation-Passed@x.org;user=phone>", "", "A"),
        ("<sip:+12155550112@x.org;verstat=TN-Validation-Passed-B>", "", "B"),
        ("<tel:+12155550112;verstat=tn-validation-passed-c>", "", "C"),
        ("", "<sip:+12155550112@x.org>;verstat=TN-Validation-Failed;tag=1", "failed"),
        ("<tel:+12155550112;verstat=TN-Validation-Passed-B>", "<tel:+1;verstat=TN-Validation-Passed>", "B"),
        ("<tel:+12155550112>", "<tel:+12155550112;verstat=No-TN-Validation>", ""),
        ("<tel:+12155550112;verstat=TN-Validation-Passed-Z>", "", ""),
        ("", "", ""),
    ],
)
def test_how_sure_the_carriers_are_of_the_callers_number(asserted: str, from_: str, expected: str) -> None:
    assert read(Invite("sip:1@x", from_=from_, asserted=asserted), NumberForm()).attestation == expected
    untrusted = Invite("sip:1@x", from_=from_, asserted=asserted, trusted=False)
    assert read(untrusted, NumberForm()).attestation == ""


@pytest.mark.parametrize(
    ("identity", "asserted", "from_", "expected"),
    [
        ("from", "<sip:+33123456789@x;verstat=TN-Validation-Passed>", "<sip:420212345678@x>", ""),
        ("pai", "<sip:+420212345678@x>", "<sip:+33123456789@x>;verstat=TN-Validation-Passed", ""),
        ("from", "<sip:+33123456789@x;verstat=TN-Validation-Failed>", "<sip:420212345678@x>", ""),
        ("pai", "<sip:420212345678@x>, <sip:+33123456789@x;verstat=TN-Validation-Passed>", "", ""),
        ("pai", "<sip:anonymous@x;verstat=TN-Validation-Passed>", "<sip:420212345678@x>", ""),
        # The same number in two places, in two forms, or twice in one header: one word for it is enough.
        ("from", "<tel:+420212345678;verstat=TN-Validation-Passed-B>", "<sip:212345678@x>", "B"),
        (
            "pai",
            "<sip:212345678@x>, <tel:+420212345678>",
            "<tel:+420212345678;verstat=TN-Validation-Passed>",
            "A",
        ),
    ],
)
def test_a_carriers_word_for_one_number_does_not_vouch_for_another(
    identity: Any, asserted: str, from_: str, expected: str
) -> None:
    form = NumberForm(numbers="national:CZ", identity=identity)
    found = read(Invite("sip:1@x", from_=from_, asserted=asserted), form)
    assert found.attestation == expected
    assert any("about another number" in note for note in found.notes) is (not expected)
