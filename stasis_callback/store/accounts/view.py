"""An account as the rest of the product sees it, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from stasis_callback.store.money.ledger import DAY_US, spent_today


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
    spent_day: int
    spent_micros: int

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

    def is_below(self, threshold_micros: int) -> bool:
        """Whether the balance and the credit limit were less than a threshold when this was read."""
        return self.balance_micros + self.credit_limit_micros < threshold_micros

    def spendable_micros(self, now_us: int) -> int:
        """What could be held when this was read: the free funds, or what today's cap leaves. The hold decides."""
        if self.daily_cap_micros is None:
            return self.available_micros
        spent_micros = spent_today(self.spent_day, self.spent_micros, now_us // DAY_US)
        return min(self.available_micros, self.daily_cap_micros - self.held_micros - spent_micros)


SELECT_ACCOUNT = """SELECT account.id, account.number, customer.name, product.name, product.tariff_id,
    account.book_id, book.currency, account.kind, account.status, account.batch, account.callback_number,
    account.language, account.password_hash, account.expires_at_us, account.days_after_first_use,
    account.days_after_last_use, account.first_used_at_us, account.last_used_at_us, account.simultaneous_calls,
    book.daily_cap_micros, book.balance_micros, book.held_micros, book.credit_limit_micros,
    book.spent_day, book.spent_micros
    FROM account JOIN customer ON customer.id = account.customer_id
    JOIN product ON product.id = account.product_id JOIN book ON book.id = account.book_id"""
"""The columns are the fields of `AccountView`, in their order."""
