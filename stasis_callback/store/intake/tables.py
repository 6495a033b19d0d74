"""The tables of what comes in: access numbers, instances, senders, answers, limits. No behaviour here.

Amounts are micros, times microseconds since the epoch (UTC).
"""

from __future__ import annotations

from peewee import BigIntegerField, BooleanField, ForeignKeyField, IntegerField

from stasis_callback.store.accounts.tables import Account
from stasis_callback.store.database.tables import Table, TextField


class AccessNumber(Table):
    """A number subscribers ring. `options` is a JSON object with what differs from the defaults."""

    number = TextField(unique=True)
    enabled = BooleanField()
    options = TextField()
    created_at_us = BigIntegerField()


class WebInstance(Table):
    """A way to ask for callbacks over the web. `options` is a JSON object with what differs from the defaults."""

    name = TextField(unique=True)
    enabled = BooleanField()
    options = TextField()
    created_at_us = BigIntegerField()


class ApiKey(Table):
    """A program that may use the API. Of the key itself only a hash is kept."""

    name = TextField(unique=True)
    key_hash = TextField(unique=True)
    scopes = TextField()
    instance = TextField()
    created_at_us = BigIntegerField()
    revoked_at_us = BigIntegerField(null=True)
    limit_requests = TextField(default="6000/3600")
    limit_logins = TextField(default="1000/900")
    addresses = TextField(default="")
    expires_at_us = BigIntegerField(null=True)


class PaymentHook(Table):
    """Through which a provider tells of payments. `turn` counts its secrets, none of which is kept."""

    name = TextField(unique=True)
    turn = IntegerField()
    created_at_us = BigIntegerField()


class Idempotency(Table):
    """The first answer to a request that may be repeated; `answer` is null while it is being made."""

    key = TextField(primary_key=True)
    input_hash = TextField()
    answer = TextField(null=True)
    created_at_us = BigIntegerField()


class Throttle(Table):
    """Consecutive failed logins by key, for lockouts; they survive a restart."""

    key = TextField(primary_key=True)
    failures = IntegerField()
    locked_until_us = BigIntegerField()
    failed_at_us = BigIntegerField(default=0)


class EmailInstance(Table):
    """An address that takes mails. `options` is a JSON object with what differs from the defaults."""

    name = TextField(unique=True)
    enabled = BooleanField()
    options = TextField()
    created_at_us = BigIntegerField()


class MessageInstance(Table):
    """A gateway that hands over messages. `options` is a JSON object with what differs from the defaults."""

    name = TextField(unique=True)
    enabled = BooleanField()
    options = TextField()
    created_at_us = BigIntegerField()


class EmailSender(Table):
    """An address that may write for an account."""

    account = ForeignKeyField(Account)
    address = TextField()
    created_at_us = BigIntegerField()

    class Meta:
        indexes = ((("account", "address"), True),)


class EmailToken(Table):
    """A code that is good for one mail. Of the code only a hash is kept; `used_by` is the key of its request."""

    account = ForeignKeyField(Account)
    token_hash = TextField()
    used_by = TextField(null=True)
    expires_at_us = BigIntegerField()
    created_at_us = BigIntegerField()

    class Meta:
        indexes = ((("account", "token_hash"), True),)


class EmailReply(Table):
    """The answer to one mail, and whether it was sent. `content` is the whole mail, "" when it is over."""

    key = TextField(unique=True)
    recipient = TextField()
    content = TextField()
    delivery = TextField()
    attempts = IntegerField()
    due_at_us = BigIntegerField()
    created_at_us = BigIntegerField()


class NeverCall(Table):
    """A number, or the beginning of numbers, that is never called by anybody."""

    number = TextField(primary_key=True)
    note = TextField()
    created_at_us = BigIntegerField()


class OptOut(Table):
    """A number that nobody has called by a form or a mail."""

    number = TextField(primary_key=True)
    note = TextField()
    created_at_us = BigIntegerField()
