"""Commands on a real socket: what is asked of Asterisk, and what its answers mean."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from stasis_callback.ari.channels import Started
from stasis_callback.ari.client import UNWANTED_EVENTS, AriClient, AsteriskInfo
from stasis_callback.ari.errors import AriError, AriUnavailable
from stasis_callback.clock import wait_until

Reply = tuple[int, Any]
"""A status, and what is sent as JSON: or a text, or nothing."""
Request = tuple[str, str, dict[str, Any]]
"""Method, path, and the fields of query and body."""

SLOW_S = 0.3
DROP = (0, None)  # the connection is closed without an answer
GONE = (404, {"message": "Channel not found"})
DONE = (204, None)


class Asterisk(ThreadingHTTPServer):
    """Sends the responses that the test has prepared, in order, then 204."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Reply] = []
        self.requests: list[Request] = []
        self.headers: list[dict[str, str]] = []
        self.release = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is closed resets its connections."""

    def asked(self) -> Request:
        """(method, path, query and body as one dict) of the only request."""
        (request,) = self.requests
        return request


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Asterisk
    timeout = 20

    def answer(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fields = {**dict(parse_qsl(url.query, keep_blank_values=True)), **(json.loads(body) if body else {})}
        self.server.requests.append((self.command, unquote(url.path), fields))
        self.server.headers.append(dict(self.headers))
        status, reply = self.server.answers.pop(0) if self.server.answers else DONE
        if reply in ("hang", "slow"):
            self.server.release.wait(20 if reply == "hang" else SLOW_S)
            reply = None
        if status == 0:
            self.close_connection = True
            return
        text = (
            b"" if reply is None else reply.encode() if isinstance(reply, str) else json.dumps(reply).encode()
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def asterisk() -> Iterator[Asterisk]:
    with Asterisk() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def client(asterisk: Asterisk) -> Iterator[AriClient]:
    client = AriClient(asterisk.url, "callback", "s3cret", "cb", request_timeout_s=1.0, pool_size=4)
    yield client
    client.close()


def originate(client: AriClient, endpoint: str = "PJSIP/420212345678@carrier", **changes: Any) -> Started:
    options: dict[str, Any] = {
        "app_args": ["a", "s1"],
        "caller_id": "420800",
        "ring_timeout_s": 30,
        "variables": {},
    }
    return client.channels.originate(endpoint, "s1-a", **{**options, **changes})


def test_the_password_is_in_the_header_and_nowhere_else(client: AriClient, asterisk: Asterisk) -> None:
    client.channel("s1-a").answer()
    assert asterisk.headers[0]["Authorization"] == "Basic Y2FsbGJhY2s6czNjcmV0"
    assert "s3cret" not in repr((client, client.rest, client.channel("x"), client.bridge("x")))
    assert asterisk.asked() == ("POST", "/ari/channels/s1-a/answer", {})


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8088", "ftp://x", "http://u:p@127.0.0.1", "http://x/?api_key=u:p", ""]
)
def test_an_address_that_cannot_work_or_carries_a_password_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="invalid ARI url"):
        AriClient(url, "u", "p", "cb")


@pytest.mark.parametrize("suffix", ["", "/", "/ari", "/ari/"])
def test_the_address_may_be_written_with_and_without_ari(asterisk: Asterisk, suffix: str) -> None:
    client = AriClient(asterisk.url + suffix, "u", "p", "cb")
    client.channel("x").ring()
    assert asterisk.asked()[1] == "/ari/channels/x/ring"
    client.close()


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda c: c.channel("s/1;2").hang_up("busy"), ("DELETE", "/ari/channels/s/1;2", {"reason": "busy"})),
        (lambda c: c.channel("s").dial(25), ("POST", "/ari/channels/s/dial", {"timeout": "25"})),
        (lambda c: c.channel("s").send_dtmf("1*#D"), ("POST", "/ari/channels/s/dtmf", {"dtmf": "1*#D"})),
        (
            lambda c: c.channel("s").redirect("PJSIP/4202@carrier"),
            ("POST", "/ari/channels/s/redirect", {"endpoint": "PJSIP/4202@carrier"}),
        ),
        (
            lambda c: c.channel("s").set_variable("X", "a b&,c"),
            ("POST", "/ari/channels/s/variable", {"variable": "X", "value": "a b&,c"}),
        ),
        (
            lambda c: c.channel("s").subscribe(),
            ("POST", "/ari/applications/cb/subscription", {"eventSource": "channel:s"}),
        ),
        (
            lambda c: c.bridge("b").add("s1", "s2"),
            (
                "POST",
                "/ari/bridges/b/addChannel",
                {"channel": "s1,s2", "inhibitConnectedLineUpdates": "true"},
            ),
        ),
        (lambda c: c.bridge("b").remove("s1"), ("POST", "/ari/bridges/b/removeChannel", {"channel": "s1"})),
        (lambda c: c.bridge("b").destroy(), ("DELETE", "/ari/bridges/b", {})),
        (
            lambda c: c.set_event_filter(),
            (
                "PUT",
                "/ari/applications/cb/eventFilter",
                {"disallowed": [{"type": name} for name in UNWANTED_EVENTS]},
            ),
        ),
    ],
)
@pytest.mark.parametrize("status", [204, 404, 409, 412, 422])
def test_a_command_is_done_or_its_object_is_gone(
    client: AriClient, asterisk: Asterisk, act: Callable[[AriClient], object], expected: Request, status: int
) -> None:
    asterisk.answers = [(status, {"message": "whatever"} if status > 300 else None)]
    assert act(client) is (status == 204)
    assert asterisk.asked() == expected


@pytest.mark.parametrize("key", ["message", "error"])
def test_any_other_status_is_an_error_with_asterisks_words(
    client: AriClient, asterisk: Asterisk, key: str
) -> None:
    asterisk.answers = [(500, {key: "Could not stop playback"})]
    with pytest.raises(AriError, match="ARI 500: Could not stop playback") as caught:
        client.channel("s").answer()
    assert caught.value.status == 500
    assert not isinstance(caught.value, AriUnavailable)


def test_a_redirect_is_not_followed(client: AriClient, asterisk: Asterisk) -> None:
    asterisk.answers = [(302, None)]
    with pytest.raises(AriError, match="302"):
        client.channels.list()
    assert len(asterisk.requests) == 1


@pytest.mark.parametrize("answer", [(503, {"message": "loading"}), (404, {"message": "Resource not found"})])
def test_while_asterisk_loads_nothing_is_said_about_any_channel(
    client: AriClient, asterisk: Asterisk, answer: Reply
) -> None:
    asterisk.answers = [answer] * 30
    for look in (client.channels.list, lambda: client.channels.get("s1-a"), client.channel("s1-a").hang_up):
        with pytest.raises(AriUnavailable) as caught:
            look()
        assert caught.value.untouched


@pytest.mark.parametrize("answer", [(503, {"message": "loading"}), (404, {"message": "Resource not found"})])
@pytest.mark.parametrize(
    "act", [lambda c: c.channel("s").dial(10), lambda c: c.channel("s").play(["sound:beep"], "p1")]
)
def test_what_asterisk_did_not_do_is_asked_again_also_where_twice_would_be_wrong(
    client: AriClient, asterisk: Asterisk, act: Callable[[AriClient], object], answer: Reply
) -> None:
    asterisk.answers = [answer, answer]
    assert act(client)
    assert len(asterisk.requests) == 3


def test_no_answer_in_time_is_unavailable_and_not_asked_twice(client: AriClient, asterisk: Asterisk) -> None:
    asterisk.answers = [(200, "hang")]
    with pytest.raises(AriUnavailable, match=r"within 1 s"):
        client.channels.list()
    assert len(asterisk.requests) == 1


def test_nobody_listens() -> None:
    client = AriClient("http://127.0.0.1:9", "u", "s3cret", "cb")
    with pytest.raises(AriUnavailable, match="no connection to http://127") as caught:
        client.info()
    assert "s3cret" not in str(caught.value)


def test_more_threads_than_connections_wait_for_one_and_then_give_up(
    client: AriClient, asterisk: Asterisk
) -> None:
    asterisk.answers = [(200, "hang")] * 4
    with ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(client.channel("s").ring) for _ in range(8)]
        failures = [attempt.exception() for attempt in tries]
    assert sum(isinstance(failure, AriUnavailable) for failure in failures) >= 4
    assert len(asterisk.requests) <= 8


def test_a_call_is_ended_though_every_other_connection_waits_for_an_answer(asterisk: Asterisk) -> None:
    client = AriClient(asterisk.url, "u", "p", "cb", request_timeout_s=10, pool_size=4)
    asterisk.answers = [(200, "hang")] * 4
    with ThreadPoolExecutor(4) as others:
        waiting = [others.submit(client.channel(f"s{n}").ring) for n in range(4)]
        assert wait_until(lambda: len(asterisk.requests) == 4, timeout_s=5)
        assert client.channel("missed").hang_up("busy")
        asterisk.release.set()
        assert all(other.result() for other in waiting)
    client.close()


@pytest.mark.parametrize(
    ("act", "repeated"),
    [
        (lambda c: c.channel("s").hang_up(), True),
        (lambda c: c.channel("s").get_variable("X"), True),
        (lambda c: c.set_event_filter(), True),
        (lambda c: c.channel("s").set_variable("X", "1"), True),
        (lambda c: c.channel("s").dial(10), False),
        (lambda c: c.channel("s").send_dtmf("1"), False),
        (lambda c: c.channel("s").play(["sound:beep"], "p1"), False),
    ],
)
def test_a_dropped_connection_is_tried_again_only_where_twice_is_as_good_as_once(
    client: AriClient, asterisk: Asterisk, act: Callable[[AriClient], object], repeated: bool
) -> None:
    asterisk.answers = [DROP, (200, {"value": "1"})]
    if repeated:
        act(client)
    else:
        with pytest.raises(AriUnavailable):
            act(client)
    assert len(asterisk.requests) == (2 if repeated else 1)
    asterisk.answers = [DROP, DROP]
    with pytest.raises(AriUnavailable):
        act(client)


def test_an_originate_that_asterisk_does_not_answer_is_neither_done_nor_refused(
    client: AriClient, asterisk: Asterisk
) -> None:
    asterisk.answers = [DROP]
    assert originate(client) is Started.UNKNOWN
    asterisk.answers = [(200, "hang")]
    assert originate(client) is Started.UNKNOWN
    assert len(asterisk.requests) == 2
    asterisk.answers = [(503, {"message": "loading"})] * 30
    assert originate(client) is Started.REFUSED


def test_originate_asks_for_exactly_this(client: AriClient, asterisk: Asterisk) -> None:
    asterisk.answers = [(200, {"id": "s1-a"})]
    assert originate(client, variables={"TIMEOUT(absolute)": "60"}) is Started.STARTED
    assert asterisk.asked() == (
        "POST",
        "/ari/channels/s1-a",
        {
            "endpoint": "PJSIP/420212345678@carrier",
            "app": "cb",
            "appArgs": "a,s1",
            "callerId": "420800",
            "timeout": 30,
            "variables": {"TIMEOUT(absolute)": "60", "FORWARD_CONTEXT": "no-forward"},
        },
    )


def test_a_redirected_call_never_reaches_the_dialplan(client: AriClient, asterisk: Asterisk) -> None:
    originate(client, variables={"FORWARD_CONTEXT": "from-trunk"})
    assert asterisk.asked()[2]["variables"] == {"FORWARD_CONTEXT": "no-forward"}


def test_create_asks_for_exactly_this(client: AriClient, asterisk: Asterisk) -> None:
    asterisk.answers = [(200, {"id": "s1-b1"})]
    number = {"CONNECTEDLINE(num,i)": "420800"}
    started = client.channels.create(
        "PJSIP/+442071234567@c.2", "s1-b1", app_args=["b"], variables=number, originator="s1-a"
    )
    assert started is Started.STARTED
    assert asterisk.asked() == (
        "POST",
        "/ari/channels/create",
        {
            "endpoint": "PJSIP/+442071234567@c.2",
            "app": "cb",
            "appArgs": "b",
            "channelId": "s1-b1",
            "originator": "s1-a",
            "variables": number,
        },
    )


EXISTS = (409, {"message": "Channel with given unique ID already exists"})
GONE = (404, {"message": "Channel not found"})


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([EXISTS, (200, {"id": "x"})], Started.EXISTS),
        # Asterisk remembers a 409 for the rest of a connection: no such channel, so nothing was made.
        ([EXISTS, GONE], Started.REFUSED),
        ([(500, {"error": "Allocation failed"})], Started.REFUSED),
    ],
)
def test_a_channel_that_is_there_already_and_one_that_cannot_be(
    client: AriClient, asterisk: Asterisk, answers: list[Reply], expected: Started
) -> None:
    asterisk.answers = [*answers, *answers]
    assert originate(client) is expected
    assert client.channels.create("PJSIP/1@c", "x", app_args=[], variables={}) is expected


def test_the_repeat_of_an_originate_that_was_carried_out_meets_its_own_channel(
    client: AriClient, asterisk: Asterisk
) -> None:
    asterisk.answers = [DROP]
    assert originate(client) is Started.UNKNOWN
    asterisk.answers = [EXISTS, (200, {"id": "s1-a"})]
    assert originate(client) is Started.EXISTS


def test_any_other_refusal_of_a_channel_is_an_error(client: AriClient, asterisk: Asterisk) -> None:
    asterisk.answers = [(500, {"message": "Internal Server Error"})]
    with pytest.raises(AriError, match="500"):
        originate(client)


@pytest.mark.parametrize(
    "endpoint",
    [
        "Local/1@default",
        "PJSIP/1@c&PJSIP/2@c",
        "PJSIP/c/sip:1@evil",
        "PJSIP/1@c\n",
        "PJSIP/@c",
        "PJSIP/١@c",
        "PJSIP/1;x=y@c",
        f"PJSIP/{'1' * 33}@c",
    ],
)
def test_an_endpoint_is_digits_at_a_trunk(client: AriClient, asterisk: Asterisk, endpoint: str) -> None:
    with pytest.raises(ValueError, match="not an endpoint"):
        originate(client, endpoint)
    with pytest.raises(ValueError, match="not an endpoint"):
        client.channel("s").redirect(endpoint)
    assert asterisk.requests == []


@pytest.mark.parametrize(
    "changes",
    [{"app_args": ["a,b"]}, {"app_args": [""]}, {"variables": {"X": 1}}, {"caller_id": "1\r\nX: y"}],
)
def test_nothing_unclean_gets_into_a_dial_string(client: AriClient, asterisk: Asterisk, changes: Any) -> None:
    with pytest.raises(ValueError):
        originate(client, **changes)
    assert asterisk.requests == []


def test_prompts_are_one_playback_that_can_be_stopped(client: AriClient, asterisk: Asterisk) -> None:
    asterisk.answers = [(201, {"id": "p1"}), DONE, (404, {"message": "Playback not found"})]
    playback = client.channel("s").play(["sound:you-have", "sound:digits/20"], "p1")
    assert asterisk.asked() == (
        "POST",
        "/ari/channels/s/play/p1",
        {"media": "sound:you-have,sound:digits/20"},
    )
    assert playback is not None
    assert playback.id == "p1"
    assert playback.stop()
    assert not playback.stop()
    assert asterisk.requests[1] == ("DELETE", "/ari/playbacks/p1", {})


def test_playing_to_a_channel_that_is_gone(client: AriClient, asterisk: Asterisk) -> None:
    asterisk.answers = [GONE, (404, {"message": "Bridge not found"})]
    assert client.channel("s").play(["sound:beep"], "p1") is None
    assert client.bridge("b").play(["sound:beep"], "p2") is None


@pytest.mark.parametrize(
    "media",
    [
        ["number:7"],
        ["digits:12"],
        ["characters:ab"],
        ["sound:a", "digits:1"],
        ["sound:a,digits:1"],
        [],
        ["beep"],
        "sound:a",
    ],
)
def test_media_that_cannot_be_stopped_is_never_asked_for(
    client: AriClient, asterisk: Asterisk, media: Any
) -> None:
    with pytest.raises(ValueError):
        client.channel("s").play(media, "p1")
    assert asterisk.requests == []


def test_a_fuse_is_set_and_read_back(client: AriClient, asterisk: Asterisk) -> None:
    asterisk.answers = [DONE, (200, {"value": "89.998"})]
    assert client.channel("s").set_fuse(90)
    (_, path, fields), looked = asterisk.requests
    assert (path, fields["variable"]) == ("/ari/channels/s/variable", "TIMEOUT(absolute)")
    assert 89 < float(fields["value"]) <= 90  # a busy machine takes milliseconds to send it
    assert looked == ("GET", "/ari/channels/s/variable", {"variable": "TIMEOUT(absolute)"})


@pytest.mark.parametrize("value", ["0", "0.000", "", "30.000", "120.000", "rubbish"])
def test_a_fuse_that_did_not_take_is_an_error(client: AriClient, asterisk: Asterisk, value: str) -> None:
    asterisk.answers = [DONE, (200, {"value": value})]
    with pytest.raises(AriError, match=r"TIMEOUT\(absolute\) of s reads"):
        client.channel("s").set_fuse(90)


def test_a_fuse_is_believed_where_another_was_read_back_lately(client: AriClient, asterisk: Asterisk) -> None:
    asterisk.answers = [DONE, (200, {"value": "90.000"})]
    assert client.channel("s").set_fuse(90)
    assert client.channel("t").set_fuse(90)
    assert [(method, path) for method, path, _ in asterisk.requests[2:]] == [
        ("POST", "/ari/channels/t/variable")
    ]
    client.fuse_proof.forget()
    asterisk.answers = [DONE, (200, {"value": "0"})]
    with pytest.raises(AriError, match="of u reads '0'"):
        client.channel("u").set_fuse(90)
    assert not client.fuse_proof.holds


def test_a_fuse_that_asterisk_was_slow_to_set_is_read_back_and_set_shorter(
    client: AriClient, asterisk: Asterisk
) -> None:
    asterisk.answers = [DONE, (200, {"value": "90.000"})]
    assert client.channel("s").set_fuse(90)
    asterisk.answers = [(204, "slow"), (200, {"value": "90.000"})]
    assert client.channel("s").set_fuse(90)
    slow, looked, shorter = asterisk.requests[2:]
    assert [slow[0], looked[0], shorter[0]] == ["POST", "GET", "POST"]
    assert float(shorter[2]["value"]) < float(slow[2]["value"]) - SLOW_S


@pytest.mark.parametrize("answers", [[GONE], [DONE, GONE]])
def test_a_fuse_on_a_channel_that_is_gone(
    client: AriClient, asterisk: Asterisk, answers: list[Reply]
) -> None:
    asterisk.answers = answers
    assert client.channel("s").set_fuse(90) is False


@pytest.mark.parametrize("after_s", [0, -1, 0.0004, float("nan"), float("inf")])
def test_a_fuse_is_never_switched_off_by_arithmetic(
    client: AriClient, asterisk: Asterisk, after_s: float
) -> None:
    with pytest.raises(ValueError, match="positive"):
        client.channel("s").set_fuse(after_s)
    assert asterisk.requests == []


@pytest.mark.parametrize(
    ("answer", "left"), [((200, {"value": "12.5"}), 12.5), ((200, {"value": "0"}), None), (GONE, None)]
)
def test_what_is_left_of_a_fuse(
    client: AriClient, asterisk: Asterisk, answer: Reply, left: float | None
) -> None:
    asterisk.answers = [answer]
    assert client.channel("s").fuse_left_s() == left


def test_the_list_of_channels_survives_a_restart_of_ours(client: AriClient, asterisk: Asterisk) -> None:
    dialplan = {"exten": "s", "app_name": "Stasis", "app_data": "cb,a,s1"}
    asterisk.answers = [(200, [{"id": "s1-a", "state": "Up", "dialplan": dialplan}]), GONE]
    (channel,) = client.channels.list()
    assert (channel.id, channel.state, channel.app, channel.app_args) == ("s1-a", "Up", "cb", ("a", "s1"))
    assert client.channels.get("s1-a") is None


@pytest.mark.parametrize("answer", [(404, {"message": "?"}), (200, None), (200, "<html>"), (200, {})])
def test_no_list_is_never_an_empty_list(client: AriClient, asterisk: Asterisk, answer: Reply) -> None:
    asterisk.answers = [answer, answer]
    with pytest.raises(AriError):
        client.channels.list()
    with pytest.raises(AriError):
        client.bridges.list()


@pytest.mark.parametrize("body", [None, "<html>", []])
def test_an_unreadable_answer_is_never_a_channel_that_is_gone(
    client: AriClient, asterisk: Asterisk, body: object
) -> None:
    asterisk.answers = [(200, body)]
    with pytest.raises(AriError, match="not an object"):
        client.channels.get("s1-a")


def test_a_bridge_reports_digits_and_may_exist_already(client: AriClient, asterisk: Asterisk) -> None:
    asterisk.answers = [
        (200, {"id": "s1"}),
        (409, {"message": "Bridge with id 's1' already exists"}),
        (200, {"id": "s1"}),
        (200, [{"id": "s1", "channels": ["s1-a", "s1-b1"]}]),
    ]
    assert client.bridges.create("s1").id == client.bridges.create("s1").id == "s1"
    assert asterisk.requests[0] == ("POST", "/ari/bridges/s1", {"type": "mixing,dtmf_events"})
    (bridge,) = client.bridges.list()
    assert (bridge.id, bridge.channel_ids) == ("s1", ("s1-a", "s1-b1"))


def test_a_bridge_that_still_goes_is_made_once_its_id_is_free(client: AriClient, asterisk: Asterisk) -> None:
    taken = (409, {"message": "Bridge with id 's1' already exists"})
    asterisk.answers = [taken, (404, {"message": "Bridge not found"}), (200, {"id": "s1"})]
    assert client.bridges.create("s1").id == "s1"
    assert [method for method, *_ in asterisk.requests] == ["POST", "GET", "POST"]


def test_bridging_a_channel_that_is_gone_is_no_error(client: AriClient, asterisk: Asterisk) -> None:
    asterisk.answers = [
        (400, {"message": "Channel not found"}),
        (400, {"message": "Missing parameter channel"}),
    ]
    assert client.bridge("s1").add("s1-a") is False
    with pytest.raises(AriError, match="Missing parameter"):
        client.bridge("s1").add()


def test_which_asterisk_this_is(client: AriClient, asterisk: Asterisk) -> None:
    asterisk.answers = [
        (200, {"system": {"version": "22.10.1", "entity_id": "02:fc"}, "status": {"startup_time": "then"}}),
        (200, {"status": "Running"}),
        (404, {"message": "Module could not be found in running modules"}),
        (200, {"status": "Not Running"}),
        (401, {"message": "Invalid username or password"}),
    ]
    assert client.info() == AsteriskInfo("22.10.1", "then", "02:fc")
    assert [client.module_running("func_timeout.so") for _ in range(3)] == [True, False, False]
    with pytest.raises(AriError, match="401"):
        client.info()
