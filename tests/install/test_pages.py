"""From nothing to a billed call, by the commands of the pages, on a fresh Debian."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from machine import ROOT, Carrier, Machine, fresh_debian, repository
from pages import Step, steps

from stasis_callback.clock import wait_until
from stasis_callback.testing.asterisk import AsteriskUnavailable
from stasis_callback.testing.networks import own_network

pytestmark = [pytest.mark.nightly, pytest.mark.real, pytest.mark.timeout(1800)]

QUICKSTART = ROOT / "docs" / "quickstart.md"
EXISTING = ROOT / "docs" / "guides" / "existing-asterisk.md"
ANI, FRIEND, ACCESS = "420212345678", "442071234567", "420800123456"
BUSINESS = "420222333444"


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    try:
        machine = fresh_debian(folder / "root")
    except AsteriskUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))
    repository(machine.path("/srv/repository"))
    with machine.running():
        yield machine
    shutil.rmtree(folder)


def follow(machine: Machine, step: Step, carrier: Carrier | None = None) -> str:
    """Do what a block says, with what stands for something else in its place; what it printed."""
    text = step.text.replace("REPOSITORY", "/srv/repository")
    if carrier:
        text = text.replace("sip.carrier.example:5060", carrier.contact).replace(
            "198.51.100.0/28", "127.0.0.1"
        )
    if "password = ...\n" in text:
        settings = machine.path("/etc/stasis-callback/stasis-callback.toml").read_text()
        text = text.replace("...", settings.split('password = "')[1].split('"')[0])
    if step.file:
        machine.path(step.file).write_text(text)
        return ""
    if "doctor" not in text:
        return machine.run(text)
    # Asterisk asks the carrier for the first time within a minute; a person would look again.
    *before, doctor = text.strip().splitlines()
    machine.run("\n".join(before))
    assert wait_until(lambda: "problem" not in machine.run(doctor, check=False), timeout_s=90), machine.run(
        f"{doctor}; tail -n 30 /var/log/unit-*.log /var/log/asterisk/messages.log", check=False
    )
    return machine.run(doctor)


def call(carrier: Carrier) -> None:
    """Call the access number, answer the callback, dial, talk for three seconds."""
    subscriber, friend = carrier.phone(ANI), carrier.phone(FRIEND).answers(after_s=0.5).hangs_up(after_s=3)
    refused = carrier.missed_call(ani=ANI, dnis=ACCESS)
    assert (refused.answered, refused.cause) == (False, 17)
    subscriber.wait_for("ringing", timeout_s=30)
    subscriber.answer()
    subscriber.wait_for("answered", timeout_s=10)
    wait_until(lambda: False, timeout_s=6)
    subscriber.dial(f"{FRIEND}#")
    friend.wait_for("answered", timeout_s=60)
    friend.wait_for("ended", timeout_s=30)
    subscriber.hang_up()
    subscriber.wait_for("ended", timeout_s=30)


def billed(machine: Machine, command: str) -> None:
    """One callback is over, both legs are charged, and the books agree."""

    def over() -> bool:
        found = json.loads(machine.run(f"{command} request list --json"))
        return [request["outcome"] for request in found] == ["completed"]

    assert wait_until(over, timeout_s=30), machine.run(f"{command} request list --json")
    xdrs = json.loads(machine.run(f"{command} xdr list --json"))
    assert [xdr["outcome"] for xdr in xdrs] == ["answered", "answered"]
    charged = sum(xdr["amount_micros"] for xdr in xdrs)
    assert charged > 0
    account = json.loads(machine.run(f"{command} account show {ANI} --json"))
    assert account["balance_micros"] == 10_000_000 - charged
    assert "no discrepancies" in machine.run(f"{command} ledger verify")


def test_the_quickstart(machine: Machine, tmp_path: Path) -> None:
    for step in steps(QUICKSTART, "1. Packages", "2. The service", "3. User, settings and database"):
        follow(machine, Step(f"apt-get update -q\n{step.text}") if "apt-get" in step.text else step)
    with ExitStack() as stack:
        stack.enter_context(own_network())
        carrier = Carrier(tmp_path)
        stack.callback(carrier.stop)
        carrier.start()
        said = ""
        for step in steps(QUICKSTART, "4. Asterisk's configuration", "5. Prompts", "6. Start both"):
            said += follow(machine, step, carrier)
        assert "no access number is enabled" in said
        sections = ("7. Tariff and product", "8. Customer and account", "9. The access number")
        for step in steps(QUICKSTART, *sections):
            follow(machine, step)
        call(carrier)
        billed(machine, "sc")
        said = "".join(follow(machine, step) for step in steps(QUICKSTART, "10. Call it"))
        assert "no discrepancies" in said
        assert "problem" not in machine.run("sc doctor")


OFFICE_PJSIP = """
[udp]
type = transport
protocol = udp
bind = 0.0.0.0:5060

[provider]
type = endpoint
context = incoming
disallow = all
allow = alaw
aors = provider
direct_media = no
rtp_timeout = 30
rtp_timeout_hold = 300
allow_transfer = no

[provider]
type = aor
contact = sip:CONTACT
qualify_frequency = 2

[provider]
type = identify
endpoint = provider
match = 127.0.0.1
"""
OFFICE_EXTENSIONS = f"""
[incoming]
exten => {BUSINESS},1,Answer()
 same => n,Playback(hello-world)
 same => n,Hangup()
"""


def test_onto_an_existing_asterisk(machine: Machine, tmp_path: Path) -> None:
    """An office with Debian's own configuration, a trunk and a number that is answered; it keeps all three."""
    for step in steps(QUICKSTART, "1. Packages", "2. The service", "3. User, settings and database"):
        follow(machine, Step(f"apt-get update -q\n{step.text}") if "apt-get" in step.text else step)
    with ExitStack() as stack:
        stack.enter_context(own_network())
        carrier = Carrier(tmp_path)
        stack.callback(carrier.stop)
        carrier.start()
        for name, text in (
            ("pjsip", OFFICE_PJSIP.replace("CONTACT", carrier.contact)),
            ("extensions", OFFICE_EXTENSIONS),
        ):
            with machine.path(f"/etc/asterisk/{name}.conf").open("a") as file:
                file.write(text)
        machine.run("systemctl start asterisk")
        assert carrier.missed_call(ani=ANI, dnis=BUSINESS).answered
        for step in steps(QUICKSTART, "5. Prompts"):
            follow(machine, step)
        command, include = steps(EXISTING, "What to add")
        assert "extensions.conf: #include stasis-callback/extensions.conf" in machine.run(
            command.text, check=False
        )
        follow(machine, include)
        assert "all of it is included" in machine.run(command.text)
        shared, settings, _own_trunk = steps(EXISTING, "The access number")
        with machine.path("/etc/asterisk/extensions.conf").open("a") as file:
            file.write(shared.text)
        place = machine.path("/etc/stasis-callback/stasis-callback.toml")
        trunk = settings.text.splitlines()[1]
        assert trunk == 'trunk = "provider"'
        place.write_text(place.read_text().replace('trunk = "trunk"', trunk))
        said = "".join(follow(machine, step) for step in steps(EXISTING, "Start"))
        assert "trunk provider" in said or "endpoint provider" in said
        sections = ("7. Tariff and product", "8. Customer and account", "9. The access number")
        for step in steps(QUICKSTART, *sections):
            follow(machine, step)
        call(carrier)
        billed(machine, "sc")
        assert carrier.missed_call(ani=ANI, dnis=BUSINESS).answered
