"""The fraud control in whole callbacks: what it holds back, before a leg and in a talk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from world import ANI, FRIEND, World, new_world

from stasis_callback.core.fraud import Budget
from stasis_callback.core.rating import Rate
from stasis_callback.core.words import Refusal

PREMIUM = "449012345678"


@pytest.fixture
def world(fake_network: Any, tmp_path: Path) -> Iterator[World]:
    with new_world(fake_network, tmp_path) as made:
        yield made


def set_aside(world: World) -> list[str]:
    return [one.subject for one in world.stores.fraud.listed()]


def test_a_destination_of_a_range_without_a_budget_left_is_not_available(world: World) -> None:
    world.sells(
        Rate("420", first_price_micros=60_000, next_price_micros=60_000),
        Rate("44", first_price_micros=120_000, next_price_micros=120_000),
        Rate("44901", first_price_micros=60_000_000, next_price_micros=60_000_000),
    )
    world.access_number()
    world.account(funds="1000")
    subscriber = world.phone(ANI).answers().dials(f"{PREMIUM}#", after_s=1)
    subscriber.dials(f"{FRIEND}#", after_s=4)
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        friend.wait_for("ended", timeout_s=30)
        subscriber.hang_up()
        world.finished()
    assert world.phone(PREMIUM).calls == []  # a slice of three minutes is 180, the budget of a day 50
    assert [line["reason"] for line in world.events("destination.held_back")] == ["set_aside"]
    assert set_aside(world) == ["range:premium"]
    world.nothing_left("1000.00")


def test_who_is_set_aside_is_refused_whichever_way_it_asks(world: World) -> None:
    world.usual()
    world.stores.fraud.set_aside(f"account:{ANI}", "stolen", "Jana", None)
    with world.running():
        world.rings()
        world.finished()
        assert world.asks(trusted=True).reason == Refusal.SET_ASIDE
    assert [line["reason"] for line in world.events("request.refused")] == ["set_aside", "set_aside"]
    assert world.phone().calls == []


def test_the_last_call_of_a_budget_is_made_and_the_next_one_is_not(world: World) -> None:
    world.usual(dedupe_window_s="0")
    world.stores.fraud.budgets = type(world.stores.fraud.budgets)(account=Budget(2))
    subscriber = world.phone(ANI).answers().dials(f"{FRIEND}#", after_s=1)
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        friend.wait_for("ended", timeout_s=30)
        subscriber.hang_up()
        world.finished()
        assert set_aside(world) == [f"account:{ANI}"]
        world.rings()
        world.finished(2)
    assert [request.outcome for request in world.stores.requests.newest()] == ["set_aside", "completed"]
    world.nothing_left()


def test_a_talk_gets_no_further_slice(world: World) -> None:
    world.usual(hold_slice_s="10", hold_extend_before_s="5")
    subscriber = world.phone(ANI).answers().dials(f"{FRIEND}#", after_s=1)
    friend = world.phone(FRIEND).answers()
    with world.running():
        world.rings()
        friend.wait_for("answered", timeout_s=30)
        world.stores.never_call.add(FRIEND, "asked us a moment ago")
        friend.wait_for("ended", timeout_s=40)
        subscriber.hang_up()
        world.finished()
    assert [line["reason"] for line in world.events("talk.ends")] == ["never_called"]
    assert 5 <= world.xdrs()["b1"].charged_s <= 12
    world.nothing_left()


def test_a_talk_counts_the_minutes_it_may_still_use_until_it_ends(world: World) -> None:
    """Three minutes while it is held for three; what it took, afterwards."""
    budgets = replace(type(world.stores.fraud.budgets)(), prefixes=(("44", Budget(0, 8, 0)),))
    world.usual()
    world.stores.fraud.budgets = budgets
    key = "fraud:range:44"
    subscriber = world.phone(ANI).answers().dials(f"{FRIEND}#", after_s=1)
    friend = world.phone(FRIEND).answers()
    with world.running():
        world.rings()
        friend.wait_for("answered", timeout_s=30)
        assert world.stores.limits.spent([key])[key].seconds == 180
        friend.hang_up()
        subscriber.hang_up()
        world.finished()
    charged_s = world.xdrs()["b1"].charged_s
    assert charged_s < 60
    assert world.stores.limits.spent([key])[key].seconds == charged_s
    world.nothing_left()
