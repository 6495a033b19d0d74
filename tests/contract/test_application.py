"""The application: its filter, its loss and return, its replacement; and what else the service asks."""

from contextlib import closing

import pytest
import websocket

from contract.wire import Events, Wire
from stasis_callback.ari.client import AriClient
from stasis_callback.ari.rest import Rest
from stasis_callback.clock import Clock, wait_until


def test_unknown_application_is_404(asterisk: Wire) -> None:
    assert asterisk.get("applications", "nobody").status == 404
    assert asterisk.put("applications", "nobody", "eventFilter", body={}).status == 404


def test_event_filter_leaves_out_what_it_names(asterisk: Wire) -> None:
    a = asterisk.answered()
    asterisk.post("channels", a, "variable", variable="BEFORE", value="1")
    asterisk.events.wait("ChannelVarset", a, lambda event: event["variable"] == "BEFORE")

    reply = asterisk.put(
        "applications", asterisk.app, "eventFilter", body={"disallowed": [{"type": "ChannelVarset"}]}
    )
    asterisk.post("channels", a, "variable", variable="AFTER", value="1")
    asterisk.delete("channels", a)
    asterisk.gone(a)

    assert reply.body["events_disallowed"] == [{"type": "ChannelVarset"}]
    assert "AFTER" not in [event["variable"] for event in asterisk.events.of(a, "ChannelVarset")]


def test_idle_application_is_forgotten_with_its_filter(asterisk: Wire) -> None:
    asterisk.put("applications", asterisk.app, "eventFilter", body={"disallowed": [{"type": "Dial"}]})

    asterisk.away()
    asterisk.connect()

    assert asterisk.get("applications", asterisk.app).body["events_disallowed"] == []


def test_application_with_channels_keeps_its_filter_and_subscriptions(asterisk: Wire) -> None:
    a = asterisk.answered()
    asterisk.put("applications", asterisk.app, "eventFilter", body={"disallowed": [{"type": "Dial"}]})

    asterisk.events.close()
    asterisk.events = asterisk.connect()

    shown = asterisk.get("applications", asterisk.app).body
    assert shown["channel_ids"] == [a]
    assert shown["events_disallowed"] == [{"type": "Dial"}]
    asterisk.delete("channels", a)
    assert asterisk.gone(a) == (16, None)


def test_calls_go_on_while_it_is_away_and_nothing_is_told_later(asterisk: Wire) -> None:
    a, b, bridge = asterisk.talking()
    phone = asterisk.phone_of(b)

    asterisk.events.close()
    phone.hang_up()
    asterisk.wait_gone(b)
    asterisk.events = asterisk.connect()

    assert asterisk.get("channels", a).body["state"] == "Up"
    assert asterisk.get("bridges", bridge).body["channels"] == [a]
    asterisk.delete("channels", a)
    asterisk.gone(a)
    assert asterisk.events.of(b) == []
    assert not asterisk.events.of(a, "StasisStart")


def test_who_a_channel_is_can_be_read_after_a_return(asterisk: Wire) -> None:
    number = asterisk.number()
    asterisk.network.phone(number).answers(after_s=0.05)
    a = asterisk.originate(number, args="a,call42")
    asterisk.events.wait("StasisStart", a)

    asterisk.events.close()
    asterisk.events = asterisk.connect()

    (shown,) = asterisk.get("channels").body
    assert (shown["id"], shown["state"]) == (a, "Up")
    assert shown["dialplan"]["app_name"] == "Stasis"
    assert shown["dialplan"]["app_data"] == f"{asterisk.app},a,call42"


def test_newest_connection_replaces_the_one_before(asterisk: Wire) -> None:
    old = asterisk.events

    asterisk.events = asterisk.connect()

    assert old.wait("ApplicationReplaced", "")["application"] == asterisk.app
    a = asterisk.answered()
    assert old.of(a) == []


def test_an_event_that_is_asked_for_comes_to_who_is_connected(asterisk: Wire) -> None:
    """By this the link knows that it is heard (ari/link.py); it needs no channel."""
    path = ("events", "user", "link-7")

    assert asterisk.post(*path, application=asterisk.app).status == 204

    event = asterisk.events.wait("ChannelUserevent", "")
    assert (event["eventname"], event["application"]) == ("link-7", asterisk.app)
    assert event["userevent"] == {"eventname": "link-7"}
    assert event["timestamp"]
    assert asterisk.post(*path, application="nobody").status == 404
    assert asterisk.post(*path).status == 400


