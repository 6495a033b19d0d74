"""A backup that is restored, with what was pending settled from the journal, reaches the same balances (I20)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from shop import UNANSWERED, Shop, talked

from stasis_callback.store.audit import verify
from stasis_callback.store.stores import Stores, open_stores

ENDS = {"a1": talked(61), "b1": talked(9.5), "b2": UNANSWERED}
"""What Asterisk's journal says of the legs that were under way when the backup was made."""


def settle(stores: Stores) -> list[tuple[str, int, int]]:
    """Settle every open leg from the journal; the money of every account afterwards."""
    for leg in stores.calls.open_legs():
        stores.calls.settle(leg.id, ENDS[leg.id])
    assert verify(stores.database, stores.tariffs) == []
    return [(a.number, a.balance_micros, a.held_micros) for a in stores.accounts.all()]


@pytest.mark.sqlite
def test_a_restored_backup_reaches_the_same_balances(shop: Shop, tmp_path: Path) -> None:
    one, two = shop.account("100"), shop.account("200", funds="3.00")
    request, other = shop.request(one), shop.request(two)
    shop.leg("old", one, request, hold="1.00")
    shop.stores.calls.settle("old", talked(30))
    shop.leg("a1", one, request, hold="0.50")
    shop.leg("b1", two, other, hold="2.00")
    shop.leg("b2", two, other, hold="1.00")
    copy = tmp_path / "backup.db"
    # As docs/operations.md says: SQLite's own backup, while the service works.
    with closing(sqlite3.connect(shop.file)) as live, closing(sqlite3.connect(copy)) as backup:
        live.backup(backup)
    reached = settle(shop.stores)
    shop.stores.database.close()
    restored = open_stores(f"sqlite:///{copy}", "node1", shop.clock)
    try:
        assert settle(restored) == reached
        assert settle(restored) == reached  # and once more changes nothing
    finally:
        restored.database.close()
