"""The journal cannot be read, or is not what it was, when calls of a dead service are to be charged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from world import ANI, FRIEND, World, new_world

from stasis_callback.testing.fake import FakeNetwork
from stasis_callback.testing.phones import Phone


@pytest.fixture
def world(fake_network: FakeNetwork, tmp_path: Path) -> Iterator[World]:
    with new_world(fake_network, tmp_path) as made:
        yield made


def _killed_in_a_talk(world: World, folder: Path) -> tuple[Phone, Phone]:
    """The service is killed during a talk, which continues."""
    world.usual()
    subscriber = world.phone(ANI).answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    with world.process(folder) as service:
        world.rings()
        friend.wait_for("answered", timeout_s=30)
        world.until(
            lambda: sum(leg.answered_at_us is not None for leg in world.stores.calls.open_legs()) == 2
        )
        service.kill()
        service.wait()
    return subscriber, friend


def _end(subscriber: Phone, friend: Phone) -> None:
    friend.hang_up()
    subscriber.hang_up()
    subscriber.wait_for("ended")


def test_a_journal_that_cannot_be_read_stops_no_recovery(world: World, tmp_path: Path) -> None:
    _end(*_killed_in_a_talk(world, tmp_path))
    path = world.settings.asterisk.cel_path
    content = path.read_bytes()
    path.unlink()
    path.mkdir()  # no mode would stop root
    try:
        with world.running():
            (request,) = world.finished()
            assert world.events("leg.journal_not_read")
    finally:
        path.rmdir()
        path.write_bytes(content)
    assert request.outcome == "interrupted"
    # The doubt is the subscriber's: nobody pays for time after the service was last alive.
    assert {xdr.source for xdr in world.xdrs().values()} == {"estimated"}
    world.nothing_left()


def _cut(path: Path) -> None:
    """Copy and truncate the journal, as logrotate does with `copytruncate`."""
    path.with_name(f"{path.name}.1").write_bytes(path.read_bytes())
    os.truncate(path, 0)


def _rotated_twice(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}.2"))
    path.with_name(f"{path.name}.1").touch()
    path.touch()


def _rotated_and_torn(path: Path) -> None:
    """Rotated, and Asterisk died while it wrote the first line of the new one, and began again."""
    path.rename(path.with_name(f"{path.name}.1"))
    path.write_text('"HANGUP","1790"CHAN_START","1790000000.000001","other","other",""\n')


@pytest.mark.parametrize(
    "happens", [_cut, _rotated_twice, _rotated_and_torn], ids=lambda one: one.__name__[1:]
)
def test_whatever_was_rotated_both_legs_are_charged_as_the_journal_says(
    world: World, tmp_path: Path, happens: Callable[[Path], None]
) -> None:
    _end(*_killed_in_a_talk(world, tmp_path))
    path = world.settings.asterisk.cel_path
    happens(path)
    try:
        with world.running():
            world.finished()
    finally:
        for rotated in path.parent.glob(f"{path.name}.*"):
            rotated.unlink()
    assert {leg: xdr.source for leg, xdr in world.xdrs().items()} == {"a1": "cel", "b1": "cel"}
    world.nothing_left()
