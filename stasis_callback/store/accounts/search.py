"""Finding accounts and the entries of their books, for listings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stasis_callback.core.errors import InvalidInput
from stasis_callback.core.numbering import read_beginning
from stasis_callback.store.accounts.checks import STATUSES
from stasis_callback.store.accounts.tables import Account, Alias, Customer, Product
from stasis_callback.store.accounts.view import SELECT_ACCOUNT, AccountView
from stasis_callback.store.database.database import Database, read
from stasis_callback.store.database.names import by_name, is_hidden
from stasis_callback.store.database.periods import row_after
from stasis_callback.store.database.statements import every, one
from stasis_callback.store.money.reading import amounts, with_books
from stasis_callback.store.money.views import EntryLine, balance_before_us, entries

_AT_ONCE = 500
_OWN_BOOKS = "SELECT book_id, number FROM account WHERE kind <> 'subordinate' AND book_id IN (...)"
_OWN_BOOKS_OF = """SELECT book_id, number FROM account WHERE kind <> 'subordinate' AND customer_id = ?
    ORDER BY number"""
_BOOK_OF = "SELECT book_id FROM account WHERE number = ?"
_BOOKS_OF = """SELECT book_id FROM account WHERE customer_id = ?
    UNION ALL SELECT book_id FROM customer WHERE id = ? AND book_id IS NOT NULL"""
_ALIASES = "SELECT account_id, number FROM alias WHERE account_id IN (...) ORDER BY number"
_SPEED_DIALS = "SELECT account_id, key, number FROM speed_dial WHERE account_id IN (...) ORDER BY key"
_SHARED_BOOKS = "SELECT book_id, name FROM customer WHERE book_id IN (...)"


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Which accounts are wanted; "" is for any. `text` is a part of an id, an alias or a callback number, which
    may be written as people write numbers.
    """

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
    def accounts(self, only: AccountFilter, limit: int, after: str = "") -> list[AccountView]:
        """Accounts, newest first, from the one after `after` (its id) on. Raises InvalidInput for a customer, a
        product or an account that does not exist.
        """
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
        if after:
            wanted.append(("account.id < ?", row_after(Account, Account.number, after).id))
        conditions, values = [sql for sql, _ in wanted], [value for _, value in wanted]
        if only.text:
            # A number as people write it is looked for as it is stored, too.
            parts = [f"%{_literally(text)}%" for text in {only.text, read_beginning(only.text) or only.text}]
            of_alias = "SELECT account_id FROM alias WHERE LOWER(alias.number) LIKE ? ESCAPE '!'"
            own = "LOWER(account.number) LIKE ? ESCAPE '!' OR account.callback_number LIKE ? ESCAPE '!'"
            either = " OR ".join([f"{own} OR account.id IN ({of_alias})"] * len(parts))
            conditions.append(f"({either})")
            values += [part for part in parts for _ in range(3)]
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        statement = f"{SELECT_ACCOUNT} {where} ORDER BY account.id DESC LIMIT ?"
        return [AccountView(*row) for row in every(statement, *values, limit)]

    @read
    def customers(
        self, *, name: str | None = None, retired: bool | None = None, limit: int = -1, after: str = ""
    ) -> list[dict[str, object]]:
        """Customers by name: one of them, those in use or retired (None: both), from the one after `after` on. A
        negative `limit` is none. Raises InvalidInput if there is no `after`.
        """
        rows = with_books(Customer.select(Customer), Customer).order_by(Customer.name)
        if name is not None:
            rows = rows.where(Customer.name == name)
        if retired is not None:
            rows = rows.where(Customer.retired_at_us.is_null(not retired))
        if after:
            rows = rows.where(Customer.name > row_after(Customer, Customer.name, after).name)
        rows = rows if limit < 0 else rows.limit(limit)
        return [{"name": c.name, "currency": c.currency} | amounts(c.book) for c in rows]

    @read
    def customers_called(self, names: Sequence[str]) -> list[str]:
        """Which of these names are names of customers, retired ones too."""
        return [row.name for row in Customer.select(Customer.name).where(Customer.name.in_(list(names)))]

    @read
    def customers_from(self, beginning: str, limit: int) -> list[str]:
        """The names of customers that begin so, at most `limit` in their order; hidden ones are left out."""
        rows = Customer.select(Customer.name).where(Customer.name >= beginning).order_by(Customer.name)
        names = [row.name for row in rows.limit(limit)]
        return [name for name in names if name.startswith(beginning) and not is_hidden(name)]

    @read
    def numbers_of(
        self, *, customer: str | None = None, product: str | None = None, limit: int = -1
    ) -> tuple[list[str], int]:
        """The first `limit` ids of the accounts of a customer or with a product, and how many there are. A negative
        `limit` is none. Raises InvalidInput for a customer or product that does not exist.
        """
        rows = Account.select(Account.number).order_by(Account.id)
        if customer is not None:
            rows = rows.where(Account.customer == by_name(Customer, customer, "customer"))
        if product is not None:
            rows = rows.where(Account.product == by_name(Product, product, "product"))
        some = rows if limit < 0 else rows.limit(limit)
        return [row.number for row in some], int(rows.order_by().count())

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
        after: str = "",
    ) -> list[EntryLine]:
        """Entries of one account (its id), of all books of a customer, or of all; newest first, from the one after
        `after` (its transfer) on. A negative `limit` is none. Raises InvalidInput for what does not exist.
        """
        books = None
        if account:
            books = _BOOK_OF, [account]
        if customer:
            books = _BOOKS_OF, [by_name(Customer, customer, "customer").id] * 2
        return entries(books, kind=kind, since_us=since_us, until_us=until_us, limit=limit, after=after)

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
    def has_batch(self, name: str) -> bool:
        """Whether there are accounts of a batch."""
        return one("SELECT 1 FROM account WHERE batch = ? LIMIT 1", name) is not None

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
        for statement in (_OWN_BOOKS, _SHARED_BOOKS):
            found |= dict(_for_all(statement, ids))
        return found

    @read
    def numbers(self, row_ids: Collection[int | None]) -> Mapping[int | None, str]:
        """The ids of accounts by their row ids."""
        ids = sorted(row_id for row_id in row_ids if row_id)
        return dict(_for_all("SELECT id, number FROM account WHERE id IN (...)", ids))

    @read
    def aliases(self, row_ids: Sequence[int]) -> dict[int, list[str]]:
        """The further ids of accounts in their order, by row id."""
        found: dict[int, list[str]] = {}
        for row_id, number in _for_all(_ALIASES, row_ids):
            found.setdefault(row_id, []).append(number)
        return found

    @read
    def speed_dials(self, row_ids: Sequence[int]) -> dict[int, dict[str, str]]:
        """The numbers behind the short keys of accounts, by row id and key."""
        found: dict[int, dict[str, str]] = {}
        for row_id, key, number in _for_all(_SPEED_DIALS, row_ids):
            found.setdefault(row_id, {})[key] = number
        return found

    @read
    def with_number(self, digits: str) -> list[int]:
        """The accounts (row ids) that a number belongs to: as id, alias or callback number."""
        rows = Account.select(Account.id).where(
            (Account.number == digits) | (Account.callback_number == digits)
        )
        aliases = Alias.select(Alias.account).where(Alias.number == digits)
        return sorted({row.id for row in rows} | {row.account_id for row in aliases})


def _for_all(statement: str, ids: Sequence[int]) -> Iterator[Any]:
    """The rows of a statement that has `(...)` for some of `ids`."""
    for some in (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)):
        yield from every(statement.replace("...", ", ".join("?" * len(some))), *some)


def _literally(text: str) -> str:
    """`text` in lower case for LIKE ... ESCAPE '!'."""
    return "".join(f"!{c}" if c in "!%_" else c for c in text.lower())