def test_an_event_that_is_asked_for_passes_the_filter_of_the_product(asterisk: Wire) -> None:
    client = AriClient(
        asterisk.network.ari_url, asterisk.network.ari_username, asterisk.network.ari_password, asterisk.app
    )
    with closing(client):
        assert client.set_event_filter()
        assert client.send_user_event("link-8")
    asterisk.events.wait("ChannelUserevent", "", lambda event: event["eventname"] == "link-8")


def test_an_event_that_is_asked_for_is_promised_also_where_nobody_is_connected(asterisk: Wire) -> None:
    """Only what has come is a proof. Asterisk hands events over later than it answers: this one is lost, or comes to
    whoever connects next.
    """
    a = asterisk.answered()
    asterisk.events.close()

    assert asterisk.post("events", "user", "link-9", application=asterisk.app).status == 204

    asterisk.events = asterisk.connect()
    asterisk.delete("channels", a)
    asterisk.gone(a)


def test_an_event_that_is_asked_for_comes_right_after_the_connection(asterisk: Wire) -> None:
    """The application is there before Asterisk accepts the websocket, so that 404 means that it is lost."""
    for _ in range(20):
        asterisk.away()
        events = Events(asterisk.rest, asterisk.app)
        try:
            assert asterisk.post("events", "user", "link-1", application=asterisk.app).status == 204
            events.wait("ChannelUserevent", "")
        finally:
            events.close()
    asterisk.events = asterisk.connect()


def test_subscriptions_of_nothing_are_refused(asterisk: Wire) -> None:
    path = ("applications", asterisk.app, "subscription")

    assert asterisk.post(*path, eventSource="channel:nobody").status == 422
    assert asterisk.post(*path, eventSource="nonsense:1").status == 400
    assert asterisk.post(*path).status == 400
    assert asterisk.delete(*path, eventSource="channel:nobody").status == 422


def test_wrong_password_is_refused_on_both_ways(asterisk: Wire) -> None:
    stranger = Rest(asterisk.rest.base, "callback", "wrong", 5, 1, Clock())

    assert stranger.send("GET", "channels").status == 401
    with pytest.raises(websocket.WebSocketBadStatusException):
        websocket.create_connection(stranger.events_url("x"), header=stranger.headers, suppress_origin=True)
    stranger.close()


def test_information_the_service_checks_at_its_start(asterisk: Wire) -> None:
    info = asterisk.get("asterisk", "info").body

    assert int(info["system"]["version"].split(".")[0]) >= 20
    assert info["system"]["entity_id"]
    assert info["status"]["startup_time"]
    assert asterisk.get("asterisk", "modules", "func_timeout.so").body["status"] == "Running"
    assert asterisk.get("asterisk", "modules", "no_such.so").status == 404


def test_an_idle_application_is_listed_only_while_somebody_is_connected(asterisk: Wire) -> None:
    """What `run` refuses by: listed and without channels, it is somebody else's."""
    assert taken(asterisk)

    asterisk.away()

    assert not taken(asterisk)
    asterisk.events = asterisk.connect()


def test_an_application_with_channels_is_listed_though_nobody_is_connected(asterisk: Wire) -> None:
    """So this cannot be told from one whose process died in a call, and does not keep that one from coming back."""
    a = asterisk.answered()
    assert not taken(asterisk)

    asterisk.events.close()

    assert asterisk.get("applications", asterisk.app).status == 200
    assert not taken(asterisk)
    asterisk.events = asterisk.connect()
    asterisk.delete("channels", a)
    asterisk.gone(a)


def test_an_application_whose_process_and_last_call_are_gone_is_free(asterisk: Wire) -> None:
    """Asterisk lists it all the same, until any application comes or goes: after a kill nobody else may be there."""
    a = asterisk.answered()
    asterisk.events.close()
    asterisk.delete("channels", a)
    # Asterisk takes a channel from its application a moment after nobody finds it any more.
    assert wait_until(lambda: channels_of(asterisk) == [], timeout_s=5)
    assert asterisk.get("channels", a).status == 404
    assert not taken(asterisk)
    asterisk.events = asterisk.connect()


def channels_of(asterisk: Wire) -> list[str]:
    shown = asterisk.get("applications", asterisk.app)
    assert shown.status == 200
    return list(shown.body["channel_ids"])


def taken(asterisk: Wire) -> bool:
    network = asterisk.network
    client = AriClient(network.ari_url, network.ari_username, network.ari_password, asterisk.app)
    try:
        return client.taken()
    finally:
        client.close()
