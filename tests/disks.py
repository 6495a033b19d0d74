"""The disks of tests: one in memory for all that is usual, and a small one of its own, which tests fill."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")  # pytest makes a folder of its own there, which only its user may enter
ENOUGH_BYTES = 4 << 30


def has_room_in_memory() -> bool:
    """Whether the folders of tests can be kept in memory.

    A commit waits for the disk. One that other machines use too kept a commit waiting for half a minute, and then a
    test fails that has waited for the program.
    """
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return False
    disk = os.statvfs(MEMORY)
    memory_bytes = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return not disk.f_flag & os.ST_NOEXEC and min(disk.f_bavail * disk.f_frsize, memory_bytes) > ENOUGH_BYTES


class SmallDisk:
    """A folder with a file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Fill the disk completely."""
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


class _Capabilities(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


@contextmanager
def bound_by_modes() -> Iterator[None]:
    """This thread, and those that it starts, may do only what the modes of files allow, as root too."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (_Capabilities * 2)()
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    before = sets[0].effective
    sets[0].effective = before & ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    libc.capset(header, sets)
    try:
        yield
    finally:
        sets[0].effective = before
        libc.capset(header, sets)
