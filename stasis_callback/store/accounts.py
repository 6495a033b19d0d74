"""Customers, products and accounts: finding and changing them. Money is in `ledger.py`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from peewee import ModelSelect

from stasis_callback.clock import Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.money import parse_currency
from stasis_callback.core.numbers import is_dialable
from stasis_callback.store.database import Database
from stasis_callback.store.ledger import Ledger
from stasis_callback.store.models import (
    Account,
    Alias,
    Book,
    Customer,
    Product,
    ProductCode,
    SpeedDial,
    Tariff,
)
from stasis_callback.store.passwords import hash_password

Named = TypeVar("Named", Customer, Product, Tariff)

_ACCOUNT_ID = re.compile(r"[A-Za-z0-9._@-]{1,64}", re.ASCII)
_SPEED_KEY = re.compile(r"[0-9]{1,2}", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2}", re.ASCII)
STATUSES = ("active", "blocked", "closed")


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as the rest of the product sees it, at the moment it was read. Amounts in micros."""

    id: int
    number: str
    customer: str
    product: str
    tariff_id: int
    book_id: int
    currency: str
    status: str
    callback_number: str
    language: str
    password_hash: str = field(repr=False)
    expires_at_us: int | None
    balance_micros: int
    held_micros: int
    credit_limit_micros: int
    aliases: tuple[str, ...] = ()
    speed_dials: Mapping[str, str] = field(default_factory=dict)

    @property
    def available_micros(self) -> int:
        """Balance minus holds plus credit limit, as it was when this was read: for saying, never for deciding."""
        return self.balance_micros - self.held_micros + self.credit_limit_micros


