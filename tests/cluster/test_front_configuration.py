"""What operators get for the front is taken by Kamailio as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from front import DEPLOYED, Front, FrontUnavailable, find_kamailio


@pytest.fixture(autouse=True)
def _kamailio() -> None:
    """Fails under CI where there is no Kamailio; skips on a laptop."""
    try:
        find_kamailio()
    except FrontUnavailable as why:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(why))


def test_the_configuration_is_one(tmp_path: Path) -> None:
    assert "config file ok" in Front(tmp_path, "127.0.0.1:5060", ["127.0.0.1:5061"], ["127.0.0.1"]).check()


def test_so_it_is_as_it_is_copied_with_its_examples(tmp_path: Path) -> None:
    shutil.copytree(DEPLOYED, tmp_path, dirs_exist_ok=True)
    program, modules = find_kamailio()
    done = subprocess.run(
        [program, "-c", "-f", tmp_path / "kamailio.cfg", "-L", modules],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LD_LIBRARY_PATH": str(modules.parent)},
    )
    assert done.returncode == 0, done.stderr
    assert "udp: 192.0.2.10" in done.stdout + done.stderr
