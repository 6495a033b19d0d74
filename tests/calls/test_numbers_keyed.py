"""Numbers that are keyed in the menu: read as in the subscriber's country, and some never dialled."""

from __future__ import annotations

import pytest
from world import ACCESS, ANI, FRIEND, World

from stasis_callback.core.rating import Rate
from stasis_callback.core.requests import CallbackRequest
from stasis_callback.store.rates.tariffs import NewRate

EVERYWHERE = ("1", "91", "99", "11")


@pytest.mark.option("region")
def test_a_number_is_read_as_in_the_region(world: World) -> None:
    world.usual(region="GB")
    world.phone().answers().dials("02071234567#")
    friend = world.phone(FRIEND).answers().hangs_up(after_s=0.5)
    with world.running():
        world.rings()
        friend.wait_for("ended", timeout_s=30)
        world.announced("another number")
        world.phone().hang_up()
        world.finished()
        world.nothing_left()


def _asked(world: World, times: int) -> None:
    """Wait until the number was asked for so many times."""
    world.until(lambda: sum("enter the number" in said for said in world.said) >= times, timeout_s=40)


def test_what_is_never_dialled(world: World) -> None:
    world.usual(destination_attempts="10")
    world.stores.tariffs.put_rates("standard", [NewRate(Rate(prefix)) for prefix in EVERYWHERE])
    subscriber = world.phone().answers()
    refused = {
        "112": "mergency numbers",
        "911": "mergency numbers",
        "4420712": "not valid",
        "1411": "not valid",
        "18765551234": "not available",
        "19005551234": "not available",
    }
    with world.running():
        world.rings()
        for said, (number, words) in enumerate(refused.items(), start=1):
            _asked(world, said)
            subscriber.dial(f"{number}#")
            _asked(world, said + 1)
            assert words in [line for line in world.said if "enter the number" not in line][-1], number
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert "b1" not in world.xdrs()


def test_an_emergency_number_that_is_queued_all_the_same_is_not_called(world: World) -> None:
    world.usual()
    world.stores.tariffs.put_rates("standard", [NewRate(Rate(prefix)) for prefix in EVERYWHERE])
    account = world.stores.accounts.named(ANI)
    request = CallbackRequest("by an older release", "ani", "112", ACCESS)
    refusal = world.stores.requests.accept(
        request, account_id=account.id, subscriber_id=account.id, leg_a_number="112", stored_options={},
        queue_limit=100,
    )  # fmt: skip
    assert refusal == ""
    with world.running():
        (ended,) = world.finished()
        world.nothing_left()
    assert ended.outcome == "emergency_number"
    assert world.xdrs() == {}
