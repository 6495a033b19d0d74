"""Leg B does not come about: the right prompt, the right xDR, and the subscriber may try another number."""

from __future__ import annotations

import pytest
from world import ANI, FRIEND, World

from stasis_callback.testing.fake import FakeNetwork
from stasis_callback.testing.phones import BUSY, CONGESTION, DECLINED, REJECTED

OTHER = "442079876543"


@pytest.mark.parametrize(
    ("cause", "words", "outcome"),
    [
        (BUSY, "busy", "busy"),
        (CONGESTION, "cannot be reached", "congestion"),
        (REJECTED, "cannot be reached", "failed"),  # 403: what the carrier says of us
        (DECLINED, "cannot be reached", "rejected"),
    ],
)
def test_a_leg_b_that_refuses(world: World, cause: int, words: str, outcome: str) -> None:
    world.usual()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    world.phone(FRIEND).refuses(cause)
    with world.running():
        world.rings()
        world.announced(words)
        world.announced("enter the number", timeout_s=20)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    b = world.xdrs()["b1"]
    assert (b.outcome, b.charged_s, b.amount_micros) == (outcome, 0, 0)


@pytest.mark.option("ring_timeout_b_s")
def test_a_leg_b_that_nobody_answers(world: World) -> None:
    world.usual(ring_timeout_b_s="5")
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).never_answers()
    with world.running():
        world.rings()
        friend.wait_for("ringing", timeout_s=20)
        friend.wait_for("ended", timeout_s=20)
        world.announced("not answering")
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert world.xdrs()["b1"].outcome == "no_answer"


def test_a_number_that_is_not_allocated(world: World) -> None:
    world.usual()
    world.phone().answers().dials(f"{OTHER}#")
    with world.running():
        world.rings()
        world.announced("not valid")
        world.phone().hang_up()
        world.finished()
        world.nothing_left()
    assert world.xdrs()["b1"].outcome == "unallocated"


@pytest.mark.parametrize("keyed", ["33123456789#", "420800123456#"])
def test_a_destination_that_is_not_in_the_tariff_or_our_own_is_never_dialled(
    world: World, keyed: str
) -> None:
    world.usual()
    world.phone().answers().dials(keyed)
    with world.running():
        world.rings()
        world.announced("not available")
        world.phone().hang_up()
        world.finished()
        world.nothing_left()
    assert list(world.xdrs()) == ["a1"]


def test_a_redirect_by_leg_b_is_not_followed(world: World) -> None:
    world.usual()
    world.phone().answers().dials(f"{FRIEND}#")
    world.phone(FRIEND).redirects_to("44906666666")
    trap = world.phone("44906666666").answers()
    with world.running():
        world.rings()
        world.announced("cannot be reached")
        world.phone().hang_up()
        world.finished()
        world.nothing_left()
    assert trap.calls == []
    assert world.xdrs()["b1"].outcome == "rejected"


def test_funds_that_do_not_pay_for_one_second_of_both_legs(world: World) -> None:
    world.usual(funds="0.05")
    world.phone().answers().dials(f"{FRIEND}#")
    with world.running():
        world.rings()
        world.announced("enough credit")
        world.phone().hang_up()
        world.finished()
        world.nothing_left(funds="0.05")
    assert list(world.xdrs()) == ["a1"]


def test_after_a_busy_number_another_one_can_be_called(world: World) -> None:
    world.usual()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    world.phone(FRIEND).refuses(BUSY)
    other = world.phone(OTHER).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        world.announced("busy")
        subscriber.dial(f"{OTHER}#")
        other.wait_for("answered", timeout_s=20)
        world.announced("another number", timeout_s=20)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert [xdr.outcome for xdr in world.xdrs().values()] == ["busy", "answered", "answered"]
    assert world.xdrs()["a1"].number == ANI


def test_a_party_that_is_not_heard_any_more_is_marked_whatever_was_heard_before(world: World) -> None:
    if isinstance(world.network, FakeNetwork):
        world.usual()
        world.phone().answers().dials(f"{FRIEND}#")
        friend = world.phone(FRIEND).answers()
        with world.running():
            world.rings()
            friend.wait_for("answered", timeout_s=40)
            world.phone().mute = True  # it spoke in the menu
            friend.mute = friend.reports = True  # it listens, and its carrier suppresses silence
            world.until(lambda: bool(world.events("talk.no_media")), timeout_s=60)
            friend.hang_up()
            world.phone().hang_up()
            world.finished()
            world.nothing_left()
        assert {leg: xdr.no_media for leg, xdr in world.xdrs().items()} == {"a1": True, "b1": False}


def test_a_party_that_is_not_heard_is_marked_on_its_call_record(world: World) -> None:
    if isinstance(
        world.network, FakeNetwork
    ):  # phones on a real network cannot be so silent; tests/real has those
        world.usual()
        world.phone().answers().dials(f"{FRIEND}#")
        friend = world.phone(FRIEND).answers()
        friend.mute = True
        with world.running():
            world.rings()
            world.until(lambda: bool(world.events("talk.no_media")), timeout_s=40)
            friend.hang_up()
            world.phone().hang_up()
            world.finished()
            world.nothing_left()
        assert {leg: xdr.no_media for leg, xdr in world.xdrs().items()} == {"a1": False, "b1": True}
