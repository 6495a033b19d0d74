"""Redeeming a voucher, by whichever door its code comes: phone, mail, the subscriber's page, the API.

Codes are guessed by those who have none, so each is counted before it is looked at, and given back when it was right:
guesses in parallel are no more than the limit. All doors of a subscriber share one counter for each account.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import structlog

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.limits import Limit
from stasis_callback.core.numbers import mask
from stasis_callback.core.words import Dropped, Refusal
from stasis_callback.engine.admission.logins import failures_key
from stasis_callback.engine.admission.tries import counted_try
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.accounts.vouchers import VoucherView
from stasis_callback.store.stores import Stores

log = structlog.get_logger()

CODE_LIMIT = 64
"""Longest code looked at, in characters."""


@dataclass(frozen=True, slots=True)
class Redemption:
    """What became of a code: `voucher` is there when it was good, `account` is as it is now."""

    account: AccountView
    voucher: VoucherView | None = None
    repeated: bool = False
    """It had been redeemed for this very account before: nothing was paid in again."""
    reason: Literal[Dropped.BAD_VOUCHER, Refusal.LOCKED_OUT, ""] = ""
    retry_after_s: int = 0


def redeem(
    stores: Stores,
    account: AccountView,
    code: str,
    limit: Limit,
    *,
    counter: str = "",
    operator: str = "",
    within: Callable[[], bool] = lambda: True,
) -> Redemption:
    """Credit a voucher to an account, once. The same answer for a code that is unknown, used, blocked or expired.

    `counter` counts wrong codes; it is the account's by default. `operator` is who did it in the ledger, if not the
    subscriber. `within` is done in the same transaction; when it
    gives False, nothing is credited.
    """
    counter = counter or failures_key("voucher", "account", account.number)
    with counted_try(stores, [(counter, limit)]) as full:
        if full:
            log.info("voucher.refused", account=mask(account.number), reason=Refusal.LOCKED_OUT)
            return Redemption(account, reason=Refusal.LOCKED_OUT, retry_after_s=stores.limits.wait_s(counter))
        return _tried(stores, account, code.strip()[:CODE_LIMIT], counter, operator, within)


def _tried(
    stores: Stores,
    account: AccountView,
    code: str,
    counter: str,
    operator: str,
    within: Callable[[], bool],
) -> Redemption:
    credited = _credited(stores, account, code, operator, within)
    # Looked for after the try: one beside it may have redeemed it meanwhile.
    voucher = credited or stores.vouchers.redeemed(code, account.number)
    repeated = credited is None
    now = stores.accounts.get(account.id)
    if voucher is None:
        log.info("voucher.refused", account=mask(account.number), reason=Dropped.BAD_VOUCHER)
        return Redemption(now, reason=Dropped.BAD_VOUCHER)
    stores.limits.give_back(counter)
    log.info("voucher.redeemed", account=mask(account.number), voucher=voucher.id, repeated=repeated)
    return Redemption(now, voucher, repeated=repeated)


def _credited(
    stores: Stores, account: AccountView, code: str, operator: str, within: Callable[[], bool]
) -> VoucherView | None:
    def once() -> VoucherView:
        if not within():
            raise InvalidInput("what was shown for it is used up")
        return stores.vouchers.redeem(code, account.number, operator)

    try:
        return stores.database.unit(once)
    except InvalidInput:
        return None
