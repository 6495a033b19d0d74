"""Leg B: `POST /channels/create`, then `dial`. It is in the application before anybody is called."""

import pytest

from contract.wire import Wire
from stasis_callback.clock import wait_until
from stasis_callback.testing.phones import BUSY, CONGESTION, NO_ANSWER


def test_created_leg_is_in_the_application_at_once_and_calls_nobody(asterisk: Wire) -> None:
    number = asterisk.number()
    phone = asterisk.network.phone(number)

    channel = asterisk.create(number, dial_timeout_s=None)

    assert asterisk.events.wait("StasisStart", channel)["channel"]["state"] == "Down"
    assert not phone.calls
    assert asterisk.delete("channels", channel).status == 204
    assert asterisk.gone(channel) == (16, 603)


def test_answer_of_a_dialled_leg_is_a_state_change(asterisk: Wire) -> None:
    _, b, _ = asterisk.talking()

    states = [event["channel"]["state"] for event in asterisk.events.of(b, "ChannelStateChange")]

    assert states == ["Ringing", "Up"]
    assert asterisk.events.wait("Dial", b, lambda event: event["dialstatus"] == "ANSWER")


@pytest.mark.parametrize(("refusal", "sip"), [(BUSY, 486), (CONGESTION, 503), (1, 404), (19, 480), (21, 403)])
def test_refused_leg_leaves_bridge_and_application(asterisk: Wire, refusal: int, sip: int) -> None:
    number = asterisk.number()
    asterisk.network.phone(number).refuses(refusal)
    channel = asterisk.create(number, dial_timeout_s=None)
    asterisk.bridge(channel)

    assert asterisk.post("channels", channel, "dial", timeout="10").status == 204

    assert asterisk.gone(channel) == (refusal, sip)
    types = asterisk.events.types(channel)
    assert types.index("ChannelLeftBridge") < types.index("StasisEnd") < types.index("ChannelDestroyed")


def test_dial_timeout_is_cause_19(asterisk: Wire) -> None:
    number = asterisk.number()
    phone = asterisk.network.phone(number)

    channel = asterisk.create(number, dial_timeout_s=1)

    assert asterisk.gone(channel) == (NO_ANSWER, 480)
    phone.wait_for("ended")


def test_redirection_is_not_followed(asterisk: Wire) -> None:
    number = asterisk.number()
    asterisk.network.phone(number).redirects_to("4290077777")
    before = asterisk.channels_begun()

    channel = asterisk.create(number)

    assert asterisk.gone(channel) == (23, 302)
    assert asterisk.channels_begun() == before + 1
    assert not asterisk.network.phone("4290077777").calls


@pytest.mark.parametrize(
    ("presentation", "shown"),
    [({}, "420212345678"), ({"CONNECTEDLINE(num-pres,i)": "prohib"}, "anonymous")],
    ids=["number", "withheld"],
)
def test_number_shown_is_the_connected_line_variable(
    asterisk: Wire, presentation: dict[str, str], shown: str
) -> None:
    number = asterisk.number()
    phone = asterisk.network.phone(number)
    body = asterisk.leg(number) | {"channelId": asterisk.new_id()}
    body["variables"] = {"CONNECTEDLINE(num,i)": "420212345678", **presentation}
    asterisk.post("channels", "create", body=body)
    asterisk.events.wait("StasisStart", body["channelId"])

    asterisk.post("channels", body["channelId"], "dial", timeout="5")

    assert phone.wait_for("ringing").caller_id == shown


def test_leg_made_for_another_shares_its_linkedid(asterisk: Wire) -> None:
    a, b, _ = asterisk.talking()

    assert {row[3] for row in asterisk.cel(b)} == {a}


def test_answered_leg_cannot_be_dialled_again(asterisk: Wire) -> None:
    _, b, _ = asterisk.talking()

    assert asterisk.post("channels", b, "dial", timeout="5").status == 409


def test_trap_a_second_dial_ends_the_leg(asterisk: Wire) -> None:
    number = asterisk.number()
    asterisk.network.phone(number).refuses(BUSY, after_s=1)  # and does not ring before
    channel = asterisk.create(number, dial_timeout_s=None)

    assert asterisk.post("channels", channel, "dial", timeout="5").status == 204
    assert asterisk.post("channels", channel, "dial", timeout="5").status == 204

    assert asterisk.gone(channel) == (16, None)


def test_dialled_leg_survives_the_loss_of_the_application(asterisk: Wire) -> None:
    """Unlike an originated one it does not fail closed, so it needs its fuse."""
    number = asterisk.number()
    phone = asterisk.network.phone(number).answers(after_s=0.4)
    channel = asterisk.create(number)
    phone.wait_for("ringing")

    asterisk.events.close()
    phone.wait_for("answered")

    assert wait_until(lambda: asterisk.get("channels", channel).body["state"] == "Up", timeout_s=5)
