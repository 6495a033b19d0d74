"""Where benches work: a folder of their own beside the project's other caches, on a disk like that of a business."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / ".cache"
"""A disk, where /tmp may be memory: commits count."""


@contextmanager
def work_folder(name: str) -> Iterator[Path]:
    """A new folder for the bench of this name, which is removed with all that is in it."""
    CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=CACHE, prefix=f"bench-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
