"""The tables of e-mail callback, as peewee models. Made by `migrations/0008_email.py`."""

from __future__ import annotations

from peewee import BigIntegerField, BooleanField, DeferredForeignKey, IntegerField

from stasis_callback.store.tables import Table, TextField


class EmailInstance(Table):
    """An address that takes mails. `options` is a JSON object with what differs from the defaults."""

    name = TextField(unique=True)
    enabled = BooleanField()
    options = TextField()
    created_at_us = BigIntegerField()


class EmailSender(Table):
    """An address that may write for an account."""

    account = DeferredForeignKey("Account")
    address = TextField()
    created_at_us = BigIntegerField()

    class Meta:
        indexes = ((("account", "address"), True),)


class EmailToken(Table):
    """A code that is good for one mail. Of the code only a hash is kept; `used_by` is the key of its request."""

    account = DeferredForeignKey("Account")
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
