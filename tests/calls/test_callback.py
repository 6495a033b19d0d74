"""The main job: a missed call is dropped unanswered, called back, and connected; both legs are charged once."""

from __future__ import annotations

from world import ACCESS, ANI, FRIEND, World


def test_a_missed_call_is_called_back_and_connected(world: World) -> None:
    world.usual()
    subscriber = world.phone().answers(after_s=0.5)
    friend = world.phone(FRIEND).answers(after_s=0.5).hangs_up(after_s=2)
    with world.running():
        refusal = world.rings()
        assert (refusal.cause, refusal.answered) == (17, False)
        subscriber.wait_for("answered")
        world.heard("balance")
        subscriber.dial(f"{FRIEND}#")
        friend.wait_for("answered", timeout_s=30)
        friend.wait_for("ended", timeout_s=30)
        world.heard("another number")
        subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left()
    assert subscriber.calls[0].caller_id == ACCESS
    assert friend.calls[0].caller_id == ANI
    assert (request.outcome, request.attempts) == ("completed", 1)
    a, b = world.xdrs()["a1"], world.xdrs()["b1"]
    assert (a.outcome, b.outcome) == ("answered", "answered")
    assert b.charged_s in (2, 3)
    assert b.amount_micros == b.charged_s * 2_000
    assert a.duration_us > b.duration_us
    assert "Your balance is ten dollars" in " ".join(world.said) or "10" in " ".join(world.said)
