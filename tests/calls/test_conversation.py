"""What the subscriber keys, and what it does."""

from __future__ import annotations

import pytest
from world import ANI, FRIEND, World

from stasis_callback.testing.phones import Phone

OTHER = "442079876543"


def _connected(world: World, friend: Phone) -> None:
    """Connect the subscriber with the friend; the subscriber hangs up."""
    with world.running():
        world.rings()
        friend.wait_for("answered", timeout_s=30)
        world.phone().hang_up()
        world.finished()
        world.nothing_left()


def test_digits_typed_ahead_of_every_prompt_count(world: World) -> None:
    world.usual()
    world.phone().answers().dials(f"{FRIEND}#", after_s=0.2)
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        friend.wait_for("answered", timeout_s=20)
        world.announced("another number")
        world.phone().hang_up()
        world.finished()
        world.nothing_left()
    assert not any("enter the number" in words for words in world.said)


def test_a_star_starts_the_number_over(world: World) -> None:
    world.usual()
    world.phone().answers().dials(f"999*{FRIEND}#")
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    _connected(world, friend)


@pytest.mark.option("inter_digit_timeout_s")
def test_a_pause_ends_the_number_too(world: World) -> None:
    """What is keyed after the pause comes too late, though it would be in time with the default."""
    world.usual(inter_digit_timeout_s="1")
    world.phone().answers().dials(FRIEND).dials("999", after_s=len(FRIEND) * world.network.key_s + 2)
    friend = world.phone(FRIEND).answers()
    _connected(world, friend)


@pytest.mark.option("dial_rules")
def test_national_and_international_prefixes_are_translated(world: World) -> None:
    world.usual(dial_rules="s/^00//; s/^0/44/")
    subscriber = world.phone().answers().dials("00442071234567#")
    friend = world.phone(FRIEND).answers().hangs_up(after_s=0.5)
    with world.running():
        world.rings()
        friend.wait_for("ended", timeout_s=30)
        world.announced("another number")
        subscriber.dial("02071234567#")
        friend.wait_for("answered", call=2, timeout_s=30)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()


@pytest.mark.option("first_digit_timeout_s")
def test_who_is_slow_to_begin_is_waited_for(world: World) -> None:
    world.usual(first_digit_timeout_s="30", destination_attempts="1")
    world.phone().answers().dials(f"{FRIEND}#", after_s=14)  # later than the default
    friend = world.phone(FRIEND).answers()
    _connected(world, friend)


@pytest.mark.option("destination_attempts")
@pytest.mark.parametrize("attempts", [1, 3])
def test_nothing_keyed_so_many_times_ends_with_goodbye(world: World, attempts: int) -> None:
    world.usual(first_digit_timeout_s="1", destination_attempts=str(attempts))
    subscriber = world.phone().answers()
    with world.running():
        world.rings()
        subscriber.wait_for("ended", timeout_s=60)
        (request,) = world.finished()
        world.nothing_left()
    assert request.outcome == "no_destination"
    assert sum("enter the number" in words for words in world.said) == attempts
    assert "oodbye" in world.said[-1]


def test_two_stars_during_the_talk_return_to_the_prompt(world: World) -> None:
    world.usual()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    other = world.phone(OTHER).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        friend.wait_for("answered", timeout_s=30)
        subscriber.dial("**")
        friend.wait_for("ended", timeout_s=5)
        world.announced("another number")
        subscriber.dial(f"{OTHER}#")
        other.wait_for("ended", timeout_s=30)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert {name: xdr.outcome for name, xdr in world.xdrs().items()} == dict.fromkeys(
        ("b1", "b1.2", "a1"), "answered"
    )


def test_a_talk_is_charged_while_its_subscriber_thinks_about_the_next_number(world: World) -> None:
    world.usual(first_digit_timeout_s="30")
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        friend.wait_for("ended", timeout_s=30)
        world.until(lambda: list(world.xdrs()) == ["b1"])
        assert [leg.side for leg in world.stores.calls.open_legs()] == ["a"]
        subscriber.hang_up()
        world.finished()
        world.nothing_left()


def test_two_stars_while_it_rings_return_to_the_prompt(world: World) -> None:
    world.usual(destination_attempts="2")
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).never_answers()
    other = world.phone(OTHER).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        friend.wait_for("ringing", timeout_s=30)
        subscriber.dial("*7**")
        friend.wait_for("ended", timeout_s=10)
        subscriber.dial(f"{OTHER}#")
        other.wait_for("ended", timeout_s=30)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert len(world.events("leg.given_up")) == 1
    assert not [words for words in world.said if "answer" in words or "not be reached" in words]
    assert {name: xdr.outcome for name, xdr in world.xdrs().items()} == {
        "b1": "cancelled", "b1.2": "answered", "a1": "answered"
    }  # fmt: skip


def test_digits_of_the_subscriber_reach_the_other_side(world: World) -> None:
    world.usual()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    with world.running():
        world.rings()
        friend.wait_for("answered", timeout_s=30)
        world.until(lambda: bool(world.events("leg.answered")[1:]))
        subscriber.dial("42")
        world.until(lambda: friend.calls[0].digits_heard == "42")
        subscriber.hang_up()
        world.finished()
        world.nothing_left()


def test_a_callback_number_of_the_account_is_called_instead(world: World) -> None:
    world.usual()
    world.stores.accounts.change(ANI, callback_number="420777123456")
    subscriber = world.phone("420777123456").answers()
    with world.running():
        world.rings()
        subscriber.wait_for("answered")
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert world.xdrs()["a1"].number == "420777123456"


def test_an_account_blocked_during_the_callback_can_call_nobody(world: World) -> None:
    world.usual()
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND).answers()
    with world.running():
        world.rings()
        world.announced("enter the number")
        world.stores.accounts.change(ANI, status="blocked")
        subscriber.dial(f"{FRIEND}#")
        world.announced("blocked")
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert friend.calls == []
