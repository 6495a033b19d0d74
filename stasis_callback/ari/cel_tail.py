"""What is new at the end of the CEL journal, from look to look, over rotations and restarts of the reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stasis_callback.ari.cel import LONGEST_S, CelEvent, events_in, readable
from stasis_callback.ari.cel_files import JournalFile, Renamed, files_of
from stasis_callback.clock import US_PER_S, Clock

AT_ONCE_BYTES = 1 << 20
"""How much is read in one look: so much is kept in one transaction."""
_POSITION = re.compile(r"([0-9]{1,20}):([0-9]{1,20})")


class JournalTail:
    """Reads the journal at `path` forwards, each line once, from a position that outlives the reader."""

    def __init__(self, path: Path | str, clock: Clock, position: str = "") -> None:
        """Go on from `position`, as this class has told it; "" begins with the oldest event that may still matter."""
        self._path = Path(path)
        self._clock = clock
        found = _POSITION.fullmatch(position)
        self._inode, self._offset = (int(found[1]), int(found[2])) if found else (0, 0)

    @property
    def position(self) -> str:
        """Where the next look begins: a file, and how much of it is read."""
        return f"{self._inode}:{self._offset}"

    def look(self) -> list[CelEvent]:
        """The events that were written since the last look, at most a mebibyte of them; none when there are none.

        Where its place is lost (the file was compressed, or removed) it reads again what there is of the last day:
        whoever keeps the events must not mind one that comes twice. Raises JournalUnreadable.
        """
        with readable(self._path):
            try:
                return [event for line in self._new_lines() for event in events_in(line)]
            except Renamed:
                return []  # while it was looked at: the next look finds it by its inode

    def _new_lines(self) -> Iterator[bytes]:
        files = files_of(self._path)[::-1]
        known = next((n for n, file in enumerate(files) if file.inode == self._inode), None)
        if known is None:
            oldest_us = self._clock.now_us() - LONGEST_S * US_PER_S
            files = [file for file in files if file.modified_us >= oldest_us]
            self._offset = 0
        else:
            files = files[known:]
        for file in files:
            if file.inode != self._inode:
                self._inode, self._offset = file.inode, 0
            read = self._read(file)
            if not read and file is not files[-1]:
                continue
            # What has no end yet is being written; in a file that was rotated nothing is.
            whole = (
                read if file is not files[-1] and len(read) < AT_ONCE_BYTES else read[: read.rfind(b"\n") + 1]
            )
            if not whole and len(read) == AT_ONCE_BYTES:
                whole = read  # no line is as long: damage
            self._offset += len(whole)
            yield from whole.split(b"\n")
            return

    def _read(self, file: JournalFile) -> bytes:
        with file.opened() as opened:
            if file.size < self._offset and file.is_plain:  # it was cut
                self._offset = 0
            opened.seek(self._offset)
            return opened.read(AT_ONCE_BYTES)
