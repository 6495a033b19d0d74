"""Calls under way and callbacks that wait: seen, ended, taken back, asked for again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import ACCESS_NUMBER, SUBSCRIBER, CommandLine
from world import ANI, FRIEND, World, new_world

from stasis_callback.core.requests import CallbackRequest
from stasis_callback.core.words import Refusal
from stasis_callback.testing.fake import FakeNetwork

# --- calls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["fake", pytest.param("real", marks=pytest.mark.real)])
def test_a_call_is_shown_leg_by_leg_and_hung_up(
    request: pytest.FixtureRequest, network: str, tmp_path: Path
) -> None:
    """The service in a process, as an operator has it; it charges what the command ends."""
    config = tmp_path / "stasis-callback.toml"
    (tmp_path / "world").mkdir()
    running = request.getfixturevalue(f"{network}_network")
    with new_world(running, tmp_path / "world") as world, world.process(tmp_path):
        call = _talk(world)
        (shown,) = json.loads(_run(config, "call", "live", "--json"))
        assert (shown["id"], shown["state"], shown["account"]) == (call, "talking", ANI)
        leg_a, leg_b = shown["legs"]
        assert (leg_a["number"], leg_b["number"]) == (ANI, FRIEND)
        assert leg_b["answered_at"].endswith("Z")
        assert 0 <= leg_b["seconds"] <= leg_b["funded_s"]
        head, *lines = _run(config, "call", "live").splitlines()
        assert head.split()[:4] == ["call", "state", "side", "account"]
        assert [line.split()[:3] for line in lines] == [[call, "talking", "a"], [call, "talking", "b"]]
        assert f"{call}-b1" in _run(config, "call", "show", call)

        assert _run(config, "call", "hangup", call) == f"call {call}: {call}-a1 and {call}-b1 hung up\n"

        (over,) = world.finished()
        world.nothing_left()
        assert (over.outcome, set(world.xdrs())) == ("completed", {"a1", "b1"})
        assert _run(config, "call", "hangup", call) == f"call {call} has already ended (completed)\n"
        assert _run(config, "call", "hangup", "--all") == "there are no live calls\n"


@pytest.mark.parametrize("network", ["fake", pytest.param("real", marks=pytest.mark.real)])
def test_a_phone_that_rings_is_hung_up_for_good(
    request: pytest.FixtureRequest, network: str, tmp_path: Path
) -> None:
    config = tmp_path / "stasis-callback.toml"
    (tmp_path / "world").mkdir()
    running = request.getfixturevalue(f"{network}_network")
    with new_world(running, tmp_path / "world") as world, world.process(tmp_path):
        world.usual(attempts_no_answer="3", attempts_busy="3", retry_interval_s="1")
        subscriber = world.phone().never_answers()
        world.rings()
        world.until(lambda: len(subscriber.calls) == 1)
        assert "-a1 hung up" in _run(config, "call", "hangup", "--all")
        (over,) = world.finished()
        world.nothing_left()
    assert (over.attempts, len(subscriber.calls)) == (1, 1)


def _talk(world: World) -> str:
    """A subscriber talks with a friend; the id of the call."""
    world.usual()
    world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    world.rings()
    friend.wait_for("answered", timeout_s=40)
    world.until(lambda: all(leg.answered_at_us for leg in world.stores.calls.open_legs()))
    return world.stores.requests.newest()[0].id


def _run(config: Path, *words: str) -> str:
    """What a command prints, in a process of its own; it has to succeed."""
    command = [sys.executable, "-m", "stasis_callback", "--config", str(config), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def test_no_call_is_an_empty_list(shop: CommandLine, queued: str) -> None:
    assert shop.ok("call", "live", "--json").json == []
    assert shop("call", "live").err == "none\n"


def test_a_call_shows_since_when_it_talks_and_how_long_it_is_paid_for(
    shop: CommandLine, dialing: str
) -> None:
    (call,) = shop.ok("call", "live", "--json").json
    (leg,) = call["legs"]
    assert (leg["side"], leg["account"], leg["funded_s"]) == ("a", SUBSCRIBER, 100)
    assert 90 <= leg["seconds"] <= 100
    assert shop.ok("call", "show", dialing, "--json").json["open_legs"][0]["funded_s"] == 100
    assert "live legs" in shop.ok("request", "show", dialing).out


def test_a_call_between_two_legs_is_shown_too(shop: CommandLine, queued: str) -> None:
    with shop.stores() as stores:
        stores.nodes.enter()
        stores.requests.claim(10)
    assert shop.ok("call", "live").out.splitlines()[1].split() == [queued, "dialing"]


def test_a_leg_that_asterisk_has_no_more_is_left_to_the_service(
    shop: CommandLine, asterisk: FakeNetwork, dialing: str
) -> None:
    assert "no more legs in this Asterisk" in shop.ok("call", "hangup", dialing).out
    before = shop.dump()
    assert "no more legs in this Asterisk" in shop.ok("call", "hangup", "--all").out
    assert shop.dump() == before
    with shop.stores() as stores:
        assert stores.requests.cancel_wanted(dialing)


def test_a_callback_that_waits_is_no_call(shop: CommandLine, asterisk: FakeNetwork, queued: str) -> None:
    assert f"request cancel {queued}" in shop.refused("call", "hangup", queued)


def test_what_cannot_be_hung_up(shop: CommandLine, dialing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--all" in shop.refused("call", "hangup")
    assert "--all" in shop.refused("call", "hangup", dialing, "--all")
    assert "unknown request" in shop.refused("call", "hangup", "nothing")
    assert "unknown request" in shop.refused("call", "show", "nothing")
    monkeypatch.setenv("STASIS_CALLBACK_ARI__URL", "http://127.0.0.1:1")
    said = shop("call", "hangup", dialing)
    assert (said.code, said.out) == (2, "")
    assert "ARI" in said.err
    with shop.stores() as stores:  # its service ends it as soon as it can
        assert stores.requests.cancel_wanted(dialing)
    monkeypatch.setenv("STASIS_CALLBACK_ARI__URL", "http://user:word@127.0.0.1")
    assert "without user and password" in shop.refused("call", "hangup", "--all")


# --- cancel and retry --------------------------------------------------------------------------------------------


def state(shop: CommandLine, request_id: str) -> Any:
    return shop.ok("request", "show", request_id, "--json").json["state"]


def test_a_callback_that_waits_is_taken_back_once(shop: CommandLine, queued: str) -> None:
    shop.ok("request", "cancel", queued)
    assert state(shop, queued) == "cancelled"
    assert "has already ended (cancelled)" in shop.refused("request", "cancel", queued)


def test_a_call_under_way_is_hung_up_instead(shop: CommandLine, dialing: str) -> None:
    assert f"is dialing: end it with `stasis-callback call hangup {dialing}`" in shop.refused(
        "request", "cancel", dialing
    )
    assert "unknown request" in shop.refused("request", "cancel", "nothing")


def test_a_callback_is_asked_for_again_with_the_same_options(shop: CommandLine, called: str) -> None:
    first = retried(shop, called)
    again = shop.ok("request", "show", first, "--json").json
    assert again["options"] == {"welcome": "on", "dedupe_window_s": "0"}
    assert (again["state"], again["account"], again["leg_a_number"]) == ("queued", SUBSCRIBER, SUBSCRIBER)
    assert (again["ani"], again["dnis"], again["subscriber"]) == ("+" + SUBSCRIBER, ACCESS_NUMBER, SUBSCRIBER)
    shop.ok("request", "cancel", first)
    second = retried(shop, called)
    shop.ok("request", "cancel", second)
    third = retried(shop, second)  # what was taken back can be asked for again
    assert len({called, first, second, third}) == 4


def retried(shop: CommandLine, request_id: str) -> str:
    """Ask for a callback again; the id of the new request."""
    return shop.ok("request", "retry", request_id).out.split()[1]


def test_a_pin_has_to_be_keyed_again(shop: CommandLine, called: str) -> None:
    shop.sql("UPDATE request SET triggered_by = 'pin'")
    assert shop.ok("request", "show", retried(shop, called), "--json").json["subscriber"] == ""


def test_a_retry_is_refused_like_any_request_and_says_why(
    shop: CommandLine, called: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STASIS_CALLBACK_LIMITS__QUEUE", "1")
    with shop.stores() as stores:
        stores.accounts.add("1000", customer="Acme", product="callback")
        stores.requests.accept(
            CallbackRequest("call-2", "ani", "", ACCESS_NUMBER),
            account_id=stores.accounts.named("1000").id,
            subscriber_id=None,
            leg_a_number="420999",
            stored_options={},
            queue_limit=10,
        )
        other = stores.requests.newest()[0].id
    assert "too many callbacks are queued" in shop.refused("request", "retry", called)
    assert "is queued or live" in shop.refused("request", "retry", other)
    shop.ok("request", "cancel", other)
    assert "a moment ago" in shop.refused("request", "retry", other)


def test_what_never_had_a_number_to_call_is_not_asked_for_again(shop: CommandLine) -> None:
    with shop.stores() as stores:
        stores.requests.refuse(CallbackRequest("call-3", "ani", "", ACCESS_NUMBER), Refusal.NO_ANI)
        refused = stores.requests.newest()[0].id
    assert "was refused (no_ani)" in shop.refused("request", "retry", refused)
    assert "unknown request" in shop.refused("request", "retry", "nothing")
