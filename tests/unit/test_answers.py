"""What a carrier's answer means: every SIP status, with the cause that Asterisk has for it, and causes alone."""

from __future__ import annotations

import pytest

from stasis_callback.core.answers import Meaning, format_answers, meaning, parse_answers
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.outcomes import Outcome

# The causes are those of Asterisk 22 (tests/real/test_carrier_answers.py shows them). Where Asterisk tells the
# Q.850 cause of a Reason header, it does so in place of its own.
TABLE = [
    # SIP, cause, what it means
    (486,  17, "busy"), (600,  17, "busy"), (603,  21, "declined"), (607, 127, "unwanted"), (608, 127, "unwanted"),
    (484,  28, "invalid"), (485, 127, "invalid"), (604,   1, "invalid"), (410,  22, "invalid"),
    (404,   1, "unknown_number"), (404,  34, "carrier"), (404,   3, "carrier"), (404,  38, "carrier"),
    (480,  19, "no_answer"), (480,  18, "no_answer"), (480,  20, "no_answer"), (480,  31, "no_answer"),
    (480,  34, "carrier"), (480,  38, "carrier"), (480,  41, "carrier"), (480,  42, "carrier"), (480,  44, "carrier"),
    (480,  47, "carrier"),
    (401,  21, "refuses_us"), (403,  21, "refuses_us"), (407,  21, "refuses_us"), (428, 127, "refuses_us"),
    (436, 127, "refuses_us"), (437, 127, "refuses_us"), (438, 127, "refuses_us"),
    (408,  18, "no_answer"),
    (302,  23, "declined"), (301,  23, "declined"),
    (482, 127, "carrier"), (483,  19, "carrier"), (488,  58, "carrier"), (606,  58, "carrier"),
    (400, 127, "carrier"), (402, 127, "carrier"), (405, 127, "carrier"), (406, 127, "carrier"), (415, 127, "carrier"),
    (420,   3, "carrier"), (433, 127, "carrier"), (481, 127, "carrier"), (487, 127, "carrier"), (491, 127, "carrier"),
    (493, 127, "carrier"), (500,  38, "carrier"), (501,  29, "carrier"), (502,  27, "carrier"), (503,  34, "carrier"),
    (504, 102, "carrier"), (505, 127, "carrier"), (580,  34, "carrier"), (599, 127, "carrier"), (699, 127, "carrier"),
    (None,  17, "busy"), (None,  18, "no_answer"), (None,  19, "no_answer"), (None,   0, "no_answer"),
    (None,  21, "declined"), (None,  1, "unknown_number"), (None, 22, "invalid"), (None, 28, "invalid"),
    (None,  34, "carrier"), (None,  38, "carrier"), (None,   3, "carrier"), (None,  27, "carrier"),
    (None, 127, "carrier"), (None, 999, "carrier"), (None, 44, "no_answer"),
]  # fmt: skip


@pytest.mark.parametrize(("sip", "cause", "meant"), TABLE)
def test_what_an_answer_means_after_ringing(sip: int | None, cause: int, meant: str) -> None:
    assert meaning(cause, sip) == Meaning(meant)


@pytest.mark.parametrize(("sip", "cause", "meant"), TABLE)
def test_without_ringing_a_timeout_is_the_carriers(sip: int | None, cause: int, meant: str) -> None:
    timeouts = ((408, 18), (None, 18), (None, 44))
    expected = Meaning.CARRIER if (sip, cause) in timeouts else Meaning(meant)
    assert meaning(cause, sip, progressed=False) == expected


def test_each_status_is_understood_whatever_the_cause() -> None:
    for status in range(300, 700):
        for cause in (0, 16, 17, 19, 34, 127):
            meant = meaning(cause, status)
            assert meant.fails_over == (meant in ("carrier", "refuses_us"))
            unanswered = meant.outcome(cause)
            assert unanswered not in (Outcome.ANSWERED, Outcome.CANCELLED, Outcome.NOT_DIALED)


@pytest.mark.parametrize(
    ("meant", "cause", "outcome"),
    [
        ("busy", 17, "busy"),
        ("no_answer", 18, "no_answer"),
        ("declined", 21, "rejected"),
        ("unwanted", 127, "rejected"),
        ("invalid", 28, "unallocated"),
        ("unknown_number", 1, "unallocated"),
        ("refuses_us", 21, "failed"),
        ("carrier", 34, "congestion"),
        ("carrier", 127, "failed"),
    ],
)
def test_what_stands_on_the_call_record(meant: str, cause: int, outcome: str) -> None:
    assert Meaning(meant).outcome(cause) == outcome


def test_a_trunk_has_its_own_meanings() -> None:
    answers = parse_answers(" 404=carrier ; 480=carrier;503=busy;")
    assert format_answers(answers) == "404=carrier;480=carrier;503=busy"
    assert [meaning(19, status, answers=answers) for status in (404, 480, 503, 486)] == [
        "carrier", "carrier", "busy", "busy",
    ]  # fmt: skip
    assert not parse_answers("")


@pytest.mark.parametrize(
    "text", ["404", "404=next", "200=busy", "99=busy", "4040=busy", "404:busy", "٤٠٤=busy"]
)
def test_what_is_no_answer_is_said(text: str) -> None:
    with pytest.raises(InvalidInput, match="write STATUS=MEANING, for example 404=carrier"):
        parse_answers(text)
