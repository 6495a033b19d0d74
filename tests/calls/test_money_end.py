"""Funds run out: the call is cut by Asterisk's own timer, and the balance never goes below the limit."""

from __future__ import annotations

import pytest
from world import FRIEND, World

from stasis_callback.core.rating import Rate


def _funds_for_ten_seconds(world: World) -> None:
    world.sells(Rate("420"), Rate("44", first_price_micros=60_000, next_price_micros=60_000))
    world.access_number()
    world.account(funds="0.01")


def test_the_talk_is_cut_when_its_funds_are_used_up(world: World) -> None:
    _funds_for_ten_seconds(world)
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers(after_s=2)
    with world.running():
        world.rings()
        friend.wait_for("answered", timeout_s=30)
        ended = friend.wait_for("ended", timeout_s=20)
        world.announced("credit")
        subscriber.hang_up()
        world.finished()
        world.nothing_left(funds="0.01")
    talked_s = ((ended.ended_at_us or 0) - (ended.answered_at_us or 0)) / 1e6
    assert talked_s == pytest.approx(10, abs=0.5)
    b = world.xdrs()["b1"]
    assert (b.charged_s, b.amount_micros, b.overrun_micros) == (10, 10_000, 0)
    assert world.balance_micros() == 0


def test_charged_seconds_are_those_of_the_cel_journal(world: World) -> None:
    world.usual()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    world.phone(FRIEND).answers(after_s=1).hangs_up(after_s=3)
    with world.running() as service:
        world.rings()
        world.announced("another number", timeout_s=30)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
        journal = service.dialer._tools.journal  # the journal of the Asterisk under test
        assert set(world.xdrs()) == {"a1", "b1"}
        for xdr in world.xdrs().values():
            record = journal.wait_for_end(xdr.leg_id, 5)
            assert record is not None
            assert record.answered_at_us is not None
            assert record.ended_at_us is not None
            assert xdr.duration_us == pytest.approx(record.ended_at_us - record.answered_at_us, abs=100_000)


@pytest.mark.option("talk_limit_s")
def test_the_longest_talk_is_a_setting(world: World) -> None:
    world.usual(talk_limit_s="10")
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    with world.running():
        world.rings()
        friend.wait_for("answered", timeout_s=30)
        friend.wait_for("ended", timeout_s=20)
        world.announced("call limit")
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    world.was_cut("b1", after_s=10)
