"""The rig itself, and the configuration that users install: both on a real Asterisk, the configuration unchanged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest

from stasis_callback.ari.client import AriClient
from stasis_callback.ari.errors import AriError
from stasis_callback.ari.events import (
    ChannelDestroyed,
    ChannelDtmfReceived,
    Event,
    PlaybackFinished,
    StasisStart,
)
from stasis_callback.ari.link import AriLink
from stasis_callback.clock import Clock, Inbox, wait_until
from stasis_callback.resources import asterisk_conf_dir, sounds_dir
from stasis_callback.testing.asterisk import AsteriskInstance, AsteriskUnavailable, find_asterisk
from stasis_callback.testing.phones import BUSY, CONGESTION, NO_ANSWER, REJECTED, UNALLOCATED
from stasis_callback.testing.pstn import RealNetwork, start_network

pytestmark = pytest.mark.real

E = TypeVar("E", bound=Event)

ACCESS_NUMBER = "420800123456"
SUBSCRIBER = "420212345678"


@pytest.fixture(scope="module", autouse=True)
def _asterisk() -> None:
    try:
        find_asterisk()
    except AsteriskUnavailable as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNetwork]:
    with start_network(tmp_path_factory.mktemp("network")) as network:
        yield network


class App:
    """The smallest possible application on the product's Asterisk."""

    def __init__(self, network: RealNetwork) -> None:
        self.client = AriClient(network.ari_url, network.ari_username, network.ari_password, network.ari_app)
        self.events: Inbox[Event] = Inbox()
        self.link = AriLink(
            self.client,
            on_unwatched=self.events.put,
            on_connected=lambda: None,
            on_lost=lambda reason: None,
            on_replaced=lambda: None,
        )

    def __enter__(self) -> App:
        self.link.start()
        assert self.link.wait_connected(5)
        return self

    def __exit__(self, *_: object) -> None:
        self.link.stop()
        self.client.close()

    def calls(self, number: str, channel_id: str) -> None:
        self.client.channels.originate(
            f"PJSIP/{number}@trunk",
            channel_id,
            app_args=["test"],
            caller_id=ACCESS_NUMBER,
            ring_timeout_s=10,
            variables={},
        )

    def wait_for(self, kind: type[E]) -> E:
        while event := self.events.get(10):
            if isinstance(event, kind):
                return event
        raise AssertionError(f"no {kind.__name__} within 10 s")


def instance(work_dir: Path) -> AsteriskInstance:
    return AsteriskInstance(
        work_dir, [asterisk_conf_dir()], ari_user="stasis-callback", ari_password="secret"
    )


# --- the configuration ---------------------------------------------------------------------------------------


def test_the_configuration_loads_without_a_warning_and_every_module_runs(tmp_path: Path) -> None:
    asterisk = instance(tmp_path)
    asterisk.start()
    try:
        assert [
            line for line in asterisk.log_text().splitlines() if " WARNING" in line or " ERROR" in line
        ] == []
        wanted = [
            line.removeprefix("load = ")
            for line in (asterisk_conf_dir() / "modules.conf").read_text().splitlines()
            if line.startswith("load = ")
        ]
        modules = asterisk.cli("module show").splitlines()
        running = {line.split()[0] for line in modules if line.strip() and "Not Running" not in line}
        assert set(wanted) <= running
    finally:
        asterisk.stop()


def test_no_password_opens_ari_until_the_operator_has_set_one(tmp_path: Path) -> None:
    asterisk = instance(tmp_path)
    del asterisk.local["ari.conf"]
    asterisk.start()
    try:
        assert "stasis-callback" not in asterisk.cli("ari show users")
        for password in ("", "secret"):
            client = AriClient(asterisk.ari_url, "stasis-callback", password, "app")
            with closing(client), pytest.raises(AriError) as refused:
                client.info()
            assert refused.value.status == 401
    finally:
        asterisk.stop()


