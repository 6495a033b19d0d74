"""Checks of this machine: the settings file, the CEL journal and its disk, the prompts, the look of web pages."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stasis_callback.admin.context import invocation
from stasis_callback.admin.node.findings import LOOPBACK, Finding
from stasis_callback.clock import US_PER_S, Clock, iso
from stasis_callback.core.errors import CallbackError
from stasis_callback.disk import disk_trouble, folder_trouble

if TYPE_CHECKING:
    from stasis_callback.ari.cel import CelJournal
    from stasis_callback.ivr.prompts import Prompts
    from stasis_callback.settings import Settings

ASTERISK_ETC = Path("/etc/asterisk")
SOUND_FOLDERS = (Path("/usr/share/asterisk/sounds"), Path("/var/lib/asterisk/sounds"))
WRITTEN_S = 10
"""Time allowed for Asterisk to write the journal after a leg has ended, in seconds."""
BEFORE_US = 60 * US_PER_S
"""Journal lines are searched from this long before the leg was stored, because clocks differ slightly."""


def settings_finding(config: Settings) -> Finding:
    """Whether an ARI password is set and the settings file is private."""
    from stasis_callback.settings import find_config

    path = find_config(invocation.config)
    if not config.ari.password.get_secret_value():
        return Finding("problem", "no ARI password is set", "set ari.password, or run `stasis-callback init`")
    if path is None:
        return Finding("ok", "no settings file: the environment and the defaults apply")
    if path.stat().st_mode & 0o007:
        return Finding("problem", f"all users can read the password in {path}", f"run `chmod 600 {path}`")
    return Finding("ok", f"settings file {path}")


def conf_findings() -> Iterator[Finding]:
    """Files of Asterisk's configuration that its user may not read: Asterisk goes on without them."""
    try:
        user = pwd.getpwnam("asterisk")
        groups = {user.pw_gid, *(entry.gr_gid for entry in grp.getgrall() if user.pw_name in entry.gr_mem)}
        files = [
            file for name in ("", "local", "stasis-callback") for file in (ASTERISK_ETC / name).glob("*.conf")
        ]
        hidden = sorted(file for file in files if not _may_read(file, user.pw_uid, groups))
    except (KeyError, OSError):
        return  # no such user here, or not ours to look
    if hidden:
        more = f", and {len(hidden) - 1} more" if len(hidden) > 1 else ""
        yield Finding(
            "problem",
            f"Asterisk may not read {hidden[0]}{more}",
            f"run `chgrp asterisk {hidden[0]} && chmod 640 {hidden[0]}`, then `asterisk -rx 'core reload'`",
        )


def _may_read(file: Path, user: int, groups: Collection[int]) -> bool:
    found = file.stat()
    bit = 0o400 if found.st_uid == user else 0o040 if found.st_gid in groups else 0o004
    return bool(found.st_mode & bit)


def journal_findings(config: Settings, last_answered: tuple[str, int, int] | None) -> Iterator[Finding]:
    """Whether the CEL journal can be read and contains the last leg that was answered here."""
    from stasis_callback.ari.cel import CelJournal, JournalUnreadable

    path = config.asterisk.cel_path
    if trouble := _folder_trouble(path, config.database.free_limit_mb):
        yield Finding("problem", trouble, "free disk space: without it Asterisk cannot record when calls end")
    if not path.exists() and os.access(path.parent, os.R_OK | os.X_OK) and last_answered is None:
        yield Finding(
            "warning", f"the CEL journal {path} does not exist yet", "Asterisk creates it at the first call"
        )
        return
    try:
        missing = _missing(CelJournal(path), path, last_answered)
    except JournalUnreadable as error:
        yield Finding(
            "problem",
            f"{error}: after a crash, calls could not be charged exactly",
            "compare asterisk.cel_path with cel_custom.conf, and let this user read the file",
        )
        return
    if missing:
        yield Finding(
            "problem",
            f"the CEL journal {path} does not contain {missing}: after a crash, calls could not be charged exactly",
            "check that Asterisk writes it (cel.conf, cel_custom.conf) and that asterisk.cel_path is correct",
        )
    else:
        yield Finding("ok", f"CEL journal {path} can be read")


