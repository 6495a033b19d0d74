"""An account as the rest of the product sees it, and how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from peewee import ModelSelect

from stasis_callback.store.accounts.tables import Account, Alias, Customer, Product, SpeedDial
from stasis_callback.store.money.ledger import DAY_US
from stasis_callback.store.money.reading import with_books


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
    kind: str
    """`debit`, `credit`, or `subordinate`: its customer's funds are its own."""
    status: str
    batch: str
    callback_number: str
    language: str
    password_hash: str = field(repr=False)
    fixed_expiry_us: int | None
    days_after_first_use: int | None
    days_after_last_use: int | None
    first_used_at_us: int | None
    last_used_at_us: int | None
    simultaneous_calls: int
    daily_cap_micros: int | None
    balance_micros: int
    held_micros: int
    credit_limit_micros: int
    aliases: tuple[str, ...] = ()
    speed_dials: Mapping[str, str] = field(default_factory=dict)

    @property
    def expires_at_us(self) -> int | None:
        """When it cannot be used any more: the earliest of its fixed date and the days after its first and last use.

        An account that was never used has only its fixed date.
        """
        ends = [self.fixed_expiry_us]
        for used_at_us, days in (
            (self.first_used_at_us, self.days_after_first_use),
            (self.last_used_at_us, self.days_after_last_use),
        ):
            ends.append(None if used_at_us is None or days is None else used_at_us + days * DAY_US)
        return min((end for end in ends if end is not None), default=None)

    @property
    def available_micros(self) -> int:
        """Balance minus holds plus credit limit, as it was when this was read: for saying, never for deciding."""
        return self.balance_micros - self.held_micros + self.credit_limit_micros


def select_accounts() -> ModelSelect[Account]:
    """Accounts with what their view needs."""
    rows = Account.select(Account, Customer, Product).join(Customer).switch(Account).join(Product)
    return with_books(rows, Account)


def account_view(row: Account) -> AccountView:
    """A row of `select_accounts`."""
    return AccountView(
        id=row.id,
        number=row.number,
        customer=row.customer.name,
        product=row.product.name,
        tariff_id=row.product.tariff_id,
        book_id=row.book_id,
        currency=row.book.currency,
        kind=row.kind,
        status=row.status,
        batch=row.batch,
        callback_number=row.callback_number,
        language=row.language,
        password_hash=row.password_hash,
        fixed_expiry_us=row.expires_at_us,
        days_after_first_use=row.days_after_first_use,
        days_after_last_use=row.days_after_last_use,
        first_used_at_us=row.first_used_at_us,
        last_used_at_us=row.last_used_at_us,
        simultaneous_calls=row.simultaneous_calls,
        daily_cap_micros=row.book.daily_cap_micros,
        balance_micros=row.book.balance_micros,
        held_micros=row.book.held_micros,
        credit_limit_micros=row.book.credit_limit_micros,
        aliases=tuple(a.number for a in row.aliases.order_by(Alias.number)),
        speed_dials={dial.key: dial.number for dial in row.speed_dials.order_by(SpeedDial.key)},
    )
