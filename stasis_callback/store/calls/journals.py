"""What the CEL journals of all nodes say of their legs, for the node that settles a dead one's calls."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from stasis_callback.clock import Clock
from stasis_callback.store.calls.tables import ChannelLife, Forwarded
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.statements import every, run, run_many

_KEEP = """INSERT INTO channel_life (id, started_at_us, answered_at_us, ended_at_us, cause, noted_at_us)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
    started_at_us = COALESCE(channel_life.started_at_us, excluded.started_at_us),
    answered_at_us = COALESCE(channel_life.answered_at_us, excluded.answered_at_us),
    ended_at_us = COALESCE(channel_life.ended_at_us, excluded.ended_at_us),
    cause = COALESCE(channel_life.cause, excluded.cause)"""
_LOOKED = """INSERT INTO forwarded (node, position, asterisk_started_at, looked_at_us) VALUES (?, ?, ?, ?)
    ON CONFLICT (node) DO UPDATE SET position = excluded.position,
    asterisk_started_at = excluded.asterisk_started_at, looked_at_us = excluded.looked_at_us"""

_GOING_ON = """SELECT DISTINCT r.id FROM request r
    JOIN leg l ON l.request_id = r.id JOIN channel_life c ON c.id = l.id
    WHERE r.claimed_by = ? AND r.state IN ('dialing', 'talking') AND c.ended_at_us IS NULL"""


class Life(NamedTuple):
    """What is known of a channel; None for what has not happened, or is not known yet. `cause` is Q.850's."""

    channel_id: str
    started_at_us: int | None
    answered_at_us: int | None
    ended_at_us: int | None
    cause: int | None


class Look(NamedTuple):
    """The last look at a node's journal."""

    position: str
    asterisk_started_at: str
    at_us: int


class Journals:
    """The tables of forwarded journals."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @unit
    def keep(self, node: str, lives: Sequence[Life], position: str, asterisk_started_at: str) -> None:
        """Keep what a look at a node's journal has found, and where the next one begins. Safe to repeat."""
        now_us = self._clock.now_us()
        if lives:
            run_many(_KEEP, [(*life, now_us) for life in sorted(lives)])
        run(_LOOKED, node, position, asterisk_started_at, now_us)

    @read
    def last_look(self, node: str) -> Look | None:
        """The last look at the journal of a node; None where nobody forwards it."""
        row = Forwarded.get_or_none(Forwarded.node == node)
        return Look(row.position, row.asterisk_started_at, row.looked_at_us) if row else None

    @read
    def lives(self, channel_ids: Collection[str]) -> list[Life]:
        """What is known of these channels, without those of which nothing is."""
        rows = ChannelLife.select().where(ChannelLife.id.in_(list(channel_ids)))
        return [
            Life(row.id, row.started_at_us, row.answered_at_us, row.ended_at_us, row.cause) for row in rows
        ]

    @read
    def going_on(self, node: str) -> set[str]:
        """Callbacks of a node with a leg that has begun and, as far as its journal is known, has not ended."""
        rows = every(_GOING_ON, node)
        return {request_id for (request_id,) in rows}
