"""Accounts page by page, by their ids."""

from __future__ import annotations

from stasis_callback.store.accounts.view import SELECT_ACCOUNT, AccountView
from stasis_callback.store.database.database import Database, read
from stasis_callback.store.database.statements import every


class AccountPages:
    """Lists of accounts, which may be many."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @read
    def page(
        self, *, customer: str = "", product: str = "", status: str = "", after: str = "", limit: int = 50
    ) -> list[AccountView]:
        """Accounts by id, from the one after `after` on; what is "" does not matter."""
        wanted = {"customer.name": customer, "product.name": product, "account.status": status}
        wanted = {column: value for column, value in wanted.items() if value}
        where = " AND ".join(["account.number > ?", *(f"{column} = ?" for column in wanted)])
        statement = f"{SELECT_ACCOUNT} WHERE {where} ORDER BY account.number LIMIT ?"
        return [AccountView(*row) for row in every(statement, after, *wanted.values(), limit)]
