"""The tables of callbacks, their legs, call records and steps. No behaviour here.

Amounts are micros, times microseconds since the epoch (UTC).
"""

from __future__ import annotations

from peewee import (
    BigIntegerField,
    BooleanField,
    CompositeKey,
    DeferredForeignKey,
    ForeignKeyField,
    IntegerField,
)

from stasis_callback.store.accounts.tables import Account, Customer
from stasis_callback.store.database.tables import Table, TextField
from stasis_callback.store.rates.tables import RateRow, TariffTerms, Trunk


class Request(Table):
    """A callback from the moment it was asked for: the queue, and the call's state.

    `attempts` counts those in which Asterisk was asked, `claims` all that were begun (they number the legs).
    `account` pays for leg A. `subscriber` is whose conversation it is and pays for leg B: the same account, but for
    a PIN callback, where the internal account pays for leg A and the subscriber is known after the login.
    `claimed_by` and `incarnation` are the node that works on it, or did so last; `asterisk` is where its legs are.
    """

    id = TextField(primary_key=True)
    key = TextField(unique=True)
    triggered_by = TextField()
    ani = TextField()
    dnis = TextField()
    account = ForeignKeyField(Account, null=True)
    subscriber = ForeignKeyField(Account, null=True)
    leg_a_number = TextField()
    options = TextField()
    state = TextField()
    outcome = TextField()
    attempts = IntegerField()
    created_at_us = BigIntegerField()
    due_at_us = BigIntegerField()
    claimed_by = TextField()
    lease_until_us = BigIntegerField()
    finished_at_us = BigIntegerField(null=True)
    destination = TextField()
    instance = TextField()
    incarnation = TextField(default="")
    asterisk = TextField(default="")
    claims = IntegerField(default=0)
    cancel_wanted = BooleanField(default=False)
    reference = TextField(default="")
    told = TextField(default="")
    link = TextField(default="")
    source = TextField(default="")
    attestation = TextField(default="")
    transcript = TextField(default="")
    alive_mark = TextField(default="")


class RequestEvent(Table):
    """A step of a web callback, and whether its instance's webhook has been told."""

    request = ForeignKeyField(Request)
    step = TextField()
    at_us = BigIntegerField()
    delivery = TextField()
    attempts = IntegerField()
    due_at_us = BigIntegerField()
    instance = TextField(default="")


class LegRow(Table):
    """One attempt to reach one number. Its id is the Asterisk channel id, chosen before the attempt.

    `reserved_s` and `reserved_micros` are what budgets of its number range and number have counted for it before its
    end; null for none. `reserved_before_s` and `reserved_before_micros` of them were counted before the day (UTC)
    `reserved_day`, or before a release; null for none.
    """

    id = TextField(primary_key=True)
    request = ForeignKeyField(Request, backref="legs")
    side = TextField()
    number = TextField()
    account = ForeignKeyField(Account)
    rate = ForeignKeyField(RateRow)
    terms = ForeignKeyField(TariffTerms, null=True)
    state = TextField()
    dialed_at_us = BigIntegerField()
    answered_at_us = BigIntegerField(null=True)
    trunk = ForeignKeyField(Trunk, null=True)
    cost_rate = ForeignKeyField(RateRow, null=True)
    cost_terms = ForeignKeyField(TariffTerms, null=True)
    reserved_micros = BigIntegerField(null=True)
    reserved_s = BigIntegerField(null=True)
    answered_mark = TextField(null=True)
    reserved_before_s = BigIntegerField(null=True)
    reserved_before_micros = BigIntegerField(null=True)
    reserved_day = BigIntegerField(null=True)

    class Meta:
        table_name = "leg"


class Xdr(Table):
    """What one leg was and cost. Written once, when the leg is settled: link number `link` of the chain of `book`.

    Its number stands in the seal behind `number_salt`; where that is "" the number is forgotten, and `number_hash`
    stands there for it.
    """

    leg = ForeignKeyField(LegRow, unique=True)
    request = ForeignKeyField(Request)
    side = TextField()
    account = ForeignKeyField(Account)
    number = TextField()
    prefix = TextField()
    dialed_at_us = BigIntegerField()
    answered_at_us = BigIntegerField(null=True)
    ended_at_us = BigIntegerField()
    duration_us = BigIntegerField()
    charged_s = BigIntegerField()
    amount_micros = BigIntegerField()
    overrun_micros = BigIntegerField()
    currency = TextField()
    outcome = TextField()
    cause = IntegerField()
    source = TextField()
    created_at_us = BigIntegerField()
    trunk = ForeignKeyField(Trunk, null=True)
    cost_micros = BigIntegerField(default=0)
    cost_currency = TextField(default="")
    clock_suspect = BooleanField(default=False)
    no_media = BooleanField(default=False)
    number_salt = TextField(default="")
    number_hash = TextField(default="")
    book = DeferredForeignKey("Book", null=True)
    link = BigIntegerField(default=0)
    seal = TextField(default="")

    class Meta:
        indexes = ((("book", "link"), True),)


