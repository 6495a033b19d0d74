"""The tables of the console. No behaviour here.

Times are microseconds since the epoch (UTC).
"""

from __future__ import annotations

from peewee import BigIntegerField, ForeignKeyField

from stasis_callback.store.database.tables import Table, TextField


class ConsoleUser(Table):
    """An operator. `code_step` is the time step of the last code of theirs that was accepted: each is good once."""

    name = TextField(unique=True)
    role = TextField()
    password_hash = TextField()
    code_key = TextField()
    code_step = BigIntegerField()
    created_at_us = BigIntegerField()


class ConsoleSession(Table):
    """Somebody who is signed in. Of the token in their browser only a hash is kept.

    `proved_at_us`: when they last gave password and code.
    """

    token_hash = TextField(unique=True)
    user = ForeignKeyField(ConsoleUser)
    created_at_us = BigIntegerField()
    seen_at_us = BigIntegerField()
    proved_at_us = BigIntegerField()


class ConsoleForm(Table):
    """A form that was sent: it is not carried out again when it comes once more."""

    key = TextField(unique=True)
    sent_at_us = BigIntegerField()


class ConsoleProposal(Table):
    """A change that a second operator has to agree to. `command` is a JSON list of words.

    `state` is waiting, agreed or declined. `outcome` of what was agreed to is done or failed, "" until that is known;
    `said` is what the command said then.
    """

    key = TextField(unique=True)
    command = TextField()
    proposer = TextField()
    proposed_at_us = BigIntegerField()
    state = TextField()
    decider = TextField()
    decided_at_us = BigIntegerField(null=True)
    outcome = TextField()
    said = TextField()
