"""The CEL journal: Asterisk's channel event log, as `cel_custom` writes it (asterisk-conf/cel_custom.conf).

It goes on while the service is down, per channel id and in microseconds, so it says what a leg whose events were
missed really cost. One line per event: eventtype, eventtime (epoch seconds), uniqueid, linkedid, and for HANGUP
the EXTRA field, JSON with the cause.

It is read backwards from its end, over as many rotated files as it takes, and never further than it has to be.
"""

from __future__ import annotations

import json
import lzma
import re
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from stasis_callback.ari.cel_files import LINE_LIMIT_BYTES, JournalFile, Renamed, files_of
from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import CallbackError

ALWAYS_BYTES = 1 << 20
"""This many bytes at the end are always read: after a clock was set back, new lines have old times."""
LONGEST_S = 26 * 3600
"""Default of how far back to read: no leg lasts longer."""
_POLL_S = 0.05
_TRIES = 5
# Events are written in order per channel but only nearly so over all channels.
_DISORDER_US = 10 * US_PER_S
_TAIL_BYTES = 1 << 16

# A power cut tears a line anywhere, and the next one is glued to what is left of it. So a line is cut where events
# begin, and an event counts when all but its last field is whole.
_BEGIN = re.compile(rb'"[A-Z_]+","[0-9]')
_EVENT = re.compile(
    rb'"([A-Z_]+)","([0-9]{1,12})(?:\.([0-9]{1,6})[0-9]*)?","([^"]+)","[^"]*"(?:,"((?:[^"]|"")*)"\r?$)?'
)

CelEvent = tuple[str, int, str, bytes]
"""Type, time, channel id, extra."""


class JournalUnreadable(CallbackError):
    """The journal cannot be read: nothing is known of any channel, which is not the same as that there was none."""


@dataclass(frozen=True, slots=True)
class CelRecord:
    """The life of one channel, by Asterisk's clock; None for what has not happened (or is not in the journal)."""

    channel_id: str
    started_at_us: int | None = None
    answered_at_us: int | None = None
    ended_at_us: int | None = None
    cause: int | None = None
    """Q.850 cause of the end; Asterisk's own fuse leaves 0 or 16."""


class Records(dict[str, CelRecord]):
    """What the journal says, by channel id; a channel that it does not name is missing."""

    reaches_back = False
    """Whether the journal goes back to the time asked for. Only then a channel that is missing never was: a journal
    that was deleted, or is younger than that, says nothing about it."""


class CelJournal:
    """Reads the journal at `path` and its rotated files. Never writes."""

    def __init__(self, path: Path | str, *, clock: Clock | None = None) -> None:
        self._path = Path(path)
        self._clock = clock or Clock()

    def records(self, channel_ids: Collection[str], *, not_before_us: int | None = None) -> Records:
        """What the journal says about these channels; one it does not name is missing from the answer.

        Reads backwards until the start of every channel is found, so recent calls are cheap in a large file.
        `not_before_us`: a time before all of them, by default a day ago; it stops there, which matters when a channel
        never was. An id that was used twice gets its last life. Raises JournalUnreadable.
        """
        if not_before_us is None:
            not_before_us = self._clock.now_us() - LONGEST_S * US_PER_S
        with readable(self._path):
            for _ in range(_TRIES):
                with suppress(Renamed):
                    files = files_of(self._path)
                    found = _Search(channel_ids, not_before_us).over(files)
                    if not _rotated(files, files_of(self._path)):
                        return found
                self._clock.inbox().get(_POLL_S)
        raise JournalUnreadable(f"the CEL journal {self._path} is rotated too often to be read")

    def wait_for_end(
        self, channel_id: str, timeout_s: float, *, not_before_us: int | None = None
    ) -> CelRecord | None:
        """Wait until the channel's HANGUP is in the journal; None when it was not within `timeout_s`.

        Raises JournalUnreadable when it still cannot be read then.
        """
        pause = self._clock.inbox()
        deadline_s = self._clock.monotonic_s() + timeout_s
        tail = _Tail(self._path, channel_id)
        while True:
            unreadable: JournalUnreadable | None = None
            try:
                if tail.may_name_it():
                    record = self.records([channel_id], not_before_us=not_before_us).get(channel_id)
                    if record is not None and record.ended_at_us is not None:
                        return record
            except JournalUnreadable as error:
                unreadable, tail = error, _Tail(self._path, channel_id)
            if self._clock.monotonic_s() >= deadline_s:
                if unreadable:
                    raise unreadable
                return None
            pause.get(_POLL_S)


