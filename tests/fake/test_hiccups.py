"""One 503, one slow answer, a blip of the link, a step of a clock: the call goes on, and the money is right."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from world import ACCESS, ANI, CHEAP, FRIEND, World

import stasis_callback.service as service_module
from stasis_callback.ari.events import ChannelSnapshot
from stasis_callback.ari.link import AriLink
from stasis_callback.clock import Clock
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.core.rating import Rate
from stasis_callback.engine.ending import take_back
from stasis_callback.store.calls.legs import Fare
from stasis_callback.store.calls.requests import Requests
from stasis_callback.store.database.database import Database
from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork
from stasis_callback.testing.phones import BUSY, SECOND_TRUNK

A_MINUTE_FOR_6_CENTS = Rate("44", first_price_micros=60_000, next_price_micros=60_000)


def talk(world: World, **options: str) -> None:
    """Subscriber and friend are about to talk."""
    world.usual(**options)
    world.phone().answers().dials(f"{FRIEND}#")
    world.phone(FRIEND).answers()


def both_talk(world: World) -> None:
    world.until(lambda: len(world.events("leg.answered")) == 2, timeout_s=30)


# --- a command that Asterisk does not do -----------------------------------------------------------------------


@pytest.mark.parametrize("hiccup", ["one 503", "away for a while", "answer lost"])
def test_the_timer_of_leg_a_cannot_be_moved_while_leg_b_is_authorised(
    world: World, fake: FakeAsterisk, hiccup: str
) -> None:
    """The holds of both legs are committed then: neither they nor leg B may be forgotten."""
    world.usual()
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        world.announced("enter the number")
        match hiccup:
            case "one 503":
                fake.faults.answer_5xx(1, r"-a1/variable$")
            case "away for a while":
                fake.faults.answer_5xx(12, r"-a1/variable$")
            case _:
                fake.faults.lose_answers(2, r"-a1/variable$")
        subscriber.dial(f"{FRIEND}#")
        friend.wait_for("ended", timeout_s=30)
        world.announced("another number")
        subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left()
    assert request.outcome == "completed"


def test_a_database_that_fails_at_the_commit_of_leg_b_leaves_no_leg_behind(world: World) -> None:
    """What a thread does not know of is found in the database when its call ends."""
    world.usual()
    subscriber = world.phone().answers()
    with world.running() as service:
        world.rings()
        world.announced("enter the number")
        stores = world.stores
        (request,) = stores.requests.newest()
        account = stores.accounts.named(ANI)
        rate = stores.tariffs.match(account.tariff_id, FRIEND)
        assert rate is not None
        assert stores.calls.open_leg(f"{request.id}-b1", request.id, "b", Fare(account, FRIEND, rate), 1000)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
        assert service.dialer.sessions == []
    assert world.xdrs()["b1"].outcome == "not_dialed"


def test_a_commit_of_leg_b_whose_answer_is_lost_leaves_leg_a_no_timer_past_its_hold(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leg A's hold has shrunk for leg B, or has not: its timer stands where both would pay for it."""
    world.usual(hold_slice_s="10", ring_timeout_b_s="5", retry_interval_s="0.5")
    subscriber = world.phone().answers().dials(f"{FRIEND}#", after_s=1)
    unit = Database.unit
    lost: list[object] = []

    def without_the_answer(database: Database, work: Callable[[], object]) -> object:
        done = unit(database, work)
        if work.__name__ == "open_both" and not lost:
            lost.append(done)
            raise StoreUnavailable("the answer to the commit was lost")
        return done

    monkeypatch.setattr(Database, "unit", without_the_answer)
    with world.running():
        world.rings()
        world.announced("A technical problem")
        subscriber.wait_for("answered", call=2, timeout_s=20)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert lost == [True]


