"""The main job: a missed call is dropped unanswered, called back, and connected; both legs are charged once."""

from __future__ import annotations

import pytest
from world import ACCESS, ANI, FRIEND, World

from stasis_callback.core.rating import charged_seconds


def test_a_missed_call_is_called_back_and_connected(world: World) -> None:
    world.usual()
    subscriber = world.phone().answers(after_s=0.5)
    friend = world.phone(FRIEND).answers(after_s=0.5).hangs_up(after_s=2)
    with world.running():
        refusal = world.rings()
        assert (refusal.cause, refusal.answered) == (17, False)
        subscriber.wait_for("answered")
        world.announced("balance")
        subscriber.dial(f"{FRIEND}#")
        friend.wait_for("answered", timeout_s=30)
        friend.wait_for("ended", timeout_s=30)
        world.announced("another number")
        subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left()
    assert subscriber.calls[0].caller_id == ACCESS
    assert friend.calls[0].caller_id == ANI
    assert (request.outcome, request.attempts) == ("completed", 1)
    a, b = world.xdrs()["a1"], world.xdrs()["b1"]
    assert (a.outcome, b.outcome) == ("answered", "answered")
    assert pytest.approx(b.duration_us, abs=500_000) == 2_000_000
    assert b.charged_s == charged_seconds(b.duration_us)
    assert b.amount_micros == b.charged_s * 2_000
    assert a.duration_us > b.duration_us
    assert "Your balance is ten dollars" in world.said
