"""Peers that vanish without a word, on a real Asterisk: the call ends within a minute, and is charged until then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from carrier_rig import CarrierNetwork, CarrierWorld, carriers_or_skip

from stasis_callback.testing.raw_carrier import Reply

pytestmark = pytest.mark.real

SUBSCRIBER, FRIEND = "420212345678", "442071234567"


@pytest.fixture
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CarrierNetwork]:
    with carriers_or_skip(tmp_path_factory.mktemp("carriers")) as made:
        yield made


@pytest.fixture
def world(network: CarrierNetwork, tmp_path: Path) -> Iterator[CarrierWorld]:
    with closing(CarrierWorld(network, tmp_path)) as made:
        yield made


def test_both_peers_vanish_in_a_talk(world: CarrierWorld, network: CarrierNetwork) -> None:
    """They talk for some seconds; then not a packet comes from anywhere, nor a BYE."""
    world.open()
    for number in (SUBSCRIBER, FRIEND):
        network.first.says(number, Reply(200))
    network.first.speak()
    with world.running():
        request_id = world.asks_for(SUBSCRIBER, FRIEND, announce_balance="off", announce_duration="off")
        world.until(lambda: len(world.events("leg.answered")) == 2, timeout_s=20)
        world.until(lambda: bool(network.first.heard_s(FRIEND) > 5), timeout_s=20)
        assert not world.events("talk.no_media")
        network.first.fall_silent()
        world.finished(timeout_s=60)
        world.nothing_left(funds="10000.00", number="house")
    legs = world.legs_of(request_id)
    assert any(xdr.no_media for xdr in legs.values())  # who is found first ends the other
    for xdr in legs.values():
        assert xdr.outcome == "answered"
        assert 30 <= xdr.charged_s <= 60


def test_a_talk_in_which_nobody_is_heard_is_marked(world: CarrierWorld, network: CarrierNetwork) -> None:
    world.open()
    for number in (SUBSCRIBER, FRIEND):
        network.first.says(number, Reply(200))
    with world.running():
        request_id = world.asks_for(SUBSCRIBER, FRIEND, announce_balance="off", announce_duration="off")
        world.until(lambda: len(world.events("talk.no_media")) == 2, timeout_s=30)
        network.first.hang_up(FRIEND)
        world.finished()
        world.nothing_left(funds="10000.00", number="house")
    assert {name: xdr.no_media for name, xdr in world.legs_of(request_id).items()} == {"a1": True, "b1": True}
