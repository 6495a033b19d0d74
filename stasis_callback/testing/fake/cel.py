"""The CEL journal of a fake Asterisk: a CSV file as `cel_custom` writes it with the project's configuration."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from .model import Channel


class Cel:
    """Appends one quoted row per event: type, time (epoch seconds, 6 decimals), uniqueid, linkedid, extra."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def write(self, event: str, channel: Channel, at_us: int, extra: dict[str, object] | None = None) -> None:
        """Append `event` of `channel`; the file is closed each time, so a reader sees whole rows."""
        seconds = f"{at_us // 1_000_000}.{at_us % 1_000_000:06d}"
        row = [
            event,
            seconds,
            channel.id,
            channel.linkedid,
            json.dumps(extra, separators=(",", ":")) if extra else "",
        ]
        with self.path.open("a", newline="") as journal:
            csv.writer(journal, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(row)
