"""The points of a callback between two of our own steps, where nothing outside shows that something was begun."""

from __future__ import annotations

from pathlib import Path

from world import ANI, FRIEND, World


def test_killed_before_leg_a_was_asked_for(world: World, tmp_path: Path) -> None:
    world.usual(attempts_no_answer="1")
    subscriber = world.phone(ANI).answers().hangs_up(after_s=1)
    with world.process(tmp_path, STASIS_CALLBACK_CRASH_AT="claimed") as service:
        world.rings()
        service.wait(timeout=20)
        assert subscriber.calls == []
    with world.process(tmp_path):
        (request,) = world.finished()
    assert (request.outcome, request.attempts, len(subscriber.calls)) == ("hung_up", 1, 1)
    world.nothing_left()


def test_killed_between_the_hold_for_leg_b_and_its_call(world: World, tmp_path: Path) -> None:
    world.usual()
    subscriber = world.phone(ANI).answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    with world.process(tmp_path, STASIS_CALLBACK_CRASH_AT="leg-b-held") as service:
        world.rings()
        service.wait(timeout=30)
        assert [leg.side for leg in world.stores.calls.open_legs()] == ["a", "b"]
    with world.process(tmp_path):
        subscriber.wait_for("ended", timeout_s=30)
        (request,) = world.finished()
    assert request.outcome == "interrupted"
    assert friend.calls == []
    assert {leg: xdr.outcome for leg, xdr in world.xdrs().items()} == {"a1": "answered", "b1": "not_dialed"}
    assert world.xdrs()["b1"].amount_micros == 0
    world.nothing_left()


def test_stopped_in_a_talk_which_the_next_start_takes_over(world: World, tmp_path: Path) -> None:
    world.usual()
    subscriber = world.phone(ANI).answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    with world.process(tmp_path) as service:
        world.rings()
        friend.wait_for("answered", timeout_s=30)
        world.until(
            lambda: sum(leg.answered_at_us is not None for leg in world.stores.calls.open_legs()) == 2
        )
        service.terminate()
        assert service.wait(timeout=20) == 0
    assert [call.state for call in friend.calls] == ["answered"]
    with world.process(tmp_path):
        world.until(
            lambda: "call.recovered" in "".join(log.read_text() for log in tmp_path.glob("service-*"))
        )
        friend.hang_up()
        subscriber.wait_for("answered")
        subscriber.hang_up()
        (request,) = world.finished()
    assert request.outcome == "completed"
    assert len(subscriber.calls) == len(friend.calls) == 1
    world.nothing_left()
