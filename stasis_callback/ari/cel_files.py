"""The files of a journal, and their lines from the last to the first. What the lines say is `cel`'s business."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import IO, Any

BLOCK_BYTES = 1 << 16
LINE_LIMIT_BYTES = 1 << 13
"""A longer line is damage: of it only the end is looked at, where a whole line may begin."""

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_NUMBER = re.compile(r"\.([0-9]{1,5})(\.[a-z0-9]+)?")
"""What is put behind the name when it is rotated by number: .1 is the newest."""


class Renamed(FileNotFoundError):
    """A file was renamed while the files were looked at: what was seen of them is of two moments."""


@dataclass(frozen=True, slots=True)
class JournalFile:
    """One file, as it was when it was opened."""

    path: Path
    inode: int
    size: int
    modified_us: int

    def blocks(self, names: Collection[bytes]) -> Iterator[bytes]:
        """Its lines in blocks, the last block first; its last line may be torn, or be written right now.

        Of a compressed file, which can be read in one direction only, those that have one of `names` in them, and the
        first, which tells how old it is. Raises OSError, Renamed.
        """
        with self._file() as file:
            opener = _OPENERS.get(self.path.suffix)
            if opener is None:
                yield from _backwards(file, self.size)
            else:
                yield from reversed(list(_those_with(opener(file, "rb"), names)))

    @property
    def is_plain(self) -> bool:
        """Whether it is not compressed."""
        return self.path.suffix not in _OPENERS

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """What it holds, to be read forwards. Raises OSError, Renamed."""
        with self._file() as file:
            yield file if self.is_plain else _OPENERS[self.path.suffix](file, "rb")

    def _file(self) -> IO[bytes]:
        try:
            file = self.path.open("rb")
        except FileNotFoundError as error:
            raise Renamed from error
        if os.fstat(file.fileno()).st_ino != self.inode:
            file.close()
            raise Renamed(f"{self.path} is another file now")
        return file


def files_of(path: Path) -> list[JournalFile]:
    """The journal at `path` and its rotated files, under any names, newest first. Raises OSError, Renamed."""
    found: list[tuple[tuple[int, int], JournalFile]] = []
    for file in path.parent.iterdir():
        if file.name.startswith(path.name):
            try:
                stat = file.stat()
            except FileNotFoundError as error:
                if file.is_symlink():  # to nowhere
                    continue
                raise Renamed from error
            if S_ISREG(stat.st_mode) or file == path:
                looked_at = JournalFile(file, stat.st_ino, stat.st_size, stat.st_mtime_ns // 1000)
                found.append((_age(file.name.removeprefix(path.name), looked_at), looked_at))
    return [file for _, file in sorted(found, key=lambda one: one[0])]


def _age(suffix: str, file: JournalFile) -> tuple[int, int]:
    """What the files sort by: the journal itself, numbers, and what has another name by when it was written last."""
    if not suffix:
        return 0, 0
    number = _NUMBER.fullmatch(suffix)
    return (1, int(number[1])) if number else (2, -file.modified_us)


def _backwards(file: IO[bytes], size: int) -> Iterator[bytes]:
    position = size
    later = b""  # what was read of a line that begins further up
    while position:
        length = min(BLOCK_BYTES, position)
        position -= length
        file.seek(position)
        block = file.read(length)
        if len(block) < length:  # truncated in the meantime: the reader detects this, and reads again
            return
        block += later
        start = block.find(b"\n") + 1 if position else 0
        if start or not position:
            later, block = block[:start], block[start:]
            yield block
        else:
            later = block
        later = later[-LINE_LIMIT_BYTES:]


def _those_with(file: IO[bytes], names: Collection[bytes]) -> Iterator[bytes]:
    begun = b""
    first = True
    while read := file.read(BLOCK_BYTES):
        lines, end, begun = (begun + read).rpartition(b"\n")
        if first or any(name in lines for name in names):
            yield lines + end
        first = False
        begun = begun[-LINE_LIMIT_BYTES:]
    yield begun
