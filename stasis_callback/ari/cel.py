"""The billing journal: Asterisk's channel event log, as `cel_custom` writes it (asterisk-conf/cel_custom.conf).

It goes on while the service is down, per channel id and in microseconds, so it says what a leg whose events were
missed really cost. One line per event: eventtype, eventtime (epoch seconds), uniqueid, linkedid, and for HANGUP
the EXTRA field, JSON with the cause.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import structlog

from stasis_callback.clock import US_PER_S, Clock, Inbox

log = structlog.get_logger()

_BLOCK = 1 << 16
_POLL_S = 0.05
# Events are written in order per channel but only nearly so over all channels.
_DISORDER_US = 10 * US_PER_S
# So much of the end is always looked at: where the machine's clock was set back, the newest lines look old.
_ALWAYS_READ = 4 * _BLOCK
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")

# A power cut tears the last line, and the next one is glued to what is left of it. So a line is cut where events
# begin, and an event counts when all but its last field is whole.
_BEGIN = re.compile(rb'"?[A-Z_]+","\d')
_EVENT = re.compile(rb'"?([A-Z_]+)","(\d+)(?:\.(\d{1,6})\d*)?","([^"]*)","[^"]*"(?:,"(.*?)"?$)?')

Event = tuple[str, int, str, bytes]
"""Type, time, channel id, extra."""


@dataclass(frozen=True, slots=True)
class CelRecord:
    """The life of one channel, by Asterisk's clock; None for what has not happened (or is not in the journal)."""

    channel_id: str
    started_at_us: int | None = None
    answered_at_us: int | None = None
    ended_at_us: int | None = None
    cause: int | None = None
    """Q.850 cause of the end; Asterisk's own fuse leaves 0 or 16."""


class CelJournal:
    """Reads the journal at `path` and what it was rotated to (`path` + anything, not compressed). Never writes.

    A file that cannot be read says nothing, and the log says so.
    """

    def __init__(self, path: Path | str, *, clock: Clock | None = None) -> None:
        self._path = Path(path)
        self._clock = clock or Clock()
        self._unreadable = ""

    def records(
        self, channel_ids: Collection[str], *, not_before_us: int | None = None
    ) -> dict[str, CelRecord]:
        """What the journal says about these channels; one it does not name is missing from the answer.

        Reads backwards until the start of every channel is found, so recent calls are cheap in a large file.
        `not_before_us`: a time before all of them; stops there, which matters when a channel never was.
        An id that was used twice gets its last life.
        """
        wanted = {channel_id: CelRecord(channel_id) for channel_id in channel_ids}
        open_ids = set(wanted)
        oldest_us = None if not_before_us is None else not_before_us - _DISORDER_US
        for kind, at_us, channel_id, extra in self._events_backwards(open_ids, oldest_us):
            wanted[channel_id] = _with(wanted[channel_id], kind, at_us, extra)
            if kind == "CHAN_START":
                open_ids.discard(channel_id)
                if not open_ids:
                    break
        return {
            channel_id: record for channel_id, record in wanted.items() if record != CelRecord(channel_id)
        }

    def wait_for_end(
        self, channel_id: str, timeout_s: float, *, not_before_us: int | None = None
    ) -> CelRecord | None:
        """Wait until the channel's HANGUP is in the journal; None when it was not within `timeout_s`."""
        pause: Inbox[None] = Inbox(self._clock)
        deadline_s = self._clock.monotonic_s() + timeout_s
        seen: object = ()
        while True:
            if (now := self._fingerprint()) != seen:
                seen = now
                record = self.records([channel_id], not_before_us=not_before_us).get(channel_id)
                if record is not None and record.ended_at_us is not None:
                    return record
            if self._clock.monotonic_s() >= deadline_s:
                return None
            pause.get(_POLL_S)

    def _fingerprint(self) -> tuple[int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_size

    def _events_backwards(self, wanted: Collection[str], oldest_us: int | None) -> Iterator[Event]:
        """Events of the wanted channels, newest first. `wanted` may shrink meanwhile."""
        read = 0
        for block in self._blocks_backwards():
            names = [name.encode() for name in wanted]
            if any(name in block for name in names):
                for line in reversed(block.split(b"\n")):
                    yield from (event for event in reversed([*_events(line)]) if event[2] in wanted)
            read += len(block)
            if oldest_us is not None and read > _ALWAYS_READ and _older(block, oldest_us):
                return

    def _blocks_backwards(self) -> Iterator[bytes]:
        for path in self._files():
            try:
                with path.open("rb") as file:
                    yield from _blocks_backwards(file)
            except FileNotFoundError:
                continue  # nothing was written yet, or it is being rotated
            except OSError as error:
                if self._unreadable != str(error):
                    log.error("cel.unreadable", error=str(error))
                self._unreadable = str(error)

    def _files(self) -> list[Path]:
        """The journal, then what it was rotated to, the newest first."""
        older: list[tuple[int, Path]] = []
        for path in self._path.parent.glob(f"{self._path.name}?*"):
            try:
                if path.suffix not in _COMPRESSED:
                    older.append((path.stat().st_mtime_ns, path))
            except OSError:
                continue  # it is being rotated: under its new name it is found, or the next time
        return [self._path, *(path for _, path in sorted(older, reverse=True))]


def _with(record: CelRecord, kind: str, at_us: int, extra: bytes) -> CelRecord:
    """Read backwards, the last one seen of a kind is the first that happened, and that one counts."""
    if kind == "CHAN_START":
        return replace(record, started_at_us=at_us)
    if kind == "ANSWER":
        return replace(record, answered_at_us=at_us)
    if kind == "HANGUP":
        return replace(record, ended_at_us=at_us, cause=_cause(extra))
    return record


def _blocks_backwards(file: BinaryIO) -> Iterator[bytes]:
    """Whole lines in blocks, last block first. The last line may be torn, or still be written."""
    position = file.seek(0, os.SEEK_END)
    later = b""  # what was read of a line that begins further up
    while position:
        size = min(_BLOCK, position)
        position -= size
        file.seek(position)
        block = file.read(size) + later
        start = block.find(b"\n") + 1 if position else 0
        later = block[:start]
        yield block[start:]


def _events(line: bytes) -> Iterator[Event]:
    """The events of a line: one, or none where it is damaged, or more where lines were torn."""
    begins = [found.start() for found in _BEGIN.finditer(line)]
    for begin, end in pairwise([*begins, len(line)]):
        found = _EVENT.match(line[begin:end])
        if found:
            kind, seconds, fraction, channel_id, extra = found.groups(b"")
            at_us = int(seconds) * US_PER_S + int(fraction.ljust(6, b"0"))
            yield kind.decode(), at_us, channel_id.decode(errors="replace"), extra


def _older(block: bytes, oldest_us: int) -> bool:
    """Whether the first event of a block is older."""
    first = next(_events(block[: block.find(b"\n")]), None)
    return first is not None and first[1] < oldest_us


def _cause(extra: bytes) -> int | None:
    """HANGUP's EXTRA: `{"hangupcause":16,...}`, or the bare number."""
    try:
        value = json.loads(extra.replace(b'""', b'"'))
    except ValueError:
        return None
    cause = value.get("hangupcause") if isinstance(value, dict) else value
    return cause if isinstance(cause, int) else None
