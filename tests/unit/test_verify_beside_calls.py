"""`ledger verify` beside a running service: it keeps nobody from writing, raises no false alarm, and goes on where it
was, however little it looks at in one go.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from shop import UNANSWERED, Shop, talked

from stasis_callback.core.errors import StoreUnavailable
from stasis_callback.core.fraud import Budget, Budgets
from stasis_callback.store import audit
from stasis_callback.store.audit import by_rows, chains, owners, verify
from stasis_callback.store.database.snapshots import open_snapshots

SUM = "SELECT SUM(balance_micros) FROM book"


def findings(shop: Shop, *, whole: bool = False) -> list[str]:
    return verify(shop.stores.database, shop.stores.tariffs, whole=whole)


def legs(shop: Shop, number: str, count: int) -> None:
    """An account with this many legs, answered and unanswered."""
    account = shop.account(number, funds="100.00")
    request = shop.request(account)
    for n in range(count):
        assert shop.leg(f"{number}-{n}", account, request, hold="1.00")
        shop.stores.calls.settle(f"{number}-{n}", talked(n) if n % 3 else UNANSWERED)


@contextmanager
def elsewhere(work: Callable[[], object]) -> Iterator[threading.Event]:
    """Do something over and over in another thread; the event is set when it was done once."""
    stop, done = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            while not stop.is_set():
                work()
                done.set()
        except BaseException as error:
            failed.append(error)
            done.set()
            raise

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()
    assert not failed


def test_a_look_sees_one_moment_and_keeps_nobody_from_writing(shop: Shop) -> None:
    account = shop.account(funds="10.00")
    with closing(open_snapshots(shop.stores.database)) as looks:
        with looks.look():
            assert looks.rows(SUM) == [(10_000_000,)]
            assert shop.stores.ledger.top_up(account.book_id, 5_000_000, key="meanwhile")
            assert looks.rows(SUM) == [(10_000_000,)]
        with looks.look():
            assert looks.rows(SUM) == [(15_000_000,)]


def test_a_look_cannot_write(shop: Shop) -> None:
    shop.account()
    with closing(open_snapshots(shop.stores.database)) as looks:
        with pytest.raises(Exception, match=r"read.?only"), looks.look():
            looks.rows("DELETE FROM alias WHERE number = ?", ("1",))
        with looks.look():
            assert looks.rows("SELECT COUNT(*) FROM account") == [(1,)]


def test_while_somebody_writes_for_long_what_is_proven_already_is_looked_at_all_the_same(shop: Shop) -> None:
    legs(shop, "100", 5)
    assert findings(shop) == []
    entered, leave = threading.Event(), threading.Event()

    def write_for_long() -> None:
        with shop.stores.database.transaction():
            shop.stores.ledger.top_up(shop.stores.accounts.named("100").book_id, 1, key="long")
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=write_for_long)
    thread.start()
    try:
        assert entered.wait(30)
        assert findings(shop) == []
    finally:
        leave.set()
        thread.join()
    assert findings(shop) == []


def test_fifty_runs_beside_traffic_raise_no_false_alarm(shop: Shop) -> None:
    """Holds, charges, unanswered attempts, top-ups and reversals come and go while it looks."""
    accounts = [shop.account(number, funds="9000.00") for number in ("100", "200", "300")]
    requests = [shop.request(account) for account in accounts]
    shop.stores.accounts.change("300", daily_cap_micros=9_000_000_000)
    shop.stores.fraud.budgets = Budgets(
        caller=Budget(), account=Budget(), number=Budget(), destination=Budget(), number_hour=0
    )
    ledger, made = shop.stores.ledger, iter(range(10**9))

    def traffic(which: int) -> None:
        n = next(made)
        leg, account = f"t{which}-{n}", accounts[which]
        assert shop.leg(leg, account, requests[which], hold="0.50")
        ledger.change_hold(leg, 700_000)
        shop.stores.calls.settle(leg, (UNANSWERED, talked(20), talked(100))[n % 3])
        if n % 5 == 0:
            ledger.top_up(account.book_id, 1_000_000, key=leg)
            ledger.reverse(ledger.statement(account.book_id, 1)[0].transfer, reason="test", operator="test")

    with elsewhere(lambda: traffic(0)) as one, elsewhere(lambda: traffic(1)) as two:
        assert one.wait(60)
        assert two.wait(60)
        for run in range(50):
            assert findings(shop, whole=run % 2 == 0) == []
            traffic(2)
    assert findings(shop, whole=True) == []


# --- however little it looks at in one go ---------------------------------------------------------------------------


@pytest.fixture
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three links or two books at a look, and seven links again at most: so that everything takes several looks."""
    monkeypatch.setattr(chains, "LINKS_AT_A_LOOK", 3)
    monkeypatch.setattr(chains, "BOOKS_AT_A_LOOK", 2)
    monkeypatch.setattr(by_rows, "ROWS_AT_A_LOOK", 2)
    monkeypatch.setattr(owners, "ROWS_AT_A_LOOK", 2)
    monkeypatch.setattr(audit, "ROWS_AT_A_LOOK", 2)
    monkeypatch.setattr(audit, "AGAIN_LINKS", 7)
    monkeypatch.setattr(audit, "AGAIN_ROWS", 4)


