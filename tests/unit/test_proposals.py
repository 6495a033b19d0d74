"""Whoever carries out what was proposed does so alone, for as long as it takes; what was cut off is open at once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from shop import Shop

from stasis_callback.clock import wait_until
from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.operators.proposals import Proposals, ProposalView

DAY_S = 86_400


@pytest.fixture
def proposals(shop: Shop) -> Proposals:
    shop.stores.proposals.add("k", ["account", "generate"], "ann")
    return shop.stores.proposals


def newest(proposals: Proposals) -> ProposalView:
    return proposals.newest()[0]


def agrees(proposals: Proposals, who: str) -> None:
    """Agrees, and dies before anything is known of it."""
    with proposals.alone(newest(proposals).id):
        proposals.decide(newest(proposals).id, who, agreed=True)


@pytest.mark.parametrize("step_s", [0, DAY_S, -DAY_S])
def test_while_it_is_carried_out_nobody_else_decides_whatever_the_clock_says(
    shop: Shop, proposals: Proposals, step_s: int
) -> None:
    one = newest(proposals).id
    with proposals.alone(one):
        assert proposals.decide(one, "bob", agreed=True).state == "agreed"
        shop.clock.passes(step_s)
        assert not newest(proposals).is_open
        for who in ("eve", "ann"):
            with pytest.raises(InvalidInput, match="is being carried out"):
                agrees(proposals, who)
        proposals.finish(one, "bob", done=True, said="100000 accounts opened")
    found = newest(proposals)
    assert (found.state, found.decider, found.is_open) == ("done", "bob", False)
    with pytest.raises(InvalidInput, match="decided by bob already"):
        agrees(proposals, "eve")


@pytest.mark.parametrize("step_s", [0, DAY_S, -DAY_S])
def test_what_was_cut_off_is_open_at_once_whatever_the_clock_says(
    shop: Shop, proposals: Proposals, step_s: int
) -> None:
    agrees(proposals, "bob")
    shop.clock.passes(step_s)
    assert (newest(proposals).state, newest(proposals).is_open) == ("agreed", True)
    agrees(proposals, "eve")
    assert newest(proposals).decider == "eve"


def test_a_process_that_dies_leaves_it_open(shop: Shop, proposals: Proposals) -> None:
    one = newest(proposals).id
    code = f"""
from stasis_callback.clock import Clock
from stasis_callback.store.stores import open_stores
proposals = open_stores({shop.url!r}, "other", Clock()).proposals
with proposals.alone({one}):
    proposals.decide({one}, "bob", agreed=True)
    print("agreed", flush=True)
    input()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "agreed\n"
        assert not newest(proposals).is_open
        child.kill()
    assert wait_until(lambda: newest(proposals).is_open, timeout_s=10)
    agrees(proposals, "eve")


def test_of_many_who_agree_at_once_one_carries_it_out(proposals: Proposals) -> None:
    one, together = newest(proposals).id, Barrier(6)

    def agree(who: str) -> str:
        together.wait(10)
        try:
            with proposals.alone(one):
                proposals.decide(one, who, agreed=True)
                proposals.finish(one, who, done=True, said="done")
        except InvalidInput:
            return ""
        return who

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(agree, [f"operator{n}" for n in range(6)]))
    assert [who for who in found if who] == [newest(proposals).decider]


@pytest.mark.parametrize("other_is_over", [False, True])
def test_what_was_done_is_done_also_where_its_lock_was_lost(
    proposals: Proposals, other_is_over: bool
) -> None:
    """A server that was started again has forgotten who has a lock: then another may have agreed meanwhile."""
    one = newest(proposals).id
    agrees(proposals, "bob")
    agrees(proposals, "eve")
    if other_is_over:
        proposals.finish(one, "eve", done=False, said="batch 'may' exists")
    proposals.finish(one, "bob", done=True, said="made")
    proposals.finish(one, "eve", done=False, said="batch 'may' exists")
    assert (newest(proposals).state, newest(proposals).said) == ("done", "made")
    assert not newest(proposals).is_open
