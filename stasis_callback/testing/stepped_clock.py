"""The clock of one process, stepped while it runs: what a wrong time server, or an operator, does to a machine.

Only the wall clock moves; the monotonic clock goes on as the kernel's does. It takes libfaketime: `tools/get-faults`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

_LIBRARY = "usr/lib/*/faketime/libfaketimeMT.so.1"


class FaketimeUnavailable(Exception):
    """There is no libfaketime here; the message says what to do."""


class SteppedClock:
    """A clock that is right at first. Its offset is kept in `file`; processes that share it are one machine."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.offset_s = 0
        self.step(0)

    def step(self, seconds: int) -> None:
        """Step it by a number of seconds, for all its processes at once."""
        self.offset_s += seconds
        part = self._file.with_suffix(".part")
        part.write_text(f"{self.offset_s:+d}\n")
        part.rename(self._file)  # who reads finds the old one or the new one

    def environment(self, root: Path = Path("/"), inside: Callable[[Path], str] = str) -> dict[str, str]:
        """Variables for a process that lives in `root`, where a path of this machine is as `inside` says."""
        library = next(iter(sorted(root.glob(_LIBRARY))), None)
        if library is None:
            raise FaketimeUnavailable(
                f"there is no libfaketime in {root}: run tools/get-faults and tools/get-asterisk as root"
            )
        return {
            "LD_PRELOAD": f"/{library.relative_to(root)}",
            "FAKETIME_TIMESTAMP_FILE": inside(self._file),
            "FAKETIME_NO_CACHE": "1",  # the file is read at every look at the clock
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
