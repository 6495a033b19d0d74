"""What an Asterisk with calls of its own needs for callbacks: files for it to include, made of the shipped ones."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from stasis_callback.admin.files import new_file
from stasis_callback.core.errors import InvalidInput
from stasis_callback.resources import asterisk_conf_dir

if TYPE_CHECKING:
    from stasis_callback.settings import Settings

FOLDER = "stasis-callback"
CONTEXT = "stasis-callback"
"""The context of missed calls: `from-trunk` may be one of the machine's own."""
_NOTE = "; Made by `stasis-callback config asterisk`, which writes it again: change nothing here.\n"


def additions(config: Settings, etc: Path) -> dict[str, str]:
    """The files by name. Sections that the file in `etc` has already are added to."""
    ari = config.ari
    mapping = re.search(r"^stasis-callback\.csv =>.*$", _shipped("cel_custom.conf"), re.MULTILINE)
    assert mapping
    events = re.search(r"^events = .*$", _shipped("cel.conf"), re.MULTILINE)
    assert events
    parts = {
        "ari.conf": f"{_section('general', etc / 'ari.conf')}enabled = yes\nwebsocket_write_timeout = 5000\n\n"
        f"[{ari.username}]\ntype = user\nread_only = no\npassword_format = plain\n"
        f"password = {ari.password.get_secret_value()}\n",
        "cel.conf": f"{_section('general', etc / 'cel.conf')}enable = yes\n{events[0]}\n",
        "cel_custom.conf": f"{_section('mappings', etc / 'cel_custom.conf')}{mapping[0]}\n",
        "extensions.conf": _dialplan(config),
        "http.conf": f"{_section('general', etc / 'http.conf')}enabled = yes\nsessionlimit = 500\n",
        "pjsip.conf": _templates(),
    }
    return {name: f"{_NOTE}\n{text}" for name, text in parts.items()}


def write(config: Settings, etc: Path) -> list[str]:
    """Write the files below `etc`, where their group is that of `etc`; the names of those that are not included yet.

    Raises InvalidInput if there is no such folder.
    """
    if not (etc / "extensions.conf").is_file():
        raise InvalidInput(f"{etc} has no extensions.conf: give the folder of Asterisk's configuration")
    folder = etc / FOLDER
    folder.mkdir(exist_ok=True)
    made = additions(config, etc)
    for name, text in made.items():
        # It has a password in it, so it is never readable by all, not for a moment either.
        with new_file(folder / name, 0o640, replaces=True) as file:
            os.fchmod(file.fileno(), 0o640)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), -1, _group(etc))
            file.write(text.encode())
    if os.geteuid() == 0:
        os.chown(folder, -1, _group(etc))
        folder.chmod(0o750)
    return [name for name in made if not is_included(etc / name)]


def is_included(file: Path) -> bool:
    """Whether a configuration file includes our addition to it."""
    wanted = re.compile(
        rf'^\s*#(try)?include\s+["<]?(\S*/)?{FOLDER}/{re.escape(file.name)}[">]?\s*(;.*)?$', re.MULTILINE
    )
    return file.is_file() and bool(wanted.search(file.read_text(errors="replace")))


def _group(etc: Path) -> int:
    """The group that reads Asterisk's configuration: that of a file which is not for all."""
    private = [file for file in etc.glob("*.conf") if not file.stat().st_mode & 0o004]
    return (private[0] if private else etc).stat().st_gid


def _section(name: str, file: Path) -> str:
    """The head of a section: one that goes on where the file has begun it."""
    text = file.read_text(errors="replace") if file.is_file() else ""
    begun = re.search(rf"^\s*\[{name}\]", text, re.MULTILINE)
    return f"[{name}](+)\n" if begun else f"[{name}]\n"


def _shipped(name: str) -> str:
    return (asterisk_conf_dir() / name).read_text(encoding="utf-8")


def _between(text: str, first: str, end: str) -> str:
    return text[text.index(first) : text.index(end)]


def _dialplan(config: Settings) -> str:
    """Our contexts, without the file's [general]."""
    text = _shipped("extensions.conf")
    before = _between(text, "; A missed call.", "[from-trunk]")
    contexts = _between(text, "[from-trunk]", "#tryinclude").replace("[from-trunk]", f"[{CONTEXT}]")
    return (before + contexts).replace("Stasis(stasis-callback,", f"Stasis({config.ari.app},").rstrip() + "\n"


def _templates() -> str:
    """Our templates of endpoints, for trunks that only callbacks use."""
    text = _between(_shipped("pjsip.conf"), "[carrier](!)", "#tryinclude")
    for ours, there in (
        ("[carrier](!)", "[stasis-callback-carrier](!)"),
        ("[incoming](!)", "[stasis-callback-incoming](!)"),
        ("transport = transport-udp\n", ""),
        ("context = from-trunk", f"context = {CONTEXT}"),
    ):
        text = text.replace(ours, there)
    return text.rstrip() + "\n"
