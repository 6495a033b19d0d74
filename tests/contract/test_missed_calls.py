"""An incoming call: into the application unanswered, out of it refused."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.wire import Wire
from stasis_callback.clock import wait_until
from stasis_callback.core.incoming import Invite, address


def test_missed_call_enters_with_its_number_and_access_number(asterisk: Wire) -> None:
    with asterisk.missed_call() as call:
        channel = call.start["channel"]
        asterisk.delete("channels", call.channel, reason="busy")

    args = call.start["args"]
    assert args[:2] == ["missed", "420800123456"]
    invite = Invite.of_args(args[2:])
    assert invite is not None
    assert invite.trusted
    assert (address(invite.uri).user, address(invite.from_).user) == ("420800123456", "420212345678")
    assert channel["state"] == "Ring"
    assert channel["caller"]["number"] == "420212345678"
    assert channel["dialplan"]["exten"] == "420800123456"
    assert channel["dialplan"]["app_data"] == ",".join([asterisk.app, *args])


def test_a_header_that_its_invite_has_not_is_not_found(asterisk: Wire) -> None:
    with asterisk.missed_call() as call:
        name = "PJSIP_HEADER(read,X-Own)"
        reply = asterisk.get("channels", call.channel, "variable", variable=name)
        asterisk.delete("channels", call.channel, reason="busy")
    assert (reply.status, reply.body) == (500, {"message": "Unable to read provided function"})


@pytest.mark.parametrize(
    ("how", "cause", "sip"),
    [
        ({"reason": "busy"}, 17, 486),
        ({"reason": "congestion"}, 34, 503),
        ({"reason": "rejected"}, 21, 403),
        ({"reason": "unallocated"}, 1, 404),
        ({"reason_code": "17"}, 17, 486),
        ({"reason_code": "19"}, 19, 480),
        ({"reason_code": "34"}, 34, 503),
    ],
)
def test_refused_unanswered_with_the_reason(
    asterisk: Wire, how: dict[str, str], cause: int, sip: int
) -> None:
    with asterisk.missed_call() as call:
        assert asterisk.delete("channels", call.channel, **how).status == 204

    refusal = call.refusal.result()
    assert (refusal.cause, refusal.sip_status, refusal.answered) == (cause, sip, False)


def test_without_a_reason_it_is_603(asterisk: Wire) -> None:
    with asterisk.missed_call() as call:
        asterisk.delete("channels", call.channel)

    assert call.refusal.result().sip_status == 603


def test_unknown_or_double_reason_is_refused(asterisk: Wire) -> None:
    with asterisk.missed_call() as call:
        assert asterisk.delete("channels", call.channel, reason="bad-luck").status == 400
        assert asterisk.delete("channels", call.channel, reason="busy", reason_code="17").status == 400
        asterisk.delete("channels", call.channel, reason="busy")


def test_its_end_is_not_told_without_a_subscription(asterisk: Wire) -> None:
    with asterisk.missed_call() as call:
        asterisk.delete("channels", call.channel, reason="busy")

    asterisk.events.wait("StasisEnd", call.channel)
    asterisk.answered()  # what comes later has come
    assert not asterisk.events.of(call.channel, "ChannelDestroyed")


def test_its_end_is_told_to_a_subscriber(asterisk: Wire) -> None:
    with asterisk.missed_call() as call:
        source = f"channel:{call.channel}"
        reply = asterisk.post("applications", asterisk.app, "subscription", eventSource=source)
        assert call.channel in reply.body["channel_ids"]
        asterisk.delete("channels", call.channel, reason="busy")

    assert asterisk.gone(call.channel) == (17, 486)


def test_caller_who_gives_up_ends_it(asterisk: Wire) -> None:
    with asterisk.missed_call(gives_up_after_s=1.0) as call:
        asterisk.post("applications", asterisk.app, "subscription", eventSource=f"channel:{call.channel}")

    assert asterisk.gone(call.channel) == (19, 487)
    assert not call.refusal.result().answered


def test_answering_it_shows(asterisk: Wire) -> None:
    with asterisk.missed_call() as call:
        assert asterisk.post("channels", call.channel, "answer").status == 204

    assert call.refusal.result().answered
    asterisk.events.wait("StasisEnd", call.channel)


def test_caller_without_a_number(asterisk: Wire) -> None:
    with asterisk.missed_call(ani="") as call:
        asterisk.delete("channels", call.channel, reason="busy")

    assert call.start["channel"]["caller"]["number"] in ("", "anonymous")


def test_dialplan_limits_how_long_it_may_wait(asterisk: Wire) -> None:
    with asterisk.missed_call() as call:
        left_s = float(
            asterisk.get("channels", call.channel, "variable", variable="TIMEOUT(absolute)").body["value"]
        )
        asterisk.delete("channels", call.channel, reason="busy")

    assert 50 < left_s <= 60


def test_it_waits_for_an_application_that_is_away(asterisk: Wire) -> None:
    asterisk.away()
    with ThreadPoolExecutor(1) as caller:
        refusal = caller.submit(asterisk.network.missed_call, ani="420212345678", dnis="420800123456")
        assert wait_until(lambda: len(asterisk.get("channels").body) > 0, timeout_s=5)
        events = asterisk.events = asterisk.connect()
        start = events.wait_any(0, "StasisStart", lambda event: event["args"][:1] == ["missed"])
        asterisk.delete("channels", start["channel"]["id"], reason="busy")

        assert refusal.result().sip_status == 486


def test_it_is_congested_where_the_application_stays_away(asterisk: Wire) -> None:
    asterisk.away()

    refusal = asterisk.network.missed_call(ani="420212345678", dnis="420800123456", gives_up_after_s=20)

    assert (refusal.cause, refusal.sip_status, refusal.answered) == (34, 503, False)
    assert 7 < refusal.took_s < 15
