"""The business of a plan in a fresh database: tariff, accounts, access numbers, trunks."""

from __future__ import annotations

import shutil
import tempfile
from atexit import register
from functools import cache
from pathlib import Path

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.rating import Rate, Terms
from stasis_callback.store.database.database import Database
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.store.stores import Stores, open_stores
from stasis_callback.testing.phones import SECOND_TRUNK

from .asterisk import TRUNK
from .money import PriceList
from .plan import ACCESS, FORBIDDEN, HOME, INTERNAL, PIN_ACCESS, Business, Plan, pin_of
from .scheduler import START_US

CURRENCY = "USD"
MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory, where there is one


class EarlierClock(Clock):
    """Stands still, a day before the simulation begins."""

    def now_us(self) -> int:
        """The day before."""
        return START_US - 86_400 * US_PER_S


class Scratch:
    """Where the folders of simulations are made: in memory, where there is such a file system."""

    place: str | None = str(MEMORY) if MEMORY.is_dir() else None

    @classmethod
    def keep_in(cls, place: str) -> None:
        """From now on this process makes its folders in one that another process removes."""
        cls.place = place


def scratch(prefix: str) -> Path:
    """A new folder."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=Scratch.place))


@cache
def _template(business: Business) -> Path:
    """A database with a business in it, made once: many simulations are of the same."""
    folder = scratch("simulation-template-")
    register(shutil.rmtree, folder, ignore_errors=True)
    url = f"sqlite:///{folder}/template.db"
    database = Database(url)
    database.migrate()
    database.close()
    stores = open_stores(url, "setup", EarlierClock())
    try:
        with stores.database.transaction():
            _set_up(stores, business)
    finally:
        stores.database.close()
    return folder / "template.db"


def dnis_of(subscriber: int) -> str:
    """The personal access number of a subscriber."""
    return f"4208000000{subscriber}"


def found(plan: Plan, folder: Path) -> str:
    """A database with the business of a plan, its people and their money; its URL."""
    shutil.copyfile(_template(plan.business), folder / "callback.db")
    url = f"sqlite:///{folder}/callback.db"
    stores = open_stores(url, "setup", EarlierClock())
    try:
        with stores.database.transaction():
            _open(stores, plan)
    finally:
        stores.database.close()
    return url


def _set_up(stores: Stores, business: Business) -> None:
    terms = business.prices[0]
    stores.tariffs.add(
        "standard",
        CURRENCY,
        Terms(
            free_s=terms.free_s,
            grace_s=terms.grace_s,
            surcharge_bp=terms.surcharge_bp,
            minimum_micros=terms.minimum,
            rounding_micros=terms.unit,
            disconnect_fee_micros=terms.end_fee,
            disconnect_fee_after_s=terms.end_fee_after_s,
            maximum_micros=terms.maximum,
        ),
    )
    rates = [_rate(one) for one in business.prices]
    stores.tariffs.put_rates("standard", [*rates, NewRate(Rate(FORBIDDEN, forbidden=True))])
    stores.accounts.add_product("callback", "standard")
    stores.accounts.add_customer("people", CURRENCY)
    _account(stores, INTERNAL)
    for n, credit_micros in enumerate(business.credits):
        number = f"{HOME}1234567{n}"
        _account(stores, number, credit_micros)
        _account(stores, dnis_of(n), callback_number=number)
        _account(stores, pin_of(n))
    if business.trunk_limits:
        stores.trunks.add_vendor("carrier", CURRENCY)
        for name, per_minute, limit in zip(
            (TRUNK, SECOND_TRUNK), (1_000, 3_000), business.trunk_limits, strict=True
        ):
            stores.tariffs.add(f"cost of {name}", CURRENCY)
            costs = [
                NewRate(Rate(p.prefix, first_price_micros=per_minute, next_price_micros=per_minute))
                for p in business.prices
            ]
            stores.tariffs.put_rates(f"cost of {name}", costs)
            stores.trunks.add(name, vendor="carrier", tariff=f"cost of {name}", calls_limit=limit)


def _open(stores: Stores, plan: Plan) -> None:
    stores.access_numbers.add(ACCESS, plan.options)
    pin_options = {**plan.options, "authentication": "pin", "internal_account": INTERNAL}
    stores.access_numbers.add(PIN_ACCESS, pin_options)
    _pay(stores, INTERNAL, plan.internal_funds_micros)
    for n, subscriber in enumerate(plan.subscribers):
        _pay(stores, subscriber.pin or subscriber.number, subscriber.funds_micros)
        if any(asked.trigger == "dnis" and asked.subscriber == n for asked in plan.asked):
            stores.access_numbers.add(dnis_of(n), {**plan.options, "authentication": "dnis"})
            _pay(stores, dnis_of(n), subscriber.funds_micros)


def _rate(one: PriceList) -> NewRate:
    return NewRate(Rate(one.prefix, one.fee, one.first_s, one.first_price, one.next_s, one.next_price))


def _account(stores: Stores, number: str, credit_micros: int = 0, callback_number: str = "") -> None:
    stores.accounts.add(
        number,
        customer="people",
        product="callback",
        credit_limit_micros=credit_micros,
        callback_number=callback_number,
    )


def _pay(stores: Stores, number: str, funds_micros: int) -> None:
    if funds_micros:
        stores.ledger.top_up(stores.accounts.named(number).book_id, funds_micros, key=f"start-{number}")
