"""Options of a newer version, or of one with other limits, on a node of this one: nobody else waits for them."""

from __future__ import annotations

import json

import pytest
from world import ACCESS, ANI, FRIEND, World

from stasis_callback.clock import US_PER_S
from stasis_callback.store.calls.tables import Request
from stasis_callback.store.intake.tables import AccessNumber

OTHER = "420212345679"
LATER_US = 90_000 * US_PER_S


def _two_subscribers(world: World) -> None:
    world.usual()
    world.account(OTHER)


@pytest.mark.parametrize("options", [{"some_day": "on"}, {"callback_delay_s": "200000"}])
def test_a_callback_is_made_as_far_as_its_options_can_be_used(world: World, options: dict[str, str]) -> None:
    _two_subscribers(world)
    world.phone().answers()
    world.phone(FRIEND).answers().hangs_up(after_s=1)
    assert world.asks().reason == ""
    world.stores.database.unit(lambda: Request.update(options=json.dumps(options)).execute())
    with world.running():
        (request,) = world.finished()
    assert (request.outcome, world.events("call.crashed")) == ("completed", [])


@pytest.mark.parametrize("stored", ['{"some_day": "on"}', '{"callback_delay_s": "200000"}', "{"])
def test_nobody_waits_for_a_callback_whose_options_are_of_another_version(world: World, stored: str) -> None:
    _two_subscribers(world)
    world.phone(OTHER).answers().hangs_up(after_s=1)
    assert world.asks().reason == ""
    later = Request.due_at_us + LATER_US
    world.stores.database.unit(lambda: Request.update(options=stored, due_at_us=later).execute())
    with world.running():
        world.rings(ani=OTHER)
        (request,) = world.finished()
    assert (request.leg_a_number, request.outcome, world.events("worker.failed")) == (OTHER, "hung_up", [])


@pytest.mark.parametrize("stored", ["{", '{"authentication": "voice"}'])
def test_a_callback_whose_options_cannot_be_read_ends_and_calls_nobody(world: World, stored: str) -> None:
    _two_subscribers(world)
    subscriber = world.phone().answers()
    assert world.asks().reason == ""
    world.stores.database.unit(lambda: Request.update(options=stored).execute())
    with world.running():
        (request,) = world.finished()
        assert [line["call"] for line in world.events("call.unreadable")] == [request.id]
        world.nothing_left()
    assert (request.state, request.outcome, subscriber.calls) == ("done", "failed", [])


def test_a_phone_that_rings_since_before_a_restart_is_not_talked_to_by_options_that_cannot_be_read(
    world: World,
) -> None:
    _two_subscribers(world)
    subscriber = world.phone().answers(after_s=20)
    assert world.asks().reason == ""
    with world.running():
        subscriber.wait_for("ringing")
    foreign = '{"authentication": "voice"}'
    world.stores.database.unit(lambda: Request.update(options=foreign).execute())
    with world.running():
        (request,) = world.finished()
        world.nothing_left()
    assert (request.outcome, world.xdrs()["a1"].outcome) == ("interrupted", "cancelled")


def test_missed_calls_of_an_access_number_with_an_option_of_a_newer_version_are_called_back(
    world: World,
) -> None:
    world.usual()
    world.phone().answers().hangs_up(after_s=1)
    stored = {"some_day": "on", "talk_limit_s": "90000"}
    world.stores.database.unit(lambda: AccessNumber.update(options=json.dumps(stored)).execute())
    with world.running():
        assert world.rings(dnis=ACCESS).cause == 17
        (request,) = world.finished()
    assert (request.leg_a_number, request.outcome) == (ANI, "hung_up")
