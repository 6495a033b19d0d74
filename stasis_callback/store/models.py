"""All tables, in the order in which rows can be inserted: for copying, and for comparison with the migrations.

The tables of the books are here for copying alone: by no name of this module, and import-linter knows who reads it.
It must be imported before the database is opened: foreign keys between subpackages are connected here.

The schema with its constraints is created by the numbered files in `database/migrations/`; a test compares the two.
"""

from __future__ import annotations

from peewee import DeferredForeignKey

from stasis_callback.store.accounts.tables import (
    Account,
    Alias,
    Customer,
    Notice,
    Product,
    ProductCode,
    SetAside,
    SpeedDial,
    Voucher,
)
from stasis_callback.store.calls.tables import (
    AccountRevenue,
    CallClass,
    ChannelLife,
    Forwarded,
    LegRow,
    Repair,
    Request,
    RequestEvent,
    Total,
    TotalOfAccount,
    TotalOfCustomer,
    TotalOfDigits,
    TotalOfPrefix,
    TotalOfTrunk,
    TotalsUntil,
    Xdr,
)
from stasis_callback.store.database.drafts import Draft
from stasis_callback.store.database.limits import Allowance
from stasis_callback.store.database.trail import AuditEntry
from stasis_callback.store.intake.tables import (
    AccessNumber,
    ApiKey,
    EmailInstance,
    EmailReply,
    EmailSender,
    EmailToken,
    Idempotency,
    MessageInstance,
    NeverCall,
    OptOut,
    PaymentHook,
    Throttle,
    WebInstance,
)
from stasis_callback.store.money import tables as _money
from stasis_callback.store.node.tables import Node, NodeEvent
from stasis_callback.store.operators.tables import ConsoleForm, ConsoleProposal, ConsoleSession, ConsoleUser
from stasis_callback.store.rates.tables import (
    RateProfile,
    RateRow,
    Route,
    Tariff,
    TariffRevision,
    TariffTerms,
    Trunk,
    Vendor,
)

ALL = (
    _money.Book, Customer, Tariff, TariffRevision, TariffTerms, RateRow, RateProfile, Draft, Product,
    ProductCode, Account, Alias, SpeedDial, Notice, Vendor, Trunk, Route, Throttle, Allowance, AccessNumber,
    WebInstance, ApiKey, PaymentHook, Request, RequestEvent, Idempotency, LegRow, _money.Hold, _money.Transfer,
    _money.Entry, Voucher, Xdr, _money.Proof, _money.ProofRound, EmailInstance, EmailSender, EmailToken,
    EmailReply, Node, NodeEvent, Repair, AuditEntry, OptOut, NeverCall, SetAside, MessageInstance, ConsoleUser,
    ConsoleSession,
    ConsoleForm, ConsoleProposal, ChannelLife, Forwarded, Total, TotalOfTrunk, TotalOfPrefix, TotalOfCustomer,
    TotalOfDigits, CallClass, TotalOfAccount, AccountRevenue, TotalsUntil,
)  # fmt: skip

# Keys that name a table of a room that they may not see are tied to it here.
for table in ALL:
    DeferredForeignKey.resolve(table)
