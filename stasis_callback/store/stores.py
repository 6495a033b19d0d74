"""All stores of one open database in one object, which the rest of the product uses."""

from __future__ import annotations

from dataclasses import dataclass

from stasis_callback.clock import Clock
from stasis_callback.core.fraud import Alarms, Budgets
from stasis_callback.store.accounts.accounts import Accounts
from stasis_callback.store.accounts.fraud import Fraud
from stasis_callback.store.accounts.notices import Notices
from stasis_callback.store.accounts.search import AccountSearch
from stasis_callback.store.accounts.upkeep import Upkeep
from stasis_callback.store.accounts.vouchers import Vouchers
from stasis_callback.store.calls.finding import CallSearch
from stasis_callback.store.calls.fraud_history import FraudHistory
from stasis_callback.store.calls.journals import Journals
from stasis_callback.store.calls.legs import Calls
from stasis_callback.store.calls.reports import Reports
from stasis_callback.store.calls.requests import Requests
from stasis_callback.store.calls.steps import Events
from stasis_callback.store.calls.totals import Totals
from stasis_callback.store.database.database import Database
from stasis_callback.store.database.limits import Limits
from stasis_callback.store.database.patience import Patience as Patience
from stasis_callback.store.database.trail import Trail
from stasis_callback.store.intake.access_numbers import AccessNumbers
from stasis_callback.store.intake.api_keys import ApiKeys
from stasis_callback.store.intake.email_instances import EMAIL, EmailInstances
from stasis_callback.store.intake.idempotency import IdempotencyKeys
from stasis_callback.store.intake.instances import Instances
from stasis_callback.store.intake.message_instances import MESSAGE, MessageInstances
from stasis_callback.store.intake.number_lists import NEVER_CALL, OPT_OUTS, NumberList
from stasis_callback.store.intake.payment_hooks import PaymentHooks
from stasis_callback.store.intake.replies import Replies
from stasis_callback.store.intake.senders import EmailSenders
from stasis_callback.store.intake.throttle import Throttles
from stasis_callback.store.intake.web_instances import WEB, WebInstances
from stasis_callback.store.models import ALL as ALL_TABLES  # noqa: F401 - ties the tables of the rooms together
from stasis_callback.store.money.ledger import Ledger
from stasis_callback.store.node.nodes import Nodes
from stasis_callback.store.operators.operators import Operators
from stasis_callback.store.operators.proposals import Proposals
from stasis_callback.store.operators.sessions import Sessions
from stasis_callback.store.rates.profiles import RateProfiles
from stasis_callback.store.rates.tariffs import Tariffs
from stasis_callback.store.rates.trunks import Trunks


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
    rate_profiles: RateProfiles
    search: AccountSearch
    finding: CallSearch
    trail: Trail
    upkeep: Upkeep
    operators: Operators
    sessions: Sessions
    proposals: Proposals
    opt_outs: NumberList
    never_call: NumberList
    webhook_notices: Notices
    mail_notices: Notices
    payment_hooks: PaymentHooks
    journals: Journals
    fraud: Fraud
    fraud_history: FraudHistory
    message_instances: MessageInstances
    totals: Totals


USUAL_BUDGETS, NO_ALARMS = Budgets(), Alarms()


def open_stores(
    url: str,
    node: str,
    clock: Clock,
    budgets: Budgets = USUAL_BUDGETS,
    alarms: Alarms = NO_ALARMS,
    patience: Patience | None = None,
) -> Stores:
    """Open the database and everything in it. Raises CallbackError when it cannot be used.

    `node` is what this process is called; it is that node once it has entered (`Nodes.enter`). `budgets` and `alarms`
    are those of the settings. `patience` is that of the process, for one who can end it already while this opens.
    """
    database = Database(url, clock, patience)
    nodes = Nodes(database, clock, node)
    ledger = Ledger(database, clock)
    tariffs = Tariffs(database, clock, Accounts.tariffs_sold)
    limits = Limits(database, clock)
    fraud = Fraud(database, limits, clock, budgets, alarms)
    return Stores(
        database,
        ledger,
        Accounts(database, ledger, clock, Requests.any_of),
        tariffs,
        AccessNumbers(database, clock),
        Requests(database, clock, nodes.me),
        Calls(database, ledger, tariffs, fraud, clock, nodes.me),
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
        RateProfiles(database, clock),
        AccountSearch(database),
        CallSearch(database),
        Trail(database, clock),
        Upkeep(database),
        Operators(database, clock),
        Sessions(database, clock),
        Proposals(database, clock),
        NumberList(database, clock, OPT_OUTS),
        NumberList(database, clock, NEVER_CALL),
        Notices(database, clock, "webhook"),
        Notices(database, clock, "mail"),
        PaymentHooks(database, clock),
        Journals(database, clock),
        fraud,
        FraudHistory(database),
        Instances(database, clock, MESSAGE),
        Totals(database, clock),
    )
