"""The billing journal: Asterisk's channel event log, as `cel_custom` writes it (asterisk-conf/cel_custom.conf).

It goes on while the service is down, per channel id and in microseconds, so it says what a leg whose events were
missed really cost. One line per event: eventtype, eventtime (epoch seconds), uniqueid, linkedid, and for HANGUP
the EXTRA field, JSON with the cause.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from stasis_callback.clock import US_PER_S, Clock

_BLOCK = 1 << 16
_POLL_S = 0.05
# Events are written in order per channel but only nearly so over all channels.
_DISORDER_US = 10 * US_PER_S


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
    """Reads the journal at `path` and, once rotated, the older `path` + `.1`. Never writes."""

    def __init__(self, path: Path | str, *, clock: Clock | None = None) -> None:
        self._path = Path(path)
        self._clock = clock or Clock()

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
        pause = self._clock.inbox()
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
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_size

    def _events_backwards(
        self, wanted: Collection[str], oldest_us: int | None
    ) -> Iterator[tuple[str, int, str, str]]:
        """Events of the wanted channels, newest first. `wanted` may shrink meanwhile."""
        for path in (self._path, self._path.with_name(self._path.name + ".1")):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                continue
            with file:
                for line in _lines_backwards(file, wanted):
                    event = _parse(line)
                    if event is None:
                        continue
                    if oldest_us is not None and event[1] < oldest_us:
                        return
                    if event[2] in wanted:
                        yield event


def _with(record: CelRecord, kind: str, at_us: int, extra: str) -> CelRecord:
    """Read backwards, the last one seen of a kind is the first that happened, and that one counts."""
    if kind == "CHAN_START":
        return replace(record, started_at_us=at_us)
    if kind == "ANSWER":
        return replace(record, answered_at_us=at_us)
    if kind == "HANGUP":
        return replace(record, ended_at_us=at_us, cause=_cause(extra))
    return record


def _lines_backwards(file: BinaryIO, wanted: Collection[str]) -> Iterator[bytes]:
    """Lines, last first. Of a block that names no wanted channel only the oldest, which tells its age."""
    for block in _blocks_backwards(file):
        lines = block.split(b"\n")
        yield from reversed(lines if any(name.encode() in block for name in wanted) else lines[:1])


def _blocks_backwards(file: BinaryIO) -> Iterator[bytes]:
    """Whole lines in blocks, last block first; what follows the last newline is still being written."""
    position = file.seek(0, os.SEEK_END)
    later = b""  # what was read of a line that begins further up
    complete = False  # whether the newline behind the last whole line has been seen
    while position:
        size = min(_BLOCK, position)
        position -= size
        file.seek(position)
        block = file.read(size) + later
        if not complete:
            end = block.rfind(b"\n") + 1
            complete = end > 0
            block = block[:end] if complete else block
        start = block.find(b"\n") + 1 if position else 0
        later = block[:start] if complete else block
        if complete:
            yield block[start:]


def _parse(line: bytes) -> tuple[str, int, str, str] | None:
    """(type, time, channel id, extra) of a line; None for one that is damaged."""
    try:
        kind, at, channel_id, _linked_id, extra, *_ = next(csv.reader([line.decode(errors="replace")]))
        seconds, _, fraction = at.partition(".")
        return kind, int(seconds) * US_PER_S + int(fraction[:6].ljust(6, "0")), channel_id, extra
    except (ValueError, StopIteration, csv.Error):
        return None


def _cause(extra: str) -> int | None:
    """HANGUP's EXTRA: `{"hangupcause":16,...}`, or the bare number."""
    try:
        value = json.loads(extra)
    except ValueError:
        return None
    cause = value.get("hangupcause") if isinstance(value, dict) else value
    return cause if isinstance(cause, int) else None
