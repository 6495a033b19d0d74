"""Registered sender addresses of accounts, and one-time tokens that replace the service password.

A token is only shown when it is generated: the database stores a slow hash (scrypt), salted with the account id, so
that a copy of the database cannot be used.
"""

from __future__ import annotations

from stasis_callback.clock import US_PER_S, Clock
from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.mail_addresses import parse_address
from stasis_callback.store.accounts.codes import READABLE, code_hash, random_codes
from stasis_callback.store.accounts.tables import Account
from stasis_callback.store.database.database import Database, read, unit
from stasis_callback.store.database.trail import note_change
from stasis_callback.store.intake.tables import EmailSender, EmailToken

TOKEN_LENGTH = 10
DAY_S = 86_400


class EmailSenders:
    """Registered senders and tokens."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    # --- addresses -----------------------------------------------------------------------------------------------

    @unit
    def add(self, account_number: str, address: str) -> bool:
        """Register an address for an account; False when it was. Raises InvalidInput."""
        account = _account(account_number)
        added = EmailSender.insert(
            account=account.id, address=_registrable(address), created_at_us=self._clock.now_us()
        )
        if added.on_conflict_ignore().as_rowcount().execute():
            self._database.note("added")
            return True
        return self._database.noted("added") is not None

    @unit
    def remove(self, account_number: str, address: str) -> None:
        """Raises InvalidInput when the address is not registered for the account."""
        account = _account(account_number)
        gone = EmailSender.delete().where(
            EmailSender.account == account.id, EmailSender.address == address.strip().lower()
        )
        again = self._database.repeated("removed")
        if not gone.execute() and not again:
            raise InvalidInput(
                f"{address} is not registered for account {account_number}: see `stasis-callback email senders`"
            )

    @read
    def registered(self, account_number: str, address: str) -> bool:
        """Whether the address may write for the account."""
        found = (
            EmailSender.select()
            .join(Account)
            .where(Account.number == account_number, EmailSender.address == address.lower())
        )
        return bool(found.exists())

    @read
    def of(self, account_id: int) -> list[str]:
        """The addresses that may write for an account (row id)."""
        rows = EmailSender.select().where(EmailSender.account == account_id).order_by(EmailSender.address)
        return [row.address for row in rows]

    @read
    def all(self) -> list[dict[str, object]]:
        """Every registered address with its account."""
        rows = EmailSender.select(EmailSender, Account).join(Account)
        return [
            {"account": row.account.number, "address": row.address, "created_at_us": row.created_at_us}
            for row in rows.order_by(Account.number, EmailSender.address)
        ]

    # --- tokens --------------------------------------------------------------------------------------------------

    def give_out(self, account_number: str, count: int, days: int) -> list[str]:
        """New tokens for an account, each good for one mail within `days`; they are kept nowhere."""
        codes = random_codes(count, TOKEN_LENGTH, READABLE)
        hashes = [_hash(account_number, code) for code in codes]  # before the transaction: it takes its time
        now_us = self._clock.now_us()

        def once() -> None:
            account = _account(account_number)
            for token_hash in hashes:
                EmailToken.insert(
                    account=account.id,
                    token_hash=token_hash,
                    expires_at_us=now_us + days * DAY_S * US_PER_S,
                    created_at_us=now_us,
                ).on_conflict_ignore().execute()
            # Noted here: the commands' own transaction would stand open while the hashes are made.
            given = {"given_out": count, "days": days}
            note_change(self._database, self._clock, "email tokens", account_number, {}, given)

        self._database.unit(once)
        return codes

    @unit
    def withdraw(self, account_number: str) -> int:
        """Make all unused tokens of an account useless; how many there were."""
        account = _account(account_number)
        unused = EmailToken.delete().where(EmailToken.account == account.id, EmailToken.used_by.is_null())
        count = unused.execute() or self._database.noted("withdrawn") or 0
        self._database.note("withdrawn", count)
        note_change(self._database, self._clock, "email tokens", account_number, {"unused": count}, {})
        return int(count)

    def usable_token(self, account_number: str, code: str) -> int | None:
        """The id of a valid token with this code. Takes the same time if the account does not exist."""
        rows = (
            EmailToken.select()
            .join(Account)
            .where(
                Account.number == account_number,
                EmailToken.token_hash == _hash(account_number, code),
                EmailToken.used_by.is_null(),
                EmailToken.expires_at_us > self._clock.now_us(),
            )
        )
        row = self._database.read(rows.first)
        return int(row.id) if row else None

    def use(self, token_id: int, key: str) -> bool:
        """Use a token up for the request `key`: of any number who try at once one does. Within a transaction."""
        name = f"token:{token_id}"
        used = EmailToken.update(used_by=key).where(EmailToken.id == token_id, EmailToken.used_by.is_null())
        if used.execute():
            self._database.note(name)
            return True
        return self._database.noted(name) is not None and EmailToken.get_by_id(token_id).used_by == key

    def put_back(self, token_id: int) -> None:
        """It was not used after all. Within the transaction that used it."""
        EmailToken.update(used_by=None).where(EmailToken.id == token_id).execute()


def _account(number: str) -> Account:
    account = Account.get_or_none(Account.number == number)
    if account is None:
        raise InvalidInput(f"unknown account {number!r}: see `stasis-callback account list`")
    return account


def _registrable(text: str) -> str:
    address = parse_address(text).lower()
    if "." not in address.partition("@")[2]:
        raise InvalidInput(f"{text[:80]!r} has half a domain: write, for example, ann@example.com")
    return address


def _hash(account_number: str, code: str) -> str:
    return code_hash(code, b"stasis-callback email token " + account_number.encode("utf-8", "replace"))
