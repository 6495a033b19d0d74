"""How commands show an account, and the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stasis_callback.admin.days import last_day, operators_zone
from stasis_callback.admin.output import Record

if TYPE_CHECKING:
    from stasis_callback.store.accounts.accounts import AccountView
    from stasis_callback.store.stores import Stores


def account_record(stores: Stores, account: AccountView) -> dict[str, object]:
    """The fields that commands show for an account. Their names are a public interface."""
    return dict(account_records(stores, [account])[0])


def account_records(stores: Stores, accounts: Sequence[AccountView]) -> list[Record]:
    """The fields of several accounts, in as few statements as those of one."""
    ids = [account.id for account in accounts]
    aliases, speed_dials = stores.search.aliases(ids), stores.search.speed_dials(ids)
    return [
        _record(account, aliases.get(account.id, []), speed_dials.get(account.id, {})) for account in accounts
    ]


def _record(account: AccountView, aliases: list[str], speed_dials: dict[str, str]) -> dict[str, object]:
    return {
        "number": account.number,
        "aliases": aliases,
        "customer": account.customer,
        "product": account.product,
        "kind": account.kind,
        "status": account.status,
        "batch": account.batch,
        "expires_on": last_day(account.expires_at_us, operators_zone()),
        "expires_at_us": account.expires_at_us,
        "days_after_first_use": account.days_after_first_use,
        "days_after_last_use": account.days_after_last_use,
        "first_used_at_us": account.first_used_at_us,
        "last_used_at_us": account.last_used_at_us,
        "simultaneous_calls": account.simultaneous_calls,
        "callback_number": account.callback_number,
        "language": account.language,
        "has_service_password": bool(account.password_hash),
        "speed_dials": speed_dials,
        "currency": account.currency,
        "balance_micros": account.balance_micros,
        "held_micros": account.held_micros,
        "credit_limit_micros": account.credit_limit_micros,
        "daily_cap_micros": account.daily_cap_micros,
        "available_micros": account.available_micros,
    }
