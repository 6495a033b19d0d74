"""What operators get for the front is taken by Kamailio as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from front import DEPLOYED, Front, FrontUnavailable, find_kamailio

from stasis_callback.settings import Settings


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


def test_three_nodes_as_containers_fit_together(tmp_path: Path) -> None:
    """Without an engine here: the addresses that one file names are those that another one gives."""
    folder = DEPLOYED.parent / "three-nodes"
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    address = {name: one["networks"]["callback"]["ipv4_address"] for name, one in services.items()}
    nodes = [f"1 sip:{address[name]}:5060" for name in ("n1", "n2", "n3")]
    assert (folder / "kamailio" / "dispatcher.list").read_text().splitlines() == nodes
    assert f"udp:{address['front']}:5060" in (folder / "kamailio" / "local.cfg").read_text()
    assert f"match = {address['front']}\n" in (folder / "local" / "pjsip.conf").read_text()
    for name in ("n1", "n2", "n3"):
        environment = services[name]["environment"]
        assert environment["STASIS_CALLBACK_NODE"] == name
        assert f"@{address['postgres']}/" in environment["STASIS_CALLBACK_DATABASE__URL"]
        for variable in environment:
            section, _, setting = variable.removeprefix("STASIS_CALLBACK_").lower().partition("__")
            assert section in Settings.model_fields
            assert not setting or setting in type(getattr(Settings(), section)).model_fields
