"""The tables of tariffs, vendors, trunks and routes. No behaviour here.

Amounts are micros, times microseconds since the epoch (UTC).
"""

from __future__ import annotations

from peewee import BigIntegerField, BooleanField, ForeignKeyField, IntegerField

from stasis_callback.store.database.tables import Table, TextField


class Tariff(Table):
    """A set of rates in one currency. `revision` counts its changes, so that a process knows when to read them.

    One that was removed stays, as its terms are append-only; and a copy counts as removed until it is complete. Both
    have names that nobody can give (`hidden_name`).
    """

    name = TextField(unique=True)
    currency = TextField()
    revision = IntegerField()
    created_at_us = BigIntegerField()
    retired_at_us = BigIntegerField(null=True)
    removed_at_us = BigIntegerField(null=True)


class TariffRevision(Table):
    """One change of a tariff: who reads its history, or takes it back, starts here."""

    tariff = ForeignKeyField(Tariff)
    number = IntegerField()
    kind = TextField()
    note = TextField()
    rates = IntegerField()
    created_at_us = BigIntegerField()

    class Meta:
        indexes = ((("tariff", "number"), True),)


class TariffTerms(Table):
    """One version of what a tariff adds to each of its rates. Never changed: the newest counts."""

    tariff = ForeignKeyField(Tariff)
    free_s = IntegerField()
    grace_s = IntegerField()
    surcharge_bp = IntegerField()
    minimum_micros = BigIntegerField()
    rounding_micros = BigIntegerField()
    rounding = TextField()
    off_peak = TextField()
    time_zone = TextField()
    opened = TextField()
    created_at_us = BigIntegerField()
    off_peak_by = TextField(default="interval")
    disconnect_fee_micros = BigIntegerField(default=0)
    disconnect_fee_after_s = IntegerField(default=0)
    maximum_micros = BigIntegerField(default=0)


class RateRow(Table):
    """One version of the price of a prefix. Never changed: of those whose `from_us` has come the newest counts.

    The prices are for `price_minutes` minutes: 1, or a power of ten for prices of more than six decimals.
    `takes_back`: it takes a scheduled one of its time back, and so follows what is in force before it. Null in rows
    from before there was the column.
    """

    tariff = ForeignKeyField(Tariff)
    revision = IntegerField()
    prefix = TextField()
    description = TextField()
    connect_fee_micros = BigIntegerField()
    first_interval_s = IntegerField()
    first_price_micros = BigIntegerField()
    next_interval_s = IntegerField()
    next_price_micros = BigIntegerField()
    off_peak_first_price_micros = BigIntegerField(null=True)
    off_peak_next_price_micros = BigIntegerField(null=True)
    forbidden = BooleanField()
    discontinued = BooleanField()
    from_us = BigIntegerField()
    price_minutes = IntegerField(default=1)
    takes_back = BooleanField(null=True)

    class Meta:
        table_name = "rate"


class RateProfile(Table):
    """How the lists of one carrier are read and written: JSON of what differs from `Profile()`."""

    name = TextField(unique=True)
    profile = TextField()
    created_at_us = BigIntegerField()


class Vendor(Table):
    """Who carries calls for us, and bills us in one currency."""

    name = TextField(unique=True)
    currency = TextField()
    created_at_us = BigIntegerField()
    retired_at_us = BigIntegerField(null=True)


class Trunk(Table):
    """A way into the network: the name of Asterisk's endpoint, the tariff we pay by, and what it can carry.

    `preference` orders trunks before cost does, the higher the sooner. `calls_limit` and `calls_per_s` are null
    where nothing limits them. `number_form` is JSON: what differs from the defaults of `NumberForm`, but for
    `called_out`, which is `number_rules`. `answers` says what SIP statuses mean on it, where that differs from the
    usual; a call that shows no sign of life within `no_progress_s` seconds is given up. `enabled_at_us` is when it
    was enabled for the first time. One that was removed stays for its call records.
    """

    name = TextField(unique=True)
    vendor = ForeignKeyField(Vendor)
    tariff = ForeignKeyField(Tariff)
    enabled = BooleanField()
    preference = IntegerField()
    calls_limit = IntegerField(null=True)
    calls_per_s = IntegerField(null=True)
    number_rules = TextField()
    number_form = TextField()
    created_at_us = BigIntegerField()
    answers = TextField(default="")
    no_progress_s = IntegerField(default=5)
    enabled_at_us = BigIntegerField(null=True)
    removed_at_us = BigIntegerField(null=True)


class Route(Table):
    """A prefix that a trunk carries. A trunk with routes carries nothing else; one without carries what it has a rate
    for.
    """

    trunk = ForeignKeyField(Trunk, backref="routes")
    prefix = TextField()
    preference = IntegerField()

    class Meta:
        indexes = ((("trunk", "prefix"), True),)
