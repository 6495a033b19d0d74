"""A voicemail that answers leg A, on a real Asterisk: what is charged and said in each mode of `answer_check`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from world import ANI, World, new_world

from stasis_callback.core.numbers import mask
from stasis_callback.testing.pstn import RealNetwork

pytestmark = pytest.mark.real

MODES = {"off": "420800123451", "press_one": "420800123452", "amd": "420800123453"}
SPEECH = "demo-congrats"
"""Half a minute of it, as a voicemail's greeting."""


@pytest.fixture
def world(real_network: RealNetwork, tmp_path: Path) -> Iterator[World]:
    with new_world(real_network, tmp_path) as made:
        yield made


def test_what_a_voicemail_is_told_and_pays_in_each_mode(world: World) -> None:
    """With short time limits; by default a menu waits longer, and so `off` costs more."""
    world.usual()
    callers = {mode: f"4206010000{n}0" for n, mode in enumerate(MODES, start=1)}
    for mode, access in MODES.items():
        world.access_number(access, answer_check=mode, first_digit_timeout_s="1", destination_attempts="1")
        world.account(callers[mode])
        world.phone(callers[mode]).answers().says(SPEECH, after_s=0.3)
    with world.running():
        for mode, access in MODES.items():
            world.rings(ani=callers[mode], dnis=access)
        world.finished(len(MODES))
    legs = {xdr.number: xdr for xdr in world.stores.calls.xdrs()}
    named = {line["number"]: line["leg"] for line in world.events("leg.dialing")}
    spoken = [line for line in world.events("say") if line["words"]]
    said = {
        mode: [line["words"] for line in spoken if line["leg"] == named[mask(caller)]]
        for mode, caller in callers.items()
    }
    charged_s = {mode: legs[caller].charged_s for mode, caller in callers.items()}
    assert any("balance" in words for words in said["off"])
    assert said["press_one"]
    assert all("Press one" in words for words in said["press_one"])
    assert said["amd"] == []
    assert charged_s["amd"] < min(charged_s["press_one"], charged_s["off"])
    assert world.balance_micros(ANI) == 10_000_000
