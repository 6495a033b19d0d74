"""Commands that come too late, and the journal that is never late."""

import pytest

from contract.wire import Wire
from stasis_callback.ari.events import parse_time_us
from stasis_callback.clock import wait_until


def test_far_end_hangs_up(asterisk: Wire) -> None:
    a = asterisk.answered()

    asterisk.phone_of(a).hang_up()

    assert asterisk.gone(a) == (16, None)
    types = [one for one in asterisk.events.types(a) if one in ("StasisEnd", "ChannelDestroyed")]
    assert types == ["StasisEnd", "ChannelDestroyed"]


def test_our_own_hangup_request_carries_a_flag_and_no_cause(asterisk: Wire) -> None:
    a = asterisk.answered()

    asterisk.delete("channels", a, reason_code="17")

    request = asterisk.events.wait("ChannelHangupRequest", a)
    assert (request["cause"], request["soft"]) == (32, True)
    assert asterisk.gone(a) == (17, 486)


def test_every_command_on_a_gone_channel_is_404(asterisk: Wire) -> None:
    a = asterisk.answered()
    asterisk.delete("channels", a)
    asterisk.gone(a)

    assert asterisk.post("channels", a, "play", media="sound:beep").status == 404
    assert asterisk.post("channels", a, "variable", variable="X", value="1").status == 404
    assert asterisk.post("channels", a, "dtmf", dtmf="1").status == 404
    for command in ("answer", "ring", "dial"):
        assert asterisk.post("channels", a, command).status == 404
    assert asterisk.get("channels", a).status == 404
    assert asterisk.get("channels", a, "variable", variable="X").status == 404
    assert asterisk.delete("channels", a).status == 404
    subscription = asterisk.post("applications", asterisk.app, "subscription", eventSource=f"channel:{a}")
    assert subscription.status == 422


def test_variables_of_a_channel(asterisk: Wire) -> None:
    a = asterisk.answered(CALL="call42")

    assert asterisk.get("channels", a, "variable", variable="CALL").body == {"value": "call42"}
    assert asterisk.get("channels", a, "variable", variable="NOTHING").status == 404
    assert asterisk.get("channels", a, "variable").status == 400
    assert asterisk.post("channels", a, "variable").status == 400


def test_journal_has_answer_and_hangup_of_both_legs(asterisk: Wire) -> None:
    a, b, _ = asterisk.talking()
    asterisk.phone_of(b).hang_up()
    asterisk.gone(b)
    asterisk.delete("channels", a)
    asterisk.gone(a)

    for leg in (a, b):
        assert wait_until(lambda: len(asterisk.cel(leg)) == 3, timeout_s=5)  # noqa: B023
        rows = asterisk.cel(leg)
        assert [row[0] for row in rows] == ["CHAN_START", "ANSWER", "HANGUP"]
        assert all(len(row) == 5 and len(row[1].partition(".")[2]) == 6 for row in rows)
        assert asterisk.cel_cause(leg) == 16
        assert rows[-1][3] == a


@pytest.mark.parametrize("cause", [17, 19])
def test_journal_of_a_leg_never_answered_has_its_cause(asterisk: Wire, cause: int) -> None:
    number = asterisk.number()
    asterisk.network.phone(number).refuses(cause)
    channel = asterisk.originate(number)
    asterisk.gone(channel)

    assert wait_until(lambda: len(asterisk.cel(channel)) == 2, timeout_s=5)
    start, end = asterisk.cel(channel)

    assert (start[0], end[0]) == ("CHAN_START", "HANGUP")
    assert asterisk.cel_cause(channel) == cause


def test_journal_goes_on_while_the_application_is_away(asterisk: Wire) -> None:
    a = asterisk.answered()
    phone = asterisk.phone_of(a)

    asterisk.events.close()
    phone.hang_up()

    assert wait_until(lambda: [row[0] for row in asterisk.cel(a)][-1] == "HANGUP", timeout_s=5)


def test_journal_agrees_with_the_events(asterisk: Wire) -> None:
    a = asterisk.answered()
    asterisk.delete("channels", a)
    asterisk.gone(a)
    assert wait_until(lambda: len(asterisk.cel(a)) == 3, timeout_s=5)

    up = asterisk.events.wait("ChannelStateChange", a, lambda event: event["channel"]["state"] == "Up")
    end = asterisk.events.wait("ChannelDestroyed", a)
    answered_s, ended_s = (float(row[1]) for row in asterisk.cel(a)[1:])

    assert parse_time_us(up["timestamp"]) / 1e6 == pytest.approx(answered_s, abs=0.1)
    assert parse_time_us(end["timestamp"]) / 1e6 == pytest.approx(ended_s, abs=0.1)
