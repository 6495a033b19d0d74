"""How much room there is on a disk."""

from __future__ import annotations

import shutil
from pathlib import Path

MB = 1_000_000


def disk_trouble(folder: Path, limit_mb: int) -> str:
    """What is wrong with the disk of a folder, "" when `limit_mb` megabytes are free there."""
    try:
        free_mb = shutil.disk_usage(folder).free // MB
    except OSError as error:
        return f"the folder {folder} cannot be looked at: {error.strerror}"
    return "" if free_mb >= limit_mb else f"the disk of {folder} has {free_mb} MB left"