class Repair(Table):
    """Something that was left open and was ended by an operator's command. Never changed."""

    subject = TextField()
    done = TextField()
    operator = TextField()
    reason = TextField()
    at_us = BigIntegerField()


class ChannelLife(Table):
    """What the CEL journal of a node says of a leg, where other nodes can read it. Its id is the leg's.

    Written by the node that forwards it, however often; the first time that is known of an event stays.
    """

    id = TextField(primary_key=True)
    started_at_us = BigIntegerField(null=True)
    answered_at_us = BigIntegerField(null=True)
    ended_at_us = BigIntegerField(null=True)
    cause = IntegerField(null=True)
    noted_at_us = BigIntegerField()


class Forwarded(Table):
    """How far the journal of a node is forwarded: where its reader goes on, and when it last looked.

    `asterisk_started_at` is the Asterisk that it saw at work then, "" where it did not answer.
    """

    node = TextField(primary_key=True)
    position = TextField()
    asterisk_started_at = TextField()
    looked_at_us = BigIntegerField()


class _Times(Table):
    """What the call records add up to that ended in one time: `hours` hours from `from_us` on.

    `store/calls/totals.py` says which times there are. A trunk of 0 is the one of the settings.
    """

    hours = IntegerField()
    from_us = BigIntegerField()
    duration_us = BigIntegerField()
    charged_s = BigIntegerField()
    amount_micros = BigIntegerField()
    overrun_micros = BigIntegerField()
    cost_micros = BigIntegerField()


class _Sums(_Times):
    """Of any number of accounts."""

    currency = TextField()
    cost_currency = TextField()
    attempts = BigIntegerField()
    answered = BigIntegerField()


class Total(_Sums):
    """All together."""

    class Meta:
        primary_key = CompositeKey("hours", "from_us", "currency", "cost_currency")


class TotalOfTrunk(_Sums):
    """By trunk, side and outcome."""

    trunk_id = BigIntegerField()
    side = TextField()
    outcome = TextField()

    class Meta:
        primary_key = CompositeKey(
            "hours", "from_us", "trunk_id", "side", "outcome", "currency", "cost_currency"
        )


class TotalOfPrefix(_Sums):
    """By the prefix of the rate, and by trunk, side and outcome."""

    prefix = TextField()
    trunk_id = BigIntegerField()
    side = TextField()
    outcome = TextField()

    class Meta:
        primary_key = CompositeKey(
            "hours", "from_us", "prefix", "trunk_id", "side", "outcome", "currency", "cost_currency"
        )


class TotalOfDigits(_Sums):
    """By the first digits of the number, and by the prefix of the rate, trunk, side and outcome.

    `first_digits` are what stays of a number that is forgotten: five, or two of a number of less than nine digits.
    """

    first_digits = TextField()
    prefix = TextField()
    trunk_id = BigIntegerField()
    side = TextField()
    outcome = TextField()

    class Meta:
        primary_key = CompositeKey(
            "hours",
            "from_us",
            "first_digits",
            "prefix",
            "trunk_id",
            "side",
            "outcome",
            "currency",
            "cost_currency",
        )


class TotalOfCustomer(_Sums):
    """By customer, prefix of the rate, first digits of the number, and trunk."""

    customer = ForeignKeyField(Customer)
    prefix = TextField()
    first_digits = TextField()
    trunk_id = BigIntegerField()

    class Meta:
        primary_key = CompositeKey(
            "hours", "from_us", "customer", "prefix", "first_digits", "trunk_id", "currency", "cost_currency"
        )


class CallClass(Table):
    """What calls of an account are told apart by in its totals. Never changed, and not removed."""

    id = IntegerField(primary_key=True)
    prefix = TextField()
    first_digits = TextField()
    trunk_id = BigIntegerField()
    side = TextField()
    outcome = TextField()
    currency = TextField()
    cost_currency = TextField()

    class Meta:
        indexes = (
            (("prefix", "first_digits", "trunk_id", "side", "outcome", "currency", "cost_currency"), True),
        )


class TotalOfAccount(_Times):
    """By account and class of calls: the most rows of all, so they are short."""

    account = ForeignKeyField(Account)
    class_id = IntegerField()
    attempts = IntegerField()
    answered = IntegerField()

    class Meta:
        primary_key = CompositeKey("hours", "from_us", "account", "class_id")


class AccountRevenue(Table):
    """What an account paid in each of 24 blocks of 32 days from `from_us` on, in micros; NULL without calls.

    `store/calls/ranking.py` says what for.
    """

    BLOCKS = 24

    from_us = BigIntegerField()
    account = ForeignKeyField(Account)
    for _n in range(BLOCKS):
        locals()[f"block_{_n}"] = BigIntegerField(null=True)

    class Meta:
        primary_key = CompositeKey("from_us", "account")


class TotalsUntil(Table):
    """One row: the totals have the call records up to this id; without it none.

    -1: they are being emptied, to be made anew.
    """

    id = IntegerField(primary_key=True)
    xdr_id = BigIntegerField()
