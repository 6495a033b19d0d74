"""Moves a business in, one person at a time, each by its key: whatever ends it, it is run again and goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stasis_callback.admin.audit import recorded
from stasis_callback.admin.elsewhere.business import Business, Person
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import parse_currency
from stasis_callback.ivr.prompts import languages
from stasis_callback.resources import sounds_dir
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.store.stores import Stores


@dataclass
class Arrived:
    """What is here of a business, and how much of its money."""

    accounts: int = 0
    new_accounts: int = 0
    callers: int = 0
    speed_dials: int = 0
    rates: int = 0
    balances_micros: int = 0
    """Of its accounts, as the ledger has them."""


def require_currency(found: Business) -> None:
    """Raises InvalidInput for a currency that is no currency."""
    found.currency = parse_currency(found.currency)


def move_in(stores: Stores, found: Business, operator: str, progress: Callable[[int, int], None]) -> Arrived:
    """Put tariffs, products, customers and accounts into the stores. What cannot be is left out and said."""
    require_currency(found)
    arrived = Arrived()
    for name, rates in found.tariffs.items():
        if name not in {str(row["name"]) for row in stores.tariffs.all()}:
            stores.tariffs.add(name, found.currency)
        if name not in {str(row["name"]) for row in stores.accounts.products()}:
            with recorded(stores, "product", name):
                stores.accounts.add_product(name, name)
        stores.tariffs.put_rates(
            name, [NewRate(rate) for rate in rates.values()], note=f"from {found.system}"
        )
        arrived.rates += len(rates)
    known = {str(row["name"]) for row in stores.accounts.customers()}
    for done, person in enumerate(found.people, 1):
        try:
            _settle_in(stores, found, person, known, arrived, operator)
        except InvalidInput as error:
            found.left[f"{person.number}: {error}"] += 1
        progress(done, len(found.people))
    return arrived


def _settle_in(
    stores: Stores, found: Business, person: Person, known: set[str], arrived: Arrived, operator: str
) -> None:
    if person.tariff not in found.tariffs:
        raise InvalidInput(f"its tariff {person.tariff!r} has no rates that can be moved")
    account = stores.accounts.find(person.number)
    if account is None:
        with recorded(stores, "account", person.number):
            account = _opened(stores, found, person, known)
        arrived.new_accounts += 1
    elif account.customer != person.name[:_NAME_LIMIT]:
        raise InvalidInput("there is an account of this name already, of another customer")
    _paid_in(stores, person, account, operator)
    arrived.accounts += 1
    arrived.callers += len(stores.accounts.aliases(account.id))
    arrived.speed_dials += len(stores.accounts.speed_dials(account.id))
    arrived.balances_micros += stores.accounts.get(account.id).balance_micros


_NAME_LIMIT = 64


def _opened(stores: Stores, found: Business, person: Person, known: set[str]) -> AccountView:
    customer = person.name[:_NAME_LIMIT]
    if customer not in known:
        with recorded(stores, "customer", customer):
            stores.accounts.add_customer(customer, found.currency)
        known.add(customer)
    free = [caller for caller in dict.fromkeys(person.callers) if stores.accounts.find(caller) is None]
    if taken := len(person.callers) - len(free):
        found.left["caller ids that another account has, or this one twice"] += taken
    if person.language and person.language not in languages(sounds_dir()):
        found.left[f"languages without prompts ({person.language}): the access number's is spoken"] += 1
        person.language = ""
    stores.accounts.add(
        person.number,
        customer=customer,
        product=person.tariff,
        credit_limit_micros=person.credit_limit_micros,
        aliases=free,
    )
    return stores.accounts.change(
        person.number,
        status="blocked" if person.blocked else None,
        expires_at_us=person.expires_at_us,
        simultaneous_calls=person.simultaneous_calls,
        speed_dials=person.speed_dials,
        language=person.language,
    )


def _paid_in(stores: Stores, person: Person, account: AccountView, operator: str) -> None:
    """Its balance, once: the key is its own for ever."""
    if person.balance_micros > 0:
        stores.ledger.top_up(
            account.book_id, person.balance_micros, key=person.key, note="moved in", operator=operator
        )
    elif person.balance_micros < 0:
        stores.ledger.adjust(
            account.book_id,
            person.balance_micros,
            key=person.key,
            reason="moved in with a negative balance",
            operator=operator,
        )