def test_an_attempt_that_is_over_leaves_the_next_one_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was queued again and the answer to that was lost: its thread tries once more when the next one rings."""
    world.usual(retry_interval_s="0", attempts_busy="2")
    subscriber = world.phone().refuses(BUSY)
    retry = Requests.retry
    lost: list[object] = []

    def without_the_answer(requests: Requests, *words: Any, **more: Any) -> None:
        retry(requests, *words, **more)
        if not lost:
            lost.append(words)
            subscriber.forget()
            raise StoreUnavailable("the answer to the commit was lost")

    monkeypatch.setattr(Requests, "retry", without_the_answer)
    with world.running():
        world.rings()
        subscriber.wait_for("ringing", call=2, timeout_s=20)
        world.until(lambda: len(world.events("call.ended")) == 1)
        subscriber.answer()
        world.announced("enter the number")
        subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left()
    assert lost
    assert (request.outcome, request.attempts, len(subscriber.calls)) == ("hung_up", 2, 2)


def test_leg_a_is_called_again_when_asterisk_would_not_call_it(world: World, fake: FakeAsterisk) -> None:
    world.usual(retry_interval_s="0.5")
    subscriber = world.phone().answers().hangs_up(after_s=1)
    fake.faults.answer_5xx(9, r"^/channels/[0-9a-f]+-a1$")
    with world.running():
        world.rings()
        (request,) = world.finished()
        world.nothing_left()
    assert (request.outcome, request.attempts, len(subscriber.calls)) == ("hung_up", 2, 1)
    assert [xdr.outcome for xdr in world.xdrs().values()] == ["congestion", "answered"]


def test_an_originate_slower_than_our_patience_calls_once(world: World, fake: FakeAsterisk) -> None:
    object.__setattr__(world.settings.ari, "request_timeout_s", 1.0)
    world.usual(retry_interval_s="0.5")
    subscriber = world.phone().answers().hangs_up(after_s=1)
    fake.faults.delay(r"^/channels/[0-9a-f]+-a1$", 2.0, count=1)
    with world.running():
        world.rings()
        (request,) = world.finished()
        world.nothing_left()
    assert (request.outcome, request.attempts, len(subscriber.calls)) == ("hung_up", 1, 1)


def test_an_originate_done_when_its_call_is_over_rings_nobody_for_long(
    world: World, fake: FakeAsterisk
) -> None:
    """Asterisk holds it back while it does what is asked later. Nobody would talk to who answers."""
    object.__setattr__(world.settings.ari, "request_timeout_s", 1.0)
    world.usual()
    subscriber = world.phone().answers().hangs_up(after_s=0.5)
    fake.faults.delay(r"^/channels/[0-9a-f]+-a1$", 6.0, count=1)
    with world.running():
        world.rings()
        (request,) = world.finished()
        subscriber.forget()
        stray = subscriber.wait_for("ended", call=2)
        world.nothing_left()
    assert (request.outcome, request.attempts, stray.answered_at_us) == ("hung_up", 1, None)
    assert len(world.xdrs()) == 1


@pytest.mark.parametrize("path", [r"/play/.*-p2", r"/play/.*-p3"])
@pytest.mark.parametrize("hiccup", ["503", "answer lost"])
def test_a_prompt_that_fails_once_does_not_end_the_conversation(
    world: World, fake: FakeAsterisk, path: str, hiccup: str
) -> None:
    world.usual()
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    (fake.faults.answer_5xx if hiccup == "503" else fake.faults.lose_answers)(1, path)
    with world.running():
        world.rings()
        world.announced("enter the number")
        subscriber.dial(f"{FRIEND}#")
        friend.wait_for("ended", timeout_s=30)
        subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left()
    assert request.outcome == "completed"


def test_a_warning_that_cannot_be_played_ends_no_talk(world: World, fake: FakeAsterisk) -> None:
    world.sells(Rate("420"), A_MINUTE_FOR_6_CENTS)
    world.access_number(low_funds_warning_s="8")
    world.account(funds="0.013")
    world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    fake.faults.answer_5xx(20, r"/play/.*-warning-")
    with world.running():
        world.rings()
        friend.wait_for("ended", timeout_s=40)
        world.phone().hang_up()
        world.finished()
        world.nothing_left(funds="0.013")
    assert world.events("talk.warning")
    world.was_cut("b1", after_s=13)


def test_no_bridge_is_left_when_it_could_not_be_destroyed_at_first(world: World, fake: FakeAsterisk) -> None:
    talk(world)
    with world.running():
        world.rings()
        both_talk(world)
        fake.faults.answer_5xx(16, r"^/bridges/[0-9a-f]+$")
        world.phone().hang_up()
        world.finished()
        world.until(lambda: not world.service or not world.service.dialer.sessions)
        world.nothing_left()


# --- the timer and the clock ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("delay_s", "answers_after_s"), [(1.0, 0.5), (1.0, 5.2), (2.0, 0.5)])
def test_on_a_slow_asterisk_nobody_talks_past_the_funds(
    world: World, fake: FakeAsterisk, delay_s: float, answers_after_s: float
) -> None:
    world.sells(Rate("420"), A_MINUTE_FOR_6_CENTS)
    world.access_number(low_funds_warning_s="0")
    world.account(funds="0.012")
    world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers(after_s=answers_after_s)
    fake.faults.delay(r"-b1/variable$", delay_s)
    with world.running():
        world.rings()
        call = friend.wait_for("ended", timeout_s=60)
        world.phone().hang_up()
        world.finished()
        fake.faults.clear()
        world.until(lambda: not world.service or not world.service.dialer.sessions)
    assert ((call.ended_at_us or 0) - (call.answered_at_us or 0)) / 1e6 <= 12.5
    assert (world.xdrs()["b1"].overrun_micros, world.stores.accounts.named(ANI).held_micros) == (0, 0)


class Stepped(Clock):
    """A wall clock that can be stepped; the monotonic one is not affected."""

    ahead_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.ahead_us


@pytest.mark.parametrize("step_s", [600, -600, 3600, -3600])
def test_asterisks_clock_is_stepped_during_a_talk(tmp_path: Path, step_s: int) -> None:
    """Wall times say ten minutes, or less than nothing; the shorter of two measured times is charged."""
    from world import new_world

    clock = Stepped()
    with FakeAsterisk(speed=4, clock=clock) as fake, new_world(FakeNetwork(fake), tmp_path) as world:
        talk(world)
        with world.running(housekeeping_s=1.0):
            world.rings()
            both_talk(world)
            clock.ahead_us = step_s * 1_000_000
            world.until(lambda: bool(world.events("asterisk.clock_stepped")))
            world.phone(FRIEND).hang_up()
            world.announced("another number")
            world.phone().hang_up()
            world.finished()
            world.nothing_left()
        assert set(world.xdrs()) == {"a1", "b1"}
        assert all(xdr.clock_suspect and 1 <= xdr.charged_s < 60 for xdr in world.xdrs().values())


def test_a_key_reported_twice_is_one_key(world: World, fake: FakeAsterisk) -> None:
    world.usual()
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        world.announced("enter the number")
        fake.faults.duplicate_events()
        subscriber.dial(f"{FRIEND}#")
        friend.wait_for("ended", timeout_s=20)
        fake.faults.clear()
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert world.xdrs()["b1"].number == FRIEND


# --- the link ----------------------------------------------------------------------------------------------------


def test_a_blip_of_the_link_and_then_a_503_end_no_talk(world: World, fake: FakeAsterisk) -> None:
    talk(world)
    with world.running():
        world.rings()
        both_talk(world)
        fake.faults.answer_5xx(12, r"^/channels/[0-9a-f]+-[ab]1$")
        fake.faults.drop_websocket()
        world.until(lambda: bool(world.events("leg.unclear")), timeout_s=20)
        assert world.phone(FRIEND).calls[0].state == world.phone().calls[0].state == "answered"
        fake.faults.clear()
        world.phone(FRIEND).hang_up()
        world.announced("another number")
        world.phone().hang_up()
        world.finished()
        world.nothing_left()


def test_a_link_that_breaks_again_while_calls_are_compared_is_not_ready(
    world: World, fake: FakeAsterisk
) -> None:
    """Else a subscriber is called, and dropped: nobody would hear of the answer."""
    world.usual()
    subscriber = world.phone().answers(after_s=0.2).hangs_up(after_s=1)
    with world.running() as service:
        fake.faults.delay(r"^/channels$", 2, count=1)
        fake.faults.drop_websocket()
        world.reconnected()
        fake.faults.answer_5xx(-1, r"^/asterisk/info$")
        fake.faults.drop_websocket()
        world.until(lambda: len(world.events("asterisk.lost")) == 2)
        world.asks()
        world.until(lambda: len(fake.faults.plans) == 1 or not service.dialer.sessions)
        assert not service.reconciled
        assert subscriber.calls == []
        fake.faults.clear()
        subscriber.wait_for("ended", timeout_s=20)
        world.finished()


def test_asterisk_dies_while_leg_a_rings_and_the_subscriber_is_called_again(
    world: World, fake: FakeAsterisk
) -> None:
    world.usual(retry_interval_s="0.5")
    subscriber = world.phone()
    with world.running():
        world.rings()
        subscriber.wait_for("ringing")
        fake.faults.restart()
        subscriber.wait_for("ringing", call=2, timeout_s=20)
        subscriber.answer()
        world.announced("enter the number")
        subscriber.hang_up()
        world.finished()
        world.nothing_left()


def test_a_number_keyed_while_the_link_broke_is_asked_for_once_more(world: World, fake: FakeAsterisk) -> None:
    """A digit that was not heard makes it another number, which is somebody's."""
    world.usual(inter_digit_timeout_s="1")
    subscriber = world.phone().answers()
    friend = world.phone(FRIEND).answers().hangs_up(after_s=1)
    with world.running():
        world.rings()
        world.announced("enter the number")
        fake.faults.drop_websocket()
        world.reconnected()
        subscriber.dial(f"{FRIEND[1:]}#")  # the first one fell into the gap
        world.until(lambda: str(world.said).count("enter the number") == 2)
        subscriber.dial(f"{FRIEND}#")
        friend.wait_for("ended", timeout_s=30)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert {side: xdr.number for side, xdr in world.xdrs().items()} == {"a1": ANI, "b1": FRIEND}


