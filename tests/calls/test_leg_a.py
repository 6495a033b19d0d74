"""Leg A is not reached, or goes away: the right retry, every second charged, nothing left behind."""

from __future__ import annotations

from itertools import pairwise

import pytest
from world import ANI, FRIEND, World

from stasis_callback.testing.phones import BUSY, CONGESTION, DECLINED


@pytest.mark.option("attempts_busy")
@pytest.mark.option("retry_interval_s")
@pytest.mark.parametrize(("cause", "outcome", "attempts"), [(BUSY, "busy", 3), (CONGESTION, "congestion", 2)])
def test_a_leg_a_that_is_busy_or_congested_is_tried_again(
    world: World, cause: int, outcome: str, attempts: int
) -> None:
    world.usual(retry_interval_s="0.5", attempts_busy="3", attempts_congestion="2")
    subscriber = world.phone().refuses(cause)
    with world.running():
        world.rings()
        (request,) = world.finished()
        world.nothing_left()
    assert len(subscriber.calls) == attempts
    assert (request.outcome, request.attempts) == (outcome, attempts)
    assert {name: xdr.outcome for name, xdr in world.xdrs().items()} == {
        f"a{n + 1}": outcome for n in range(attempts)
    }
    pauses_us = [after.offered_at_us - before.offered_at_us for before, after in pairwise(subscriber.calls)]
    assert 500_000 <= min(pauses_us) <= max(pauses_us) < 15_000_000


def test_a_busy_leg_a_that_answers_the_second_attempt(world: World) -> None:
    world.usual(retry_interval_s="1")
    subscriber = world.phone().refuses(BUSY)
    with world.running():
        world.rings()
        subscriber.wait_for("ended")
        subscriber.forget().answers()
        subscriber.wait_for("answered", call=2)
        world.announced("balance")
        subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left()
    assert (request.outcome, request.attempts) == ("hung_up", 2)


@pytest.mark.option("ring_timeout_a_s")
def test_a_leg_a_that_nobody_answers_is_not_tried_again(world: World) -> None:
    world.usual(ring_timeout_a_s="5")
    subscriber = world.phone().never_answers()
    with world.running():
        world.rings()
        (request,) = world.finished()
        world.nothing_left()
    assert len(subscriber.calls) == 1
    assert (request.outcome, world.xdrs()["a1"].outcome) == ("no_answer", "no_answer")
    (call,) = subscriber.calls
    assert call.ended_at_us is not None
    assert call.ended_at_us - call.offered_at_us < 15_000_000


def test_a_leg_a_that_declines_is_left_alone(world: World) -> None:
    world.usual(retry_interval_s="0")
    subscriber = world.phone().refuses(DECLINED)
    with world.running():
        world.rings()
        (request,) = world.finished()
        world.nothing_left()
    assert len(subscriber.calls) == 1
    assert request.outcome == "rejected"


def test_a_redirect_by_leg_a_is_not_followed(world: World) -> None:
    world.usual()
    world.phone().redirects_to("44906666666")
    trap = world.phone("44906666666").answers()
    with world.running():
        world.rings()
        world.finished()
        world.nothing_left()
    assert trap.calls == []


@pytest.mark.parametrize("words", ["balance", "enter the number", "try again", "oodbye"])
def test_the_subscriber_hangs_up_during_a_prompt(world: World, words: str) -> None:
    world.usual(first_digit_timeout_s="1", destination_attempts="1")
    subscriber = world.phone().answers()
    with world.running():
        world.rings()
        world.announced(words)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert world.xdrs()["a1"].outcome == "answered"


def test_the_subscriber_hangs_up_while_the_duration_is_said(world: World) -> None:
    world.usual()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).never_answers()
    with world.running():
        world.rings()
        world.announced("You can talk")
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    # A noted leg leaves an xDR even when the hang-up came before it was dialled.
    assert world.xdrs()["b1"].outcome == "cancelled"
    assert friend.calls == []
    assert world.xdrs()["b1"].amount_micros == 0


def test_the_subscriber_hangs_up_while_leg_b_rings(world: World) -> None:
    world.usual()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).never_answers()
    with world.running():
        world.rings()
        friend.wait_for("ringing", timeout_s=30)
        subscriber.hang_up()
        friend.wait_for("ended", timeout_s=5)
        world.finished()
        world.nothing_left()
    assert world.xdrs()["b1"].outcome == "cancelled"
    assert world.xdrs()["b1"].amount_micros == 0


def test_the_subscriber_hangs_up_while_talking(world: World) -> None:
    world.usual()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    with world.running():
        world.rings()
        friend.wait_for("answered", timeout_s=30)
        subscriber.hang_up()
        ended = friend.wait_for("ended", timeout_s=5)
        world.finished()
        world.nothing_left()
    assert ended.ended_at_us is not None
    assert (ended.ended_at_us - (subscriber.calls[0].ended_at_us or 0)) < 1_000_000
    assert world.xdrs()["b1"].outcome == "answered"
    assert world.finished()[0].outcome == "completed"


@pytest.mark.option("callback_delay_s")
def test_the_incoming_caller_gives_up_before_we_refuse(world: World) -> None:
    world.usual(callback_delay_s="1")
    subscriber = world.phone().answers()
    with world.running():
        assert world.rings().cause == 17
        subscriber.wait_for("answered", timeout_s=10)
        subscriber.hang_up()
        (request,) = world.finished()
    assert request.ani.lstrip("+") == ANI
    assert request.due_at_us - request.created_at_us == 1_000_000
