"""Taking back: removing, retiring and renaming what commands have added, and operations on whole batches.

For commands: every method is called within their transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stasis_callback.core.errors import InvalidInput
from stasis_callback.store.accounts.tables import Account, Customer, Product, ProductCode
from stasis_callback.store.database.database import Database, read
from stasis_callback.store.database.names import by_name, checked_name, checked_word, hidden_name
from stasis_callback.store.database.statements import run
from stasis_callback.store.rates.tables import Tariff, Trunk, Vendor

_MODELS: dict[str, Any] = {
    "customer": Customer,
    "product": Product,
    "tariff": Tariff,
    "trunk": Trunk,
    "vendor": Vendor,
}
_CALLED = """SELECT 1 FROM rate WHERE tariff_id = ? AND (EXISTS (SELECT 1 FROM leg WHERE rate_id = rate.id)
    OR EXISTS (SELECT 1 FROM leg WHERE cost_rate_id = rate.id)) LIMIT 1"""
"""Whether a call was ever charged by a rate of a tariff."""


class Upkeep:
    """Removes and renames."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rename(self, noun: str, name: str, new: str) -> None:
        """Rename a customer, product, tariff, trunk or vendor. Raises InvalidInput."""
        self._database.lock("accounts", "tariffs")
        model = _MODELS[noun]
        row = _there(noun, name)
        if noun == "trunk":
            checked_word(new, "a PJSIP endpoint")
        taken = model.get_or_none(model.name == checked_name(new))
        if taken is not None:
            gone = getattr(taken, "removed_at_us", None) is not None
            why = "was removed, and its call records keep the name" if gone else "already exists"
            raise InvalidInput(f"{noun} {new!r} {why}")
        model.update(name=new).where(model.id == row.id).execute()

    def retire(self, noun: str, name: str, at_us: int | None) -> None:
        """Let a customer, product, tariff or vendor be used for nothing new; None: again. Raises InvalidInput."""
        model = _MODELS[noun]
        row = _there(noun, name)
        model.update(retired_at_us=at_us).where(model.id == row.id).execute()

    @read
    def retired(self, noun: str) -> set[str]:
        """The names of those that are retired."""
        model = _MODELS[noun]
        return {row.name for row in model.select(model.name).where(model.retired_at_us.is_null(False))}

    @read
    def exists(self, noun: str, name: str) -> bool:
        """Whether there is a customer, product, tariff, trunk or vendor with this name."""
        model = _MODELS[noun]
        return model.get_or_none(model.name == name) is not None

    def remove(self, noun: str, name: str, at_us: int) -> None:
        """Remove a customer, product, tariff or vendor. Raises InvalidInput with what depends on it: then it can be
        retired.

        The terms of a tariff are append-only, so its row stays, without its name.
        """
        self._database.lock("accounts", "tariffs")
        row = _there(noun, name)
        if in_the_way := _IN_THE_WAY[noun](row):
            raise InvalidInput(
                f"{noun} {name!r} cannot be removed: {in_the_way}; `{noun} retire` keeps it from new use"
            )
        if noun == "tariff":
            gone = {"name": hidden_name(f"removed: {row.id}"), "removed_at_us": at_us}
            Tariff.update(**gone).where(Tariff.id == row.id).execute()
            return
        if noun == "product":
            ProductCode.delete().where(ProductCode.product == row.id).execute()
        row.delete_instance()

    def set_batch_status(self, batch: str, old: str, new: str) -> int:
        """Give the accounts of a batch that have one status another; how many. Raises InvalidInput."""
        self._database.lock("accounts")
        if not Account.select().where(Account.batch == batch, Account.batch != "").exists():
            raise InvalidInput(f"there is no batch {batch!r} of accounts: see `stasis-callback account list`")
        rows = Account.update(status=new).where(Account.batch == batch, Account.status == old)
        return int(rows.execute())


def _there(noun: str, name: str) -> Any:
    """The row with this name. Raises InvalidInput, also if it was removed."""
    row = by_name(_MODELS[noun], name, noun)
    if getattr(row, "removed_at_us", None) is not None:
        raise InvalidInput(f"unknown {noun} {name!r}: see `stasis-callback {noun} list`")
    return row


def _count(model: Any, *conditions: Any) -> int:
    return int(model.select().where(*conditions).count())


def _of_customer(row: Any) -> str:
    if accounts := _count(Account, Account.customer == row.id):
        return f"it has {accounts} account(s), see `account list --customer`"
    return "" if row.book_id is None else "it had funds of its own, which the ledger keeps"


def _of_product(row: Any) -> str:
    accounts = _count(Account, Account.product == row.id)
    return f"{accounts} account(s) have it, see `account list --product`" if accounts else ""


def _of_vendor(row: Any) -> str:
    return "it has or had trunks, see `trunk list`" if _count(Trunk, Trunk.vendor == row.id) else ""


def _of_tariff(row: Any) -> str:
    if _count(Product, Product.tariff == row.id) or _count(ProductCode, ProductCode.tariff == row.id):
        return f"products have it, see `tariff show {row.name}`"
    if _count(Trunk, Trunk.tariff == row.id, Trunk.removed_at_us.is_null()):
        return f"trunks have it, see `tariff show {row.name}`"
    return "calls were charged by it" if run(_CALLED, row.id).fetchone() else ""


_IN_THE_WAY: dict[str, Callable[[Any], str]] = {
    "customer": _of_customer,
    "product": _of_product,
    "tariff": _of_tariff,
    "vendor": _of_vendor,
}
"""What depends on a thing, in words; "" if nothing does."""
