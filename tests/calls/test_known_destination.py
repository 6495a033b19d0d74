"""Requests that bring their numbers with them: what each side hears, who pays, and what a restart makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from world import ANI, FRIEND, World

from stasis_callback.core.rating import Rate
from stasis_callback.engine.connection import words_id
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.testing.phones import BUSY

SILENT = {"announce_balance": "off", "announce_duration": "off"}
HOUSE = "house"


def test_simple_the_two_are_connected_at_once_when_the_first_answers(world: World) -> None:
    world.usual()
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND).answers(after_s=1.5).hangs_up(after_s=2)
    with world.running():
        assert world.asks(options=SILENT | {"caller_id_a": FRIEND}).reason == ""
        friend.wait_for("ended", timeout_s=20)
        (request,) = world.finished()
        world.nothing_left()
    assert world.said == ["Please hold while we try to connect you.", "Goodbye."]
    assert request.outcome == "completed"
    dialled_after_s = (friend.calls[0].offered_at_us - (subscriber.calls[0].answered_at_us or 0)) / 1e6
    assert dialled_after_s < 1.0, "leg B is dialled when A answers, not after a prompt"
    assert subscriber.calls[0].caller_id == FRIEND
    assert {name: xdr.account for name, xdr in world.xdrs().items()} == {"a1": ANI, "b1": ANI}


def test_extended_balance_and_duration_are_said_while_the_second_is_called(world: World) -> None:
    world.usual()
    world.stores.accounts.change(ANI, password="1ak45")
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND)
    with world.running():
        assert world.asks(password="1ak45").reason == ""
        friend.wait_for("ringing", timeout_s=20)
        world.announced("balance is ten dollars")
        assert friend.calls[0].state == "ringing"
        world.until(lambda: any("You can talk for" in words for words in world.said))
        friend.answer()
        friend.wait_for("answered")
        subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left()
    assert request.outcome == "completed"
    assert friend.calls[0].caller_id == ANI


def test_what_is_being_said_stops_when_the_second_answers(world: World) -> None:
    """A's timer is moved during the talk, which waits for the end of a playback: it must have ended by then."""
    world.usual()
    world.phone().answers()
    friend = world.phone(FRIEND)
    with world.running() as service:
        words = words_id(f"{world.asks().request_id}-b1")

        def is_said() -> bool:
            return service.client.rest.fetch("playbacks", words) is not None

        world.until(is_said, timeout_s=20)
        friend.answer()
        world.until(lambda: len(world.events("leg.answered")) == 2, timeout_s=5)
        world.until(lambda: not is_said(), timeout_s=0.5)
        friend.hang_up()
        world.finished()
        world.nothing_left()


def test_hosted_the_internal_account_pays_both_and_its_balance_is_nobodys_business(world: World) -> None:
    world.usual()
    world.account(HOUSE)
    visitor = world.phone("420777000111").answers()
    friend = world.phone(FRIEND).answers(after_s=1).hangs_up(after_s=1)
    with world.running():
        world.asks("420777000111", account=HOUSE, trusted=True, shared=True)
        friend.wait_for("ended", timeout_s=30)
        visitor.wait_for("ended", timeout_s=20)
        world.finished()
        world.nothing_left(number=HOUSE)
    assert not any("balance" in words for words in world.said)
    assert {name: xdr.account for name, xdr in world.xdrs().items()} == {"a1": HOUSE, "b1": HOUSE}


def test_hosted_two_visitors_at_once(world: World) -> None:
    world.usual()
    world.account(HOUSE)
    visitors = [world.phone(f"42077700011{n}").answers() for n in range(2)]
    world.phone(FRIEND).answers()
    with world.running():
        for visitor in visitors:
            assert world.asks(visitor.number, account=HOUSE, trusted=True, shared=True).reason == ""
        world.until(lambda: sum(x.answered_at_us is not None for x in world.stores.calls.open_legs()) == 4)
        for visitor in visitors:
            visitor.hang_up()
        world.finished(2)
        world.nothing_left(number=HOUSE)


def test_hosted_with_a_menu_asks_for_a_number_and_tells_no_balance(world: World) -> None:
    world.usual()
    world.account(HOUSE)
    visitor = world.phone("420777000111").answers()
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.asks("420777000111", "", account=HOUSE, trusted=True, shared=True)
        world.announced("enter the number")
        visitor.dial(f"{FRIEND}#")
        friend.wait_for("ended", timeout_s=20)
        visitor.hang_up()
        world.finished()
        world.nothing_left(number=HOUSE)
    assert not any("balance" in words for words in world.said)


