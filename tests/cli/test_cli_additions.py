"""`config asterisk`: what an Asterisk with calls of its own gets to include, and what is not included yet."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from command_line import CommandLine

from stasis_callback.resources import asterisk_conf_dir

NAMES = ("ari", "cel", "cel_custom", "extensions", "http", "pjsip")


@pytest.fixture
def etc(cli: CommandLine) -> Path:
    """The configuration of an office: [general] is there, [mappings] only as a comment."""
    cli.ok("init")
    folder = cli.folder / "etc"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.conf").write_text("[general]\n;[mappings]\n")
    return folder


def test_it_says_what_is_not_included_until_it_is(cli: CommandLine, etc: Path) -> None:
    first = cli("config", "asterisk", etc)
    assert first.code == 1
    assert f"  {etc}/pjsip.conf: #include stasis-callback/pjsip.conf\n" in first.out
    for name in NAMES:
        with (etc / f"{name}.conf").open("a") as file:
            file.write(f"#include stasis-callback/{name}.conf\n")
    (etc / "cel.conf").write_text("[general]\n;#include stasis-callback/cel.conf\n")
    again = cli("config", "asterisk", etc)
    assert (again.code, again.out.count("#include")) == (1, 1)
    (etc / "cel.conf").write_text(f'[general]\n#tryinclude "{etc}/stasis-callback/cel.conf" ; callbacks\n')
    assert "all of it is included" in cli.ok("config", "asterisk", etc).out


def test_it_adds_and_takes_nothing_of_the_office(cli: CommandLine, etc: Path) -> None:
    before = {file.name: file.read_text() for file in etc.iterdir()}
    cli("config", "asterisk", etc)
    assert {file.name: file.read_text() for file in etc.iterdir() if file.is_file()} == before
    added = {file.stem: file.read_text() for file in (etc / "stasis-callback").iterdir()}
    assert set(added) == set(NAMES)
    password = Path("stasis-callback.toml").read_text().split('password = "')[1].split('"')[0]
    assert f"password = {password}\n" in added["ari"]
    assert "[general](+)\n" in added["http"]
    assert "bindaddr" not in added["http"]
    assert "\n[mappings]\n" in added["cel_custom"]
    assert "[from-trunk]" not in added["extensions"] + added["pjsip"]
    assert "[general]" not in added["extensions"]
    shipped = (asterisk_conf_dir() / "extensions.conf").read_text()
    for line in shipped.splitlines():
        if "=>" in line or "same =" in line:
            assert line in added["extensions"], line
    for file in (etc / "stasis-callback").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_what_is_no_configuration_of_asterisk_is_refused(cli: CommandLine) -> None:
    cli.ok("init")
    assert "has no extensions.conf" in cli.refused("config", "asterisk", cli.folder)
