"""The checks before every call, for all triggers: account, number, funds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from stasis_callback.core.kinds import Kind
from stasis_callback.core.numbering import kind_of, sells
from stasis_callback.core.numbers import may_be_same
from stasis_callback.core.words import AccountTrouble, FundsTrouble, NumberTrouble, Refusal
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.rates.book import RateView
from stasis_callback.store.stores import Stores


def number_trouble(
    stores: Stores, payer: AccountView, number: str, access_code: str, own: Sequence[str] | None = None
) -> tuple[NumberTrouble | Literal[""], RateView | None]:
    """ "" and the rate that `payer` calls `number` by; or why it may not be called at its expense, and None.

    `own` are our own access numbers, where they were read already.
    """
    trouble, rate = rate_trouble(stores, payer, number, access_code)
    if rate is not None:
        owned = (
            stores.access_numbers.owns(number)
            if own is None
            else any(may_be_same(one, number) for one in own)
        )
        if owned:
            return Refusal.OWN_NUMBER, None
    return trouble, rate


def rate_trouble(
    stores: Stores, payer: AccountView, number: str, access_code: str
) -> tuple[NumberTrouble | Literal[""], RateView | None]:
    """The same, but for our own access numbers: whether the tariff of `payer` sells calls to `number`."""
    kind = kind_of(number)
    if kind is Kind.EMERGENCY:
        return Refusal.EMERGENCY_NUMBER, None
    rate = selling_rate(stores, stores.accounts.tariff_for(payer, access_code), number)
    if rate is not None:
        return "", rate
    if kind is Kind.IMPOSSIBLE:
        return Refusal.BAD_CALLBACK_NUMBER, None
    return Refusal.DESTINATION_NOT_IN_TARIFF, None


def selling_rate(stores: Stores, tariff_id: int, number: str) -> RateView | None:
    """The rate by which a tariff sells calls to `number`; None when it does not, also where a prefix fits."""
    rate = stores.tariffs.match(tariff_id, number)
    return rate if rate is not None and sells(rate.rate.prefix, number, rate.terms.opened) else None


def funds_trouble(stores: Stores, book_id: int) -> FundsTrouble:
    """Why there are not enough funds: there are none, or today's cap is reached."""
    return Refusal.DAILY_LIMIT if stores.ledger.capped(book_id) else Refusal.NO_FUNDS


def account_trouble(account: AccountView, now_us: int) -> AccountTrouble | Literal[""]:
    """Why an account may not call at all; "" when it may."""
    if account.status != "active":
        return Refusal.ACCOUNT_BLOCKED
    if account.expires_at_us is not None and account.expires_at_us <= now_us:
        return Refusal.ACCOUNT_EXPIRED
    return ""


def login_key(number: str) -> str:
    """The key of the counter of wrong PINs for the called-back `number`."""
    return f"login:{number}"