@pytest.mark.parametrize(("menu", "outcome"), [("on", "hung_up"), ("off", "no_destination")])
def test_a_busy_destination_is_told_and_then_goodbye_or_the_menu(
    world: World, menu: str, outcome: str
) -> None:
    world.usual()
    subscriber = world.phone().answers()
    world.phone(FRIEND).refuses(BUSY)
    with world.running():
        world.asks(options={"menu_afterwards": menu})
        world.announced("busy", timeout_s=20)
        world.announced("enter the number" if menu == "on" else "oodbye", timeout_s=20)
        if menu == "on":
            subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left()
    assert request.outcome == outcome
    assert any("enter the number" in words for words in world.said) == (menu == "on")
    assert world.xdrs()["b1"].outcome == "busy"


@pytest.mark.option("menu_afterwards")
def test_after_the_call_another_one_where_the_options_say_so(world: World) -> None:
    world.usual()
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.asks(options=SILENT | {"menu_afterwards": "on"})
        world.announced("another number", timeout_s=20)
        subscriber.dial(f"{FRIEND}#")
        friend.wait_for("ended", call=2, timeout_s=20)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()


def test_funds_that_went_meanwhile_are_told(world: World) -> None:
    world.usual(funds="0.05")
    world.phone().answers()
    with world.running():
        world.asks()
        world.announced("enough credit", timeout_s=20)
        (request,) = world.finished()
        world.nothing_left("0.05")
    assert request.outcome == "no_destination"
    assert list(world.xdrs()) == ["a1"]


def test_the_first_number_is_tried_again_when_it_is_busy(world: World) -> None:
    world.usual()
    subscriber = world.phone().refuses(BUSY)
    with world.running():
        world.asks(options={"retry_interval_s": "0"})
        (request,) = world.finished()
        world.nothing_left()
    assert (request.outcome, request.attempts, len(subscriber.calls)) == ("busy", 2, 2)
    assert request.destination == FRIEND


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("112", "emergency_destination"),
        ("33123456789", "destination_not_allowed"),
        ("420800123456", "own_destination"),
    ],
)
def test_what_may_not_be_called_never_rings_anybody(world: World, number: str, reason: str) -> None:
    world.usual()
    world.stores.tariffs.put_rates("standard", [NewRate(Rate("112", forbidden=True))])
    subscriber = world.phone()
    with world.running():
        assert world.asks(number_b=number).reason == reason
        assert world.finished()[0].state == "refused"
    assert subscriber.calls == []


def test_what_is_taken_back_as_it_is_about_to_be_called_is_never_called(world: World) -> None:
    """The moment between the queue and the first ringing: there is no channel yet that could be ended."""
    world.usual()
    subscriber = world.phone()
    answer = world.asks(options={"attempts_no_answer": "3", "retry_interval_s": "0"})
    world.stores.nodes.enter()
    assert [request.id for request in world.stores.requests.claim(1)] == [answer.request_id]
    assert world.stores.requests.cancel(answer.request_id)
    with world.running():
        (request,) = world.finished()
        world.nothing_left()
    assert (request.state, request.attempts) == ("cancelled", 0)
    assert subscriber.calls == []


def test_killed_while_the_second_rings_and_asked_again(world: World, tmp_path: Path) -> None:
    world.usual()
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND).never_answers()
    with world.process(tmp_path) as service:
        world.asks()
        friend.wait_for("ringing", timeout_s=30)
        service.kill()
        service.wait()
    with world.process(tmp_path):
        subscriber.wait_for("ended", timeout_s=20)
        (request,) = world.finished()
        world.nothing_left()
    assert request.outcome == "interrupted"


def test_killed_during_the_talk_and_adopted_to_its_goodbye(world: World, tmp_path: Path) -> None:
    world.usual()
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND).answers()
    with world.process(tmp_path) as service:
        world.asks(options=SILENT)
        world.until(
            lambda: sum(leg.answered_at_us is not None for leg in world.stores.calls.open_legs()) == 2
        )
        service.kill()
        service.wait()
    with world.process(tmp_path):
        world.until(lambda: "call.recovered" in max(tmp_path.glob("service-*.log")).read_text())
        friend.hang_up()
        subscriber.wait_for("ended", timeout_s=20)
        (request,) = world.finished()
        world.nothing_left()
    assert request.outcome == "completed"
