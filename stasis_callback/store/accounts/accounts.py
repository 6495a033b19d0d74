"""Customers, products and accounts: finding and changing them. Money is in `ledger.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from stasis_callback.clock import Clock
from stasis_callback.core.errors import AccountClosed, InvalidInput
from stasis_callback.core.money import AMOUNT_LIMIT_MICROS, AMOUNT_LIMIT_TEXT, format_amount, parse_currency
from stasis_callback.core.numbering import read_beginning
from stasis_callback.store.accounts import checks
from stasis_callback.store.accounts.notices import note_deduction
from stasis_callback.store.accounts.passwords import hash_password
from stasis_callback.store.accounts.tables import Account, Alias, Customer, Product, ProductCode, SpeedDial
from stasis_callback.store.accounts.view import SELECT_ACCOUNT
from stasis_callback.store.accounts.view import AccountView as AccountView
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.names import by_name, checked_name, in_use, is_new
from stasis_callback.store.database.statements import every, one
from stasis_callback.store.money.ledger import Ledger
from stasis_callback.store.money.reading import amounts, with_books
from stasis_callback.store.rates.tables import Tariff

_SPEED_KEY = re.compile(r"[0-9]{1,2}", re.ASCII)
_SHORTEST_NUMBER = 7
KINDS = ("debit", "credit", "subordinate")

_BY_ROW = f"{SELECT_ACCOUNT} WHERE account.id = ?"
_BY_NUMBER = f"{SELECT_ACCOUNT} WHERE account.number = ?"
_BY_ALIAS = f"{SELECT_ACCOUNT} WHERE account.id = (SELECT account_id FROM alias WHERE alias.number = ?)"
_ALL = f"{SELECT_ACCOUNT} ORDER BY account.number"
_TARIFF_OF_CODE = """SELECT product_code.tariff_id FROM product_code
    JOIN product ON product.id = product_code.product_id WHERE product.name = ? AND product_code.access_code = ?"""
_ALIASES = "SELECT number FROM alias WHERE account_id = ? ORDER BY number"
_SPEED_DIALS = "SELECT key, number FROM speed_dial WHERE account_id = ? ORDER BY key"
_TARIFFS_SOLD = "SELECT tariff_id FROM product UNION SELECT tariff_id FROM product_code"


class Accounts:
    """Customers, products and accounts."""

    def __init__(
        self, database: Database, ledger: Ledger, clock: Clock, has_calls: Callable[[int], bool]
    ) -> None:
        """`has_calls` says whether calls of an account wait or are under way, its own or such as it pays for."""
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._has_calls = has_calls

    def _one_by_one(self) -> None:
        """Customers, products and accounts change one after the other: what is unique is looked up first."""
        self._database.lock("accounts")

    # --- customers and products --------------------------------------------------------------------------------

    @unit
    def add_customer(self, name: str, currency: str) -> None:
        """Add a customer. Raises InvalidInput if the name is taken or the currency code is invalid."""
        self._one_by_one()
        if is_new(self._database, Customer, name, "customer"):
            Customer.create(
                name=checked_name(name), currency=parse_currency(currency), created_at_us=self._clock.now_us()
            )

    @staticmethod
    def tariffs_sold() -> set[int]:
        """The tariffs of all products. Within a `read` or a unit."""
        return {tariff_id for (tariff_id,) in every(_TARIFFS_SOLD)}

    @read
    def customers(self) -> list[dict[str, object]]:
        """Every customer by name."""
        rows = with_books(Customer.select(Customer), Customer).order_by(Customer.name)
        return [{"name": c.name, "currency": c.currency} | amounts(c.book) for c in rows]

    @unit
    def set_customer(
        self,
        name: str,
        *,
        credit_limit_micros: int | None = None,
        daily_cap_micros: int | None = None,
        no_daily_cap: bool = False,
    ) -> None:
        """Change the funds that a customer's subordinate accounts share. Raises InvalidInput."""
        self._one_by_one()
        book_id = self._shared_book(by_name(Customer, name, "customer"))
        if credit_limit_micros is not None:
            self._ledger.set_credit_limit(book_id, credit_limit_micros)
        if daily_cap_micros is not None or no_daily_cap:
            self._ledger.set_daily_cap(book_id, daily_cap_micros)

    @read
    def customer_currency(self, name: str) -> str:
        """The currency that a customer pays in. Raises InvalidInput if there is no such customer."""
        return str(by_name(Customer, name, "customer").currency)

    @unit
    def customer_book(self, name: str) -> int:
        """The book that a customer's subordinate accounts share; opened when it is first asked for."""
        self._one_by_one()
        return self._shared_book(by_name(Customer, name, "customer"))

    def _shared_book(self, customer: Customer) -> int:
        if customer.book_id is None:
            # Not by the name alone: another customer may have had it before it was renamed.
            name = f"customer:{customer.name}"
            if self._ledger.has_book(name):
                name = f"customer:{customer.id}:{customer.name}"
            book_id = self._ledger.open_book(name, customer.currency)
            Customer.update(book=book_id).where(Customer.id == customer.id).execute()
            return book_id
        return int(customer.book_id)

    @unit
    def add_product(self, name: str, tariff: str) -> None:
        """Add a product. Raises InvalidInput if the name is taken or the tariff does not exist."""
        self._one_by_one()
        if is_new(self._database, Product, name, "product"):
            Product.create(
                name=checked_name(name),
                tariff=in_use(Tariff, tariff, "tariff"),
                created_at_us=self._clock.now_us(),
            )

    @unit
    def set_product(self, name: str, tariff: str, access_code: str = "") -> None:
        """Give a product another tariff, for one access code or as its usual one, from the next call on."""
        self._one_by_one()
        product = by_name(Product, name, "product")
        new = in_use(Tariff, tariff, "tariff")
        if product.tariff.currency != new.currency:
            raise InvalidInput(
                f"tariff {tariff!r} is in {new.currency}, but the product's accounts have another currency"
            )
        if not access_code:
            Product.update(tariff=new).where(Product.id == product.id).execute()
            return
        ProductCode.insert(product=product, access_code=access_code, tariff=new).on_conflict(
            conflict_target=[ProductCode.product, ProductCode.access_code], preserve=[ProductCode.tariff]
        ).execute()

    @unit
    def set_low_balance(
        self, name: str, *, micros: int | None = None, off: bool = False, webhook: str | None = None,
        mail: str | None = None,
    ) -> None:  # fmt: skip
        """Change below which funds somebody is told, and who, of a product's accounts; what is None stays."""
        self._one_by_one()
        product = by_name(Product, name, "product")
        if micros is not None and not 0 < micros <= AMOUNT_LIMIT_MICROS:
            raise InvalidInput(f"invalid threshold: it must be more than 0 and at most {AMOUNT_LIMIT_TEXT}")
        given = {"low_balance_micros": micros, "low_balance_webhook": webhook, "low_balance_mail": mail}
        values: dict[str, object] = {field: value for field, value in given.items() if value is not None}
        values |= {"low_balance_micros": None} if off else {}
        if values:
            Product.update(values).where(Product.id == product.id).execute()

    @read
    def products(self) -> list[dict[str, object]]:
        """Every product by name, with its tariff; `access_codes` are the tariffs in place of its usual one."""
        codes: dict[int, dict[str, str]] = {}
        for code in ProductCode.select(ProductCode, Tariff).join(Tariff).order_by(ProductCode.access_code):
            codes.setdefault(code.product_id, {})[code.access_code] = code.tariff.name
        return [
            {
                "name": p.name,
                "tariff": p.tariff.name,
                "currency": p.tariff.currency,
                "access_codes": codes.get(p.id, {}),
                "low_balance_micros": p.low_balance_micros,
                "low_balance_webhook": p.low_balance_webhook,
                "low_balance_mail": p.low_balance_mail,
            }
            for p in Product.select(Product, Tariff).join(Tariff).order_by(Product.name)
        ]

    # --- accounts ------------------------------------------------------------------------------------------------

    @unit
    def add(
        self,
        number: str,
        *,
        customer: str,
        product: str,
        kind: str = "",
        credit_limit_micros: int = 0,
        callback_number: str = "",
        aliases: Collection[str] = (),
        batch: str = "",
    ) -> AccountView:
        """Open an account with nothing in it. Raises InvalidInput and changes nothing when something is wrong.

        `kind` is by default `credit` with a credit limit, else `debit`.
        """
        kind = kind or ("credit" if credit_limit_micros else "debit")
        if kind not in KINDS:
            raise InvalidInput(f"{kind!r} is not a kind of account: use one of {', '.join(KINDS)}")
        if credit_limit_micros and kind != "credit":
            raise InvalidInput(
                f"a {kind} account cannot have a credit limit: omit --credit-limit or use --kind credit"
            )
        self._one_by_one()
        owner = in_use(Customer, customer, "customer")
        bought = in_use(Product, product, "product")
        if owner.currency != bought.tariff.currency:
            raise InvalidInput(
                f"customer {customer!r} pays in {owner.currency}, but product {product!r} is rated in "
                f"{bought.tariff.currency}: use the same currency"
            )
        known = (
            Account.get_or_none(Account.number == number)
            if self._database.repeated(f"account:{number}")
            else None
        )
        if known is not None:
            return self.get(known.id)
        self._free_number(number)
        account = Account.create(
            number=number,
            customer=owner,
            product=bought,
            book=self._shared_book(owner)
            if kind == "subordinate"
            else self._ledger.open_book(
                f"account:{number}", owner.currency, credit_limit_micros=credit_limit_micros
            ),
            kind=kind,
            batch=batch,
            status="active",
            callback_number=checks.callback_number(callback_number),
            language="",
            password_hash="",
            created_at_us=self._clock.now_us(),
        )
        self._set_aliases(account.id, aliases)
        return self.get(account.id)

    @unit
    def change(
        self,
        number: str,
        *,
        status: str | None = None,
        product: str | None = None,
        callback_number: str | None = None,
        expires_at_us: int | None = None,
        never_expires: bool = False,
        days_after_first_use: int | None = None,
        days_after_last_use: int | None = None,
        simultaneous_calls: int | None = None,
        credit_limit_micros: int | None = None,
        daily_cap_micros: int | None = None,
        no_daily_cap: bool = False,
        aliases: Collection[str] | None = None,
        language: str | None = None,
        password: str | None = None,
        speed_dials: Mapping[str, str] | None = None,
    ) -> AccountView:
        """Change what is given, all or nothing. Raises InvalidInput when a value cannot be used."""
        self._one_by_one()
        account = Account.get_or_none(Account.number == number)
        if account is None:
            raise InvalidInput(f"unknown account {number!r}: see `stasis-callback account list`")
        texts = (
            ("status", checks.status, status),
            ("callback_number", checks.callback_number, callback_number),
            ("language", checks.language, language),
            ("password_hash", hash_password, password),
            ("product", partial(self._same_currency, account), product),
        )
        counts = (
            ("days_after_first_use", checks.days, days_after_first_use),
            ("days_after_last_use", checks.days, days_after_last_use),
            ("simultaneous_calls", checks.simultaneous_calls, simultaneous_calls),
        )
        values: dict[str, object] = {name: check(text) for name, check, text in texts if text is not None}
        values |= {name: check(count) for name, check, count in counts if count is not None}
        if never_expires or expires_at_us is not None:
            values["expires_at_us"] = expires_at_us
        if credit_limit_micros is not None:
            values["kind"] = "credit" if credit_limit_micros else "debit"
        # The account before its book, as the end of a leg locks them.
        if values:
            Account.update(values).where(Account.id == account.id).execute()
        self._change_funds(account, credit_limit_micros, daily_cap_micros, no_daily_cap)
        if aliases is not None:
            self._set_aliases(account.id, aliases)
        if speed_dials is not None:
            self._set_speed_dials(account.id, speed_dials)
        return self.get(account.id)

    def _change_funds(
        self,
        account: Account,
        credit_limit_micros: int | None,
        daily_cap_micros: int | None,
        no_daily_cap: bool,
    ) -> None:
        """Limits of the account's own book."""
        if credit_limit_micros is None and daily_cap_micros is None and not no_daily_cap:
            return
        if account.kind == "subordinate":
            raise InvalidInput("a subordinate account spends its customer's funds: use `customer set`")
        if credit_limit_micros is not None:
            self._ledger.set_credit_limit(account.book_id, credit_limit_micros)
        if daily_cap_micros is not None or no_daily_cap:
            self._ledger.set_daily_cap(account.book_id, daily_cap_micros)

    @unit
    def top_up(
        self, number: str, amount_micros: int, *, key: str, note: str = "", operator: str = ""
    ) -> bool:
        """Pay into an account (id or alias), or into the funds it shares; False when this key has done so already.

        Raises AccountClosed, but not for what was paid before it was closed, and InvalidInput.
        """
        self._one_by_one()  # as `close` does: nothing is paid in behind it
        account = self.named(number)
        if account.status == "closed" and not self._ledger.is_paid(key):
            raise AccountClosed(f"account {account.number} is closed: pay into another account")
        return self._ledger.top_up(account.book_id, amount_micros, key=key, note=note, operator=operator)

    @unit
    def close(self, number: str, *, write_off: bool, operator: str) -> AccountView:
        """Close an account for good. Raises InvalidInput while a call is under way, or money has no other owner.

        `write_off` books what is left (or owed) to the house's adjustments.
        """
        self._one_by_one()
        account = self.named(number)
        # The account before its book; and before its calls are looked for: who accepts one now waits for this, or
        # this for that.
        self.change(account.number, status="closed")
        left = self.left_to_close(account, write_off=write_off)
        if left:
            key = f"close:{account.number}:{self._clock.now_us()}"
            self._ledger.adjust(account.book_id, -left, key=key, reason="closed", operator=operator)
        return self.get(account.id)

    def left_to_close(self, account: AccountView, *, write_off: bool) -> int:
        """The money of its own that an account has; within a read or a unit. Raises InvalidInput as `close` does."""
        if self._has_calls(account.id):
            raise InvalidInput(f"account {account.number} has a live call: close the account after the call")
        account = self.get(account.id)  # a call that was over just now has changed it
        left = 0 if account.kind == "subordinate" else account.balance_micros
        if left and not write_off:
            amount = format_amount(left, account.currency)
            raise InvalidInput(
                f"account {account.number} has a balance of {amount}: pay it out, or use --write-off"
            )
        return left

    @unit
    def adjust(self, book_id: int, amount_micros: int, *, key: str, reason: str, operator: str) -> bool:
        """Correct what is in a book, as the ledger does, and note who has too little for that."""
        done = self._ledger.adjust(book_id, amount_micros, key=key, reason=reason, operator=operator)
        if done and amount_micros < 0:
            note_deduction(book_id, f"adjust:{key}", -amount_micros, self._clock.now_us())
        return done

    @unit
    def add_alias(self, account_id: int, alias: str) -> bool:
        """Give an account one more id; False when it is taken or cannot be one."""
        self._one_by_one()
        if self._database.noted(f"alias:{alias}") and Alias.get_or_none(Alias.number == alias) is not None:
            return True
        try:
            self._free_number(alias)
        except InvalidInput:
            return False
        self._database.note(f"alias:{alias}")
        Alias.create(number=alias, account=account_id)
        return True

    @read
    def find(self, number: str) -> AccountView | None:
        """The account with this id, or with this alias."""
        row = one(_BY_NUMBER, number) or one(_BY_ALIAS, number)
        return AccountView(*row) if row else None

    @read
    def tariff_for(self, account: AccountView, access_code: str) -> int:
        """The tariff (row id) that rates an account's calls with this access code."""
        if not access_code:
            return account.tariff_id
        row = one(_TARIFF_OF_CODE, account.product, access_code)
        return int(row[0]) if row else account.tariff_id

    def named(self, number: str) -> AccountView:
        """The account with this id or alias; one that is a phone number may be written as people write it. Raises
        InvalidInput if it does not exist.
        """
        account = self.find(number)
        # Not the digits of something shorter: 0042 is not the account 42.
        if account is None and len(digits := read_beginning(number) or "") >= _SHORTEST_NUMBER:
            account = self.find(digits)
        if account is None:
            raise InvalidInput(f"unknown account {number!r}: see `stasis-callback account list`")
        return account

    @read
    def get(self, account_id: int) -> AccountView:
        """The account with this row id, as it is now."""
        return AccountView(*one(_BY_ROW, account_id))

    @read
    def all(self) -> list[AccountView]:
        """Every account by id."""
        return [AccountView(*row) for row in every(_ALL)]

    @read
    def numbers(self) -> frozenset[str]:
        """The id of every account: a seventh of the time of `all`, as others wait where it is in a transaction."""
        return frozenset(number for (number,) in every("SELECT number FROM account"))

    @read
    def aliases(self, account_id: int) -> list[str]:
        """The further ids of an account, in their order."""
        return [number for (number,) in every(_ALIASES, account_id)]

    @read
    def speed_dials(self, account_id: int) -> dict[str, str]:
        """The numbers behind the short keys of an account, by key."""
        return dict(every(_SPEED_DIALS, account_id))

    @read
    def languages(self) -> set[str]:
        """The languages that accounts are spoken to in, other than their access number's."""
        return {row.language for row in Account.select(Account.language).distinct() if row.language}

    @staticmethod
    def _same_currency(account: Account, product: str) -> Product:
        new = in_use(Product, product, "product")
        if new.tariff.currency != account.book.currency:
            raise InvalidInput(
                f"product {product!r} is rated in {new.tariff.currency}, but the account has another currency"
            )
        return new

    @staticmethod
    def _free_number(number: str) -> None:
        checks.account_id(number)
        taken = Account.get_or_none(Account.number == number) or Alias.get_or_none(Alias.number == number)
        if taken:
            raise InvalidInput(f"{number!r} is already an account or an alias")

    def _set_aliases(self, account_id: int, aliases: Iterable[str]) -> None:
        Alias.delete().where(Alias.account == account_id).execute()
        for alias in aliases:
            self._free_number(alias)
            Alias.create(number=alias, account=account_id)

    def _set_speed_dials(self, account_id: int, speed_dials: Mapping[str, str]) -> None:
        SpeedDial.delete().where(SpeedDial.account == account_id).execute()
        for key, number in speed_dials.items():
            if not _SPEED_KEY.fullmatch(key):
                raise InvalidInput(
                    f"speed dial {key}={number} is invalid: write one or two digits, =, and a phone number"
                )
            SpeedDial.create(
                account=account_id, key=key, number=checks.stored_number(number, f"speed dial {key}")
            )
