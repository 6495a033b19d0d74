"""Events: what Asterisk 22.10 sent, and what it never should have."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stasis_callback.ari.errors import BadEvent
from stasis_callback.ari.events import (
    ApplicationReplaced,
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelHangupRequest,
    ChannelStateChange,
    Dial,
    Event,
    PlaybackContinuing,
    PlaybackFinished,
    PlaybackStarted,
    StasisEnd,
    StasisStart,
    parse_channel,
    parse_event,
    parse_time_us,
)

AT = "2026-11-23T21:04:05.123+0000"
AT_US = 1795467845_123_000

CHANNEL = {
    "id": "s1-a",
    "name": "PJSIP/carrier-00000001",
    "state": "Up",
    "caller": {"name": "", "number": "420212345678"},
    "connected": {"name": "", "number": "420800123456"},
    "dialplan": {"context": "in", "exten": "420800", "app_name": "Stasis", "app_data": "callback,a,s1"},
    "creationtime": "2026-11-23T21:04:04.000+0000",
    "something_new": {"in": "Asterisk 30"},
}
PLAYBACK = {"id": "p1", "media_uri": "sound:beep", "target_uri": "channel:s1-a", "state": "playing"}


def event(kind: str, **fields: object) -> Event:
    return parse_event(json.dumps({"type": kind, "timestamp": AT, "asterisk_id": "02:fc", **fields}))


def test_an_incoming_call_tells_who_called_what_and_with_which_role() -> None:
    start = event("StasisStart", args=["missed", "420800"], channel=CHANNEL)
    assert isinstance(start, StasisStart)
    assert (start.type, start.at_us, start.channel_id) == ("StasisStart", AT_US, "s1-a")
    assert start.args == ("missed", "420800")
    assert start.channel.caller_number == "420212345678"
    assert start.channel.connected_number == "420800123456"
    assert start.channel.exten == "420800"
    assert start.channel.created_at_us == AT_US - 1_123_000
    assert (start.channel.app, start.channel.app_args) == ("callback", ("a", "s1"))


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("StasisEnd", {}, StasisEnd("StasisEnd", AT_US, "s1-a", {})),
        ("ChannelStateChange", {}, ChannelStateChange("ChannelStateChange", AT_US, "s1-a", {}, "Up")),
        (
            "ChannelDestroyed",
            {"cause": 17, "tech_cause": 486},
            ChannelDestroyed("ChannelDestroyed", AT_US, "s1-a", {}, 17, 486),
        ),
        ("ChannelDestroyed", {"cause": 0}, ChannelDestroyed("ChannelDestroyed", AT_US, "s1-a", {}, 0, None)),
        (
            "ChannelHangupRequest",
            {"cause": 32},
            ChannelHangupRequest("ChannelHangupRequest", AT_US, "s1-a", {}),
        ),
        (
            "ChannelDtmfReceived",
            {"digit": "#", "duration_ms": 120},
            ChannelDtmfReceived("ChannelDtmfReceived", AT_US, "s1-a", {}, "#"),
        ),
        ("ChannelTalkingStarted", {}, Event("ChannelTalkingStarted", AT_US, "s1-a", {})),
    ],
)
def test_channel_events(kind: str, fields: dict[str, object], expected: Event) -> None:
    found = event(kind, channel=CHANNEL, **fields)
    assert found == expected
    assert type(found) is type(expected)


def test_a_dial_belongs_to_the_dialled_channel() -> None:
    dialled = event("Dial", caller=CHANNEL, peer={"id": "s1-b1"}, dialstatus="BUSY")
    assert dialled == Dial("Dial", AT_US, "s1-b1", {}, "BUSY")


@pytest.mark.parametrize("kind", [PlaybackStarted, PlaybackContinuing, PlaybackFinished])
def test_a_playback_belongs_to_the_channel_that_hears_it(kind: type[PlaybackStarted]) -> None:
    found = event(kind.__name__, playback=PLAYBACK)
    assert found == kind(kind.__name__, AT_US, "s1-a", {}, "p1", "playing", "sound:beep")
    in_bridge = event(kind.__name__, playback={**PLAYBACK, "target_uri": "bridge:s1"})
    assert in_bridge.channel_id is None


def test_a_replaced_application_is_an_event_without_a_channel() -> None:
    replaced = event("ApplicationReplaced", application="callback")
    assert isinstance(replaced, ApplicationReplaced)
    assert replaced.channel_id is None


def test_a_leg_that_is_not_in_stasis_has_no_application_arguments() -> None:
    ringing = {"id": "x", "dialplan": {"app_name": "AppDial2", "app_data": "(Outgoing Line)"}}
    assert (parse_channel(ringing).app, parse_channel(ringing).app_args) == ("", ())
    bare = {"id": "x", "dialplan": {"app_name": "Stasis", "app_data": "callback"}}
    assert (parse_channel(bare).app, parse_channel(bare).app_args) == ("callback", ())


def test_numbers_stay_out_of_what_gets_logged() -> None:
    assert "420212345678" not in repr(event("StasisStart", args=[], channel=CHANNEL))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (AT, AT_US),
        ("2026-11-23T22:04:05.123+0100", AT_US),
        ("1970-01-01T00:00:00.000+0000", 0),
        ("2026-11-23T21:04:05.123", AT_US),
        ("yesterday", 0),
        (None, 0),
    ],
)
def test_times_are_microseconds(text: object, expected: int) -> None:
    assert parse_time_us(text) == expected


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '"StasisStart"', "{}", '{"type":7}', "[" * 100_000]
)
def test_text_that_is_no_event_is_one_typed_error(text: str) -> None:
    with pytest.raises(BadEvent):
        parse_event(text)


@pytest.mark.parametrize("said", [r"\u0000", r"\ud800"])
def test_text_that_no_database_keeps_is_a_mark(said: str) -> None:
    """Such a key stood in what is kept of a call, which for that reason could never be closed."""
    event = parse_event(f'{{"type": "ChannelDtmfReceived", "digit": "{said}"}}')
    assert isinstance(event, ChannelDtmfReceived)
    assert event.digit == "\ufffd"
    event = parse_event(
        f'{{"type": "StasisStart", "args": ["{said}"], "channel": {{"caller": {{"number": "{said}1"}}}}}}'
    )
    assert isinstance(event, StasisStart)
    assert (event.args, event.channel.caller_number) == (("\ufffd",), "\ufffd1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "state", "number"]), inner)
    ),
    max_leaves=6,
)
KINDS = ["StasisStart", "ChannelDestroyed", "ChannelDtmfReceived", "Dial", "PlaybackFinished", "Unheard"]
KEYS = ["channel", "peer", "playback", "args", "timestamp", "cause", "tech_cause", "digit", "dialstatus"]


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(KEYS), JSON))
def test_whatever_the_fields_hold_an_event_comes_out(kind: str, fields: dict[str, object]) -> None:
    found = parse_event(json.dumps({"type": kind, **fields}))
    assert found.type == kind
    assert isinstance(found.at_us, int)
    assert found.channel_id is None or found.channel_id
