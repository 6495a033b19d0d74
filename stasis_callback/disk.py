"""The file of an SQLite database, the check for free disk space, and that of a folder which is read from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MB = 1_000_000
_SQLITE = "sqlite:///"


def sqlite_file(url: str) -> Path | None:
    """The file behind `sqlite:///path`; None for a database server.

    By its own name, whatever symbolic links lead to it, as SQLite sees it: what is beside it is named after it.
    """
    return Path(os.path.realpath(url.removeprefix(_SQLITE))) if url.startswith(_SQLITE) else None


def disk_trouble(folder: Path, limit_mb: int) -> str:
    """What is wrong with the disk of a folder; "" if at least `limit_mb` megabytes are free."""
    try:
        free_mb = shutil.disk_usage(folder).free // MB
    except OSError as error:
        return f"cannot check the disk of {folder}: {error.strerror}"
    return "" if free_mb >= limit_mb else f"the disk of {folder} has only {free_mb} MB free"


def folder_trouble(folder: str) -> str:
    """What keeps this user from the files of a folder whose names are known; "" if nothing does."""
    try:
        Path(folder, "..").stat()  # through the folder, as to its files: that it can be listed is not needed
    except OSError as error:
        return error.strerror or str(error)
    return ""
