"""How commands show an account, and the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stasis_callback.admin.days import last_day, operators_zone

if TYPE_CHECKING:
    from stasis_callback.store.accounts.accounts import AccountView
    from stasis_callback.store.stores import Stores


def account_record(stores: Stores, account: AccountView) -> dict[str, object]:
    """The fields that commands show for an account. Their names are a public interface."""
    return {
        "number": account.number,
        "aliases": stores.accounts.aliases(account.id),
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
        "speed_dials": stores.accounts.speed_dials(account.id),
        "currency": account.currency,
        "balance_micros": account.balance_micros,
        "held_micros": account.held_micros,
        "credit_limit_micros": account.credit_limit_micros,
        "daily_cap_micros": account.daily_cap_micros,
        "available_micros": account.available_micros,
    }
