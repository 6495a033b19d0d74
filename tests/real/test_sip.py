"""What goes over the wire, seen in Asterisk's own SIP capture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from world import ACCESS, ANI, FRIEND, World, new_world

from stasis_callback.testing.phones import DECLINED
from stasis_callback.testing.pstn import RealNetwork

pytestmark = pytest.mark.real


@pytest.fixture
def world(real_network: RealNetwork, tmp_path: Path) -> Iterator[World]:
    with new_world(real_network, tmp_path) as made:
        yield made


def test_the_missed_call_gets_its_final_refusal_and_nothing_before_it(
    world: World, real_network: RealNetwork
) -> None:
    world.usual()
    world.phone().refuses(DECLINED)
    began_us = world.service_clock_us()
    with world.running():
        world.rings()
        world.finished()
    incoming = real_network.trace.invite(ACCESS, after_us=began_us)
    statuses = real_network.trace.responses_to(incoming)
    assert statuses == [100, 486]


def test_the_callback_leaves_after_the_refusal_was_decided_and_shows_the_access_number(
    world: World, real_network: RealNetwork
) -> None:
    world.usual()
    world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    began_us = world.service_clock_us()
    with world.running():
        world.rings()
        friend.wait_for("answered", timeout_s=30)
        world.phone().hang_up()
        world.finished()
        world.nothing_left()
    leg_a = real_network.trace.invite(ANI, after_us=began_us)
    leg_b = real_network.trace.invite(FRIEND, after_us=began_us)
    assert (leg_a.from_number, leg_b.from_number) == (ACCESS, ANI)
    assert leg_b.at_us > leg_a.at_us
