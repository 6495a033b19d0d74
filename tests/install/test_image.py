"""The container without an engine: what the Dockerfile makes, run as an engine would run it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from machine import ROOT, Carrier, Machine
from test_pages import ACCESS, ANI, FRIEND, billed, call
from test_pages import machine as machine  # the fixture

from stasis_callback.clock import wait_until
from stasis_callback.testing.networks import own_network

pytestmark = [pytest.mark.nightly, pytest.mark.real, pytest.mark.timeout(1800)]

PJSIP = """
[trunk](carrier)
aors = trunk

[trunk]
type = aor
contact = sip:CONTACT
qualify_frequency = 2

[trunk-in](incoming)

[trunk]
type = identify
endpoint = trunk-in
match = 127.0.0.1
"""


def build(machine: Machine) -> None:
    """Do what the Dockerfile says. What .dockerignore leaves out is not copied."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    machine.path("/usr/src/stasis-callback").mkdir(parents=True)
    for word, rest in re.findall(r"^([A-Z]+) (.*)$", text, re.MULTILINE):
        if word == "COPY":
            assert rest == ". /usr/src/stasis-callback"
            for name in kept:
                source, to = ROOT / name, machine.path(rest.split()[1]) / name
                shutil.copytree(source, to) if source.is_dir() else shutil.copy(source, to)
        elif word == "RUN":
            machine.run(rest)


def test_the_image(machine: Machine, tmp_path: Path) -> None:
    build(machine)
    local = machine.path("/local")
    local.mkdir()
    with ExitStack() as stack:
        stack.enter_context(own_network())
        stack.callback(lambda: print(machine.log("image")))  # noqa: T201  shown when the test fails
        carrier = Carrier(tmp_path)
        stack.callback(carrier.stop)
        carrier.start()
        (local / "pjsip.conf").write_text(PJSIP.replace("CONTACT", carrier.contact))
        machine.run("chown -R 4711:4711 /local && chmod 700 /local && chmod 600 /local/*")
        environment = {"STASIS_CALLBACK_WEB__ENABLED": "true", "STASIS_CALLBACK_EMAIL__ENABLED": "true"}
        exported = "".join(f"export {name}={shlex.quote(text)}\n" for name, text in environment.items())
        folder = "cd /var/lib/stasis-callback\n"
        machine.run(f"{exported}{folder}setsid entrypoint run >/var/log/unit-image.log 2>&1 </dev/null &")

        def inside(command: str, *, check: bool = True) -> str:
            """As `docker exec`: by root, with the environment of the container."""
            return machine.run(f"{exported}{folder}{command}", check=check)

        health = "asterisk -rx 'ari show apps' | grep -qx stasis-callback"
        assert wait_until(
            lambda: "healthy" in inside(f"{health} && echo healthy", check=False), timeout_s=90
        ), machine.log("image")
        inside(
            "stasis-callback tariff add retail --currency USD; stasis-callback rate add retail 420 0.06;"
            "stasis-callback rate add retail 44 0.12; stasis-callback product add callback --tariff retail;"
            "stasis-callback customer add people --currency USD;"
            f"stasis-callback account add {ANI} --customer people --product callback --opening-balance 10;"
            f"stasis-callback access-number add {ACCESS} --set dedupe_window_s=0"  # it is called twice
        )
        assert wait_until(
            lambda: "problem" not in inside("stasis-callback doctor", check=False), timeout_s=60
        ), inside("stasis-callback doctor", check=False)
        call(carrier)
        machine.run(f"{exported}cd /var/lib/stasis-callback")
        billed(machine, "stasis-callback")
        # A call is ended by command, as an operator of the container does it.
        subscriber = carrier.phone(ANI).answers(after_s=0.5)
        carrier.missed_call(ani=ANI, dnis=ACCESS)
        live: list[dict[str, str]] = []

        def is_live() -> bool:
            live[:] = json.loads(inside("stasis-callback call live --json"))
            return bool(live)

        assert wait_until(is_live, timeout_s=60)
        inside(f"stasis-callback call hangup {live[0]['id']}")
        subscriber.wait_for("ended", call=2, timeout_s=15)
        # Web and mail are there, by environment; nothing in the volumes is root's.
        probe = (
            'python3 -c \'import socket, urllib.request as u; socket.create_connection(("127.0.0.1", 8024)); '
        )
        assert "ready" in inside(f'{probe}print(u.urlopen("http://127.0.0.1:8080/readyz").read())\'')
        assert machine.run("find /var/lib/stasis-callback /var/lib/asterisk -user root") == ""
        (local / "pjsip.conf").write_text(
            (local / "pjsip.conf").read_text() + "\n[second](carrier)\naors = trunk\n"
        )
        inside("entrypoint reload")
        assert "second" in machine.run("asterisk -rx 'pjsip show endpoint second'")
        assert FRIEND not in machine.log("image")