def test_what_the_operator_writes_into_local_wins_over_the_shipped_files(tmp_path: Path) -> None:
    asterisk = instance(tmp_path)
    asterisk.local |= {
        "asterisk.conf": "[options](+)\nmaxcalls = 77\n",
        "cel.conf": "[general](+)\nevents = CHAN_START,ANSWER,HANGUP,CHAN_END\n",
        "cel_custom.conf": "[mappings](+)\nmine.csv => ${CSV_QUOTE(${eventtype})}\n",
        "cdr.conf": "[general](+)\nenable = yes\n",
        "extensions.conf": "[mine]\nexten => 1,1,Hangup()\n",
        "indications.conf": "[general](+)\ncountry = cz\n[cz]\ndescription = x\nringcadence = 1\nring = 425\n",
        "logger.conf": "[logfiles](+)\nmine.log => error\n",
        "modules.conf": "load = func_json.so\n",
        "stasis.conf": "[declined_message_types](+)\ndecline = ast_flash_type\n",
    }
    asterisk.local["http.conf"] += "sessionlimit = 501\n"
    asterisk.start()
    try:
        shown = {
            "core show settings": "Maximum calls:               77",
            "cel show status": "CHAN_END",
            "cdr show status": "Logging:                    Enabled",
            "dialplan show mine": "'1' =>",
            "indication show": "Default tone zone: cz",
            "module show like func_json": "Running",
            "rtp show settings": f"Port start:      {asterisk.rtp_start}",
            "pjsip show transports": f"127.0.0.1:{asterisk.sip_port}",
            "ari show users": "stasis-callback",
        }
        missing = {
            command: asterisk.cli(command) for command in shown if shown[command] not in asterisk.cli(command)
        }
        assert missing == {}
        assert (tmp_path / "log" / "mine.log").exists()
    finally:
        asterisk.stop()


# --- nothing is left behind ----------------------------------------------------------------------------------


def processes_on(work_dir: Path) -> list[str]:
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = cmdline.read_bytes()
        except OSError:
            continue  # it has just ended
        if b"asterisk.conf" in words and str(work_dir).encode() in words:
            found.append(words.decode())
    return found