def _missing(journal: CelJournal, path: Path, last_answered: tuple[str, int, int] | None) -> str:
    """The leg that is missing in the journal, in words, or "". Raises JournalUnreadable."""
    leg_id, dialed_at_us, ended_at_us = last_answered or ("", Clock().now_us(), Clock().now_us())
    found = journal.records([leg_id], not_before_us=dialed_at_us - BEFORE_US)
    just_ended = Clock().now_us() < ended_at_us + WRITTEN_S * US_PER_S
    # A journal that was started after the call, or was deleted, proves nothing.
    says_nothing = path.exists() and path.stat().st_size > 0 and not found.reaches_back
    if leg_id in found or just_ended or says_nothing:
        return ""
    return f"leg {leg_id}, which ended at {iso(ended_at_us)}"


def _folder_trouble(path: Path, limit_mb: int) -> str:
    return disk_trouble(path.parent, limit_mb) if path.parent.is_dir() else ""


def _is_local(config: Settings) -> bool:
    return urlsplit(config.ari.url).hostname in LOOPBACK


def look_findings(config: Settings) -> Iterator[Finding]:
    """Whether the folder with the look of the web pages can be read, if there is to be one."""
    folder = config.web.brand_dir if config.web.enabled else ""
    if folder and (trouble := folder_trouble(folder)):
        yield Finding(
            "warning",
            f"web.brand_dir {folder} cannot be read: {trouble}: pages have the usual look",
            "let the user of the service read it, or correct the setting",
        )


def prompts_findings(
    config: Settings, languages: Collection[str], brands: Collection[str]
) -> Iterator[Finding]:
    """Whether our prompts in these languages, and those of brands, can be read, and Asterisk's sounds have them."""
    from stasis_callback.ivr.prompts import Prompts
    from stasis_callback.resources import sounds_dir

    found: list[Prompts] = []
    for name in sorted(languages):
        try:
            found.append(Prompts(sounds_dir(), name))
        except CallbackError as error:
            advice = f"let the user of the service read {sounds_dir() / name}, or restore it"
            yield Finding("problem", str(error), advice)
    for brand in sorted(brands):
        yield from _brand_findings(sounds_dir(), [prompts.language for prompts in found], brand)
    if found:
        yield _sounds_finding(config, found)


def _brand_findings(sounds: Path, languages: Sequence[str], brand: str) -> Iterator[Finding]:
    """What keeps the sounds of a brand from being played in any of the languages."""
    from stasis_callback.ivr.prompts import BRANDS, brands_sounds

    closed, there = False, False
    for name in languages:
        try:
            there |= bool(brands_sounds(sounds, name, brand))
        except OSError as error:
            closed = True
            yield Finding(
                "warning",
                f"the sounds of brand {brand} cannot be read: {error.filename}: {error.strerror}",
                "let the user of the service read the folder; until then the usual prompts are played",
            )
    if languages and not closed and not there:
        yield Finding(
            "warning",
            f"brand {brand} has no sounds of its own in {', '.join(languages)}: the usual prompts are played",
            f"put them into {sounds / languages[0] / BRANDS / brand}, or empty the option `brand`",
        )


def _sounds_finding(config: Settings, found: Sequence[Prompts]) -> Finding:
    """Whether Asterisk's sounds contain these prompts."""
    from stasis_callback.resources import sounds_dir

    languages = [prompts.language for prompts in found]
    folders = [folder for folder in SOUND_FOLDERS if folder.is_dir()]
    if not _is_local(config) or not folders:
        return Finding("warning", "cannot check from this machine whether Asterisk has the prompts")
    missing = [
        name for name in languages if not any((f / name / "stasis-callback").is_dir() for f in folders)
    ]
    if missing:
        where = folders[0] / missing[0] / "stasis-callback"
        return Finding(
            "problem",
            f"Asterisk has no prompts in {', '.join(missing)}",
            f"run `ln -s {sounds_dir() / missing[0]} {where}`",
        )
    for prompts in found:
        name = prompts.language
        if absent := _absent_sounds(prompts, folders):
            return Finding(
                "problem",
                f"Asterisk has no sound {absent[0]}, and {len(absent) - 1} more in {name}: these prompts are silent",
                f"install the core sounds of {name} in {folders[0] / name}, see docs/quickstart.md",
            )
    return Finding("ok", f"prompts in {', '.join(languages)}")


def _absent_sounds(prompts: Prompts, folders: Collection[Path]) -> list[str]:
    """Sounds of a language that none of Asterisk's folders has."""
    from stasis_callback.ivr.prompts import missing_sounds

    return sorted(set.intersection(*(set(missing_sounds(prompts, folder)) for folder in folders)))
