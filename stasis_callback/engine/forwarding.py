"""Forwards the CEL journal of this machine's Asterisk into the database, where other nodes can read it.

In a process of its own (`run --only journal`): it has to go on when the service is dead and Asterisk is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import structlog

from stasis_callback.ari.cel import CelEvent, CelRecord, JournalUnreadable, with_earlier
from stasis_callback.ari.cel_tail import JournalTail
from stasis_callback.ari.client import AriClient
from stasis_callback.ari.errors import AriError
from stasis_callback.clock import Clock
from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.store.calls.journals import Journals, Life
from stasis_callback.workers import Worker

log = structlog.get_logger()

LOOK_S = 1.0
"""How often it is looked for new events."""
BEAT_S = 5.0
"""How often it is told that this is still done, without new events too."""
ASTERISK_S = 2.0
_LEG = re.compile(r".+-[ab][0-9]+(\.[0-9]+)?")
"""The id of a leg. Missed calls have ids of Asterisk's own."""


class JournalForwarder:
    """One worker that forwards the journal of `node`, from where it was forwarded last."""

    def __init__(self, journals: Journals, client: AriClient, path: Path, node: str, clock: Clock) -> None:
        self._journals = journals
        self._client = client
        self._path = path
        self._node = node
        self._clock = clock
        self._tail: JournalTail | None = None
        self._next_beat_s = 0.0
        self._asterisk = ""
        self.worker = Worker("journal", self._work, clock)

    def _work(self, worker: Worker) -> None:
        while worker.goes_on:
            if not self.look():
                worker.pause(LOOK_S)

    def look(self) -> bool:
        """Forward what is new; whether there was anything, so that there may be more."""
        try:
            return self._forward()
        except (StoreUnavailable, JournalUnreadable) as error:
            log.warning("journal.not_forwarded", error=str(error))
            self._tail = None  # it goes on from what is stored
            return False

    def _forward(self) -> bool:
        tail = self._tail or self._begin()
        before = tail.position
        lives = lives_in(tail.look())
        self._tail, moved = tail, tail.position != before
        now_s = self._clock.monotonic_s()
        is_due = now_s >= self._next_beat_s
        if is_due:
            self._asterisk, self._next_beat_s = self._asterisk_started_at(), now_s + BEAT_S
        if is_due or moved:
            self._journals.keep(self._node, lives, tail.position, self._asterisk)
        return moved

    def _begin(self) -> JournalTail:
        last = self._journals.last_look(self._node)
        return JournalTail(self._path, self._clock, last.position if last else "")

    def _asterisk_started_at(self) -> str:
        """When the Asterisk that writes the journal started; "" where it does not answer."""
        try:
            return self._client.info(patience_s=ASTERISK_S).started_at
        except AriError:
            return ""


def lives_in(events: Sequence[CelEvent]) -> list[Life]:
    """What events say of legs, one row each; the first of a kind counts."""
    found: dict[str, CelRecord] = {}
    for kind, at_us, channel_id, extra in reversed(events):
        if _LEG.fullmatch(channel_id):
            found[channel_id] = with_earlier(
                found.get(channel_id) or CelRecord(channel_id), kind, at_us, extra
            )
    return [Life(*astuple(record)) for record in found.values()]
