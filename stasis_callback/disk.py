"""The check for free disk space."""

from __future__ import annotations

import shutil
from pathlib import Path

MB = 1_000_000


def disk_trouble(folder: Path, limit_mb: int) -> str:
    """What is wrong with the disk of a folder; "" if at least `limit_mb` megabytes are free."""
    try:
        free_mb = shutil.disk_usage(folder).free // MB
    except OSError as error:
        return f"cannot check the disk of {folder}: {error.strerror}"
    return "" if free_mb >= limit_mb else f"the disk of {folder} has only {free_mb} MB free"