class Accounts:
    """Customers, products and accounts."""

    def __init__(self, database: Database, ledger: Ledger, clock: Clock) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Customers, products and accounts change one after the other: what is unique is looked up first."""
        with self._database.transaction():
            self._database.lock("accounts")
            yield

    # --- customers and products --------------------------------------------------------------------------------

    def add_customer(self, name: str, currency: str) -> None:
        """Raises InvalidInput when the name is taken or the currency is none."""
        with self._changing():
            _unique(Customer, name, "customer")
            Customer.create(
                name=checked_name(name), currency=parse_currency(currency), created_at_us=self._clock.now_us()
            )

    def customers(self) -> list[dict[str, object]]:
        """Every customer by name."""
        with self._database.reading():
            return [
                {"name": c.name, "currency": c.currency} for c in Customer.select().order_by(Customer.name)
            ]

    def add_product(self, name: str, tariff: str) -> None:
        """Raises InvalidInput when the name is taken or there is no such tariff."""
        with self._changing():
            _unique(Product, name, "product")
            Product.create(
                name=checked_name(name),
                tariff=by_name(Tariff, tariff, "tariff"),
                created_at_us=self._clock.now_us(),
            )

    def set_product(self, name: str, tariff: str, access_code: str = "") -> None:
        """Give a product another tariff, for one access code or as its usual one, from the next call on."""
        with self._changing():
            product = by_name(Product, name, "product")
            new = by_name(Tariff, tariff, "tariff")
            if product.tariff.currency != new.currency:
                raise InvalidInput(f"tariff {tariff!r} is in {new.currency}, the product's accounts are not")
            if not access_code:
                Product.update(tariff=new).where(Product.id == product.id).execute()
                return
            ProductCode.insert(product=product, access_code=access_code, tariff=new).on_conflict(
                conflict_target=[ProductCode.product, ProductCode.access_code], preserve=[ProductCode.tariff]
            ).execute()

    def products(self) -> list[dict[str, object]]:
        """Every product by name, with its tariff."""
        with self._database.reading():
            rows = Product.select(Product, Tariff).join(Tariff).order_by(Product.name)
            return [{"name": p.name, "tariff": p.tariff.name, "currency": p.tariff.currency} for p in rows]

    # --- accounts ------------------------------------------------------------------------------------------------

    def add(
        self,
        number: str,
        *,
        customer: str,
        product: str,
        credit_limit_micros: int = 0,
        callback_number: str = "",
        aliases: Iterable[str] = (),
    ) -> AccountView:
        """Open an account with nothing in it. Raises InvalidInput and changes nothing when something is wrong."""
        with self._changing():
            owner = by_name(Customer, customer, "customer")
            bought = by_name(Product, product, "product")
            if owner.currency != bought.tariff.currency:
                raise InvalidInput(
                    f"customer {customer!r} pays in {owner.currency}, product {product!r} is rated in "
                    f"{bought.tariff.currency}: they must agree"
                )
            self._free_number(number)
            account = Account.create(
                number=number,
                customer=owner,
                product=bought,
                book=self._ledger.open_book(
                    f"account:{number}", owner.currency, credit_limit_micros=credit_limit_micros
                ),
                status="active",
                callback_number=_callback_number(callback_number),
                language="",
                password_hash="",
                created_at_us=self._clock.now_us(),
            )
            self._set_aliases(account.id, aliases)
            return self.get(account.id)

    def change(
        self,
        number: str,
        *,
        status: str | None = None,
        product: str | None = None,
        callback_number: str | None = None,
        expires_at_us: int | None = None,
        never_expires: bool = False,
        credit_limit_micros: int | None = None,
        aliases: Iterable[str] | None = None,
        language: str | None = None,
        password: str | None = None,
        speed_dials: Mapping[str, str] | None = None,
    ) -> AccountView:
        """Change what is given, all or nothing. Raises InvalidInput when a value cannot be used."""
        with self._changing():
            account = Account.get_or_none(Account.number == number)
            if account is None:
                raise InvalidInput(f"there is no account {number!r}: see `stasis-callback account list`")
            checked = (
                ("status", _status, status),
                ("callback_number", _callback_number, callback_number),
                ("language", _language, language),
                ("password_hash", hash_password, password),
                ("product", partial(self._same_currency, account), product),
            )
            values: dict[str, object] = {
                name: check(text) for name, check, text in checked if text is not None
            }
            if never_expires or expires_at_us is not None:
                values["expires_at_us"] = expires_at_us
            if values:
                Account.update(values).where(Account.id == account.id).execute()
            if credit_limit_micros is not None:
                self._ledger.set_credit_limit(account.book_id, credit_limit_micros)
            if aliases is not None:
                self._set_aliases(account.id, aliases)
            if speed_dials is not None:
                self._set_speed_dials(account.id, speed_dials)
            return self.get(account.id)

    def add_alias(self, account_id: int, alias: str) -> bool:
        """Give an account one more id; False when it is taken or cannot be one."""
        with self._changing():
            try:
                self._free_number(alias)
            except InvalidInput:
                return False
            Alias.create(number=alias, account=account_id)
            return True

    def find(self, number: str) -> AccountView | None:
        """The account with this id, or with this alias."""
        with self._database.reading():
            row = self._select().where(Account.number == number).first()
            if row is None:
                alias = Alias.get_or_none(Alias.number == number)
                row = self._select().where(Account.id == alias.account_id).first() if alias else None
            return _view(row) if row else None

    def tariff_for(self, account: AccountView, access_code: str) -> int:
        """The tariff (row id) that rates an account's calls with this access code."""
        if not access_code:
            return account.tariff_id
        with self._database.reading():
            code = ProductCode.get_or_none(
                ProductCode.access_code == access_code,
                ProductCode.product == Product.select(Product.id).where(Product.name == account.product),
            )
            return int(code.tariff_id) if code else account.tariff_id

    def named(self, number: str) -> AccountView:
        """The account with this id or alias. Raises InvalidInput when there is none."""
        account = self.find(number)
        if account is None:
            raise InvalidInput(f"there is no account {number!r}: see `stasis-callback account list`")
        return account

    def get(self, account_id: int) -> AccountView:
        """The account with this row id, as it is now."""
        with self._database.reading():
            return _view(self._select().where(Account.id == account_id).get())

    def all(self) -> list[AccountView]:
        """Every account by id."""
        with self._database.reading():
            return [_view(row) for row in self._select().order_by(Account.number)]

    @staticmethod
    def _select() -> ModelSelect[Account]:
        return (
            Account.select(Account, Customer, Product, Book)
            .join(Customer)
            .switch(Account)
            .join(Product)
            .switch(Account)
            .join(Book)
        )

    @staticmethod
    def _same_currency(account: Account, product: str) -> Product:
        new = by_name(Product, product, "product")
        if new.tariff.currency != account.book.currency:
            raise InvalidInput(f"product {product!r} is rated in {new.tariff.currency}, the account is not")
        return new

    @staticmethod
    def _free_number(number: str) -> None:
        if not _ACCOUNT_ID.fullmatch(number):
            raise InvalidInput(
                f"{number!r} is not an account id: use 1 to 64 letters, digits, dots, dashes, underscores or @"
            )
        taken = Account.get_or_none(Account.number == number) or Alias.get_or_none(Alias.number == number)
        if taken:
            raise InvalidInput(f"{number!r} is an account or an alias already")

    def _set_aliases(self, account_id: int, aliases: Iterable[str]) -> None:
        Alias.delete().where(Alias.account == account_id).execute()
        for alias in aliases:
            self._free_number(alias)
            Alias.create(number=alias, account=account_id)

    def _set_speed_dials(self, account_id: int, speed_dials: Mapping[str, str]) -> None:
        SpeedDial.delete().where(SpeedDial.account == account_id).execute()
        for key, number in speed_dials.items():
            if not _SPEED_KEY.fullmatch(key) or not is_dialable(number):
                raise InvalidInput(
                    f"speed dial {key}={number}: write one or two digits, = and 3 to 15 digits"
                )
            SpeedDial.create(account=account_id, key=key, number=number)


