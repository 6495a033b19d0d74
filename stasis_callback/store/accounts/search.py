"""Finding accounts and the entries of their books, for listings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.accounts.checks import STATUSES
from stasis_callback.store.accounts.tables import Account, Alias, Customer, Product
from stasis_callback.store.accounts.view import SELECT_ACCOUNT, AccountView
from stasis_callback.store.database.database import Database, read
from stasis_callback.store.database.names import by_name
from stasis_callback.store.database.statements import every
from stasis_callback.store.money.views import EntryLine, balance_before_us, entries

_AT_ONCE = 500
_OWN_BOOKS = "SELECT book_id, number FROM account WHERE kind <> 'subordinate' AND book_id IN (...)"
_OWN_BOOKS_OF = """SELECT book_id, number FROM account WHERE kind <> 'subordinate' AND customer_id = ?
    ORDER BY number"""
_SHARED_BOOKS = "SELECT book_id, name FROM customer WHERE book_id IN (...)"


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Which accounts are wanted; "" is for any. `text` is a part of an id, an alias or a callback number."""

    customer: str = ""
    product: str = ""
    batch: str = ""
    status: str = ""
    text: str = ""


class AccountSearch:
    """Reads accounts, customers and their entries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @read
    def accounts(self, only: AccountFilter, limit: int, offset: int = 0) -> list[AccountView]:
        """Accounts, newest first. Raises InvalidInput for a customer or product that does not exist."""
        if only.status and only.status not in STATUSES:
            raise InvalidInput(f"{only.status!r} is not a status: use one of {', '.join(STATUSES)}")
        wanted: list[tuple[str, object]] = []
        if only.customer:
            wanted.append(("account.customer_id = ?", by_name(Customer, only.customer, "customer").id))
        if only.product:
            wanted.append(("account.product_id = ?", by_name(Product, only.product, "product").id))
        for column in ("batch", "status"):
            if value := getattr(only, column):
                wanted.append((f"account.{column} = ?", value))
        conditions, values = [sql for sql, _ in wanted], [value for _, value in wanted]
        if only.text:
            part = f"%{_literally(only.text)}%"
            of_alias = "SELECT account_id FROM alias WHERE LOWER(alias.number) LIKE ? ESCAPE '!'"
            own = "LOWER(account.number) LIKE ? ESCAPE '!' OR account.callback_number LIKE ? ESCAPE '!'"
            conditions.append(f"({own} OR account.id IN ({of_alias}))")
            values += [part] * 3
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        statement = f"{SELECT_ACCOUNT} {where} ORDER BY account.id DESC LIMIT ? OFFSET ?"
        return [AccountView(*row) for row in every(statement, *values, limit, offset)]

    @read
    def entries(
        self,
        *,
        account: str = "",
        customer: str = "",
        kind: str | None = None,
        since_us: int | None = None,
        until_us: int | None = None,
        limit: int = -1,
        offset: int = 0,
    ) -> list[EntryLine]:
        """Entries of one account (its id), of all books of a customer, or of all; newest first. A negative `limit`
        is none. Raises InvalidInput for a customer that does not exist.
        """
        books: object = None
        if account:
            books = Account.select(Account.book).where(Account.number == account)
        if customer:
            books = self._books_of(by_name(Customer, customer, "customer"))
        return entries(books, kind=kind, since_us=since_us, until_us=until_us, limit=limit, offset=offset)

    @staticmethod
    def _books_of(customer: Customer) -> object:
        """The books of a customer: the shared one, and those of the accounts."""
        shared = Customer.select(Customer.book).where(Customer.id == customer.id, ~Customer.book.is_null())
        return Account.select(Account.book).where(Account.customer == customer) | shared

    @read
    def books(self, *, account: str = "", customer: str = "") -> list[tuple[int, str]]:
        """The books of an account (its id) or of a customer, each with its owner; a shared book comes first.

        Raises InvalidInput for a customer that does not exist.
        """
        if account:
            found = every("SELECT book_id FROM account WHERE number = ?", account)
            owners = self.owners([book_id for (book_id,) in found])
            return list(owners.items())
        row = by_name(Customer, customer, "customer")
        shared = [(row.book_id, row.name)] if row.book_id is not None else []
        return [*shared, *every(_OWN_BOOKS_OF, row.id)]

    @read
    def batch(self, name: str) -> dict[str, int]:
        """How many accounts of a batch have each status."""
        return dict(every("SELECT status, COUNT(*) FROM account WHERE batch = ? GROUP BY status", name))

    @read
    def balance_before(self, book_id: int, at_us: int) -> int:
        """What was in a book before a time."""
        return balance_before_us(book_id, at_us)

    @read
    def owners(self, book_ids: Collection[int]) -> Mapping[int, str]:
        """Whose books these are: an account's id, or the name of the customer whose accounts share it."""
        found: dict[int, str] = {}
        ids = sorted(book_ids)
        for some in (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)):
            places = ", ".join("?" * len(some))
            found |= dict(every(_OWN_BOOKS.replace("...", places), *some))
            found |= dict(every(_SHARED_BOOKS.replace("...", places), *some))
        return found

    @read
    def with_number(self, digits: str) -> list[int]:
        """The accounts (row ids) that a number belongs to: as id, alias or callback number."""
        rows = Account.select(Account.id).where(
            (Account.number == digits) | (Account.callback_number == digits)
        )
        aliases = Alias.select(Alias.account).where(Alias.number == digits)
        return sorted({row.id for row in rows} | {row.account_id for row in aliases})


def _literally(text: str) -> str:
    """`text` in lower case for LIKE ... ESCAPE '!'."""
    return "".join(f"!{c}" if c in "!%_" else c for c in text.lower())
