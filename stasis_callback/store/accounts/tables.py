"""The tables of customers, products and accounts. No behaviour here.

Amounts are micros, times microseconds since the epoch (UTC).
"""

from __future__ import annotations

from peewee import BigIntegerField, DeferredForeignKey, ForeignKeyField, IntegerField

from stasis_callback.store.database.tables import Table, TextField
from stasis_callback.store.rates.tables import Tariff


class Customer(Table):
    """Who is billed: a person or a company with one or more accounts. `book` is for those that share its funds."""

    name = TextField(unique=True)
    currency = TextField()
    book = DeferredForeignKey("Book", null=True)
    created_at_us = BigIntegerField()
    retired_at_us = BigIntegerField(null=True)


class Product(Table):
    """What an account buys: the tariff its calls are rated by.

    When a charge brings its funds below `low_balance_micros` (null: never), a web instance's receiver is told, and
    the account's registered senders from an e-mail instance's address.
    """

    name = TextField(unique=True)
    tariff = ForeignKeyField(Tariff)
    created_at_us = BigIntegerField()
    retired_at_us = BigIntegerField(null=True)
    low_balance_micros = BigIntegerField(null=True)
    low_balance_webhook = TextField(default="")
    low_balance_mail = TextField(default="")


class ProductCode(Table):
    """The tariff that a product's calls with this access code are rated by, in place of its usual one."""

    product = ForeignKeyField(Product, backref="codes")
    access_code = TextField()
    tariff = ForeignKeyField(Tariff)

    class Meta:
        indexes = ((("product", "access_code"), True),)


class Account(Table):
    """A subscriber's account. `number` is the account id people know; the money is in its book."""

    number = TextField(unique=True)
    customer = ForeignKeyField(Customer)
    product = ForeignKeyField(Product)
    book = DeferredForeignKey("Book")
    status = TextField()
    callback_number = TextField()
    language = TextField()
    password_hash = TextField()
    expires_at_us = BigIntegerField(null=True)
    kind = TextField()
    batch = TextField(default="")
    simultaneous_calls = IntegerField(default=1)
    days_after_first_use = IntegerField(null=True)
    days_after_last_use = IntegerField(null=True)
    first_used_at_us = BigIntegerField(null=True)
    last_used_at_us = BigIntegerField(null=True)
    created_at_us = BigIntegerField()


class Alias(Table):
    """A further id of an account, such as the number of a second phone."""

    number = TextField(primary_key=True)
    account = ForeignKeyField(Account, backref="aliases")


class SpeedDial(Table):
    """A number behind one or two keys, for one account."""

    account = ForeignKeyField(Account, backref="speed_dials")
    key = TextField()
    number = TextField()

    class Meta:
        indexes = ((("account", "key"), True),)


class Notice(Table):
    """What an instance is to be told of, and whether it was: that a charge has brought an account's funds below its
    threshold, or without an account, what was set aside: `about`, a JSON object.
    """

    key = TextField(unique=True)
    account = ForeignKeyField(Account, null=True)
    threshold_micros = BigIntegerField()
    at_us = BigIntegerField()
    medium = TextField()
    instance = TextField()
    delivery = TextField()
    attempts = IntegerField()
    due_at_us = BigIntegerField()
    about = TextField(default="")


class SetAside(Table):
    """That a caller, an account, a number ... is set aside by the fraud control or an operator, and until when.

    `operator` has set it aside or released it; a release brings `until_us` forward.
    """

    subject = TextField()
    measure = TextField()
    note = TextField()
    operator = TextField()
    at_us = BigIntegerField()
    until_us = BigIntegerField()
    released_at_us = BigIntegerField(null=True)


class Voucher(Table):
    """A voucher. Its code, of which only a hash is stored, tops up one account, once."""

    code_hash = TextField(unique=True)
    batch = TextField()
    amount_micros = BigIntegerField()
    currency = TextField()
    state = TextField()
    expires_at_us = BigIntegerField(null=True)
    redeemed_by = ForeignKeyField(Account, null=True)
    redeemed_at_us = BigIntegerField(null=True)
    created_at_us = BigIntegerField()
    seal = TextField(default="")