def by_name(model: type[Named], name: str, noun: str) -> Named:
    """The row with this name. Raises InvalidInput that says where to look."""
    row = model.get_or_none(model.name == name)
    if row is None:
        raise InvalidInput(f"there is no {noun} {name!r}: see `stasis-callback {noun} list`")
    return row


def checked_name(name: str) -> str:
    """A name for people, 1 to 64 printable characters. Raises InvalidInput otherwise."""
    if not (0 < len(name) <= 64 and name.isprintable() and name.strip() == name):
        raise InvalidInput(f"{name!r} is not a name: use 1 to 64 printable characters, no spaces around them")
    return name


def _unique(model: type[Named], name: str, noun: str) -> None:
    if model.get_or_none(model.name == name) is not None:
        raise InvalidInput(f"{noun} {name!r} exists already")


def _status(status: str) -> str:
    if status not in STATUSES:
        raise InvalidInput(f"{status!r} is not a status: write one of {', '.join(STATUSES)}")
    return status


def _language(language: str) -> str:
    if language and not _LANGUAGE.fullmatch(language):
        raise InvalidInput(f"language {language!r}: write two letters, like en or ru, or nothing")
    return language


def _callback_number(number: str) -> str:
    if number and not is_dialable(number):
        raise InvalidInput(f"callback number {number!r}: write 3 to 15 digits, without + or 00")
    return number


def _view(row: Account) -> AccountView:
    return AccountView(
        id=row.id,
        number=row.number,
        customer=row.customer.name,
        product=row.product.name,
        tariff_id=row.product.tariff_id,
        book_id=row.book_id,
        currency=row.book.currency,
        status=row.status,
        callback_number=row.callback_number,
        language=row.language,
        password_hash=row.password_hash,
        expires_at_us=row.expires_at_us,
        balance_micros=row.book.balance_micros,
        held_micros=row.book.held_micros,
        credit_limit_micros=row.book.credit_limit_micros,
        aliases=tuple(a.number for a in row.aliases.order_by(Alias.number)),
        speed_dials={dial.key: dial.number for dial in row.speed_dials.order_by(SpeedDial.key)},
    )
