"""`doctor --bundle`: what somebody who helps needs to know, in one file, without secrets and without numbers."""

from __future__ import annotations

import io
import json
import platform
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from stasis_callback.admin.context import open_database, settings, shown_url
from stasis_callback.admin.files import new_file
from stasis_callback.admin.node.findings import Finding
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import CallbackError
from stasis_callback.core.numbers import mask

LINES = 500
UNIT = "stasis-callback"
ASTERISK_LOG = Path("/var/log/asterisk/messages.log")
_NUMBER = re.compile(r"(?<![0-9A-Za-z])\+?[0-9]{7,15}(?![0-9A-Za-z])")
_ADDRESS = re.compile(r"[^\s\"'<>=:;,]+@(?=[A-Za-z0-9-]+\.)")
_PRIVATE = {("email", "imap_user"), ("email", "imap_address")}
"""Settings that are neither secret nor anybody else's business."""


def write_bundle(file: Path, findings: Iterable[Finding]) -> list[str]:
    """Write the archive; the names of its files. What cannot be had is replaced by the reason."""
    parts = {
        "findings.json": _json([asdict(finding) for finding in findings]),
        "settings.json": _or_why(lambda: _json(_settings())),
        "versions.json": _or_why(lambda: _json(_versions())),
        "database.json": _or_why(lambda: _json(_database())),
        "service.log": redacted(_or_why(_service_log)),
        "asterisk.log": redacted(_or_why(_asterisk_log)),
    }
    with new_file(file) as stream, tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, text in parts.items():
            content = text.encode(errors="replace")
            entry = tarfile.TarInfo(f"{file.name.partition('.')[0]}/{name}")
            entry.size, entry.mtime = len(content), Clock().now_us() // US_PER_S
            archive.addfile(entry, io.BytesIO(content))
    return list(parts)


def redacted(text: str) -> str:
    """Numbers masked as in the log, and of e-mail addresses the domain only."""
    return _ADDRESS.sub("***@", _NUMBER.sub(lambda found: mask(found[0]), text))


def _json(value: object) -> str:
    return json.dumps(_redacted(value), indent=2, ensure_ascii=False) + "\n"


def _redacted(value: object) -> object:
    """The same with all its texts redacted."""
    if isinstance(value, dict):
        return {name: _redacted(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_redacted(inner) for inner in value]
    return redacted(value) if isinstance(value, str) else value


def _or_why(make: Callable[[], str]) -> str:
    try:
        return make()
    except (CallbackError, OSError, subprocess.SubprocessError) as error:
        return f"not available: {error}\n"


def _settings() -> dict[str, Any]:
    values = settings().model_dump(mode="json")  # secrets are asterisks
    values["database"]["url"] = shown_url(values["database"]["url"])
    for section, name in _PRIVATE:
        values[section][name] = "***" if values[section][name] else ""
    return dict(values)


def _versions() -> dict[str, Any]:
    packages = {each.metadata["Name"]: each.version for each in distributions()}
    return {
        "stasis-callback": packages.get("stasis-callback"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "distribution": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
        "packages": dict(sorted(packages.items())),
    }


def _database() -> dict[str, Any]:
    from stasis_callback.store.backup import applied_migrations
    from stasis_callback.store.copying import row_counts

    url = settings().database.url
    migrations = applied_migrations(url)
    with open_database(url) as s:
        return {
            "kind": s.database.kind,
            "migrations": migrations,
            "rows": row_counts(s.database),
            "nodes": [{"name": n.name, "state": n.state, "calls": n.calls} for n in s.nodes.all()],
        }


def _service_log() -> str:
    done = subprocess.run(
        ["journalctl", f"--unit={UNIT}", f"--lines={LINES}", "--output=cat", "--no-pager"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=20,
    )
    return done.stdout or f"not available: {done.stderr or 'journalctl has no lines of this unit'}\n"


def _asterisk_log() -> str:
    with ASTERISK_LOG.open("rb") as log:
        log.seek(max(0, ASTERISK_LOG.stat().st_size - LINES * 200))
        lines = log.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-LINES:]) + "\n"
