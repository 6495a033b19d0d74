"""The files of an SQLite database: where they are, and why they cannot be used.

SQLite writes beside its file as well (`-wal`, `-shm`), and so do our locks (`name_locks.py`): all are named after the
file itself, whatever symbolic link led there.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from pathlib import Path

from stasis_callback.core.errors import CallbackError, StoreUnavailable
from stasis_callback.disk import sqlite_file
from stasis_callback.store.database.trouble import cause_of

IN_USE = "lock"
"""The name of the lock that every process has while it has the database open, shared with the others."""


def sqlite_path(url: str) -> Path:
    """The file behind `sqlite:///path`, by its own name."""
    path = sqlite_file(url)
    assert path is not None
    return path


def beside(path: Path, name: str) -> Path:
    """The file of a lock."""
    return path.with_name(f"{path.name}.{name}")


def require_one_name(path: Path) -> None:
    """Raises CallbackError if the file has other names: hard links, which do not lead to what is beside it.

    By another name SQLite would look for another log, and we for other locks: both would be wrong, unnoticed.
    """
    try:
        found = path.stat()
    except OSError:
        return  # what is wrong with it, who opens it tells
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        raise CallbackError(
            f"the database {path} has {found.st_nlink} names (hard links), of which only one may be used: remove the "
            f"others (`find {path.parent} -xdev -samefile {path}`), and make copies with `stasis-callback backup`"
        )


def is_read_only(path: Path) -> bool:
    """Whether the file system of a database is mounted read-only."""
    try:
        return bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def why_not_opened(path: Path, error: Exception, *, passes: bool) -> CallbackError:
    """What to raise for a database file that cannot be opened: what stands in the way, and what to do.

    A StoreUnavailable where it may be opened later as it is: `passes`, a disk that is full or mounted read-only.
    """
    folder = path.parent
    if passes:
        return StoreUnavailable(f"the database {path} cannot be opened: {error}")
    if is_read_only(path):
        return StoreUnavailable(
            f"the database {path} cannot be written to: its file system is mounted read-only; look for the reason in "
            "the kernel's log (dmesg), then mount it writable"
        )
    if _is_full(folder, error):
        return StoreUnavailable(f"the disk of the database {path} is full: free some space on it")
    denied = next((p for p in (path, folder) if p.exists() and not _is_ours(p)), None)
    if denied is not None:
        what = "the file" if denied == path else f"its folder {denied}, where SQLite keeps a log beside it,"
        return CallbackError(
            f"the database {path} cannot be written to: {what} may not be written by user {os.geteuid()}; run the "
            "command as its owner, or give the file and its folder to the user of the service (chown)"
        )
    return CallbackError(f"the database {path} cannot be opened: {error}")


def _is_ours(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK, effective_ids=True)


def _is_full(folder: Path, error: Exception) -> bool:
    """Whether there is no room on the disk: SQLite says that of what it writes, not of what it cannot create."""
    cause = cause_of(error)
    code = getattr(cause, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL or getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_bavail == 0 or (disk.f_files > 0 and disk.f_favail == 0)
