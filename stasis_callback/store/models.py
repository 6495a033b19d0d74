"""The tables as peewee models. No behaviour here: rules live in `core`, money moves in `ledger.py`.

The schema itself, with its constraints, is made by the numbered files in `migrations/`; a test holds the two
together. Amounts are micros, times microseconds since the epoch (UTC).
"""

from __future__ import annotations

from peewee import BigIntegerField, BooleanField, ForeignKeyField, IntegerField

from stasis_callback.store.email_models import EmailInstance, EmailReply, EmailSender, EmailToken
from stasis_callback.store.node_models import Node, NodeEvent
from stasis_callback.store.rate_models import RateRow as RateRow
from stasis_callback.store.rate_models import Tariff as Tariff
from stasis_callback.store.rate_models import TariffRevision as TariffRevision
from stasis_callback.store.rate_models import TariffTerms as TariffTerms
from stasis_callback.store.route_models import Route as Route
from stasis_callback.store.route_models import Trunk as Trunk
from stasis_callback.store.route_models import Vendor as Vendor
from stasis_callback.store.tables import Table, TextField


class Book(Table):
    """An account of the ledger. House books (revenue, cash, overrun) keep no balance: one hot row.

    `spent_micros` is what was charged on `spent_day` (days since the epoch, UTC), for the daily cap. `links` counts
    the transfers and xDRs of the book's chain, `head` is the seal of the last one (see `chain.py`).
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
    links = BigIntegerField(default=0)
    head = TextField(default="")


class Customer(Table):
    """Who is billed: a person or a company with one or more accounts. `book` is for those that share its funds."""

    name = TextField(unique=True)
    currency = TextField()
    book = ForeignKeyField(Book, null=True)
    created_at_us = BigIntegerField()


class Draft(Table):
    """A change of many rows that is being written, `written` of them so far: they do not count while it stands."""

    key = TextField(primary_key=True)
    token = TextField()
    written = BigIntegerField()
    until_us = BigIntegerField()


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


class Throttle(Table):
    """Wrong logins by whoever tried them; survives a restart."""

    key = TextField(primary_key=True)
    failures = IntegerField()
    locked_until_us = BigIntegerField()
    failed_at_us = BigIntegerField(default=0)


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
    instance = TextField(default="")


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
    """One posting. Its key makes it happen once; its entries sum to zero.

    It is link number `link` of the chain of `book`, which has `balance_micros` after it. Null or 0, here and in
    `xdr`, it is where an older service still writes while the tables are new already.
    """

    key = TextField(unique=True)
    input_hash = TextField()
    kind = TextField()
    note = TextField()
    operator = TextField(default="")
    reverses = ForeignKeyField("self", null=True, unique=True)
    created_at_us = BigIntegerField()
    book = ForeignKeyField(Book, null=True)
    link = BigIntegerField(default=0)
    balance_micros = BigIntegerField(default=0)
    seal = TextField(default="")

    class Meta:
        indexes = ((("book", "link"), True),)


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
    seal = TextField(default="")


class Xdr(Table):
    """What one leg was and cost. Written once, when the leg is settled: link number `link` of the chain of `book`.

    Its number stands in the seal behind `number_salt`; where that is "" the number is forgotten, and `number_hash`
    stands there for it.
    """

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
    number_salt = TextField(default="")
    number_hash = TextField(default="")
    book = ForeignKeyField(Book, null=True)
    link = BigIntegerField(default=0)
    seal = TextField(default="")

    class Meta:
        indexes = ((("book", "link"), True),)


class Proof(Table):
    """How far the chain of a book is proven, and what the book had there: where `ledger verify` goes on."""

    book = ForeignKeyField(Book, primary_key=True)
    link = BigIntegerField()
    seal = TextField()
    balance_micros = BigIntegerField()
    spent_day = IntegerField()
    spent_micros = BigIntegerField()


class Repair(Table):
    """Something that was left open and was ended by an operator's command. Never changed."""

    subject = TextField()
    done = TextField()
    operator = TextField()
    reason = TextField()
    at_us = BigIntegerField()


class ProofRound(Table):
    """Where `ledger verify` goes on to prove again what it has proven, one row for each thing it goes round."""

    name = TextField(primary_key=True)
    position = TextField()


ALL = (
    Book, Customer, Tariff, TariffRevision, TariffTerms, RateRow, Draft, Product, ProductCode, Account, Alias,
    SpeedDial, Vendor, Trunk, Route, Throttle, Allowance, AccessNumber, WebInstance, ApiKey, Request, RequestEvent,
    Idempotency, Leg, Hold, Transfer, Entry, Voucher, Xdr, Proof, ProofRound, EmailInstance, EmailSender, EmailToken,
    EmailReply, Node, NodeEvent, Repair,
)  # fmt: skip
