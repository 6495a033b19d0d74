"""The database stands still while the service runs: callers are told, a talk goes on, and it can be stopped."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from databases import server
from world import ACCESS, FRIEND, World

STOP_LIMIT_S = 30
"""What systemd gives it (TimeoutStopSec) before it kills."""


@pytest.mark.postgres
def test_a_frozen_server_keeps_no_caller_waiting_and_no_operator(world: World, tmp_path: Path) -> None:
    world.usual()
    world.account("420212345699")
    world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    with world.process(tmp_path) as service:
        world.rings()
        friend.wait_for("answered", timeout_s=30)
        with server().frozen():
            refusal = world.network.missed_call(ani="420212345699", dnis=ACCESS, gives_up_after_s=25)
            assert refusal.cause is not None, "the caller gave up before anybody answered"
            assert friend.calls[-1].state == "answered"
            service.send_signal(signal.SIGTERM)
            try:
                assert service.wait(STOP_LIMIT_S) == 0
            except subprocess.TimeoutExpired:
                pytest.fail("it could not be stopped")
        assert friend.calls[-1].state == "answered"
    with world.process(tmp_path):
        friend.hang_up()
        world.phone().hang_up()
        world.finished()
        world.nothing_left()
