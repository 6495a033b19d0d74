"""The business of a plan in a fresh database: tariff, accounts, access numbers, trunks."""

from __future__ import annotations

import shutil
import tempfile
from atexit import register
from functools import cache
from pathlib import Path

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.rating import Rate, Terms
from stasis_callback.engine.stores import Stores, open_stores
from stasis_callback.store.database import Database
from stasis_callback.store.tariffs import NewRate
from stasis_callback.testing.phones import SECOND_TRUNK

from .asterisk import TRUNK
from .money import PriceList
from .plan import ACCESS, FORBIDDEN, INTERNAL, PIN_ACCESS, Plan
from .scheduler import START_US

CURRENCY = "USD"
MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory, where there is one


class EarlierClock(Clock):
    """Stands still, a day before the simulation begins."""

    def now_us(self) -> int:
        """The day before."""
        return START_US - 86_400 * US_PER_S


def scratch(prefix: str) -> Path:
    """A new folder, in memory where there is such a file system."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if MEMORY.is_dir() else None))


@cache
def _template() -> Path:
    folder = scratch("simulation-template-")
    register(shutil.rmtree, folder, ignore_errors=True)
    database = Database(f"sqlite:///{folder}/empty.db")
    database.migrate()
    database.close()
    return folder / "empty.db"


def dnis_of(subscriber: int) -> str:
    """The personal access number of a subscriber."""
    return f"4208000000{subscriber}"


def found(plan: Plan, folder: Path) -> str:
    """A database with the business of a plan; its URL."""
    shutil.copyfile(_template(), folder / "callback.db")
    url = f"sqlite:///{folder}/callback.db"
    stores = open_stores(url, "setup", EarlierClock())
    try:
        with stores.database.transaction():
            _fill(stores, plan)
    finally:
        stores.database.close()
    return url


def _fill(stores: Stores, plan: Plan) -> None:
    terms = plan.prices[0]
    stores.tariffs.add(
        "standard",
        CURRENCY,
        Terms(free_s=terms.free_s, grace_s=terms.grace_s, surcharge_bp=terms.surcharge_bp,
              minimum_micros=terms.minimum, rounding_micros=terms.unit),
    )  # fmt: skip
    rates = [_rate(one) for one in plan.prices]
    stores.tariffs.put_rates("standard", [*rates, NewRate(Rate(FORBIDDEN, forbidden=True))])
    stores.accounts.add_product("callback", "standard")
    stores.accounts.add_customer("people", CURRENCY)
    stores.access_numbers.add(ACCESS, plan.options)
    pin_options = {**plan.options, "authentication": "pin", "internal_account": INTERNAL}
    _account(stores, INTERNAL, plan.internal_funds_micros)
    stores.access_numbers.add(PIN_ACCESS, pin_options)
    for n, subscriber in enumerate(plan.subscribers):
        _account(
            stores, subscriber.pin or subscriber.number, subscriber.funds_micros, subscriber.credit_micros
        )
        if any(asked.trigger == "dnis" and asked.subscriber == n for asked in plan.asked):
            stores.access_numbers.add(dnis_of(n), {**plan.options, "authentication": "dnis"})
            _account(stores, dnis_of(n), subscriber.funds_micros, callback_number=subscriber.number)
    if plan.two_trunks:
        stores.trunks.add_vendor("carrier", CURRENCY)
        for name, per_minute in ((TRUNK, 1_000), (SECOND_TRUNK, 3_000)):
            stores.tariffs.add(f"cost of {name}", CURRENCY)
            costs = [
                NewRate(Rate(p.prefix, first_price_micros=per_minute, next_price_micros=per_minute))
                for p in plan.prices
            ]
            stores.tariffs.put_rates(f"cost of {name}", costs)
            stores.trunks.add(name, vendor="carrier", tariff=f"cost of {name}")


def _rate(one: PriceList) -> NewRate:
    return NewRate(Rate(one.prefix, one.fee, one.first_s, one.first_price, one.next_s, one.next_price))


def _account(
    stores: Stores, number: str, funds_micros: int, credit_micros: int = 0, callback_number: str = ""
) -> None:
    account = stores.accounts.add(
        number,
        customer="people",
        product="callback",
        credit_limit_micros=credit_micros,
        callback_number=callback_number,
    )
    if funds_micros:
        stores.ledger.top_up(account.book_id, funds_micros, key=f"start-{number}")
