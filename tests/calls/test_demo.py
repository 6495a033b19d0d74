"""`stasis-callback demo`, as a new user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def _demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stasis_callback", "demo", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=100, env=os.environ | environment
    )


@pytest.mark.parametrize("arguments", [["--simulated"], pytest.param([], marks=pytest.mark.real)])
def test_the_demo_shows_a_callback_from_missed_call_to_call_records(
    arguments: list[str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if not arguments:
        request.getfixturevalue("real_network")  # skips or fails where no Asterisk can be had
    result = _demo(*arguments, TMPDIR=str(tmp_path))
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
    assert ("simulated" in result.stdout) == bool(arguments)
    assert list(tmp_path.iterdir()) == []