def test_nobody_is_called_while_the_link_is_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asterisk may be back from a restart before the link is: who answered then would be dropped."""
    world.usual()
    subscriber = world.phone().answers().hangs_up(after_s=1)
    deaf = threading.Event()
    monkeypatch.setattr(
        AriLink, "connected", property(lambda link: bool(link.connection) and not deaf.is_set())
    )
    with world.running():
        deaf.set()
        world.rings()
        world.until(lambda: bool(world.events("call.ended")))
        assert not subscriber.calls
        deaf.clear()
        (request,) = world.finished()
        world.nothing_left()
    assert (request.outcome, request.attempts, len(subscriber.calls)) == ("hung_up", 1, 1)
    assert {xdr.outcome for xdr in world.xdrs().values()} == {"not_dialed", "answered"}


# --- the queue -----------------------------------------------------------------------------------------------------


def test_a_callback_taken_back_between_two_attempts_is_not_called_again(world: World) -> None:
    world.usual()
    subscriber = world.phone()
    answer = world.asks(options={"retry_interval_s": "0", "attempts_busy": "3"})
    with world.running() as service:
        subscriber.wait_for("ringing")
        assert take_back(world.stores, service.client, answer.request_id)
        (request,) = world.finished()
        world.nothing_left()
    assert (request.state, len(subscriber.calls)) == ("cancelled", 1)


def test_a_call_taken_back_where_its_channels_are_not_seen_is_ended_by_its_own_node(world: World) -> None:
    """A web server beside the nodes, the shell of another node: they can only write it down."""
    talk(world)
    with world.running(housekeeping_s=0.5):
        world.rings()
        both_talk(world)
        (request,) = world.stores.requests.newest()
        assert world.stores.requests.cancel(request.id)
        world.phone(FRIEND).wait_for("ended", timeout_s=20)
        world.finished()
        world.nothing_left()


def no_thread_for_the_next_call(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of the thread that could not be started, once it was tried."""
    start = threading.Thread.start
    refused: list[str] = []

    def refuse_the_next(thread: threading.Thread) -> None:
        if thread.name.startswith("call-") and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_the_next)
    return refused


