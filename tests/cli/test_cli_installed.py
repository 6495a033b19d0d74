"""On a machine that takes calls, tests leave what is installed there alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import CommandLine
from guard.sitecustomize import MORE

TESTS = Path(__file__).parents[1]
REACH = [
    f"{TESTS}/cli/test_cli_email.py::test_an_open_door_is_warned_of",  # `doctor`
    f"{TESTS}/cli/test_cli_process.py::test_the_console_script_and_the_module_are_the_same",  # `account list`
]
"""Tests of commands that would: in this process, and in one of their own."""

STOPPED = "a test reaches for"
"""Matched, not caught by its class: Python has loaded that when it started, and this file may load it again."""

PLANT = """
import os
from pathlib import Path
from stasis_callback import settings
settings.PLACES = (settings.PLACES[0], Path(os.environ["INSTALLED"]))
"""
"""A plugin that moves `/etc/stasis-callback/stasis-callback.toml`, which only root could write."""


@pytest.mark.timeout(300)
def test_an_installed_service_and_its_asterisk_are_left_alone(cli: CommandLine) -> None:
    installed, asked = cli.folder / "installed", cli.folder / "tests"
    installed.mkdir()
    asked.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as ari, socket.socket(socket.AF_UNIX) as console:
        console.bind(str(installed / "asterisk.ctl"))
        console.listen()
        settings = installed / "stasis-callback.toml"
        settings.write_text(
            f'[database]\nurl = "sqlite:///{installed}/live.db"\n[ari]\n'
            f'url = "http://127.0.0.1:{ari.getsockname()[1]}"\npassword = "secret"\n'
            f'[asterisk]\nconsole_path = "{installed}/asterisk.ctl"\n'
        )
        (asked / "plant.py").write_text(PLANT)
        environment = os.environ | {
            "PYTHONPATH": f"{os.environ['PYTHONPATH']}:{asked}",
            "INSTALLED": str(settings),
            MORE: str(installed),
            "STASIS_CALLBACK_CONFIG": str(settings),
            "STASIS_CALLBACK_DATABASE__URL": f"sqlite:///{installed}/live.db",
            "STASIS_CALLBACK_ARI__URL": f"http://127.0.0.1:{ari.getsockname()[1]}",
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "plant", "-p", "no:cacheprovider", *REACH]
        done = subprocess.run(command, cwd=TESTS.parent, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        for listening in (ari, console):
            listening.setblocking(False)
            with pytest.raises(BlockingIOError):
                listening.accept()
        assert sorted(path.name for path in installed.iterdir()) == ["asterisk.ctl", "stasis-callback.toml"]


@pytest.mark.parametrize("port", [8088, 8080])
def test_a_test_that_asks_an_installed_service_is_stopped(port: int) -> None:
    with pytest.raises(BaseException, match=STOPPED), socket.socket() as asking:
        asking.connect(("127.0.0.1", port))


@pytest.mark.parametrize(
    "path", ["/etc/stasis-callback/stasis-callback.toml", "/var/log/asterisk/cel-custom/stasis-callback.csv"]
)
def test_a_test_that_opens_a_file_of_an_installed_service_is_stopped(path: str) -> None:
    with pytest.raises(BaseException, match=STOPPED):
        Path(path).read_bytes()


def test_the_processes_of_tests_are_guarded_too() -> None:
    code = "import socket; socket.create_connection(('127.0.0.1', 8088))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "a test reaches for port 8088" in done.stderr
