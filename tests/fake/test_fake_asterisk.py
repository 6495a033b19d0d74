"""What only the fake Asterisk can do: go wrong on request, tell what happened, and leave nothing behind.

That it behaves like a real one is shown by tests/contract.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from stasis_callback.ari.channels import Started
from stasis_callback.ari.client import AriClient
from stasis_callback.ari.errors import AriUnavailable
from stasis_callback.ari.events import ChannelDtmfReceived, Event, StasisStart
from stasis_callback.ari.link import AriLink, Lost
from stasis_callback.clock import wait_until
from stasis_callback.testing.fake import FakeAsterisk, FakeNetwork, Sounds

SUBSCRIBER = "420212345678"


class Worker:
    """The product's own client and link, as the service uses them."""

    def __init__(self, fake: FakeAsterisk) -> None:
        self.client = AriClient(fake.url, fake.username, fake.password, fake.app, request_timeout_s=2.0)
        self.events: list[Event] = []
        self.lost: list[Lost] = []
        self.connections = 0
        self.link = AriLink(
            self.client,
            on_unwatched=self.events.append,
            on_connected=self._connected,
            on_lost=self.lost.append,
            on_replaced=lambda: None,
            silence_limit_s=1.0,
        )
        self.link.start()
        assert self.link.wait_connected(5)

    def _connected(self) -> None:
        self.connections += 1

    def call(self, channel: str) -> Started:
        return self.client.channels.originate(
            f"PJSIP/{SUBSCRIBER}@trunk",
            channel,
            app_args=["a"],
            caller_id="",
            ring_timeout_s=20,
            variables={},
        )

    def seen(self, kind: type[Event], channel: str) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind) and event.channel_id == channel]

    def wait_for(self, kind: type[Event], channel: str) -> None:
        assert wait_until(lambda: bool(self.seen(kind, channel)), timeout_s=5), f"no {kind.__name__}"

    def close(self) -> None:
        self.link.stop()
        self.client.close()


@pytest.fixture
def fake() -> Iterator[FakeAsterisk]:
    with FakeAsterisk(speed=10) as fake:
        yield fake


@pytest.fixture
def network(fake: FakeAsterisk) -> FakeNetwork:
    return FakeNetwork(fake)


@pytest.fixture
def worker(fake: FakeAsterisk, network: FakeNetwork) -> Iterator[Worker]:
    worker = Worker(fake)
    yield worker
    worker.close()


def test_dropped_websocket_is_noticed_and_calls_go_on(
    fake: FakeAsterisk, network: FakeNetwork, worker: Worker
) -> None:
    network.phone(SUBSCRIBER).answers(after_s=0)
    worker.call("leg")
    worker.wait_for(StasisStart, "leg")

    fake.faults.drop_websocket()

    assert wait_until(lambda: worker.connections == 2, timeout_s=5)
    assert len(worker.lost) == 1
    channel = worker.client.channels.get("leg")
    assert channel is not None
    assert channel.state == "Up"


def test_frozen_it_answers_nothing_and_a_link_gives_it_up(fake: FakeAsterisk, worker: Worker) -> None:
    fake.faults.freeze(2.5)

    with pytest.raises(AriUnavailable):
        worker.client.info()
    assert wait_until(lambda: bool(worker.lost), timeout_s=3)
    assert wait_until(lambda: worker.link.connected, timeout_s=5)


def test_5xx_is_answered_without_doing_anything(
    fake: FakeAsterisk, network: FakeNetwork, worker: Worker
) -> None:
    network.phone(SUBSCRIBER)
    fake.faults.answer_5xx(1, "^/channels/leg")

    worker.client.channel("leg").hang_up()  # asked again, and there is none

    assert worker.client.channels.list() == []
    worker.call("leg")
    assert [channel.id for channel in worker.client.channels.list()] == ["leg"]


def test_lost_answer_leaves_the_channel_alive(
    fake: FakeAsterisk, network: FakeNetwork, worker: Worker
) -> None:
    phone = network.phone(SUBSCRIBER)
    fake.faults.lose_answers(2, "^/channels/leg$")

    assert worker.call("leg") is Started.UNKNOWN

    phone.wait_for("ringing")
    assert len(phone.calls) == 1