def test_a_call_for_which_no_thread_is_left_is_made_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.usual()
    subscriber = world.phone().answers().hangs_up(after_s=1)
    refused = no_thread_for_the_next_call(monkeypatch)
    with world.running(housekeeping_s=0.5):
        world.rings()
        subscriber.wait_for("ended", timeout_s=20)
        (request,) = world.finished()
        world.nothing_left()
    assert refused
    assert (request.outcome, request.attempts) == ("hung_up", 1)


def test_all_channels_are_looked_at_the_seldomer_the_more_they_are_but_at_once_for_a_call_without_a_thread(
    world: World, fake: FakeAsterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of channels are much work for the service and for Asterisk, at each round of housekeeping."""
    monkeypatch.setattr(service_module, "CHANNELS_A_ROUND", 1)
    talk(world)
    another = world.account("420601234567").number
    subscriber = world.phone(another).answers().hangs_up(after_s=1)
    with world.running() as service:

        def looks_in_a_round() -> int:
            fake.journal.clear()
            service.keep_house()
            return [entry.name for entry in fake.journal].count("GET /channels")

        world.rings()
        both_talk(world)
        assert looks_in_a_round() == 1
        assert [looks_in_a_round() for _ in range(6)] == [0, 0, 1] * 2  # two channels: two rounds more
        refused = no_thread_for_the_next_call(monkeypatch)
        world.rings(ani=another)
        world.until(lambda: bool(refused))
        world.until(lambda: not service.dialer.works_on(refused[0].removeprefix("call-")))
        assert looks_in_a_round() == 1
        subscriber.wait_for("ended", timeout_s=20)
        world.phone().hang_up()
        world.finished(2)
        world.nothing_left()


@pytest.mark.option("start_within_s")
def test_a_callback_that_nobody_expects_any_more_is_given_up(world: World) -> None:
    world.usual()
    subscriber = world.phone()
    world.asks(options={"start_within_s": "60"})
    with world.stores.database.transaction():
        from stasis_callback.store.calls.tables import Request

        Request.update(due_at_us=Request.due_at_us - 61_000_000).execute()
    with world.running():
        (request,) = world.finished()
    assert (request.outcome, subscriber.calls) == ("too_late", [])


def test_our_own_access_number_is_not_called_in_another_form(world: World) -> None:
    """The trunk delivers it in national form, so that is how it is configured."""
    world.usual()
    world.access_number("800123457")
    own = world.phone("420800123457")
    subscriber = world.phone().answers().dials("420800123457#")
    with world.running():
        world.rings()
        world.announced("not available")
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert own.calls == []
    assert world.asks(number_b="420800123457").reason == "own_destination"


def test_a_number_that_the_trunk_cannot_be_asked_for_gets_a_prompt(world: World) -> None:
    object.__setattr__(world.settings.asterisk, "number_rules", f"s/^44/{'0' * 32}44/")
    world.usual()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    with world.running():
        world.rings()
        world.announced("not available")
        subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left()
    assert request.outcome == "hung_up"


# --- the service -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [Rate("44"), A_MINUTE_FOR_6_CENTS], ids=["free", "by the second"])
def test_a_talk_taken_over_after_a_restart_lasts_as_long_as_it_is_paid_for(
    world: World, fake: FakeAsterisk, tmp_path: Path, rate: Rate
) -> None:
    """Its timers stand where the slice of before ended, wherever the hold ends."""
    world.sells(Rate("420"), rate)
    world.access_number(hold_slice_s="100", hold_extend_before_s="5")
    world.account()
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()

    def timer_s() -> float:
        timer = fake.switch.channels[leg_b.id].fuse
        return timer.when() if timer else 0.0

    with world.process(tmp_path) as service:
        world.rings()
        world.until(lambda: len([leg for leg in world.stores.calls.open_legs() if leg.answered_at_us]) == 2)
        leg_b = next(leg for leg in world.stores.calls.open_legs() if leg.side == "b")
        service.kill()
        service.wait()
    # The worst moment: the hold had grown, the timer had not been moved.
    old_s = timer_s()
    if rate.first_price_micros:
        assert world.stores.ledger.change_hold(leg_b.id, 250_000)
    with world.process(tmp_path):
        world.until(lambda: timer_s() > old_s + 60)
        friend.hang_up()
        subscriber.hang_up()
        world.finished()
        world.nothing_left()


def test_a_missed_call_that_came_while_nobody_listened_is_refused_and_called_back(
    world: World, fake: FakeAsterisk
) -> None:
    """Killed between the commit and the refusal, or the link was down: the caller must not wait in silence."""
    world.usual()
    subscriber = world.phone().refuses(BUSY)
    refusals: list[object] = []
    with world.running() as service:
        # As if the service had died in between: the call hangs in Asterisk, and nobody looks at it.
        service._triggers.submit = lambda task: None  # type: ignore[method-assign]
        caller = threading.Thread(target=lambda: refusals.append(world.rings()))
        caller.start()
        world.until(lambda: bool(service.client.channels.list()))
    subscriber.forget().answers().hangs_up(after_s=1)
    with world.running():
        caller.join(20)
        world.finished()
        subscriber.wait_for("ended", timeout_s=20)
        world.nothing_left()
    assert [refusal.cause for refusal in refusals] == [17]  # type: ignore[attr-defined]


def test_while_every_trunk_is_full_a_callback_waits_its_turn(world: World) -> None:
    """It is no attempt, and no reason to ask the trunk a hundred times a second."""
    world.usual()
    world.two_trunks(cheap={"calls_limit": 1})
    world.stores.trunks.change(SECOND_TRUNK, enabled=False)
    busy, patient, impatient = "420212345671", "420212345672", "420212345673"
    for number in (busy, patient, impatient):
        world.account(number)
    first, second = world.phone(CHEAP + busy).answers(), world.phone(CHEAP + patient)
    with world.running():
        world.asks(busy, "", account=busy)
        world.announced("enter the number")
        world.asks(patient, account=patient, options={"retry_interval_s": "0"})
        world.until(lambda: bool(world.events("trunk.full")))
        options = {"retry_interval_s": "61", "start_within_s": "60"}
        world.asks(impatient, account=impatient, options=options)
        (given_up,) = world.finished()
        (waits,) = [r for r in world.stores.requests.newest() if r.state == "queued"]
        assert waits.due_at_us - waits.created_at_us >= 4_500_000
        first.hang_up()
        second.wait_for("ringing", timeout_s=20)
        second.hang_up()
        world.finished(3)
        world.nothing_left()
    assert (given_up.leg_a_number, given_up.outcome, given_up.attempts) == (impatient, "congestion", 0)


def test_a_missed_call_that_is_reported_twice_is_asked_about_once(world: World) -> None:
    world.usual()
    channel = ChannelSnapshot(
        "in-1", "PJSIP/carrier-1", "Ring", ANI, "", ACCESS, 0, world.settings.ari.app, ()
    )
    with world.running() as service, ThreadPoolExecutor(2) as threads:
        for _ in threads.map(lambda _: service._missed_calls.handle(channel, ("missed", ACCESS)), range(4)):
            pass
        world.until(lambda: bool(world.events("request.accepted")))
        assert len(world.stores.requests.newest()) == 1
        assert world.events("request.refused") == []
        world.finished()
