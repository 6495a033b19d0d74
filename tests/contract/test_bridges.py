"""Bridges and the digits in them."""

from contract.wire import Wire
from stasis_callback.clock import wait_until


def hears(asterisk: Wire, channel: str, digits: str) -> bool:
    call = asterisk.phone_of(channel).wait_for("answered")
    return wait_until(lambda: call.digits_heard == digits, timeout_s=5)


def test_both_legs_are_in_it(asterisk: Wire) -> None:
    a, b, bridge = asterisk.talking()

    shown = asterisk.get("bridges", bridge).body

    assert set(shown["channels"]) == {a, b}
    assert (shown["technology"], shown["bridge_type"]) == ("simple_bridge", "mixing")
    assert [one["id"] for one in asterisk.get("bridges").body] == [bridge]


def test_digits_are_reported_and_reach_the_other_side(asterisk: Wire) -> None:
    a, b, _ = asterisk.talking()

    asterisk.phone_of(a).dial("**")

    assert asterisk.events.wait("ChannelDtmfReceived", a)["digit"] == "*"
    assert wait_until(lambda: len(asterisk.events.of(a, "ChannelDtmfReceived")) == 2, timeout_s=5)
    assert hears(asterisk, b, "**")


def test_trap_digits_are_not_reported_in_a_native_bridge(asterisk: Wire) -> None:
    with asterisk.native_bridging():
        a, b = asterisk.answered(), asterisk.answered()
        bridge = asterisk.bridge(a, b, kind="mixing")
        assert wait_until(
            lambda: asterisk.get("bridges", bridge).body["technology"] == "native_rtp", timeout_s=5
        )

        asterisk.phone_of(a).dial("5")

        assert hears(asterisk, b, "5")
        asterisk.delete("channels", a)
        asterisk.gone(a)
        assert not asterisk.events.of(a, "ChannelDtmfReceived")


def test_dtmf_events_keeps_a_bridge_from_going_native(asterisk: Wire) -> None:
    with asterisk.native_bridging():
        a, b = asterisk.answered(), asterisk.answered()
        bridge = asterisk.bridge(a, b, kind="mixing,dtmf_events")

        asterisk.phone_of(a).dial("5")

        assert asterisk.events.wait("ChannelDtmfReceived", a)["digit"] == "5"
        assert asterisk.get("bridges", bridge).body["technology"] == "simple_bridge"


def test_stays_when_one_leg_hangs_up(asterisk: Wire) -> None:
    a, b, bridge = asterisk.talking()

    asterisk.phone_of(b).hang_up()

    assert asterisk.gone(b) == (16, None)
    assert asterisk.get("bridges", bridge).body["channels"] == [a]
    assert asterisk.get("channels", a).body["state"] == "Up"
    types = asterisk.events.types(b)
    assert types.index("ChannelHangupRequest") < types.index("ChannelLeftBridge") < types.index("StasisEnd")


def test_stays_when_all_have_gone(asterisk: Wire) -> None:
    a, b, bridge = asterisk.talking()

    for channel in (a, b):
        asterisk.delete("channels", channel)
        asterisk.gone(channel)

    assert asterisk.get("bridges", bridge).body["channels"] == []


def test_deleting_it_leaves_both_legs_up(asterisk: Wire) -> None:
    a, b, bridge = asterisk.talking()

    assert asterisk.delete("bridges", bridge).status == 204

    asterisk.events.wait("ChannelLeftBridge", a)
    asterisk.events.wait("ChannelLeftBridge", b)
    assert {asterisk.get("channels", one).body["state"] for one in (a, b)} == {"Up"}
    # Until it has gone, a moment later, it is "not in Stasis application" (409).
    assert wait_until(lambda: asterisk.delete("bridges", bridge).status == 404, timeout_s=5)


def test_leg_taken_out_can_hear_prompts_again(asterisk: Wire) -> None:
    a, _, bridge = asterisk.talking()

    assert asterisk.post("bridges", bridge, "removeChannel", channel=a).status == 204
    asterisk.events.wait("ChannelLeftBridge", a)
    asterisk.post("channels", a, "play", f"{a}-p", media="sound:beep")

    assert asterisk.events.wait("PlaybackFinished", f"{a}-p")["playback"]["state"] == "done"


def test_one_leg_hears_a_prompt_inside_a_bridge_and_can_key(asterisk: Wire) -> None:
    a, _, _ = asterisk.talking()
    asterisk.post("channels", a, "play", f"{a}-p", media="sound:demo-congrats")
    asterisk.events.wait("PlaybackStarted", f"{a}-p")

    asterisk.phone_of(a).dial("1")
    asterisk.events.wait("ChannelDtmfReceived", a)

    assert asterisk.delete("playbacks", f"{a}-p").status == 204
    assert asterisk.events.wait("PlaybackFinished", f"{a}-p")["playback"]["state"] == "done"


def test_prompt_to_a_whole_bridge_needs_its_module(asterisk: Wire) -> None:
    a, _, bridge = asterisk.talking()
    loaded = asterisk.get("asterisk", "modules", "chan_bridge_media.so").ok

    reply = asterisk.post("bridges", bridge, "play", f"{a}-p", media="sound:beep")

    assert reply.status == (201 if loaded else 500)
    if not loaded:
        assert reply.message == "Could not create playback channel"


def test_absorbed_digits_are_reported_but_not_passed_on(asterisk: Wire) -> None:
    number = asterisk.number()
    asterisk.network.phone(number).answers(after_s=0)
    a, b = asterisk.answered(), asterisk.answered()
    bridge = asterisk.bridge(b)
    asterisk.post("bridges", bridge, "addChannel", channel=a, absorbDTMF="true")
    asterisk.events.wait("ChannelEnteredBridge", a)

    asterisk.phone_of(a).dial("5")
    asterisk.events.wait("ChannelDtmfReceived", a)
    asterisk.phone_of(b).dial("7")

    assert hears(asterisk, a, "7")
    assert hears(asterisk, b, "")


def test_id_in_use_is_refused(asterisk: Wire) -> None:
    bridge = asterisk.bridge()

    assert asterisk.post("bridges", bridge, type="mixing").status == 409


def test_who_cannot_join_or_leave(asterisk: Wire) -> None:
    bridge = asterisk.bridge()
    number = asterisk.number()
    asterisk.network.phone(number)
    ringing = asterisk.originate(number)
    outside = asterisk.answered()

    assert asterisk.post("bridges", bridge, "addChannel", channel=ringing).status == 422
    assert asterisk.post("bridges", bridge, "addChannel", channel="nobody").status == 400
    assert asterisk.post("bridges", bridge, "addChannel").status == 400
    assert asterisk.post("bridges", bridge, "removeChannel", channel=outside).status == 422
    assert asterisk.post("bridges", "nowhere", "addChannel", channel=outside).status == 404
