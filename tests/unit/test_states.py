"""Every state of a request against every other."""

from __future__ import annotations

import pytest

from stasis_callback.core.errors import InvariantBroken, require
from stasis_callback.core.states import LIVE, RequestState, may_move, require_move

MOVES = """
    from \\ to:  refused queued dialing talking done cancelled
    refused     -       -      -       -       -    -
    queued      -       -      yes     -       yes  yes
    dialing     -       yes    -       yes     yes  yes
    talking     -       yes    -       -       yes  yes
    done        -       -      -       -       -    -
    cancelled   -       -      -       -       -    -
"""
HEADER, *ROWS = [line.split() for line in MOVES.strip().splitlines()]
PAIRS = [
    (RequestState(old), RequestState(new), cell == "yes")
    for old, *cells in ROWS
    for new, cell in zip(HEADER[3:], cells, strict=True)
]


def test_the_table_has_every_pair() -> None:
    assert {(old, new) for old, new, _ in PAIRS} == {
        (old, new) for old in RequestState for new in RequestState
    }


@pytest.mark.parametrize(("old", "new", "legal"), PAIRS)
def test_a_request_moves_only_as_the_table_says(old: RequestState, new: RequestState, legal: bool) -> None:
    assert may_move(old, new) is legal
    if legal:
        require_move(old, new)
    else:
        with pytest.raises(InvariantBroken, match=f"a request cannot go from {old} to {new}"):
            require_move(old, new)


def test_a_callback_is_under_way_until_it_can_move_no_further() -> None:
    assert set(LIVE) == {old for old, _, legal in PAIRS if legal}


def test_a_rule_that_holds_says_nothing() -> None:
    require(True, "one is one")
    with pytest.raises(InvariantBroken, match="one is two"):
        require(False, "one is two")
