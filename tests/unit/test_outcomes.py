"""Asterisk's cause and the SIP status of a leg that was not answered, and what we call it."""

from __future__ import annotations

import pytest

from stasis_callback.core.outcomes import Outcome, unanswered


@pytest.mark.parametrize(
    # The pairs of SIP status and cause were measured on Asterisk 22; None stands for a leg without a status.
    ("sip", "cause", "outcome"),
    [
        (486,  17, "busy"),
        (600,  17, "busy"),
        (404,   1, "unallocated"),
        (484,  28, "unallocated"),
        (403,  21, "rejected"),
        (603,  21, "rejected"),
        (302,  23, "rejected"),
        (480,  19, "no_answer"),
        (408,  18, "no_answer"),
        (480,  20, "no_answer"),
        (503,  34, "congestion"),
        (None, 17, "busy"),
        (None, 18, "no_answer"),
        (None, 19, "no_answer"),
        (None,  0, "no_answer"),
        (None, 34, "congestion"),
        (None, 38, "congestion"),
        (None,  3, "congestion"),
        (None, 27, "congestion"),
        (None, 21, "rejected"),
        (None,  1, "unallocated"),
        (None, 22, "unallocated"),
        (None, 127, "failed"),
        (None, 999, "failed"),
        (500, 127, "failed"),
    ],
)  # fmt: skip
def test_why_a_leg_was_not_answered(sip: int | None, cause: int, outcome: str) -> None:
    assert unanswered(cause, sip) == Outcome(outcome)


@pytest.mark.parametrize(
    ("sip", "cause", "outcome"), [(486, 0, "busy"), (480, 127, "no_answer"), (408, 34, "no_answer")]
)
def test_a_clear_sip_status_says_more_than_the_cause(sip: int, cause: int, outcome: str) -> None:
    assert unanswered(cause, sip) == Outcome(outcome)


def test_no_cause_makes_an_unanswered_leg_an_answered_one() -> None:
    ends = {unanswered(cause) for cause in range(256)}
    assert ends.isdisjoint({Outcome.ANSWERED, Outcome.CANCELLED, Outcome.NOT_DIALED})
