"""The tables as peewee models. No behaviour here: rules live in `core`, money moves in `ledger.py`.

The schema itself, with its constraints, is made by the numbered files in `migrations/`; a test holds the two
together. Amounts are micros, times microseconds since the epoch (UTC).
"""

from __future__ import annotations

from peewee import BigIntegerField, BooleanField, ForeignKeyField, IntegerField

from stasis_callback.store.email_models import EmailInstance, EmailReply, EmailSender, EmailToken
from stasis_callback.store.node_models import Node, NodeEvent
from stasis_callback.store.tables import Table, TextField


class Book(Table):
    """An account of the ledger. House books (revenue, cash, overrun) keep no balance: one hot row.

    `spent_micros` is what was charged on `spent_day` (days since the epoch, UTC), for the daily cap.
    """

    name = TextField(unique=True)
    currency = TextField()
    house = BooleanField()
    balance_micros = BigIntegerField()
    held_micros = BigIntegerField()
    credit_limit_micros = BigIntegerField()
    daily_cap_micros = BigIntegerField(null=True)
    spent_day = IntegerField(default=0)
    spent_micros = BigIntegerField(default=0)


class Customer(Table):
    """Who is billed: a person or a company with one or more accounts. `book` is for those that share its funds."""

    name = TextField(unique=True)
    currency = TextField()
    book = ForeignKeyField(Book, null=True)
    created_at_us = BigIntegerField()


class Tariff(Table):
    """A set of rates in one currency. `revision` counts its changes, so that a process knows when to read them."""

    name = TextField(unique=True)
    currency = TextField()
    revision = IntegerField()
    created_at_us = BigIntegerField()


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
    created_at_us = BigIntegerField()


class RateRow(Table):
    """One version of the price of a prefix. Never changed: of those whose `from_us` has come the newest counts."""

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

    class Meta:
        table_name = "rate"


class Product(Table):
    """What an account buys: the tariff its calls are rated by."""

    name = TextField(unique=True)
    tariff = ForeignKeyField(Tariff)
    created_at_us = BigIntegerField()


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
    book = ForeignKeyField(Book)
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


class Throttle(Table):
    """Wrong logins by whoever tried them; survives a restart."""

    key = TextField(primary_key=True)
    failures = IntegerField()
    locked_until_us = BigIntegerField()


class Allowance(Table):
    """How often something was done since a window of time began; `key` says what, and by whom."""

    key = TextField(primary_key=True)
    count = IntegerField()
    until_us = BigIntegerField()


class AccessNumber(Table):
    """A number subscribers ring. `options` is a JSON object with what differs from the defaults."""

    number = TextField(unique=True)
    enabled = BooleanField()
    options = TextField()
    created_at_us = BigIntegerField()


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


class RequestEvent(Table):
    """A step of a web callback, and whether its instance's webhook has been told."""

    request = ForeignKeyField(Request)
    step = TextField()
    at_us = BigIntegerField()
    delivery = TextField()
    attempts = IntegerField()
    due_at_us = BigIntegerField()


class Idempotency(Table):
    """The first answer to a request that may be repeated; `answer` is null while it is being made."""

    key = TextField(primary_key=True)
    input_hash = TextField()
    answer = TextField(null=True)
    created_at_us = BigIntegerField()


class Leg(Table):
    """One attempt to reach one number. Its id is the Asterisk channel id, chosen before the attempt."""

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


class Hold(Table):
    """Funds set aside for one leg."""

    leg = ForeignKeyField(Leg, primary_key=True)
    book = ForeignKeyField(Book)
    amount_micros = BigIntegerField()
    state = TextField()
    created_at_us = BigIntegerField()
    closed_at_us = BigIntegerField(null=True)


class Transfer(Table):
    """One posting. Its key makes it happen once; its entries sum to zero."""

    key = TextField(unique=True)
    input_hash = TextField()
    kind = TextField()
    note = TextField()
    operator = TextField(default="")
    reverses = ForeignKeyField("self", null=True, unique=True)
    created_at_us = BigIntegerField()


class Entry(Table):
    """One line of a transfer: `amount_micros` more (or less) in a book."""

    transfer = ForeignKeyField(Transfer, backref="entries")
    book = ForeignKeyField(Book)
    amount_micros = BigIntegerField()


class Voucher(Table):
    """Money on paper: whoever knows the code, of which only a hash is kept, adds it to an account, once."""

    code_hash = TextField(unique=True)
    batch = TextField()
    amount_micros = BigIntegerField()
    currency = TextField()
    state = TextField()
    expires_at_us = BigIntegerField(null=True)
    redeemed_by = ForeignKeyField(Account, null=True)
    redeemed_at_us = BigIntegerField(null=True)
    created_at_us = BigIntegerField()


class Xdr(Table):
    """What one leg was and cost. Written once, when the leg is settled."""

    leg = ForeignKeyField(Leg, unique=True)
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


ALL = (
    Book, Customer, Tariff, TariffRevision, TariffTerms, RateRow, Product, ProductCode, Account, Alias, SpeedDial,
    Vendor, Trunk, Route, Throttle, Allowance, AccessNumber, WebInstance, ApiKey, Request, RequestEvent, Idempotency,
    Leg, Hold, Transfer, Entry, Voucher, Xdr, EmailInstance, EmailSender, EmailToken, EmailReply,
    Node, NodeEvent,
)  # fmt: skip
