"""Pauses between attempts."""

from __future__ import annotations

import pytest

from stasis_callback.core.backoff import BackOff, doubling_s


@pytest.mark.parametrize(
    ("attempts", "pause_s"), [(1, 5.0), (2, 10.0), (3, 20.0), (4, 30.0), (5, None), (9, None)]
)
def test_pauses_double_up_to_the_longest_until_it_is_given_up(attempts: int, pause_s: float | None) -> None:
    assert BackOff(first_s=5.0, longest_s=30.0, attempts=5).pause_s(attempts) == pause_s


def test_something_may_fail_for_ever_and_be_tried_every_minute() -> None:
    """Of a receiver that is away for days, the failures in a row are thousands."""
    assert [doubling_s(1.0, 60.0, failures) for failures in (1, 2, 3, 100_000)] == [1.0, 2.0, 4.0, 60.0]
