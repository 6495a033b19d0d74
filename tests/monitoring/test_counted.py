"""What is counted is what happened: the figures after real scenarios, compared with the call records and the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from world import ANI, FRIEND, World, new_world

from stasis_callback.core.money import MICROS
from stasis_callback.monitoring.counted import Counted
from stasis_callback.testing.fake import FakeNetwork
from stasis_callback.testing.phones import DECLINED


@pytest.fixture
def world(fake_network: FakeNetwork, tmp_path: Path) -> Iterator[World]:
    with new_world(fake_network, tmp_path) as made:
        yield made


def counted(world: World) -> CollectorRegistry:
    """The figures of what was logged."""
    registry = CollectorRegistry()
    business = Counted(registry)
    for event in world.log:
        business.note(event["log_level"], event)
    return registry


def test_a_callback_is_counted_from_the_request_to_its_money(world: World) -> None:
    world.usual()
    world.two_trunks()
    world.phone("7" + ANI).answers().dials(f"{FRIEND}#")
    friend = world.phone("7" + FRIEND).answers()
    with world.running():
        world.rings()
        friend.wait_for("answered", timeout_s=30)
        world.phone("7" + ANI).hang_up()
        world.finished()
        world.rings(ani="420777000111")
        world.until(lambda: bool(world.events("request.refused")))
    figures, xdrs = counted(world), world.xdrs()

    def figure(name: str, **labels: str) -> float | None:
        return figures.get_sample_value(f"stasis_callback_{name}", labels)

    assert figure("callbacks_asked_total", trigger="ani", result="accepted") == 1
    assert figure("callbacks_asked_total", trigger="ani", result="unknown_account") == 1
    assert figure("callbacks_ended_total", trigger="ani", outcome="completed") == 1
    assert figure("dial_delay_seconds_count") == 1
    assert figure("asterisk_connections_total") == 1
    for side in ("a", "b"):
        xdr = xdrs[f"{side}1"]
        assert figure("legs_total", side=side, trunk=xdr.trunk, outcome="answered") == 1
        assert figure("charged_total", side=side, currency="USD") == xdr.amount_micros / MICROS > 0
        talked = figure("leg_seconds_total", side=side, trunk=xdr.trunk)
        assert talked == pytest.approx(xdr.duration_us / MICROS, abs=0.001)
    cost = figure("cost_total", currency="USD")
    assert cost == pytest.approx(sum(xdr.cost_micros for xdr in xdrs.values()) / MICROS)
    assert figure("log_alarms_total", level="error", event="call.crashed") is None


def test_a_callback_that_is_not_taken_is_counted_with_its_outcome(world: World) -> None:
    world.usual()
    world.phone().refuses(DECLINED)
    with world.running():
        world.rings()
        (request,) = world.finished()
    figures = counted(world)
    labels = {"trigger": "ani", "outcome": request.outcome}
    assert figures.get_sample_value("stasis_callback_callbacks_ended_total", labels) == 1
    assert figures.get_sample_value("stasis_callback_charged_total", {"side": "a", "currency": "USD"}) == 0
