"""A small disk of its own, which tests fill."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


class SmallDisk:
    """A folder with a file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave not a byte."""
        with suppress(OSError), self._ballast.open("ab", buffering=0) as ballast:
            for size in (65_536, 512, 1):
                with suppress(OSError):
                    while ballast.write(bytes(size)):
                        pass

    def free(self) -> None:
        """Give back what was filled."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, *, size_bytes: int = 1 << 20) -> Iterator[SmallDisk]:
    """A new disk at a folder. Skips where tests may not mount, but not under CI."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "small-disk", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        if os.environ.get("CI"):
            raise RuntimeError(f"a test needs to mount a small disk and may not: {' '.join(words)}")
        pytest.skip("only root can mount a small disk")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
