"""`stasis-callback demo`, as a new user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from stasis_callback.testing.asterisk import AsteriskUnavailable, find_asterisk


def _demo(
    *arguments: str, before: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-m", "stasis_callback", "demo", *arguments]
    env = {name: text for name, text in os.environ.items() if name != "CI"} | environment
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, env=env)


NOT_ALLOWED = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
"""As in most containers: who runs this may mount nothing, so that no Asterisk can run in the cached root."""


def _can_be_forbidden() -> bool:
    try:
        return os.geteuid() == 0 and find_asterisk().root is not None
    except AsteriskUnavailable:
        return False


@pytest.mark.parametrize("simulated", [True, pytest.param(False, marks=pytest.mark.real)])
def test_the_demo_shows_a_callback_from_missed_call_to_call_records(
    simulated: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if not simulated:
        request.getfixturevalue("real_network")  # skips or fails where no Asterisk can be had
        result = _demo(TMPDIR=str(tmp_path))
    elif _can_be_forbidden():
        result = _demo(before=NOT_ALLOWED, TMPDIR=str(tmp_path))
        assert result.stdout.startswith("A real Asterisk cannot run here: Asterisk did not start (unshare: ")
    else:
        result = _demo("--simulated", TMPDIR=str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    for part in (
        "refused unanswered after",
        "the phone rings",
        "Your balance is ten dollars",
        "the two are connected",
        "charges leg B",
        "charges leg A",
        "no discrepancies",
    ):
        assert part in result.stdout
    assert ("simulated" in result.stdout) == simulated
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real
def test_in_ci_the_demo_fails_without_an_asterisk(tmp_path: Path) -> None:
    if not _can_be_forbidden():
        pytest.skip("needs root, and the Asterisk of tools/get-asterisk")
    result = _demo(before=NOT_ALLOWED, TMPDIR=str(tmp_path), CI="true")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("A real Asterisk cannot run here: ")
