"""Playbacks: lists, stopping, what fails and what hides that it failed."""

import time

import pytest

from contract.wire import Json, Wire
from stasis_callback.clock import wait_until

LONG = "sound:demo-congrats"


def playback_events(asterisk: Wire, playback: str) -> list[tuple[str, str]]:
    return [
        (event["type"].removeprefix("Playback"), event["playback"]["media_uri"])
        for event in asterisk.events.of(playback)
    ]


def finished(asterisk: Wire, playback: str) -> str:
    event: Json = asterisk.events.wait("PlaybackFinished", playback)
    return str(event["playback"]["state"])


def test_list_plays_in_order_as_one_playback(asterisk: Wire) -> None:
    a = asterisk.answered()

    reply = asterisk.post("channels", a, "play", f"{a}-p", media="sound:beep,sound:vm-goodbye")

    assert reply.status == 201
    assert finished(asterisk, f"{a}-p") == "done"
    assert playback_events(asterisk, f"{a}-p") == [
        ("Started", "sound:beep"),
        ("Continuing", "sound:beep"),
        ("Started", "sound:vm-goodbye"),
        ("Finished", "sound:vm-goodbye"),
    ]


def test_stopped_list_is_done_and_plays_no_further(asterisk: Wire) -> None:
    a = asterisk.answered()
    asterisk.post("channels", a, "play", f"{a}-p", media=f"{LONG},sound:beep")
    asterisk.events.wait("PlaybackStarted", f"{a}-p")
    began_s = time.monotonic()

    assert asterisk.delete("playbacks", f"{a}-p").status == 204

    assert finished(asterisk, f"{a}-p") == "done"
    assert time.monotonic() - began_s < 0.5
    assert ("Started", "sound:beep") not in playback_events(asterisk, f"{a}-p")
    # PlaybackFinished is told a moment before Asterisk forgets the playback, in its own thread.
    assert wait_until(lambda: asterisk.delete("playbacks", f"{a}-p").status == 404, timeout_s=5)


def test_missing_sound_fails_at_once(asterisk: Wire) -> None:
    a = asterisk.answered()

    assert asterisk.post("channels", a, "play", f"{a}-p", media="sound:no-such-sound").status == 201

    assert finished(asterisk, f"{a}-p") == "failed"


@pytest.mark.parametrize(
    ("media", "state"),
    [("sound:no-such-sound,sound:beep", "done"), ("sound:beep,sound:no-such-sound", "failed")],
)
def test_only_the_last_item_decides(asterisk: Wire, media: str, state: str) -> None:
    a = asterisk.answered()

    asterisk.post("channels", a, "play", f"{a}-p", media=media)

    assert finished(asterisk, f"{a}-p") == state


def test_trap_number_items_cannot_be_stopped(asterisk: Wire) -> None:
    a = asterisk.answered()
    asterisk.post("channels", a, "play", f"{a}-p", media="number:123")
    asterisk.events.wait("PlaybackStarted", f"{a}-p")

    reply = asterisk.delete("playbacks", f"{a}-p")

    assert (reply.status, reply.message) == (500, "Could not stop playback")


@pytest.mark.parametrize("media", ["number:abc", "nonsense:1"])
def test_trap_some_bad_items_never_report_their_end(asterisk: Wire, media: str) -> None:
    a = asterisk.answered()

    asterisk.post("channels", a, "play", f"{a}-bad", media=media)
    asterisk.post("channels", a, "play", f"{a}-good", media="sound:beep")

    assert finished(asterisk, f"{a}-good") == "done"
    assert asterisk.events.of(f"{a}-bad", "PlaybackStarted")
    assert not asterisk.events.of(f"{a}-bad", "PlaybackFinished")


def test_second_playback_waits_for_the_first(asterisk: Wire) -> None:
    a = asterisk.answered()
    for name in ("first", "second"):
        asterisk.post("channels", a, "play", f"{a}-{name}", media="sound:beep")

    finished(asterisk, f"{a}-second")

    order = [
        event["playback"]["id"] for event in asterisk.events.of(a, "PlaybackStarted", "PlaybackFinished")
    ]
    assert order == [f"{a}-first"] * 2 + [f"{a}-second"] * 2


def test_waiting_playback_can_be_withdrawn(asterisk: Wire) -> None:
    a = asterisk.answered()
    for name in ("first", "second"):
        asterisk.post("channels", a, "play", f"{a}-{name}", media=LONG)

    assert asterisk.delete("playbacks", f"{a}-second").status == 204
    asterisk.delete("playbacks", f"{a}-first")

    assert finished(asterisk, f"{a}-second") == "done"
    assert not asterisk.events.of(f"{a}-second", "PlaybackStarted")


def test_hangup_fails_what_plays_and_what_waits(asterisk: Wire) -> None:
    a = asterisk.answered()
    for name in ("first", "second"):
        asterisk.post("channels", a, "play", f"{a}-{name}", media=LONG)
    asterisk.events.wait("PlaybackStarted", f"{a}-first")

    asterisk.delete("channels", a)

    asterisk.gone(a)
    assert finished(asterisk, f"{a}-first") == "failed"
    assert finished(asterisk, f"{a}-second") == "failed"


def test_trap_setting_a_variable_waits_for_the_playback(asterisk: Wire) -> None:
    a = asterisk.answered()
    asterisk.post("channels", a, "play", f"{a}-p", media="sound:vm-goodbye")
    asterisk.events.wait("PlaybackStarted", f"{a}-p")

    asterisk.fuse(a, 30)

    done_s = time.monotonic()
    assert asterisk.events.wait("PlaybackFinished", f"{a}-p")["seen_s"] < done_s + 0.1


def test_trap_joining_a_bridge_waits_for_the_playback(asterisk: Wire) -> None:
    a = asterisk.answered()
    bridge = asterisk.bridge()
    asterisk.post("channels", a, "play", f"{a}-p", media="sound:vm-goodbye")
    asterisk.events.wait("PlaybackStarted", f"{a}-p")

    assert asterisk.post("bridges", bridge, "addChannel", channel=a).ok

    done_s = time.monotonic()
    assert asterisk.events.wait("PlaybackFinished", f"{a}-p")["seen_s"] < done_s + 0.1


def test_reading_and_hanging_up_do_not_wait(asterisk: Wire) -> None:
    a = asterisk.answered()
    asterisk.post("channels", a, "play", f"{a}-p", media=LONG)
    asterisk.events.wait("PlaybackStarted", f"{a}-p")

    began_s = time.monotonic()
    assert asterisk.get("channels", a, "variable", variable="TIMEOUT(absolute)").ok
    assert asterisk.delete("channels", a).ok
    asterisk.gone(a)

    assert time.monotonic() - began_s < 1


def test_digits_come_through_during_a_playback(asterisk: Wire) -> None:
    a = asterisk.answered()
    asterisk.post("channels", a, "play", f"{a}-p", media=LONG)
    asterisk.events.wait("PlaybackStarted", f"{a}-p")

    asterisk.phone_of(a).dial("1#")

    asterisk.events.wait("ChannelDtmfReceived", a, lambda event: event["digit"] == "#")
    assert not asterisk.events.of(f"{a}-p", "PlaybackFinished")