def test_delay_comes_before_the_deed(fake: FakeAsterisk, worker: Worker) -> None:
    fake.faults.delay("^/asterisk/info", 0.3, count=1)

    began_s = time.monotonic()
    worker.client.info()
    slow_s = time.monotonic() - began_s
    worker.client.info()

    assert slow_s >= 0.3
    assert time.monotonic() - began_s - slow_s < 0.3


def test_duplicated_events_come_twice(fake: FakeAsterisk, network: FakeNetwork, worker: Worker) -> None:
    network.phone(SUBSCRIBER).answers(after_s=0).dials("1")
    fake.faults.duplicate_events()

    worker.call("leg")

    assert wait_until(lambda: len(worker.seen(ChannelDtmfReceived, "leg")) == 2, timeout_s=5)
    assert len(worker.seen(StasisStart, "leg")) == 2


def test_restart_loses_calls_subscriptions_and_hangup_rows(
    fake: FakeAsterisk, network: FakeNetwork, worker: Worker
) -> None:
    phone = network.phone(SUBSCRIBER).answers(after_s=0)
    worker.call("leg")
    worker.wait_for(StasisStart, "leg")
    before = worker.client.info().started_at

    fake.faults.restart()

    phone.wait_for("ended")
    assert wait_until(lambda: worker.connections == 2, timeout_s=5)
    assert worker.client.channels.list() == []
    assert worker.client.info().started_at != before
    rows = fake.cel_path.read_text()
    assert '"ANSWER"' in rows
    assert '"HANGUP"' not in rows


def test_trunk_refuses_before_any_phone_rings(
    fake: FakeAsterisk, network: FakeNetwork, worker: Worker
) -> None:
    phone = network.phone(SUBSCRIBER).answers(after_s=0)
    fake.faults.trunk_answers(34)

    worker.call("first")
    assert wait_until(lambda: worker.client.channels.get("first") is None, timeout_s=5)
    assert phone.calls == []

    worker.call("second")
    worker.wait_for(StasisStart, "second")


def test_cleared_faults_are_gone(fake: FakeAsterisk, worker: Worker) -> None:
    fake.faults.answer_5xx(-1)
    fake.faults.clear()

    assert worker.client.info().version.startswith("22.10")


def test_journal_tells_requests_events_and_faults_in_order(
    fake: FakeAsterisk, network: FakeNetwork, worker: Worker
) -> None:
    network.phone(SUBSCRIBER).answers(after_s=0)
    worker.call("leg")
    worker.wait_for(StasisStart, "leg")
    fake.faults.drop_websocket()

    told = [(entry.kind, entry.name) for entry in fake.journal]

    request, start = told.index(("request", "POST /channels/leg")), told.index(("event", "StasisStart"))
    assert request < start < told.index(("fault", "drop_websocket"))
    times = [entry.at_us for entry in fake.journal]
    assert times == sorted(times)


def test_sounds_take_their_time_divided_by_the_speed(network: FakeNetwork) -> None:
    sounds = Sounds({"long": 4.0}, speed=10)

    assert sounds.seconds("sound:long") == pytest.approx(0.4)
    assert sounds.seconds("sound:any-other") == pytest.approx(0.05)
    assert sounds.seconds("sound:no-such-sound") is None


def test_stopping_it_ends_calls_connections_and_its_thread() -> None:
    before = set(threading.enumerate())
    fake = FakeAsterisk().start()
    network = FakeNetwork(fake)
    phone = network.phone(SUBSCRIBER).answers(after_s=0).hangs_up(after_s=60)
    worker = Worker(fake)
    worker.call("leg")
    phone.wait_for("answered")

    fake.stop()
    fake.stop()

    phone.wait_for("ended")
    assert wait_until(lambda: bool(worker.lost), timeout_s=5)
    worker.close()
    assert wait_until(lambda: set(threading.enumerate()) <= before, timeout_s=5)
    phone.hang_up()  # too late, and harmless


def test_two_of_them_do_not_meet() -> None:
    with FakeAsterisk() as one, FakeAsterisk() as other:
        assert one.url != other.url
        assert one.cel_path != other.cel_path


def test_without_aiohttp_the_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['aiohttp'] = None; import stasis_callback.testing.fake"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].endswith("pip install 'stasis-callback[simulated]'")
