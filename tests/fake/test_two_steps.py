"""What Asterisk refuses for a moment although nothing is wrong: its threads do one after another what looks like one.

The places in its source, and how often it is seen on a real one, are in decision 58.
"""

from __future__ import annotations

import asyncio

import pytest
from world import ANI, CHEAP, DEAR, FRIEND, World

from stasis_callback.engine import legs
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.testing.fake import FakeAsterisk, routes
from stasis_callback.testing.fake.model import Channel
from stasis_callback.testing.phones import CONGESTION, Phone


def the_end_of_the_talk(world: World, subscriber: Phone, friend: Phone) -> RequestView:
    """The friend hangs up, the subscriber is asked for another number and hangs up too; the callback."""
    friend.wait_for("ended")
    world.announced("another number")
    subscriber.hang_up()
    (request,) = world.finished()
    world.nothing_left()
    return request


# --- a leg that is there before it can be commanded --------------------------------------------------------------


@pytest.mark.parametrize("entry_s", [0.05, 1.0])
def test_nothing_is_asked_of_leg_a_before_it_is_under_our_control(
    world: World, fake: FakeAsterisk, entry_s: float
) -> None:
    """Asterisk reports an answer, and hands the channel over in another thread; a busy machine takes its time."""
    fake.switch.entry_s = entry_s
    world.usual()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers().hangs_up(after_s=0.5)
    with world.running():
        world.rings()
        request = the_end_of_the_talk(world, subscriber, friend)
    assert (request.outcome, request.attempts) == ("completed", 1)


def test_a_leg_that_never_comes_under_our_control_is_ended_soon_and_called_again(
    world: World, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legs, "ENTRY_LIMIT_S", 0.2)
    fake.switch.entry_s = 600.0
    world.usual(retry_interval_s="0.5")
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers().hangs_up(after_s=0.5)
    with world.running():
        world.rings()
        subscriber.wait_for("ended")
        fake.switch.entry_s = 0.0
        request = the_end_of_the_talk(world, subscriber, friend)
    assert (request.outcome, request.attempts) == ("completed", 2)


def test_leg_b_may_take_its_time_to_come_under_our_control(
    world: World, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legs, "ENTRY_LIMIT_S", 0.5)
    fake.switch.entry_s = 0.8
    world.usual()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers().hangs_up(after_s=0.5)
    with world.running():
        world.rings()
        request = the_end_of_the_talk(world, subscriber, friend)
    assert request.outcome == "completed"


def test_a_leg_that_is_shown_in_our_application_may_still_refuse_to_play(
    world: World, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asterisk shows the application of a channel before it takes commands for it (`pbx_exec`)."""
    refused: list[str] = []
    controlled = fake.switch.controlled

    def late(channel_id: str) -> Channel:
        channel = controlled(channel_id)
        if channel_id.endswith("-a1") and len(refused) < 3:
            refused.append(channel_id)
            channel.in_stasis = False
        try:
            return controlled(channel_id)
        finally:
            channel.in_stasis = True

    world.usual()
    subscriber = world.phone().answers()
    with world.running():
        monkeypatch.setattr(fake.switch, "controlled", late)
        world.rings()
        world.announced("enter the number")
        subscriber.hang_up()
        (request,) = world.finished()
    assert (request.outcome, request.attempts, len(refused)) == ("hung_up", 1, 3)


# --- a bridge whose id is not free yet ------------------------------------------------------------------------------


def test_the_second_trunk_is_tried_while_the_bridge_of_the_first_is_still_going(
    world: World, fake: FakeAsterisk
) -> None:
    """Asterisk says that a bridge exists for some hundredths of a second after it was destroyed."""
    fake.switch.bridge_goes_s = 0.3
    world.usual()
    world.two_trunks()
    subscriber = world.phone(CHEAP + ANI).answers().dials(f"{FRIEND}#")
    world.phone(CHEAP + FRIEND).refuses(CONGESTION)
    friend = world.phone(DEAR + FRIEND).answers().hangs_up(after_s=0.5)
    with world.running():
        world.rings()
        request = the_end_of_the_talk(world, subscriber, friend)
    assert request.outcome == "completed"


# --- somebody who hangs up just then --------------------------------------------------------------------------------


def test_who_hangs_up_while_a_timer_is_set_is_not_called_again(
    world: World, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command waits for its turn, and Asterisk answers 400: there is nobody left to do it for."""
    world.usual(retry_interval_s="0.5", talk_limit_s="30")
    subscriber = world.phone().answers()
    set_variable = fake.switch.set_variable
    hung_up: list[str] = []

    def hangs_up_first(channel: Channel, name: str, value: str) -> None:
        if channel.id.endswith("-a1") and not hung_up:
            hung_up.append(channel.id)
            asyncio.get_running_loop().call_later(0.1, fake.switch.far_ends, channel, 16)
            raise routes.ENDING
        set_variable(channel, name, value)

    with world.running():
        world.rings()
        world.announced("enter the number")
        monkeypatch.setattr(fake.switch, "set_variable", hangs_up_first)
        subscriber.dial(f"{FRIEND}#")
        (request,) = world.finished()
        world.nothing_left()
    assert (request.outcome, request.attempts, len(hung_up)) == ("hung_up", 1, 1)


# --- a leg that is in the dialplan, where it is listened to who has answered --------------------------------------


def test_asterisk_may_listen_for_longer_than_usual(
    world: World, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "AMD_S", 9.0)
    world.usual(answer_check="amd")
    subscriber = world.phone().answers().says("vm-goodbye")
    with world.running():
        world.rings()
        world.announced("enter the number")
        subscriber.hang_up()
        (request,) = world.finished()
    assert request.outcome == "hung_up"


@pytest.mark.parametrize(("away_s", "attempts"), [(1.5, 1), (600.0, 2)])
def test_a_link_that_is_lost_as_asterisk_gives_the_leg_back(
    world: World, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch, away_s: float, attempts: int
) -> None:
    """For a moment the dialplan waits for us. After that it ends the leg: who answered did not hang up."""
    enter_stasis, refused = fake.switch.enter_stasis, []

    def nobody_takes_it(channel: Channel, app: str, args: str) -> bool:
        if not args.startswith("answer-check") or "-a2" in channel.id:
            return enter_stasis(channel, app, args)
        refused.append(channel.id)
        return len(refused) > away_s and enter_stasis(channel, app, args)

    monkeypatch.setattr(fake.switch, "enter_stasis", nobody_takes_it)
    world.usual(answer_check="amd", retry_interval_s="0.5")
    subscriber = world.phone().answers().says("vm-goodbye")
    with world.running():
        world.rings()
        world.announced("enter the number", timeout_s=30)
        subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left()
    assert (request.outcome, request.attempts) == ("hung_up", attempts)


def test_a_leg_that_was_in_the_dialplan_is_not_asked_about_for_the_rest_of_the_call(
    world: World, fake: FakeAsterisk
) -> None:
    world.usual(answer_check="amd", first_digit_timeout_s="6")
    subscriber = world.phone().answers().says("vm-goodbye")
    with world.running():
        world.rings()
        world.announced("enter the number")
        before = len(asked_about_leg_a(fake))
        world.announced("try again", timeout_s=30)
        subscriber.hang_up()
        world.finished()
    assert len(asked_about_leg_a(fake)) == before


def asked_about_leg_a(fake: FakeAsterisk) -> list[str]:
    """The questions what became of it."""
    requests = [entry.name for entry in fake.journal if entry.kind == "request"]
    return [name for name in requests if name.startswith("GET /channels/") and name.endswith("-a1")]
