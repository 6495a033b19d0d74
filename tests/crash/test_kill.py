"""`kill -9` of the service at every stage of a call, then a restart: every answered second is charged once.

The reference is Asterisk's own journal (CEL), which goes on while the service is dead.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from world import ANI, CHEAP, DEAR, FRIEND, World

from stasis_callback.ari.cel import CelJournal
from stasis_callback.core.rating import Rate
from stasis_callback.testing.phones import CONGESTION


def _charged_as_in_the_journal(world: World) -> None:
    world.nothing_left()
    journal = CelJournal(world.settings.asterisk.cel_path)
    assert world.xdrs()
    for xdr in world.xdrs().values():
        record = journal.wait_for_end(xdr.leg_id, 5)
        assert record is not None
        assert record.ended_at_us is not None
        answered_at_us = record.answered_at_us or record.ended_at_us
        assert xdr.duration_us == pytest.approx(record.ended_at_us - answered_at_us, abs=100_000)
        assert xdr.source in ("events", "cel")


def _until_stored(world: World, count: int) -> None:
    """Until `count` legs are noted in the database as answered: what a restart will find."""
    world.until(
        lambda: sum(leg.answered_at_us is not None for leg in world.stores.calls.open_legs()) >= count
    )


def test_killed_while_leg_a_rings_the_call_goes_on_after_the_restart(world: World, tmp_path: Path) -> None:
    world.usual()
    subscriber = world.phone()
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.process(tmp_path) as service:
        world.rings()
        subscriber.wait_for("ringing")
        service.kill()
        service.wait()
    with world.process(tmp_path):
        world.until(lambda: "call.recovered" in _log(tmp_path))
        subscriber.answer()
        subscriber.wait_for("answered")
        subscriber.dial(f"{FRIEND}#")
        friend.wait_for("ended", timeout_s=30)
        subscriber.hang_up()
        (request,) = world.finished()
        _charged_as_in_the_journal(world)
    assert (request.outcome, len(subscriber.calls)) == ("completed", 1)


def test_killed_while_leg_a_rings_and_answered_before_the_restart(world: World, tmp_path: Path) -> None:
    world.usual()
    subscriber = world.phone()
    with world.process(tmp_path) as service:
        world.rings()
        subscriber.wait_for("ringing")
        service.kill()
        service.wait()
        subscriber.answer()
        subscriber.wait_for("answered")
    # Asterisk ends the leg at once, or, where it has not noticed yet that nobody is there, the restart does.
    with world.process(tmp_path):
        subscriber.wait_for("ended", timeout_s=20)
        (request,) = world.finished()
        _charged_as_in_the_journal(world)
    assert request.outcome == "interrupted"


def test_killed_during_a_prompt_the_subscriber_gets_an_apology(world: World, tmp_path: Path) -> None:
    world.usual()
    subscriber = world.phone().answers()
    with world.process(tmp_path) as service:
        world.rings()
        _until_stored(world, 1)
        service.kill()
        service.wait()
    with world.process(tmp_path):
        subscriber.wait_for("ended", timeout_s=20)
        (request,) = world.finished()
        _charged_as_in_the_journal(world)
    assert "technical problem" in _log(tmp_path)
    assert request.outcome == "interrupted"


def test_killed_while_leg_b_rings(world: World, tmp_path: Path) -> None:
    world.usual()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).never_answers()
    with world.process(tmp_path) as service:
        world.rings()
        friend.wait_for("ringing", timeout_s=30)
        service.kill()
        service.wait()
    with world.process(tmp_path):
        friend.wait_for("ended", timeout_s=20)
        subscriber.wait_for("ended", timeout_s=20)
        (request,) = world.finished()
        _charged_as_in_the_journal(world)
    assert request.outcome == "interrupted"
    assert world.xdrs()["b1"].amount_micros == 0


def _talking(world: World, tmp_path: Path) -> None:
    with world.process(tmp_path) as service:
        world.rings()
        _until_stored(world, 2)
        service.kill()
        service.wait()


def _friend_hangs_up(world: World) -> None:
    world.phone(FRIEND).hang_up()


def _subscriber_hangs_up(world: World) -> None:
    world.phone().hang_up()


def test_killed_during_the_talk_and_adopted_again(world: World, tmp_path: Path) -> None:
    world.usual()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    _talking(world, tmp_path)
    with world.process(tmp_path):
        world.until(lambda: "call.recovered" in _log(tmp_path))
        assert friend.calls[0].state == subscriber.calls[0].state == "answered"
        friend.hang_up()
        world.until(lambda: "another number" in _log(tmp_path), timeout_s=20)
        subscriber.hang_up()
        (request,) = world.finished()
        _charged_as_in_the_journal(world)
    assert request.outcome == "completed"


@pytest.mark.parametrize("ends", [_friend_hangs_up, _subscriber_hangs_up])
def test_killed_during_the_talk_that_ends_before_the_restart(
    world: World, tmp_path: Path, ends: Callable[[World], None]
) -> None:
    world.usual()
    world.phone().answers().dials(f"{FRIEND}#")
    world.phone(FRIEND).answers()
    _talking(world, tmp_path)
    ends(world)
    with world.process(tmp_path):
        world.finished()
        _charged_as_in_the_journal(world)


def test_killed_between_hang_up_and_settlement(world: World, tmp_path: Path) -> None:
    world.usual()
    world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    with world.process(tmp_path, STASIS_CALLBACK_CRASH_AT="leg-ended") as service:
        world.rings()
        _until_stored(world, 2)
        friend.hang_up()
        service.wait(timeout=10)
        assert world.xdrs() == {}
    with world.process(tmp_path):
        world.finished()
        _charged_as_in_the_journal(world)


def test_killed_between_two_trunks(world: World, tmp_path: Path) -> None:
    """The first trunk was congested, the second not yet tried: the hold is given back, and the menu is over."""
    world.usual()
    world.two_trunks()
    subscriber = world.phone(CHEAP + ANI).answers().dials(f"{FRIEND}#")
    world.phone(CHEAP + FRIEND).refuses(CONGESTION)
    friend = world.phone(DEAR + FRIEND).answers()
    with world.process(tmp_path, STASIS_CALLBACK_CRASH_AT="leg-ended") as service:
        world.rings()
        service.wait(timeout=30)
        assert world.xdrs() == {}
    with world.process(tmp_path):
        subscriber.wait_for("ended", timeout_s=30)
        (request,) = world.finished()
        _charged_as_in_the_journal(world)
    assert request.outcome == "interrupted"
    assert not friend.calls
    assert {leg: (xdr.outcome, bool(xdr.cost_micros)) for leg, xdr in world.xdrs().items()} == {
        "a1": ("answered", True),
        "b1": ("congestion", False),
    }


def test_killed_right_after_bridging_with_funds_for_ten_seconds(world: World, tmp_path: Path) -> None:
    world.sells(Rate("420"), Rate("44", first_price_micros=60_000, next_price_micros=60_000))
    world.access_number()
    world.account(funds="0.01")
    world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers(after_s=1)
    _talking(world, tmp_path)
    ended = friend.wait_for("ended", timeout_s=20)
    assert ((ended.ended_at_us or 0) - (ended.answered_at_us or 0)) / 1e6 == pytest.approx(10, abs=0.5)
    with world.process(tmp_path):
        world.finished()
        world.nothing_left(funds="0.01")
    b = world.xdrs()["b1"]
    assert (b.charged_s, b.overrun_micros, world.balance_micros()) == (10, 0, 0)


def test_a_queued_callback_survives(world: World, tmp_path: Path) -> None:
    world.usual(callback_delay_s="2")
    subscriber = world.phone().answers()
    with world.process(tmp_path) as service:
        world.rings()
        service.kill()
        service.wait()
    with world.process(tmp_path):
        subscriber.wait_for("answered")
        subscriber.hang_up()
        world.finished()
        _charged_as_in_the_journal(world)
    assert len(subscriber.calls) == 1


def _log(folder: Path) -> str:
    return max(folder.glob("service-*.log")).read_text()
