"""The tables of nodes. No behaviour here.

Amounts are micros, times microseconds since the epoch (UTC).
"""

from __future__ import annotations

from peewee import BigIntegerField

from stasis_callback.store.database.tables import Table, TextField


class Node(Table):
    """A service and the Asterisk it works with, by the name in its settings.

    `incarnation` is the start that has the name now, or had it last; `asterisk` (entity id) and `asterisk_started_at`
    are its Asterisk's; `trunks` says how its trunks did at its last sign of life (`core/trunk_state.py`). Whether the
    node lives is not written here: it has the lock of its name.
    """

    name = TextField(primary_key=True)
    state = TextField()
    incarnation = TextField()
    asterisk = TextField()
    asterisk_started_at = TextField()
    started_at_us = BigIntegerField()
    seen_at_us = BigIntegerField()
    stopped_at_us = BigIntegerField(null=True)
    trunks = TextField(default="")


class NodeEvent(Table):
    """What was done to a node from outside: by whom, and why."""

    node = TextField()
    event = TextField()
    operator = TextField()
    reason = TextField()
    at_us = BigIntegerField()
