"""Asterisk misbehaves in the middle of a callback: money and channels come out right all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from world import FRIEND, World

from stasis_callback.testing.fake import FakeAsterisk


def test_the_link_breaks_in_a_menu_and_the_conversation_goes_on(world: World, fake: FakeAsterisk) -> None:
    """What is keyed right after it may be the rest of a number of which the link swallowed the beginning."""
    world.usual(inter_digit_timeout_s="1")
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        world.announced("enter the number")
        fake.faults.drop_websocket()
        world.reconnected()
        subscriber.dial(f"{FRIEND}#")
        world.until(lambda: bool(world.events("digits.missed")))
        world.until(lambda: world.said.count(world.said[-1]) == 2)
        subscriber.dial(f"{FRIEND}#")
        friend.wait_for("ended", timeout_s=20)
        subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left()
    assert request.outcome == "completed"


def test_both_hang_up_while_the_link_is_broken(world: World, fake: FakeAsterisk) -> None:
    world.usual()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    with world.running():
        world.rings()
        friend.wait_for("answered", timeout_s=20)
        world.until(lambda: len(world.events("leg.answered")) == 2)
        fake.faults.drop_websocket()
        friend.hang_up()
        subscriber.hang_up()
        world.reconnected()
        world.finished()
        world.nothing_left()
    assert {xdr.outcome for xdr in world.xdrs().values()} == {"answered"}


def test_asterisk_is_killed_during_the_talk(world: World, fake: FakeAsterisk) -> None:
    world.usual()
    world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    with world.running():
        world.rings()
        friend.wait_for("answered", timeout_s=20)
        world.until(lambda: len(world.events("leg.answered")) == 2)
        fake.faults.restart()
        world.reconnected()
        world.finished()
        world.nothing_left()
    assert {xdr.source for xdr in world.xdrs().values()} == {"estimated"}
    assert world.xdrs()["b1"].duration_us < 5_000_000


@pytest.mark.parametrize("when", ["the start", "a reconnect", "a reconnect in a talk"])
def test_a_link_that_is_accepted_and_hears_nothing_is_made_again(
    world: World, fake: FakeAsterisk, when: str
) -> None:
    """Else each missed call would be refused by the dialplan until somebody restarts the service."""
    world.usual(dedupe_window_s="0")
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND).answers()
    calls = 1
    if when == "the start":
        fake.faults.deafen(1)
    with world.running(housekeeping_s=0.5) as service:
        if when.endswith("in a talk"):  # then Asterisk knows the application, and sends to nobody
            subscriber.dials(f"{FRIEND}#")
            world.rings()
            friend.wait_for("answered", timeout_s=20)
            world.until(lambda: len(world.events("leg.answered")) == 2)
        if when != "the start":
            fake.faults.deafen(1)
            fake.faults.drop_websocket()
            world.until(lambda: not service.link.connected)
            assert service.trouble() == "not connected to Asterisk"
            world.reconnected()
        if when.endswith("in a talk"):
            friend.hang_up()
            subscriber.hang_up()
            world.finished()
            subscriber.forget()
            calls += 1
        assert len(world.events("ari.deaf")) == 1
        subscriber.answers().hangs_up(after_s=1)
        world.rings()
        subscriber.wait_for("ended", timeout_s=20)
        world.finished(calls)
        world.nothing_left()


def test_every_event_comes_twice(world: World, fake: FakeAsterisk) -> None:
    world.usual()
    world.phone().answers().hangs_up(after_s=1)
    fake.faults.duplicate_events()
    with world.running():
        world.rings()
        world.finished()
        world.nothing_left()
    assert len(world.phone().calls) == 1


def test_the_answer_to_originate_is_lost_and_nobody_is_called_twice(world: World, fake: FakeAsterisk) -> None:
    world.usual()
    subscriber = world.phone().answers().hangs_up(after_s=1)
    fake.faults.lose_answers(1, r"^/channels/[0-9a-f]+-a1$")
    with world.running():
        world.rings()
        world.finished()
        world.nothing_left()
    assert len(subscriber.calls) == 1


def test_asterisk_answers_503_for_a_moment_when_leg_a_is_to_be_called(
    world: World, fake: FakeAsterisk
) -> None:
    world.usual()
    subscriber = world.phone().answers().hangs_up(after_s=1)
    fake.faults.answer_5xx(2, r"^/channels/[0-9a-f]+-a1$")
    with world.running():
        world.rings()
        (request,) = world.finished()
        world.nothing_left()
    assert (request.outcome, request.attempts, len(subscriber.calls)) == ("hung_up", 1, 1)


def test_a_second_process_with_the_same_application_ends_the_first(world: World, tmp_path: Path) -> None:
    world.usual()
    with world.process(tmp_path) as first, world.process(tmp_path, "--take-over") as second:
        assert first.wait(timeout=10) == 3
        assert second.poll() is None
        log = (tmp_path / "service-0.log").read_text()
    assert "another process connected with the same Stasis application" in log
    assert "Traceback" not in log


def test_a_timer_that_cannot_be_moved_now_is_moved_later(world: World, fake: FakeAsterisk) -> None:
    """The next slice is held, then Asterisk does not answer: the talk goes on, and the timer follows."""
    world.usual(hold_slice_s="10", hold_extend_before_s="5")
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    with world.running():
        world.rings()
        world.until(lambda: len(world.events("leg.answered")) == 2, timeout_s=30)
        fake.faults.answer_5xx(9, r"-b1/variable$")
        world.until(lambda: bool(world.events("talk.timer_not_moved")))
        world.until(lambda: len(world.events("talk.extended")) == 2, timeout_s=20)
        assert friend.calls[0].state == "answered"
        friend.hang_up()
        world.announced("another number")
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert world.xdrs()["b1"].charged_s >= 14
