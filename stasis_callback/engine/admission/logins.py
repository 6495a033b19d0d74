"""Logins with an account id and, where asked for, a password or a one-time token: forms, mails, own pages.

Every wrong login counts for the account and for where it comes from; too many lock both out for a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from zlib import crc32

from stasis_callback.clock import Clock
from stasis_callback.core.limits import Limit, RequestLimits
from stasis_callback.core.requests import Trigger
from stasis_callback.core.words import Objection, Refusal
from stasis_callback.engine.admission.checks import account_trouble
from stasis_callback.engine.admission.tries import counted_try
from stasis_callback.store.accounts.accounts import AccountView
from stasis_callback.store.accounts.passwords import password_matches
from stasis_callback.store.stores import Stores

TURNS = 64
"""Locks for the logins of one account after the other; two accounts rarely share one."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What somebody shows to use an account. Where neither `password` nor `token` is given, its id is enough."""

    trigger: Trigger
    """Each has its own counters; the subscriber's pages share those of forms."""
    account: str
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    source: str = ""
    """Where they come from (an address, a sender); "" counts for none."""
    portal: str = ""
    """The program of many people that they come through; all of them may have `portal_logins` wrong logins."""
    portal_logins: Limit | None = None
    limits: RequestLimits | None = None


@dataclass(frozen=True, slots=True)
class LoginResult:
    """Whose account it is: `reason` is "" and `account` is there, with the token that was shown, if any."""

    account: AccountView | None = None
    reason: Objection = ""
    """`wrong_login` (the same for an unknown account and a wrong password), `locked_out`."""
    retry_after_s: int = 0
    token_id: int | None = None


class Logins:
    """Checks credentials."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock
        self._turns = [clock.lock() for _ in range(TURNS)]

    def check(self, shown: Credentials) -> LoginResult:
        """The account, if they may use it. Counted first and checked then, so that parallel guesses are no more than
        the limit; a right login takes its count back. One after the other for an account, so that right ones in
        parallel do not use up the limit together: where no password is compared, by one transaction.
        """
        if shown.password is None:
            return self._stores.database.unit(lambda: self._check(shown))
        with self._turns[crc32(shown.account.encode()) % TURNS]:
            return self._check(shown)

    def _check(self, shown: Credentials) -> LoginResult:
        counted = _counted(shown)
        with counted_try(self._stores, [(key, limit) for _, key, limit in counted]) as full:
            if full:
                return LoginResult(reason=Refusal.LOCKED_OUT, retry_after_s=self._stores.limits.wait_s(full))
            return self._tried(shown, {kind: key for kind, key, _ in counted})

    def _tried(self, shown: Credentials, keys: Mapping[str, str]) -> LoginResult:
        account = self._stores.accounts.find(shown.account)
        if account is not None and account.number != shown.account:
            account = None  # an alias is a telephone number: known to others, so no secret
        good, token_id = self._proven(shown, account)
        if not good:
            return LoginResult(reason=Refusal.WRONG_LOGIN)
        self._stores.database.unit(lambda: self._forget(keys))
        return LoginResult(account, token_id=token_id)

    def _forget(self, keys: Mapping[str, str]) -> None:
        """What was counted before it was right."""
        for kind, counted in keys.items():
            if kind == "account":
                self._stores.limits.clear(counted)
            else:
                self._stores.limits.give_back(counted)

    def _proven(self, shown: Credentials, account: AccountView | None) -> tuple[bool, int | None]:
        """Whether the account is theirs who ask, and by which token. All is looked at, so that it takes its time."""
        if shown.password is None and shown.token is None:
            # The id alone opens the door, as a PIN does: one that is shut looks like one that is not there.
            return account is not None and not account_trouble(account, self._clock.now_us()), None
        token_id = None
        if shown.token is not None:
            token_id = self._stores.email_senders.usable_token(shown.account, shown.token)
        by_password = shown.password is not None and password_matches(
            shown.password, account.password_hash if account else ""
        )
        if account is None:
            return False, None
        return by_password or token_id is not None, None if by_password else token_id


def _counted(shown: Credentials) -> list[tuple[str, str, Limit]]:
    """What a login is counted by until it turns out to be right: kind, key and limit."""
    if shown.limits is None:
        return []
    limits = [("account", shown.account, shown.limits.limit_logins)]
    if shown.source:
        limits.append(("source", shown.source, shown.limits.limit_source_logins))
    if shown.portal and shown.portal_logins:
        limits.append(("portal", shown.portal, shown.portal_logins))
    return [(kind, failures_key(shown.trigger, kind, who), limit) for kind, who, limit in limits]


def failures_key(door: str, kind: str, who: str) -> str:
    """The counter of what failed at a door (a trigger, or `voucher`): of an `account`, a `source`, or a `portal`."""
    return f"login:{door}:{kind}:{who}"
