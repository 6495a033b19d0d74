"""The tables of trunks and where they lead, as peewee models; see `models.py`, which has them all."""

from __future__ import annotations

from peewee import BigIntegerField, BooleanField, ForeignKeyField, IntegerField

from stasis_callback.store.rate_models import Tariff
from stasis_callback.store.tables import Table, TextField


class Vendor(Table):
    """Who carries calls for us, and bills us in one currency."""

    name = TextField(unique=True)
    currency = TextField()
    created_at_us = BigIntegerField()


class Trunk(Table):
    """A way into the network: the name of Asterisk's endpoint, the tariff we pay by, and what it can carry.

    `preference` orders trunks before cost does, the higher the sooner. `calls_limit` and `calls_per_s` are null
    where nothing limits them.
    """

    name = TextField(unique=True)
    vendor = ForeignKeyField(Vendor)
    tariff = ForeignKeyField(Tariff)
    enabled = BooleanField()
    preference = IntegerField()
    calls_limit = IntegerField(null=True)
    calls_per_s = IntegerField(null=True)
    number_rules = TextField()
    created_at_us = BigIntegerField()


class Route(Table):
    """A prefix that a trunk carries. A trunk with routes carries nothing else; one without carries what it has a rate
    for.
    """

    trunk = ForeignKeyField(Trunk, backref="routes")
    prefix = TextField()
    preference = IntegerField()

    class Meta:
        indexes = ((("trunk", "prefix"), True),)
