"""Missed calls that make no callback: refused like any other, nothing dialled, the reason kept."""

from __future__ import annotations

import pytest
from world import ACCESS, ANI, World

from stasis_callback.core.rating import Rate


@pytest.mark.parametrize(
    ("ani", "dnis", "reason"),
    [
        ("", ACCESS, "no_ani"),
        ("+42o212345678", ACCESS, "bad_ani"),
        ("12", ACCESS, "bad_ani"),
        ("4567", ACCESS, "unknown_account"),
        ("420999999999", ACCESS, "unknown_account"),
        (ANI, "420800999999", "unknown_access_number"),
    ],
)
def test_a_caller_or_number_we_do_not_know(world: World, ani: str, dnis: str, reason: str) -> None:
    world.usual()
    subscriber = world.phone().answers()
    with world.running():
        refusal = world.rings(ani=ani, dnis=dnis)
        assert (refusal.cause, refusal.answered) == (17, False)
        (request,) = world.finished()
    assert (request.state, request.outcome) == ("refused", reason)
    assert world.events("request.refused")[0]["reason"] == reason
    assert subscriber.calls == []
    assert world.xdrs() == {}


def test_accounts_that_may_not_call(world: World) -> None:
    world.sells(Rate("420", first_interval_s=60, first_price_micros=60_000, next_price_micros=60_000))
    world.access_number()
    world.account("420111111111", callback_number="")
    world.account("420222222222")
    world.account("420233333333", funds="0.059999")
    world.account("33444444444")
    world.account("420555555555", callback_number=ACCESS)
    world.stores.accounts.change("420111111111", status="blocked")
    world.stores.accounts.change("420222222222", expires_at_us=1)
    expected = {
        "420111111111": "account_blocked",
        "420222222222": "account_expired",
        "420233333333": "no_funds",
        "33444444444": "destination_not_in_tariff",
        "420555555555": "own_number",
    }
    with world.running():
        for ani in expected:
            assert world.rings(ani=ani).cause == 17
        requests = world.finished(len(expected))
    assert {r.ani.lstrip("+"): r.outcome for r in requests} == expected
    assert world.xdrs() == {}


@pytest.mark.option("reject_cause")
def test_the_reject_cause_is_a_setting(world: World) -> None:
    world.usual(reject_cause="congestion")
    world.phone().answers().hangs_up()
    with world.running():
        assert world.rings().cause == 34
        world.finished()


def test_an_access_number_that_is_switched_off(world: World) -> None:
    world.usual()
    world.stores.access_numbers.change(ACCESS, {}, enabled=False)
    with world.running():
        world.rings()
        (request,) = world.finished()
    assert request.outcome == "unknown_access_number"


@pytest.mark.option("ani_rules")
def test_a_local_number_is_translated_to_the_account(world: World) -> None:
    world.usual(ani_rules="s/^0/420/")
    subscriber = world.phone().answers()
    with world.running():
        world.rings(ani="0212345678")
        subscriber.wait_for("answered")
        subscriber.hang_up()
        world.finished()
        world.nothing_left()


def test_thirteen_missed_calls_make_one_callback(world: World) -> None:
    world.usual()
    subscriber = world.phone().answers().hangs_up(after_s=1)
    with world.running():
        for _ in range(13):
            assert world.rings().cause == 17
        requests = world.finished(13)
        world.nothing_left()
    assert len(subscriber.calls) == 1
    reasons = sorted(request.outcome for request in requests)
    assert reasons.count("hung_up") == 1
    assert set(reasons) <= {"hung_up", "in_progress", "repeated"}


@pytest.mark.option("dedupe_window_s")
def test_a_second_missed_call_after_the_window_is_called_back_again(world: World) -> None:
    world.usual(dedupe_window_s="0")
    subscriber = world.phone().answers().hangs_up()
    with world.running():
        world.rings()
        world.finished(1)
        world.rings()
        world.finished(2)
    assert len(subscriber.calls) == 2