@pytest.fixture
def three_accounts(shop: Shop, short_looks: None) -> Shop:
    legs(shop, "100", 11)
    legs(shop, "200", 1)
    legs(shop, "300", 4)
    shop.account("400", funds="0")
    assert findings(shop) == findings(shop, whole=True) == []
    return shop


def test_books_are_proven_over_many_looks(three_accounts: Shop) -> None:
    proven = {row["book"]: row for row in three_accounts.rows()["Proof"]}
    books = [row for row in three_accounts.rows()["Book"] if not row["house"]]
    assert len(books) == 4
    for row in books:
        mine = proven[row["id"]]
        assert (mine["link"], mine["seal"], mine["balance_micros"]) == (
            row["links"],
            row["head"],
            row["balance_micros"],
        )


def test_only_what_is_new_is_proven_and_the_rest_in_turn(three_accounts: Shop) -> None:
    """An old edit is found at the latest when all rows have been verified once more."""
    three_accounts.edit("UPDATE transfer SET note = 'x' WHERE key = 'settle:300-2'")
    number = next(row["id"] for row in three_accounts.rows()["Transfer"] if row["key"] == "settle:300-2")
    sentence = f"transfer {number} does not match its seal"
    runs = [findings(three_accounts) for _ in range(8)]
    assert {sentence for run in runs for sentence in run} == {sentence}
    assert [] in runs
    assert findings(three_accounts, whole=True) == [sentence]


def test_a_new_edit_is_found_at_once_in_a_large_book(three_accounts: Shop) -> None:
    account = three_accounts.stores.accounts.named("300")
    three_accounts.stores.ledger.top_up(account.book_id, 1_000_000, key="new")
    three_accounts.edit("UPDATE transfer SET operator = 'x' WHERE key = 'topup:new'")
    for _ in range(3):
        assert any("does not match its seal" in sentence for sentence in findings(three_accounts))


def test_a_balance_is_compared_whether_the_book_was_used_or_not(three_accounts: Shop) -> None:
    three_accounts.sql("UPDATE book SET balance_micros = balance_micros + 1 WHERE name = 'account:200'")
    for _ in range(3):
        assert findings(three_accounts) == [
            "account:200: the balance is 100.000001, its entries sum to 100.00"
        ]


def test_what_is_noted_of_the_rounds_can_be_nonsense(three_accounts: Shop) -> None:
    for nonsense in ("", "{", "[]", "[1, [1]]", '"x"', "[null, null]", '{"a": 1}'):
        three_accounts.sql(f"UPDATE proof_round SET position = '{nonsense}' WHERE name = 'chain'")
        assert findings(three_accounts) == []


def test_a_database_that_is_away_is_said_to_be(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    url = {"sqlite": "sqlite:////nowhere/shop.db", "postgresql": "postgresql://postgres@127.0.0.1:1/nothing"}
    monkeypatch.setattr(shop.stores.database, "url", url[shop.stores.database.kind])
    with pytest.raises(StoreUnavailable, match="the database cannot be read"):
        findings(shop)


def test_the_last_link_that_was_proven_is_missed_when_it_is_gone(three_accounts: Shop) -> None:
    """What comes after it is not enough: it is looked for at every run."""
    account = three_accounts.stores.accounts.named("400")
    for key in ("last", "later"):
        three_accounts.stores.ledger.top_up(account.book_id, 1_000_000, key=key)
        assert key == "later" or findings(three_accounts) == []
    last = "(SELECT id FROM transfer WHERE key = 'topup:last')"
    three_accounts.edit(
        f"DELETE FROM entry WHERE transfer_id = {last}", "DELETE FROM transfer WHERE key = 'topup:last'"
    )
    for _ in range(3):
        assert "account:400: link 1 of its chain is missing" in findings(three_accounts)