class _Search:
    """One look through the files, from the newest line to as old a one as is needed."""

    def __init__(self, channel_ids: Collection[str], not_before_us: int) -> None:
        self._found = Records({channel_id: CelRecord(channel_id) for channel_id in channel_ids})
        self._open = set(channel_ids)
        self._names = [channel_id.encode() for channel_id in channel_ids]
        self._oldest_us = not_before_us - _DISORDER_US
        self._looked_at = 0

    def over(self, files: list[JournalFile]) -> Records:
        """The records found in the given files."""
        for file in files:
            if self._has_gone_back(file.modified_us) or self._over(file):
                break
        for channel_id, record in list(self._found.items()):
            if record == CelRecord(channel_id):
                del self._found[channel_id]
        return self._found

    def _has_gone_back(self, at_us: int) -> bool:
        """Whether something of this time is so old that what comes before it need not be looked at."""
        if at_us >= self._oldest_us:
            return False
        self._found.reaches_back = True
        return self._looked_at >= ALWAYS_BYTES

    def _over(self, file: JournalFile) -> bool:
        """Whether nothing is to be looked for beyond this file."""
        for block in file.blocks(self._names):
            self._looked_at += len(block)
            if self._is_enough(block):
                return True
        return False

    def _is_enough(self, block: bytes) -> bool:
        lines = block.split(b"\n")
        named = any(name in block for name in self._names)
        if not named:  # the oldest line of a block tells its age
            oldest = next((event for line in lines for event in events_in(line)), None)
            return oldest is not None and self._has_gone_back(oldest[1])
        for line in reversed(lines):
            for kind, at_us, channel_id, extra in reversed(events_in(line)):
                if self._has_gone_back(at_us):
                    return True
                if channel_id in self._open:
                    self._found[channel_id] = with_earlier(self._found[channel_id], kind, at_us, extra)
                    if kind == "CHAN_START":
                        self._open.discard(channel_id)
                        if not self._open:
                            return True
        return False


class _Tail:
    """What is new at the end of the journal, so that who waits does not read all of it again and again."""

    def __init__(self, path: Path, channel_id: str) -> None:
        self._path = path
        self._name = channel_id.encode()
        self._inode = -1
        self._read_up_to = 0

    def may_name_it(self) -> bool:
        """Whether there may be a line about the channel that was not there before. Raises JournalUnreadable."""
        with readable(self._path):
            try:
                stat = self._path.stat()
            except FileNotFoundError:
                changed, self._inode = self._inode != 0, 0
                return changed
            size, new_bytes = stat.st_size, stat.st_size - self._read_up_to
            if stat.st_ino != self._inode or new_bytes < 0 or new_bytes > _TAIL_BYTES:
                self._inode, self._read_up_to = stat.st_ino, max(size - LINE_LIMIT_BYTES, 0)
                return True
            if not new_bytes:
                return False
            with self._path.open("rb") as file:
                file.seek(self._read_up_to)
                new = file.read(new_bytes)
        self._read_up_to += new.rfind(b"\n") + 1
        return self._name in new


def _rotated(before: list[JournalFile], now: list[JournalFile]) -> bool:
    """Whether a file was renamed or cut meanwhile: it may have been read twice, or not at all."""
    sizes = {file.inode: file.size for file in now}
    return list(sizes) != [file.inode for file in before] or any(
        sizes[file.inode] < file.size for file in before
    )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Within the block, what cannot be read is a JournalUnreadable."""
    try:
        yield
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise JournalUnreadable(f"the CEL journal {path} cannot be read: {reason}") from error


def with_earlier(record: CelRecord, kind: str, at_us: int, extra: bytes) -> CelRecord:
    """A record with an event from before all that it has. So, read backwards, the first of a kind counts."""
    if kind == "CHAN_START":
        return replace(record, started_at_us=at_us)
    if kind == "ANSWER":
        return replace(record, answered_at_us=at_us)
    if kind == "HANGUP":
        return replace(record, ended_at_us=at_us, cause=cause_in(extra))
    return record


def events_in(line: bytes) -> list[CelEvent]:
    """What a line tells: one event, if it is not damaged."""
    line = line[-LINE_LIMIT_BYTES:]
    begins = [found.start() for found in _BEGIN.finditer(line)]
    events = []
    for begin, end in pairwise([*begins, len(line)]):
        if found := _EVENT.match(line[begin:end]):
            kind, seconds, fraction, channel_id, extra = found.groups(b"")
            at_us = int(seconds) * US_PER_S + int(fraction.ljust(6, b"0"))
            events.append((kind.decode(), at_us, channel_id.decode(errors="replace"), extra))
    return events


def cause_in(extra: bytes) -> int | None:
    """HANGUP's EXTRA: `{"hangupcause":16,...}`, or the bare number."""
    try:
        value = json.loads(extra.replace(b'""', b'"'))
    except ValueError:
        return None
    cause = value.get("hangupcause") if isinstance(value, dict) else value
    return cause if isinstance(cause, int) else None