def test_a_stopped_instance_leaves_no_process_and_no_mount_and_starts_again(tmp_path: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    asterisk = instance(tmp_path)
    for _ in range(2):
        asterisk.start()
        assert len(processes_on(tmp_path)) == 1
        assert asterisk.cpu_s() > 0
        asterisk.stop()
        assert processes_on(tmp_path) == []
    asterisk.stop()
    assert Path("/proc/self/mounts").read_text() == mounts


def test_a_killed_test_run_takes_its_asterisk_with_it(tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from stasis_callback.resources import asterisk_conf_dir
from stasis_callback.testing.asterisk import AsteriskInstance
AsteriskInstance(Path({str(tmp_path)!r}), [asterisk_conf_dir()], ari_user="a", ari_password="b").start()
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, timeout=60, check=False)
    assert ended.returncode == -9
    assert "Asterisk 2" in (tmp_path / "log" / "messages.log").read_text()
    assert wait_until(lambda: processes_on(tmp_path) == [], timeout_s=5)


def test_a_frozen_instance_says_nothing_until_it_is_thawed(tmp_path: Path) -> None:
    asterisk = instance(tmp_path)
    asterisk.start()
    try:
        asterisk.freeze()
        with pytest.raises(TimeoutError):
            asterisk.cli("core show uptime", timeout_s=0.5)
        asterisk.thaw()
        assert "System uptime" in asterisk.cli("core show uptime")
    finally:
        asterisk.kill()
    assert processes_on(tmp_path) == []


# --- calls ---------------------------------------------------------------------------------------------------


def test_a_missed_call_waits_unanswered_for_a_service_that_is_away_and_is_then_congested(
    network: RealNetwork,
) -> None:
    before_us = Clock().now_us()
    refusal = network.missed_call(ani=SUBSCRIBER, dnis=ACCESS_NUMBER, gives_up_after_s=20)

    assert (refusal.cause, refusal.sip_status, refusal.answered) == (CONGESTION, 503, False)
    assert refusal.took_s >= 8
    invite = network.trace.invite(ACCESS_NUMBER, after_us=before_us)
    assert network.trace.responses_to(invite) == [100, 503]
    assert f"to {ACCESS_NUMBER} refused: stasis-callback is not running" in network.product.log_text()
    assert SUBSCRIBER not in network.product.log_text()


def test_a_hundred_missed_calls_at_once_are_all_refused(network: RealNetwork) -> None:
    with ThreadPoolExecutor(100) as callers:
        refusals = list(
            callers.map(
                lambda n: network.missed_call(ani=f"42021{n:07}", dnis=ACCESS_NUMBER, gives_up_after_s=30),
                range(100),
            )
        )
    assert {(refusal.cause, refusal.sip_status, refusal.answered) for refusal in refusals} == {
        (CONGESTION, 503, False)
    }
    assert "0 active channels" in network.product.cli("core show channels")


def test_a_missed_call_that_waits_reaches_the_service_as_soon_as_it_is_there(network: RealNetwork) -> None:
    with ThreadPoolExecutor(1) as caller:
        refusal = caller.submit(network.missed_call, ani=SUBSCRIBER, dnis=ACCESS_NUMBER)
        assert wait_until(lambda: "1 active call" in network.product.cli("core show channels"), timeout_s=5)
        with App(network) as app:
            start = app.wait_for(StasisStart)
            assert (start.args[:2], start.channel.caller_number) == (("missed", ACCESS_NUMBER), SUBSCRIBER)
            app.client.channel(start.channel.id).hang_up("busy")
            assert refusal.result().sip_status == 486


def test_a_missed_call_that_was_offered_and_not_decided_is_congested(network: RealNetwork) -> None:
    """As where the service ends just then, and does not come back: a carrier may try another way."""
    with ThreadPoolExecutor(1) as caller:
        refusal = caller.submit(network.missed_call, ani=SUBSCRIBER, dnis=ACCESS_NUMBER)
        with App(network) as app:
            channel_id = app.wait_for(StasisStart).channel.id
            limit = {"variable": "TIMEOUT(absolute)", "value": "1"}  # in place of a minute
            app.client.rest.command("POST", "channels", channel_id, "variable", params=limit)
        assert (refusal.result().sip_status, refusal.result().answered) == (503, False)


def test_an_incoming_call_reaches_the_application_with_its_numbers(network: RealNetwork) -> None:
    with App(network) as app, ThreadPoolExecutor(1) as caller:
        refusal = caller.submit(network.missed_call, ani=SUBSCRIBER, dnis=ACCESS_NUMBER)
        start = app.wait_for(StasisStart)
        assert (start.args[:2], start.channel.caller_number) == (("missed", ACCESS_NUMBER), SUBSCRIBER)
        app.client.channel(start.channel.id).hang_up("rejected")
        assert refusal.result().sip_status == 403


def test_a_withheld_number_arrives_as_none(network: RealNetwork) -> None:
    with App(network) as app, ThreadPoolExecutor(1) as caller:
        refusal = caller.submit(network.missed_call, ani="", dnis=ACCESS_NUMBER)
        start = app.wait_for(StasisStart)
        app.client.channel(start.channel.id).hang_up("busy")
        assert refusal.result().sip_status == 486
    assert not any(character.isdigit() for character in start.channel.caller_number)


@pytest.mark.parametrize(
    ("cause", "sip_status"), [(BUSY, 486), (NO_ANSWER, 480), (CONGESTION, 503), (REJECTED, 403)]
)
def test_a_phone_refuses_with_the_cause_of_its_script(
    network: RealNetwork, cause: int, sip_status: int
) -> None:
    network.phone("442070000001").forget().refuses(cause)
    with App(network) as app:
        app.calls("442070000001", f"refused-{cause}")
        destroyed = app.wait_for(ChannelDestroyed)
    assert (destroyed.cause, destroyed.tech_cause) == (cause, sip_status)


def test_a_number_without_a_phone_is_unallocated(network: RealNetwork) -> None:
    with App(network) as app:
        app.calls("442070000002", "unallocated")
        destroyed = app.wait_for(ChannelDestroyed)
    assert (destroyed.cause, destroyed.tech_cause) == (UNALLOCATED, 404)


def test_a_redirected_call_ends_in_the_dead_context_and_reaches_nobody(network: RealNetwork) -> None:
    network.phone("442070000003").redirects_to("90077777")
    trap = network.phone("90077777").answers()
    with App(network) as app:
        app.calls("442070000003", "redirected")
        while app.wait_for(ChannelDestroyed).channel_id != "redirected":
            pass  # the channel that Asterisk made to follow the redirect
        assert wait_until(lambda: app.client.channels.list() == [], timeout_s=5)
    assert trap.calls == []


def test_digits_and_prompts_pass_and_the_journal_has_our_ids_and_microseconds(network: RealNetwork) -> None:
    phone = network.phone("442070000004").answers(after_s=0).dials("1#", after_s=0)
    prompts = [f"stasis-callback/{path.stem}" for path in sorted((sounds_dir() / "en").glob("*.*"))[:1]]
    with App(network) as app:
        app.calls("442070000004", "s1-a")
        app.wait_for(StasisStart)
        assert app.wait_for(ChannelDtmfReceived).digit + app.wait_for(ChannelDtmfReceived).digit == "1#"
        app.client.channel("s1-a").send_dtmf("42")
        for prompt in ["vm-goodbye", *prompts]:
            app.client.channel("s1-a").play([f"sound:{prompt}"], f"s1-a-{prompt.replace('/', '-')}")
            assert app.wait_for(PlaybackFinished).state == "done"
        assert phone.calls[-1].digits_heard == "42"
        phone.hang_up()
        assert app.wait_for(ChannelDestroyed).cause == 16

    def journal() -> list[list[str]]:
        rows = [line.split(",", 4) for line in network.cel_path.read_text().splitlines()]
        return [row for row in rows if row[2] == '"s1-a"']

    assert wait_until(lambda: len(journal()) == 3, timeout_s=5)
    assert [row[0] for row in journal()] == ['"CHAN_START"', '"ANSWER"', '"HANGUP"']
    assert all(len(row[1].strip('"').partition(".")[2]) == 6 for row in journal())
    assert all(row[3] == '"s1-a"' for row in journal())
