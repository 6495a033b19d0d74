"""How long people wait in silence, measured by when sound arrives at their phones from a real Asterisk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from carrier_rig import CarrierNetwork, CarrierWorld, carriers_or_skip
from world import FRIEND

from stasis_callback.clock import wait_until
from stasis_callback.testing.raw_carrier import Reply

pytestmark = [pytest.mark.real, pytest.mark.nightly]  # on a busy machine anything may take longer

OTHER = "442071234568"
MENU, ORDER = "420601000001", "420601000002"
LONGEST_SILENCE_S = 1.5


@pytest.fixture
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CarrierNetwork]:
    with carriers_or_skip(tmp_path_factory.mktemp("carriers")) as made:
        yield made


@pytest.fixture
def world(network: CarrierNetwork, tmp_path: Path) -> Iterator[CarrierWorld]:
    with closing(CarrierWorld(network, tmp_path)) as made:
        yield made


class Subscriber:
    """Who hears and keys; whoever is heard in the talk speaks without a pause."""

    def __init__(self, world: CarrierWorld, network: CarrierNetwork, number: str, destination: str) -> None:
        self._world, self._network, self.number = world, network, number
        options = {"first_digit_timeout_s": "1", "destination_attempts": "5", "menu_afterwards": "on"}
        self._id = world.asks_for(number, destination, **options)
        self._heard = 0

    def _said(self) -> list[str]:
        return [line["words"] for line in self._world.events("say") if line["leg"].startswith(self._id)]

    def hears(self, words: str) -> None:
        """Wait until that is said, after what was heard before."""

        def said() -> bool:
            return any(words in text for text in self._said()[self._heard :])

        assert wait_until(said, timeout_s=40), (words, self._said())
        self._heard = len(self._said())

    def keys(self, digits: str) -> None:
        self._network.first.key(self.number, digits)

    def silences(self) -> list[float]:
        """Long pauses, in seconds."""
        return [length_s for _, length_s in self._network.first.silences(self.number) if length_s > 0.5]


def test_nobody_waits_in_silence(world: CarrierWorld, network: CarrierNetwork) -> None:
    """Wrong numbers, an emergency number, a busy one, a talk and what follows; an order beside it."""
    carrier = network.first
    carrier.listen()
    carrier.speak()
    for number in (MENU, ORDER):
        carrier.says(number, Reply(200, after_s=0.2))
    carrier.says(FRIEND, Reply(486, after_s=0.5))
    carrier.says(OTHER, Reply(183, after_s=0.2), Reply(200, after_s=0.2))
    world.open()
    with world.running():
        menu, order = Subscriber(world, network, MENU, ""), Subscriber(world, network, ORDER, FRIEND)
        menu.hears("enter the number")
        menu.keys("1411#")
        menu.hears("not valid")
        menu.keys("999#")
        menu.hears("Emergency numbers")
        menu.keys(f"{FRIEND}#")
        menu.hears("busy")
        menu.keys(f"{OTHER}#")
        order.hears("busy")
        world.until(lambda: carrier.heard_s(OTHER) > 1, timeout_s=20)
        carrier.hang_up(OTHER)
        menu.hears("another number")
        order.hears("number you wish to call")
        for number in (MENU, ORDER):
            carrier.hang_up(number)
        world.finished(2)
    for subscriber in (menu, order):
        print(subscriber.number, [round(length_s, 2) for length_s in subscriber.silences()])  # noqa: T201
        assert max(subscriber.silences()) < LONGEST_SILENCE_S
