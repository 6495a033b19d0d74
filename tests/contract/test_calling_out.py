"""Leg A: `POST /channels/{id}` (originate). What an answer, a refusal or silence looks like."""

import pytest

from contract.wire import Wire
from stasis_callback.clock import wait_until
from stasis_callback.testing.phones import BUSY, CONGESTION, NO_ANSWER, REJECTED, UNALLOCATED

# Asterisk drops the first leg while its 302 is still being noted, so now and then the cause is lost.
REDIRECTED = [(23, 302), (0, None)]


def test_answered_leg_enters_the_application_only_then(asterisk: Wire) -> None:
    number = asterisk.number()
    phone = asterisk.network.phone(number).answers(after_s=0.3)
    channel = asterisk.originate(number, args="a,call7")
    phone.wait_for("ringing")
    assert not asterisk.events.of(channel, "StasisStart")

    start = asterisk.events.wait("StasisStart", channel)

    assert start["args"] == ["a", "call7"]
    assert start["channel"]["state"] == "Up"
    types = asterisk.events.types(channel)
    assert types.index("ChannelStateChange") < types.index("StasisStart")


def test_answer_is_told_by_dial_events_too(asterisk: Wire) -> None:
    channel = asterisk.answered()

    said = [event["dialstatus"] for event in asterisk.events.of(channel, "Dial")]

    assert said == ["", "RINGING", "ANSWER"]


@pytest.mark.parametrize(
    ("refusal", "sip", "dialstatus"),
    [
        (BUSY, 486, "BUSY"),
        (CONGESTION, 503, "CONGESTION"),
        (UNALLOCATED, 404, "NOANSWER"),
        (NO_ANSWER, 480, "NOANSWER"),
        (REJECTED, 403, "NOANSWER"),
    ],
)
def test_refused_leg_ends_with_cause_and_sip_status(
    asterisk: Wire, refusal: int, sip: int, dialstatus: str
) -> None:
    number = asterisk.number()
    asterisk.network.phone(number).refuses(refusal)

    channel = asterisk.originate(number)

    assert asterisk.gone(channel) == (refusal, sip)
    assert asterisk.events.of(channel, "Dial")[-1]["dialstatus"] == dialstatus
    assert not asterisk.events.of(channel, "StasisStart", "StasisEnd")


def test_refusal_without_a_telling_cause_is_603(asterisk: Wire) -> None:
    number = asterisk.number()
    asterisk.network.phone(number).refuses(16)

    assert asterisk.gone(asterisk.originate(number)) == (21, 603)


def test_number_nobody_has_is_404(asterisk: Wire) -> None:
    assert asterisk.gone(asterisk.originate(asterisk.number())) == (UNALLOCATED, 404)


def test_ring_timeout_is_cause_19_without_a_final_dial_event(asterisk: Wire) -> None:
    number = asterisk.number()
    phone = asterisk.network.phone(number)

    channel = asterisk.originate(number, timeout_s=1)

    assert asterisk.gone(channel) == (NO_ANSWER, 480)
    assert asterisk.events.of(channel, "Dial")[-1]["dialstatus"] == "RINGING"
    phone.wait_for("ended")


def test_id_of_a_living_channel_is_refused_and_free_again_afterwards(asterisk: Wire) -> None:
    number = asterisk.number()
    asterisk.network.phone(number)
    channel = asterisk.originate(number)

    assert asterisk.post("channels", channel, body=asterisk.leg(number)).status == 409
    assert (
        asterisk.post("channels", "create", body=asterisk.leg(number) | {"channelId": channel}).status == 409
    )
    asterisk.delete("channels", channel)
    asterisk.gone(channel)

    assert asterisk.post("channels", channel, body=asterisk.leg(number)).status == 200


def test_unknown_trunk_and_technology_fail_to_allocate(asterisk: Wire) -> None:
    for endpoint in ("PJSIP/1@no-such-trunk", "Foo/1"):
        reply = asterisk.fresh().send(
            "POST", "channels", asterisk.new_id(), content={"endpoint": endpoint, "app": asterisk.app}
        )
        assert (reply.status, reply.body) == (500, {"error": "Allocation failed"})


def test_trap_after_one_409_a_connection_calls_every_failed_allocation_409(asterisk: Wire) -> None:
    """Asterisk keeps the error of the thread that serves the connection: 409 does not prove that the id lives."""
    connection = asterisk.fresh()
    number = asterisk.number()
    asterisk.network.phone(number)
    taken = asterisk.originate(number)
    assert connection.send("POST", "channels", taken, content=asterisk.leg(number)).status == 409

    never = asterisk.new_id()
    lost = {"endpoint": "PJSIP/1@no-such-trunk", "app": asterisk.app}

    assert connection.send("POST", "channels", never, content=lost).status == 409
    assert not asterisk.exists(never)


@pytest.mark.parametrize(
    ("missing", "says"),
    [("endpoint", "Endpoint must be specified"), ("app", "Application or extension must be specified")],
)
def test_incomplete_request_is_refused(asterisk: Wire, missing: str, says: str) -> None:
    body = asterisk.leg(asterisk.number())
    del body[missing]

    reply = asterisk.post("channels", asterisk.new_id(), body=body)

    assert (reply.status, reply.message) == (400, says)


def test_caller_id_reaches_the_phone(asterisk: Wire) -> None:
    number = asterisk.number()
    phone = asterisk.network.phone(number)

    asterisk.originate(number)

    assert phone.wait_for("ringing").caller_id == "420800123456"


def test_ringing_leg_can_be_hung_up_but_not_commanded(asterisk: Wire) -> None:
    number = asterisk.number()
    phone = asterisk.network.phone(number)
    channel = asterisk.originate(number)
    phone.wait_for("ringing")

    assert asterisk.post("channels", channel, "play", media="sound:beep").status == 409
    assert asterisk.post("channels", channel, "variable", variable="X", value="1").status == 409
    assert asterisk.delete("channels", channel).status == 204

    assert asterisk.gone(channel) == (16, None)
    phone.wait_for("ended")


def test_answered_while_the_application_is_away_is_hung_up(asterisk: Wire) -> None:
    number = asterisk.number()
    phone = asterisk.network.phone(number).answers(after_s=0.5)
    channel = asterisk.originate(number)
    phone.wait_for("ringing")

    asterisk.events.close()

    call = phone.wait_for("ended")
    assert call.answered_at_us is not None
    asterisk.wait_gone(channel)
    assert wait_until(lambda: asterisk.cel_cause(channel) is not None, timeout_s=5)
    assert asterisk.cel_cause(channel) == 0


def test_redirection_is_followed_into_the_dialplan(asterisk: Wire) -> None:
    """Toll fraud: the far end chooses what we call next. The project's dialplan refuses what comes of it."""
    number = asterisk.number()
    asterisk.network.phone(number).redirects_to("4290077777")
    body = asterisk.leg(number)
    del body["variables"]
    channel = asterisk.new_id()

    before = asterisk.channels_begun()

    asterisk.post("channels", channel, body=body)

    assert asterisk.gone(channel) in REDIRECTED
    # Its own and the two halves of a Local channel.
    assert wait_until(lambda: asterisk.channels_begun() == before + 3, timeout_s=5)
    assert not asterisk.network.phone("4290077777").calls


def test_redirection_ends_in_the_forwarding_context(asterisk: Wire) -> None:
    number = asterisk.number()
    asterisk.network.phone(number).redirects_to("4290077777")

    channel = asterisk.originate(number)

    assert asterisk.gone(channel) in REDIRECTED
    assert not asterisk.network.phone("4290077777").calls
    assert not asterisk.events.of("", "StasisStart")
