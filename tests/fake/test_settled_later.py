"""A leg that could not be charged when it ended, and a fault in what is done about a fault."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from world import FRIEND, World

import stasis_callback.service as service_module
from stasis_callback.store.database.sqlite_files import sqlite_path
from stasis_callback.testing.phones import Phone

OTHER = "442071234999"
SOUNDS = Path(__file__).parents[2] / "sounds"


def hangs_up_unsettled(world: World, friend: Phone) -> None:
    """The friend hangs up while another process writes to the database, until leg B could not be charged."""
    with closing(sqlite3.connect(sqlite_path(world.stores.database.url), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        friend.hang_up()
        world.until(lambda: bool(world.events("leg.not_settled")))
        other.execute("ROLLBACK")


def test_a_talk_that_could_not_be_charged_is_charged_in_the_next_one(world: World) -> None:
    """Else its hold were missing there: the talk would be cut with money left."""
    world.usual(funds="0.60", low_funds_warning_s="0", announce_duration="exact")
    subscriber = world.phone().answers()
    friend, other = world.phone(FRIEND).answers(), world.phone(OTHER).answers()
    with world.running():
        world.rings()
        world.announced("enter the number")
        subscriber.dial(f"{FRIEND}#")
        friend.wait_for("answered", timeout_s=20)
        world.until(lambda: len(world.events("leg.answered")) == 2)
        hangs_up_unsettled(world, friend)
        subscriber.dial(f"{OTHER}#")
        other.wait_for("answered", timeout_s=20)
        world.until(lambda: len(world.xdrs()) == 1)
        (leg,) = world.xdrs()
        assert leg.endswith("b1")
        assert other.calls[0].state == "answered"
        subscriber.hang_up()
        world.finished()
        world.nothing_left("0.60")
    promised = [words for words in world.said if "You can talk for" in words]
    assert len(promised) == 2
    assert all("minutes" in words for words in promised), promised


def test_the_last_number_is_that_of_the_talk_which_is_not_charged_yet(world: World) -> None:
    world.usual(redial_key="9", first_digit_timeout_s="8")
    subscriber = world.phone().answers()
    friend, other = world.phone(FRIEND).answers().hangs_up(after_s=1), world.phone(OTHER).answers()
    with world.running():
        world.rings()
        world.announced("enter the number")
        subscriber.dial(f"{FRIEND}#")
        world.announced("another number")
        world.until(lambda: len(world.xdrs()) == 1)
        subscriber.dial(f"{OTHER}#")
        other.wait_for("answered", timeout_s=20)
        world.until(lambda: len(world.events("leg.answered")) == 3)
        hangs_up_unsettled(world, other)
        subscriber.dial("9#")
        world.until(lambda: len(other.calls) == 2)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert len(friend.calls) == 1


def test_what_goes_wrong_while_somebody_is_asked_to_excuse_it_keeps_no_call_from_its_end(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorded words are gone: neither can be said what is to be said, nor sorry."""
    sounds = tmp_path / "sounds"
    (sounds / "en").mkdir(parents=True)
    shutil.copy(SOUNDS / "en" / "manifest.toml", sounds / "en")
    monkeypatch.setattr(service_module, "sounds_dir", lambda: sounds)
    world.usual(menu_limit_s="30")
    subscriber = world.phone().answers()
    with world.running(housekeeping_s=0.5):
        shutil.rmtree(sounds)
        world.rings()
        subscriber.wait_for("ended", timeout_s=20)
        world.until(lambda: [str(r.state) for r in world.stores.requests.newest()] == ["queued"])
        assert not world.events("call.recovered")
        world.nothing_left()
    (xdr,) = world.xdrs().values()
    assert xdr.charged_s <= 2
