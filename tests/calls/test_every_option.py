"""Every option of an access number changes what happens. One scenario each, on the fake Asterisk.

`shows("name")` says which option a test is about; a test at the end fails when an option has none.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from world import ACCESS, ANI, FRIEND, World, new_world

from stasis_callback.core.options import describe_options
from stasis_callback.core.rating import Rate
from stasis_callback.resources import sounds_dir
from stasis_callback.store.calls.requests import RequestView
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.testing.phones import CONGESTION, DECLINED

shows = pytest.mark.option


@pytest.fixture
def world(fake_network: Any, tmp_path: Path) -> Iterator[World]:
    with new_world(fake_network, tmp_path) as made:
        yield made


def _called_back(world: World, *, until: str = "enter the number", keys: str = "") -> None:
    """One callback up to the words `until`, then the subscriber hangs up."""
    subscriber = world.phone().answers().dials(keys) if keys else world.phone().answers()
    with world.running():
        world.rings()
        world.announced(until)
        subscriber.hang_up()
        world.finished()


def _call(world: World, talk_s: float = 0.5) -> None:
    """One callback with one call to the friend."""
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers().hangs_up(after_s=talk_s)
    with world.running():
        world.rings()
        friend.wait_for("ended", timeout_s=40)
        world.announced("another number")
        subscriber.hang_up()
        world.finished()
        world.nothing_left()


@shows("attempts_no_answer")
def test_attempts_when_nobody_answers(world: World) -> None:
    world.usual(attempts_no_answer="2", ring_timeout_a_s="5", retry_interval_s="0")
    subscriber = world.phone().never_answers()
    with world.running():
        world.rings()
        world.finished()
    assert len(subscriber.calls) == 2


@shows("attempts_congestion")
@pytest.mark.parametrize("attempts", [1, 3])
def test_attempts_when_the_network_is_congested(world: World, attempts: int) -> None:
    world.usual(attempts_congestion=str(attempts), retry_interval_s="0")
    subscriber = world.phone().refuses(CONGESTION)
    with world.running():
        world.rings()
        world.finished()
    assert len(subscriber.calls) == attempts


@shows("caller_id_a")
@shows("webhooks")
def test_the_steps_of_a_missed_call_are_told_by_an_instance(world: World) -> None:
    world.stores.web_instances.add(
        "calls", {"type": "extended", "webhook_url": "https://crm.example.com/hook"}
    )
    world.usual(webhooks="calls")
    _call(world)
    (request,) = world.finished()
    steps = "queued calling_first first_answered calling_second connected second_ended ended"
    assert [event.step for event in world.stores.events.of(request.id)] == steps.split()
    assert world.stores.events.waiting() == ["calls"]


@shows("caller_id_b")
def test_the_numbers_that_are_shown(world: World) -> None:
    world.usual(caller_id_a="420111000111", caller_id_b="420222000222")
    _call(world)
    assert world.phone().calls[0].caller_id == "420111000111"
    assert world.phone(FRIEND).calls[0].caller_id == "420222000222"


@shows("caller_id_b")
def test_no_number_is_shown(world: World) -> None:
    world.usual(caller_id_b="withheld")
    _call(world)
    assert world.phone(FRIEND).calls[0].caller_id == "anonymous"


@shows("welcome")
@pytest.mark.parametrize("welcome", ["on", "off"])
def test_a_welcome(world: World, welcome: str) -> None:
    world.usual(welcome=welcome)
    _called_back(world)
    assert any("Welcome" in words for words in world.said) == (welcome == "on")


@shows("announce_balance")
@pytest.mark.parametrize(("mode", "said"), [("funds", "fifteen"), ("balance", "ten"), ("off", "")])
def test_what_is_said_of_the_balance(world: World, mode: str, said: str) -> None:
    world.usual(announce_balance=mode)
    world.stores.accounts.change(ANI, credit_limit_micros=5_000_000)
    _called_back(world)
    balances = [words for words in world.said if "balance" in words]
    assert balances == ([f"Your balance is {said} dollars"] if said else [])


@shows("announce_credit_limit")
def test_the_credit_limit_is_said(world: World) -> None:
    world.usual(announce_credit_limit="on")
    world.stores.accounts.change(ANI, credit_limit_micros=5_000_000)
    _called_back(world)
    assert any("credit limit" in words and "five dollars" in words for words in world.said)


@shows("announce_duration")
@pytest.mark.parametrize(("mode", "part"), [("exact", "seconds"), ("minutes", "minutes"), ("off", "")])
def test_how_the_duration_is_said(world: World, mode: str, part: str) -> None:
    world.usual(announce_duration=mode)
    _call(world)
    durations = [words for words in world.said if "You can talk" in words]
    assert bool(durations) == bool(part)
    assert all(part in words for words in durations)
    assert not (mode == "minutes" and "second" in " ".join(durations))


MACHINE, PERSON = "demo-congrats", "vm-goodbye"
"""What Asterisk has recorded: half a minute of speech, and a single word."""


def _answered(world: World, says: str = "") -> RequestView:
    """Leg A is answered by somebody who speaks or not, and keys nothing, until the end."""
    subscriber = world.phone().answers()
    if says:
        subscriber.says(says, after_s=0.3)
    with world.running():
        world.rings()
        subscriber.wait_for("ended", timeout_s=60)
        (request,) = world.finished()
        world.nothing_left()
    return request


@shows("answer_check")
def test_press_one_keeps_a_voicemail_out(world: World) -> None:
    world.usual(answer_check="press_one", first_digit_timeout_s="1")
    assert _answered(world).outcome == "not_accepted"
    assert not any("balance" in words for words in world.said)


@shows("answer_check")
def test_press_one_lets_a_person_in(world: World) -> None:
    world.usual(answer_check="press_one")
    _called_back(world, keys="1", until="balance")


@shows("answer_check")
def test_a_machine_that_speaks_on_is_told_nothing(world: World) -> None:
    world.usual(answer_check="amd")
    assert _answered(world, says=MACHINE).outcome == "not_accepted"
    assert world.said == []
    assert world.xdrs()["a1"].charged_s <= 10


@shows("answer_check")
def test_a_person_who_says_a_word_is_asked_nothing(world: World) -> None:
    world.usual(answer_check="amd", first_digit_timeout_s="1", destination_attempts="1")
    assert _answered(world, says=PERSON).outcome == "no_destination"
    assert "balance" in world.said[0]


@shows("answer_check")
def test_who_answers_in_silence_is_asked_to_press_one(world: World) -> None:
    world.usual(answer_check="amd", first_digit_timeout_s="1")
    assert _answered(world).outcome == "not_accepted"
    assert len(world.said) == 2
    assert all("ress one" in words or "ress 1" in words for words in world.said)


@shows("languages")
def test_the_subscriber_chooses_a_language(world: World) -> None:
    world.usual(languages="en,es")
    subscriber = world.phone().answers()
    with world.running():
        world.rings()
        world.announced("English")
        subscriber.dial("2")
        world.announced("dólares", timeout_s=15)
        subscriber.hang_up()
        world.finished()


@shows("languages")
def test_the_accounts_language_wins(world: World) -> None:
    world.usual(languages="en,es")
    world.stores.accounts.change(ANI, language="fr")
    _called_back(world, until="solde")
    assert not any("English" in words for words in world.said)


@shows("languages")
@pytest.mark.parametrize(("languages", "said"), [("es", "dólares"), ("xx,es", "dólares"), ("xx", "dollars")])
def test_a_language_whose_prompts_are_gone_is_as_if_it_were_not_set(
    world: World, languages: str, said: str
) -> None:
    world.usual(languages=languages)
    world.stores.accounts.change(ANI, language="zz")
    _called_back(world, until=said)
    (line,) = world.events("language.no_prompts")
    gone = ["zz", *(["xx"] if "xx" in languages else [])]
    assert (line["languages"], line["log_level"]) == (gone, "warning")
    assert not any("English" in words for words in world.said)  # no menu of one


@shows("lockout_s")
def test_a_lock_out_ends(world: World) -> None:
    world.usual(
        authentication="pin", internal_account=ANI, login_attempts="1", lockout_failures="1", lockout_s="1",
        dedupe_window_s="0",
    )  # fmt: skip
    subscriber = world.phone().answers().dials("999#")
    with world.running():
        world.rings()
        world.finished(1)
        world.until(lambda: not world.stores.throttles.locked(f"login:{ANI}"), timeout_s=5)
        world.rings()
        world.finished(2)
    assert len(subscriber.calls) == 2


@shows("low_balance_mode")
@shows("low_balance_amount")
@pytest.mark.parametrize(("mode", "outcome"), [("disconnect", "low_balance"), ("refuse", "no_destination")])
def test_low_funds(world: World, mode: str, outcome: str) -> None:
    world.usual(low_balance_mode=mode, low_balance_amount="10.01", destination_attempts="1")
    subscriber = world.phone().answers()
    if mode == "refuse":
        subscriber.dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    with world.running():
        world.rings()
        (request,) = world.finished()
        world.nothing_left()
    assert request.outcome == outcome
    assert any("enough credit" in words for words in world.said)
    assert friend.calls == []


@shows("terminator")
def test_a_number_without_terminator(world: World) -> None:
    world.usual(terminator="none", inter_digit_timeout_s="1")
    world.phone().answers().dials(f"44#{FRIEND[2:]}")
    friend = world.phone(FRIEND).answers()
    with world.running():
        world.rings()
        friend.wait_for("answered", timeout_s=40)
        world.phone().hang_up()
        world.finished()


@shows("speed_dial")
@pytest.mark.parametrize("speed_dial", ["on", "off"])
def test_speed_dial(world: World, speed_dial: str) -> None:
    world.usual(speed_dial=speed_dial)
    world.stores.accounts.change(ANI, speed_dials={"1": FRIEND})
    subscriber = world.phone().answers().dials("1#")
    friend = world.phone(FRIEND).answers()
    with world.running():
        world.rings()
        if speed_dial == "on":
            friend.wait_for("answered", timeout_s=40)
        else:
            world.announced("not valid")
        subscriber.hang_up()
        world.finished()


def test_a_speed_dial_key_without_number(world: World) -> None:
    world.usual()
    _called_back(world, keys="7#", until="speed dial")


@shows("redial_key")
def test_the_last_number_again(world: World) -> None:
    world.usual(redial_key="0")
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers().hangs_up(after_s=0.5)
    with world.running():
        world.rings()
        friend.wait_for("ended", timeout_s=40)
        world.announced("another number")
        subscriber.dial("0#")
        friend.wait_for("ended", call=2, timeout_s=40)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()


def _vouchers(world: World, count: int = 1) -> list[str]:
    """Codes of five dollars that can be keyed."""
    return world.stores.vouchers.generate("spring", count, 5_000_000, "USD", length=12, alphabet="0123456789")


@shows("voucher_key")
def test_a_voucher_is_redeemed_in_the_menu(world: World) -> None:
    world.usual(voucher_key="99")
    (code,) = _vouchers(world)
    subscriber = world.phone().answers().dials(f"99#{code}#")
    friend = world.phone(FRIEND).answers().hangs_up(after_s=0.5)
    with world.running():
        world.rings()
        world.announced("balance is fifteen dollars")
        subscriber.dial(f"99#{code}#")  # again: it is said, and not credited
        world.until(lambda: sum("fifteen dollars" in words for words in world.said) == 2, timeout_s=30)
        subscriber.dial(f"{FRIEND}#")
        friend.wait_for("ended", timeout_s=40)
        subscriber.hang_up()
        (request,) = world.finished()
        world.nothing_left(funds="15.00")
    assert request.outcome == "completed"


def test_guessed_voucher_codes_lock_the_vouchers_of_the_account_and_not_its_calls(world: World) -> None:
    world.usual(voucher_key="99", lockout_failures="2", destination_attempts="4")
    (code,) = _vouchers(world)
    subscriber = world.phone().answers().dials("99#1111#").dials("99#2222#").dials(f"99#{code}#")
    friend = world.phone(FRIEND).answers().hangs_up(after_s=0.5)
    with world.running():
        world.rings()
        world.announced("Too many wrong voucher codes")
        subscriber.dial(f"{FRIEND}#")
        friend.wait_for("ended", timeout_s=40)
        subscriber.hang_up()
        world.finished()
        world.nothing_left()
    assert sum("voucher code is not valid" in words for words in world.said) == 2
    assert [line["reason"] for line in world.events("voucher.refused")] == [
        "bad_voucher",
        "bad_voucher",
        "locked_out",
    ]
    assert world.stores.vouchers.of_batch("spring")[0].state == "new"


@pytest.mark.parametrize("credited", [True, False])
def test_who_has_too_little_may_redeem_a_voucher_before_being_sent_away(world: World, credited: bool) -> None:
    world.usual(
        funds="2", voucher_key="99", low_balance_mode="disconnect", low_balance_amount="3",
        first_digit_timeout_s="2",
    )  # fmt: skip
    (code,) = _vouchers(world)
    subscriber = world.phone().answers()
    with world.running():
        world.rings()
        world.announced("code of your voucher")
        if credited:
            subscriber.dial(f"{code}#")
            world.announced("enter the number you wish to call")
            subscriber.hang_up()
        else:
            world.announced("oodbye")
            subscriber.wait_for("ended", timeout_s=40)
        (request,) = world.finished()
    assert request.outcome == ("hung_up" if credited else "low_balance")


@shows("calls_per_callback")
def test_one_call_per_callback(world: World) -> None:
    world.usual(calls_per_callback="1")
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    world.phone(FRIEND).answers().hangs_up(after_s=0.5)
    with world.running():
        world.rings()
        subscriber.wait_for("ended", timeout_s=40)
        world.finished()
    assert not any("another number" in words for words in world.said)
    assert "oodbye" in world.said[-1]


@shows("menu_limit_s")
def test_the_time_in_menus_is_limited(world: World) -> None:
    world.usual(menu_limit_s="20", destination_attempts="10", first_digit_timeout_s="12")
    subscriber = world.phone().answers()
    with world.running():
        world.rings()
        subscriber.wait_for("ended", timeout_s=60)
        world.finished()
        world.nothing_left()
    assert sum("enter the number" in words for words in world.said) == 2


def _ten_seconds_of_talk(world: World, **options: str) -> None:
    world.sells(Rate("420"), Rate("44", first_price_micros=60_000, next_price_micros=60_000))
    world.access_number(**options)
    world.account(funds="0.01")


@shows("low_funds_warning_s")
@shows("low_funds_repeat_s")
@shows("low_funds_warning")
@pytest.mark.parametrize("kind", ["beep", "voice"])
def test_a_warning_before_the_funds_end(world: World, kind: str) -> None:
    _ten_seconds_of_talk(world, low_funds_warning_s="8", low_funds_repeat_s="3", low_funds_warning=kind)
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    with world.running():
        world.rings()
        friend.wait_for("ended", timeout_s=40)
        subscriber.hang_up()
        world.finished()
        world.nothing_left(funds="0.01")
    warnings = [line for line in world.events("talk.warning")]
    assert [line["left_s"] for line in warnings] == [8, 5, 2]
    assert any("remaining" in words for words in world.said) == (kind == "voice")


@shows("cut_before_s")
def test_the_talk_ends_before_the_funds_do(world: World) -> None:
    _ten_seconds_of_talk(world, cut_before_s="6")
    subscriber = world.phone().answers().dials(f"{FRIEND}#")
    friend = world.phone(FRIEND).answers()
    with world.running():
        world.rings()
        friend.wait_for("ended", timeout_s=40)
        subscriber.hang_up()
        world.finished()
        world.nothing_left(funds="0.01")
    world.was_cut("b1", after_s=4)


@shows("access_code")
def test_calls_are_rated_by_the_tariff_of_the_access_code(world: World) -> None:
    world.usual(access_code="NIGHT")
    world.stores.tariffs.add("night", "USD")
    world.stores.tariffs.put_rates(
        "night", [NewRate(Rate("4", first_price_micros=6_000_000, next_price_micros=1))]
    )
    world.stores.accounts.set_product("callback", "night", "NIGHT")
    _call(world)
    assert {xdr.prefix for xdr in world.xdrs().values()} == {"4"}


@shows("brand")
def test_a_brands_own_prompts_are_played(
    world: World, fake_network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sounds = tmp_path / "sounds"
    shutil.copytree(sounds_dir(), sounds)
    own = sounds / "en" / "brands" / "acme"
    own.mkdir(parents=True)
    (own / "welcome.ulaw").touch()
    monkeypatch.setattr("stasis_callback.service.sounds_dir", lambda: sounds)
    world.usual(brand="acme", welcome="on")
    before = len(fake_network.fake.journal)
    _called_back(world)
    played = [entry.detail.get("media", "") for entry in fake_network.fake.journal[before:]]
    assert any("stasis-callback/brands/acme/welcome" in str(media) for media in played)


def test_a_change_counts_from_the_next_call_on(world: World) -> None:
    world.usual()
    with world.running():
        world.phone().refuses(DECLINED)
        assert world.rings().cause == 17
        world.finished(1)
        world.stores.access_numbers.change(ACCESS, {"reject_cause": "congestion", "dedupe_window_s": "0"})
        assert world.rings().cause == 34
        world.finished(2)


def test_every_option_is_shown(request: pytest.FixtureRequest) -> None:
    """By a scenario that says so: most are in this file, the others where the story of their option is told."""
    here = [item for item in request.session.items if item.path == Path(__file__)]
    shown = {mark.args[0] for item in here for mark in item.iter_markers("option")}
    for file in Path(__file__).parents[1].rglob("test_*.py"):
        shown |= set(re.findall(r'^@pytest\.mark\.option\("(\w+)"\)', file.read_text(), re.MULTILINE))
    assert shown == {option.name for option in describe_options()}
