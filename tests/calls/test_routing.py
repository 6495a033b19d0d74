"""Several trunks: the cheapest first, the next one when it fails, none above its limits, none at a loss."""

from __future__ import annotations

import pytest
from world import ACCESS, ANI, CHEAP, DEAR, FRIEND, World

from stasis_callback.core.rating import Rate
from stasis_callback.testing.phones import BUSY, CONGESTION, NO_ANSWER, SECOND_TRUNK, UNALLOCATED


def usual(world: World, **options: str) -> None:
    world.usual(caller_id_b=ANI, **options)
    world.phone(CHEAP + ANI).answers().dials(f"{FRIEND}#")


def test_the_cheapest_trunk_carries_both_legs_and_its_cost_stands_on_the_call_records(world: World) -> None:
    usual(world)
    world.two_trunks()
    world.phone(CHEAP + FRIEND).answers().hangs_up(after_s=2)
    with world.running():
        world.rings()
        world.phone(CHEAP + FRIEND).wait_for("ended", timeout_s=30)
        world.phone(CHEAP + ANI).hang_up()
        world.finished()
        world.nothing_left()
    assert set(world.xdrs()) == {"a1", "b1"}
    for xdr in world.xdrs().values():
        assert (xdr.trunk, xdr.cost_currency) == (world.settings.asterisk.trunk, "USD")
        assert xdr.cost_micros == -(-xdr.charged_s * 10_000 // 60) > 0


def test_a_congested_trunk_is_followed_by_the_next(world: World) -> None:
    usual(world)
    world.two_trunks()
    world.phone(CHEAP + FRIEND).refuses(CONGESTION)
    world.phone(DEAR + FRIEND).answers().hangs_up(after_s=2)
    with world.running():
        world.rings()
        world.phone(DEAR + FRIEND).wait_for("ended", timeout_s=30)
        world.phone(CHEAP + ANI).hang_up()
        assert [request.outcome for request in world.finished()] == ["completed"]
        world.nothing_left()
    first, second = world.xdrs()["b1"], world.xdrs()["b1.2"]
    assert (first.trunk, first.outcome, first.amount_micros, first.cost_micros) == (
        world.settings.asterisk.trunk, "congestion", 0, 0
    )  # fmt: skip
    assert (second.trunk, second.outcome) == (SECOND_TRUNK, "answered")
    assert second.cost_micros == -(-second.charged_s * 30_000 // 60)


@pytest.mark.option("margin_guard")
def test_who_has_money_for_one_leg_only_still_gets_the_second_trunk(world: World) -> None:
    """The hold of the attempt that failed is given back before the next is made."""
    world.sells(Rate("420"), Rate("44", first_price_micros=60_000, next_price_micros=60_000))
    world.access_number()
    world.account(funds="0.010")
    world.two_trunks()
    world.stores.access_numbers.change(ACCESS, {"margin_guard": "off"})
    world.phone(CHEAP + ANI).answers().dials(f"{FRIEND}#")
    world.phone(CHEAP + FRIEND).refuses(CONGESTION)
    world.phone(DEAR + FRIEND).answers()
    with world.running():
        world.rings()
        world.phone(DEAR + FRIEND).wait_for("ended", timeout_s=40)
        world.phone(CHEAP + ANI).hang_up()
        world.finished()
        world.nothing_left(funds="0.010")
    world.was_cut("b1.2", after_s=10)


def test_busy_is_the_other_sides_word_and_no_other_trunk_is_tried(world: World) -> None:
    usual(world)
    world.two_trunks()
    world.phone(CHEAP + FRIEND).refuses(BUSY)
    world.phone(DEAR + FRIEND).answers()
    with world.running():
        world.rings()
        world.announced("busy")
        world.phone(CHEAP + ANI).hang_up()
        world.finished()
        world.nothing_left()
    assert set(world.xdrs()) == {"a1", "b1"}


def test_when_every_trunk_fails_the_subscriber_is_told(world: World) -> None:
    usual(world)
    world.two_trunks()
    for trunk in (CHEAP, DEAR):
        world.phone(trunk + FRIEND).refuses(CONGESTION)
    with world.running():
        world.rings()
        world.announced("cannot be reached")
        world.phone(CHEAP + ANI).hang_up()
        world.finished()
        world.nothing_left()
    assert [world.xdrs()[leg].outcome for leg in ("b1", "b1.2")] == ["congestion", "congestion"]


@pytest.mark.option("trunk_attempts")
def test_no_more_trunks_are_tried_than_set(world: World) -> None:
    usual(world, trunk_attempts="1")
    world.two_trunks()
    world.phone(CHEAP + FRIEND).refuses(CONGESTION)
    with world.running():
        world.rings()
        world.announced("cannot be reached")
        world.phone(CHEAP + ANI).hang_up()
        world.finished()
    assert set(world.xdrs()) == {"a1", "b1"}


def test_leg_a_goes_over_the_next_trunk_at_once(world: World) -> None:
    usual(world, retry_interval_s="600")
    world.two_trunks()
    world.phone(CHEAP + ANI).forget().refuses(CONGESTION)
    world.phone(DEAR + ANI).answers().dials(f"{FRIEND}#")
    world.phone(CHEAP + FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        world.phone(CHEAP + FRIEND).wait_for("ended", timeout_s=30)
        world.phone(DEAR + ANI).hang_up()
        assert [request.outcome for request in world.finished()] == ["completed"]
        world.nothing_left()
    legs = world.xdrs()
    assert {leg: (xdr.trunk, xdr.outcome) for leg, xdr in legs.items() if leg.startswith("a")} == {
        "a1": (world.settings.asterisk.trunk, "congestion"),
        "a1.2": (SECOND_TRUNK, "answered"),
    }


def test_a_full_trunk_is_passed_over(world: World) -> None:
    usual(world)
    world.two_trunks(cheap={"calls_limit": 1})
    world.phone(DEAR + FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        world.phone(DEAR + FRIEND).wait_for("ended", timeout_s=30)
        world.phone(CHEAP + ANI).hang_up()
        world.finished()
        world.nothing_left()
    assert world.events("trunk.full")
    assert {leg: xdr.trunk for leg, xdr in world.xdrs().items()} == {
        "a1": world.settings.asterisk.trunk,
        "b1.2": SECOND_TRUNK,
    }


@pytest.mark.option("min_margin_percent")
@pytest.mark.parametrize("number", ["a route elsewhere", "a rate above the price"])
def test_a_destination_that_no_trunk_may_carry_is_refused_before_anything_is_dialled(
    world: World, number: str
) -> None:
    usual(world, min_margin_percent="0" if number == "a route elsewhere" else "80")
    world.two_trunks()
    # Leg A earns 6 cents and costs 1: over four fifths are left. Leg B earns 12 and costs 3.
    for trunk in (world.settings.asterisk.trunk, SECOND_TRUNK):
        world.stores.trunks.add_route(trunk, "420")
        if number != "a route elsewhere" and trunk == SECOND_TRUNK:
            world.stores.trunks.add_route(trunk, "44")
    with world.running():
        world.rings()
        world.announced("not available")
        world.phone(CHEAP + ANI).hang_up()
        world.finished()
        world.nothing_left()
    assert set(world.xdrs()) == {"a1"}
    assert world.events("route.none")


def test_a_carrier_that_says_nothing_is_given_up_and_the_next_one_calls_leg_a(world: World) -> None:
    usual(world)
    world.two_trunks(cheap={"no_progress_s": 1})
    world.phone(CHEAP + ANI).says_nothing()
    world.phone(DEAR + ANI).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        world.phone(DEAR + ANI).wait_for("ended", timeout_s=30)
        world.finished()
        world.nothing_left()
    assert {leg: xdr.outcome for leg, xdr in world.xdrs().items()} == {"a1": "congestion", "a1.2": "answered"}


def test_a_carrier_that_says_nothing_is_given_up_and_the_next_one_calls_leg_b(world: World) -> None:
    usual(world)
    world.two_trunks(cheap={"no_progress_s": 1})
    world.phone(CHEAP + FRIEND).says_nothing()
    world.phone(DEAR + FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        world.phone(DEAR + FRIEND).wait_for("ended", timeout_s=30)
        world.phone(CHEAP + ANI).hang_up()
        world.finished()
        world.nothing_left()
    legs = {leg: xdr.outcome for leg, xdr in world.xdrs().items()}
    assert legs == {"a1": "answered", "b1": "congestion", "b1.2": "answered"}


def test_an_unknown_number_is_asked_for_at_one_more_trunk(world: World) -> None:
    usual(world)
    world.two_trunks()
    for trunk in (CHEAP, DEAR):
        world.phone(trunk + FRIEND).refuses(UNALLOCATED)
    with world.running() as service:
        world.rings()
        world.announced("not valid")
        world.phone(CHEAP + ANI).hang_up()
        world.finished()
        world.nothing_left()
        assert service.trunk_health.failures() == {}
    assert [world.xdrs()[leg].outcome for leg in ("b1", "b1.2")] == ["unallocated", "unallocated"]


def test_a_trunk_that_calls_numbers_unknown_that_exist_has_failed(world: World) -> None:
    usual(world)
    world.two_trunks()
    world.phone(CHEAP + FRIEND).refuses(UNALLOCATED)
    world.phone(DEAR + FRIEND).answers().hangs_up(after_s=1)
    with world.running() as service:
        world.rings()
        world.phone(DEAR + FRIEND).wait_for("ended", timeout_s=30)
        world.phone(CHEAP + ANI).hang_up()
        world.finished()
        assert service.trunk_health.failures() == {(world.settings.asterisk.trunk, "unknown_number"): 1}


def test_a_trunk_may_say_what_an_answer_means_on_it(world: World) -> None:
    usual(world)
    world.two_trunks(cheap={"answers": "480=carrier"})
    world.phone(CHEAP + FRIEND).refuses(NO_ANSWER)
    world.phone(DEAR + FRIEND).refuses(NO_ANSWER)
    with world.running():
        world.rings()
        world.announced("not answering")
        world.phone(CHEAP + ANI).hang_up()
        world.finished()
    assert [world.xdrs()[leg].outcome for leg in ("b1", "b1.2")] == ["failed", "no_answer"]


def test_a_trunk_that_failed_too_often_in_a_row_rests(world: World) -> None:
    limits = world.settings.limits.model_copy(update={"trunk_failures": 2})
    world.settings = world.settings.model_copy(update={"limits": limits})
    usual(world)
    world.two_trunks()
    for number in (ANI, FRIEND):
        world.phone(CHEAP + number).forget().refuses(CONGESTION)
    world.phone(DEAR + ANI).answers().dials(f"{FRIEND}#")
    world.phone(DEAR + FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        world.phone(DEAR + FRIEND).wait_for("ended", timeout_s=30)
        world.announced("another number")
        world.phone(DEAR + ANI).dial(f"{FRIEND}#")
        world.phone(DEAR + FRIEND).wait_for("ended", call=2, timeout_s=30)
        world.phone(DEAR + ANI).hang_up()
        world.finished()
        world.nothing_left()
    assert set(world.xdrs()) == {"a1", "a1.2", "b1", "b1.2", "b1.3"}
    assert [line["trunk"] for line in world.events("trunk.resting")] == [world.settings.asterisk.trunk]
