"""What the engine needs of the store, in one value."""

from __future__ import annotations

from dataclasses import dataclass

from stasis_callback.clock import Clock
from stasis_callback.store.access_numbers import AccessNumbers
from stasis_callback.store.accounts import Accounts
from stasis_callback.store.api_keys import ApiKeys
from stasis_callback.store.calls import Calls
from stasis_callback.store.database import Database
from stasis_callback.store.email_instances import EMAIL, EmailInstances
from stasis_callback.store.email_senders import EmailSenders
from stasis_callback.store.events import Events
from stasis_callback.store.idempotency import IdempotencyKeys
from stasis_callback.store.instances import Instances
from stasis_callback.store.ledger import Ledger
from stasis_callback.store.limits import Limits
from stasis_callback.store.nodes import Nodes
from stasis_callback.store.replies import Replies
from stasis_callback.store.reports import Reports
from stasis_callback.store.requests import Requests
from stasis_callback.store.tariffs import Tariffs
from stasis_callback.store.throttle import Throttles
from stasis_callback.store.trunks import Trunks
from stasis_callback.store.vouchers import Vouchers
from stasis_callback.store.web_instances import WEB, WebInstances


@dataclass(frozen=True, slots=True)
class Stores:
    """The tables of one open database."""

    database: Database
    ledger: Ledger
    accounts: Accounts
    tariffs: Tariffs
    access_numbers: AccessNumbers
    requests: Requests
    calls: Calls
    throttles: Throttles
    vouchers: Vouchers
    limits: Limits
    web_instances: WebInstances
    api_keys: ApiKeys
    events: Events
    idempotency: IdempotencyKeys
    trunks: Trunks
    reports: Reports
    email_instances: EmailInstances
    email_senders: EmailSenders
    replies: Replies
    nodes: Nodes


def open_stores(url: str, node: str, clock: Clock) -> Stores:
    """Open the database and everything in it. Raises CallbackError when it cannot be used.

    `node` is what this process is called; it is that node once it has entered (`Nodes.enter`).
    """
    database = Database(url, clock)
    nodes = Nodes(database, clock, node)
    ledger = Ledger(database, clock)
    tariffs = Tariffs(database, clock)
    limits = Limits(database, clock)
    return Stores(
        database,
        ledger,
        Accounts(database, ledger, clock),
        tariffs,
        AccessNumbers(database, clock),
        Requests(database, clock, nodes.me),
        Calls(database, ledger, tariffs, clock, nodes.me),
        Throttles(database, clock),
        Vouchers(database, ledger, clock),
        limits,
        Instances(database, clock, WEB),
        ApiKeys(database, clock),
        Events(database, clock),
        IdempotencyKeys(database, clock),
        Trunks(database, limits, clock),
        Reports(database),
        Instances(database, clock, EMAIL),
        EmailSenders(database, clock),
        Replies(database, clock),
        nodes,
    )
