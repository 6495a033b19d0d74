"""What comes from outside, deranged: a few examples in a usual run, many with `--hypothesis-profile=nightly`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command_line import CommandLine


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line in an empty folder."""
    for name in [name for name in os.environ if name.startswith("STASIS_CALLBACK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return CommandLine(tmp_path, capsys)
