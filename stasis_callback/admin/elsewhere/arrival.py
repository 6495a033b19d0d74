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
from stasis_callback.store.accounts.checks import account_id, checked_name
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


def rehearse(stores: Stores, found: Business, progress: Callable[[int, int], None]) -> None:
    """Leave out, and say, what `move_in` would leave out. Changes nothing in the stores."""
    require_currency(found)
    _leave_tariffs(stores, found)
    places = Places(stores, found)
    for done, person in enumerate(found.people, 1):
        try:
            if places.account_of(person) is None:
                places.taken.update((person.number, *person.callers))
        except InvalidInput as error:
            found.left[f"{person.number}: {error}"] += 1
        progress(done, len(found.people))


def move_in(stores: Stores, found: Business, operator: str, progress: Callable[[int, int], None]) -> Arrived:
    """Put tariffs, products, customers and accounts into the stores. What cannot be is left out and said."""
    require_currency(found)
    _leave_tariffs(stores, found)
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
    places = Places(stores, found)
    for done, person in enumerate(found.people, 1):
        try:
            _settle_in(stores, places, person, arrived, operator)
        except InvalidInput as error:
            found.left[f"{person.number}: {error}"] += 1
        progress(done, len(found.people))
    return arrived


def _leave_tariffs(stores: Stores, found: Business) -> None:
    """Take away the tariffs that cannot be here, before anything is written: so none is left half moved."""
    here: dict[object, str] = {}
    for row in (*stores.tariffs.all(), *stores.accounts.products()):
        if row["currency"] != found.currency:
            here[row["name"]] = f"there is one of this name already, in {row['currency']}"
    for name in list(found.tariffs):
        try:
            checked_name(name)
            if name in here:
                raise InvalidInput(here[name])
        except InvalidInput as error:
            found.left[f"tariff {name!r}: {error}"] += 1
            del found.tariffs[name]


class Places:
    """Whether there is a place for each person: looked at before anything is written, and without writing."""

    def __init__(self, stores: Stores, found: Business) -> None:
        self._stores = stores
        self.found = found
        self.customers = {str(row["name"]): str(row["currency"]) for row in stores.accounts.customers()}
        self.taken: set[str] = set()
        """Account ids and aliases of who would have come before."""

    def account_of(self, person: Person) -> AccountView | None:
        """The account that is here of a person; None when it is to be opened, with what is left of the person.

        Raises InvalidInput when it cannot be.
        """
        if person.tariff not in self.found.tariffs:
            raise InvalidInput(f"its tariff {person.tariff!r} has no rates that can be moved")
        customer = person.name[:_NAME_LIMIT]
        account = self._stores.accounts.find(person.number)
        if person.number in self.taken or (account is not None and account.customer != customer):
            raise InvalidInput("there is an account of this name already, of another customer")
        if account is not None:
            return account
        account_id(person.number)
        if person.credit_limit_micros < 0:
            raise InvalidInput("its credit limit is below zero")
        if self.customers.get(checked_name(customer), self.found.currency) != self.found.currency:
            raise InvalidInput(f"its customer is here already, and pays in {self.customers[customer]}")
        self._leave_callers(person)
        if person.language and person.language not in languages(sounds_dir()):
            self.found.left[
                f"languages without prompts ({person.language}): the access number's is spoken"
            ] += 1
            person.language = ""
        return None

    def _leave_callers(self, person: Person) -> None:
        free: list[str] = []
        for caller in person.callers:
            is_own = caller == person.number or caller in free
            if is_own or caller in self.taken or self._stores.accounts.find(caller) is not None:
                self.found.left["caller ids that another account has, or this one twice"] += 1
            else:
                free.append(account_id(caller))
        person.callers = free


def _settle_in(stores: Stores, places: Places, person: Person, arrived: Arrived, operator: str) -> None:
    account = places.account_of(person)
    if account is None:
        with recorded(stores, "account", person.number):
            account = _opened(stores, places, person)
        arrived.new_accounts += 1
    _paid_in(stores, person, account, operator)
    arrived.accounts += 1
    arrived.callers += len(stores.accounts.aliases(account.id))
    arrived.speed_dials += len(stores.accounts.speed_dials(account.id))
    arrived.balances_micros += stores.accounts.get(account.id).balance_micros


_NAME_LIMIT = 64


def _opened(stores: Stores, places: Places, person: Person) -> AccountView:
    customer, currency = person.name[:_NAME_LIMIT], places.found.currency
    if customer not in places.customers:
        with recorded(stores, "customer", customer):
            stores.accounts.add_customer(customer, currency)
        places.customers[customer] = currency
    stores.accounts.add(
        person.number,
        customer=customer,
        product=person.tariff,
        credit_limit_micros=person.credit_limit_micros,
        aliases=person.callers,
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
