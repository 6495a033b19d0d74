"""`ledger verify` finds whatever somebody, or a bug, changed behind the ledger's back."""

from __future__ import annotations

import pytest
from shop import UNANSWERED, Shop, talked

from stasis_callback.store.audit import verify


@pytest.fixture
def busy_shop(shop: Shop) -> Shop:
    """Two accounts; legs that were talked on, not answered, cost more than was held, and are still going on."""
    account, other = shop.account("100"), shop.account("200", funds="5.00", credit_limit_micros=1_000_000)
    request, other_request = shop.request(account), shop.request(other)
    for leg, who, which, end in (
        ("a1", account, request, talked(60)),
        ("b1", account, request, talked(301)),
        ("b2", account, request, UNANSWERED),
        ("b3", account, request, None),
        ("x1", other, other_request, talked(7)),
    ):
        assert shop.leg(leg, who, which, hold="3.00")
        if end is not None:
            shop.stores.calls.settle(leg, end)
    assert found(shop) == []
    return shop


def found(shop: Shop) -> list[str]:
    return verify(shop.stores.database, shop.stores.tariffs)


def test_books_kept_by_the_product_agree(busy_shop: Shop) -> None:
    busy_shop.stores.calls.settle("b3", talked(30))
    assert found(busy_shop) == []


CREDIT_CHECK = "ALTER TABLE book DROP CONSTRAINT book_credit_limit_micros_check"
BOOK = "UPDATE book SET {} WHERE name = 'account:100'"
OF_A1 = "transfer_id = (SELECT id FROM transfer WHERE key = 'settle:a1')"
SWAPPED = f"""
    UPDATE entry SET book_id = (SELECT id FROM book WHERE name = 'account:200') WHERE {OF_A1} AND amount_micros < 0;
    UPDATE book SET balance_micros = balance_micros + 600000 WHERE name = 'account:100';
    UPDATE book SET balance_micros = balance_micros - 600000 WHERE name = 'account:200'"""


NOT_SEALED_A1 = "leg a1: its xDR, the leg or its hold does not match its seal"
OTHER_ENTRIES = "transfer 3: the hash of its content does not match its entries"


def planted(what: str, change: str, *sentences: str) -> object:
    """A change to the database, and the sentences that must tell of it."""
    return pytest.param(change, sentences, id=what)


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        planted("a balance", BOOK.format("balance_micros = balance_micros + 1"),
            "account:100: the balance is 6.400001, its entries sum to 6.40"),
        planted("a held amount", BOOK.format("held_micros = held_micros - 1"),
            "account:100: 2.999999 are held, its open holds sum to 3.00"),
        planted("an open hold", "UPDATE hold SET amount_micros = 1 WHERE leg_id = 'b3'",
            "account:100: 3.00 are held, its open holds sum to 0.000001"),
        planted("a hold deleted", "DELETE FROM hold WHERE leg_id = 'b3'",
            "account:100: 3.00 are held, its open holds sum to 0.00",
            "leg b3 is not settled, and has no hold"),
        planted("a leg settled by hand", "UPDATE leg SET state = 'settled' WHERE id = 'b3'",
            "the hold of leg b3 is open though the leg is settled",
            "leg b3 is settled but has no xDR"),
        planted("a hold opened again", "UPDATE hold SET state = 'open' WHERE leg_id = 'a1'",
            "account:100: 3.00 are held, its open holds sum to 6.00",
            NOT_SEALED_A1,
            "the hold of leg a1 is open though the leg is settled"),
        planted("a leg opened again", "UPDATE leg SET state = 'answered' WHERE id = 'a1'",
            "leg a1 has an xDR but is not settled",
            "leg a1 is not settled, but its hold is closed"),
        planted("more paid than held", "UPDATE hold SET amount_micros = 1 WHERE leg_id = 'a1'",
            NOT_SEALED_A1, "leg a1: the account paid 0.60, only 0.000001 were held"),
        planted("a callback ended by hand", "UPDATE request SET state = 'done', finished_at_us = 1 WHERE ani = '100'",
            "leg b3 is not settled although its callback has ended"),
        planted("a currency", "UPDATE book SET currency = 'EUR' WHERE name = 'house:cash:USD'",
            "transfer 1 sums to -10.00 EUR, not to 0", "transfer 1 sums to 10.00 USD, not to 0",
            "transfer 1: a topup is booked to house:cash:USD",
            "transfer 2 sums to -5.00 EUR, not to 0", "transfer 2 sums to 5.00 USD, not to 0",
            "transfer 2: a topup is booked to house:cash:USD"),
        planted("what counts towards a cap", BOOK.format("spent_micros = spent_micros + 1"),
            "account:100: 3.600001 count as spent on its last day, 3.60 were charged"),
        planted("a rate", "UPDATE rate SET next_price_micros = 0 WHERE id = 1",
            "leg a1: the xDR says 0.60, its rate gives 0.01 for 60 s",
            "leg b1: the xDR says 3.01, its rate gives 0.01 for 301 s",
            "leg x1: the xDR says 0.07, its rate gives 0.01 for 7 s"),
        planted("an entry deleted", f"DELETE FROM entry WHERE {OF_A1} AND amount_micros > 0",
            "transfer 3 sums to -0.60 USD, not to 0", OTHER_ENTRIES,
            "leg a1: the xDR says 0.60, 0.00 were posted"),
        planted("a transfer emptied", f"DELETE FROM entry WHERE {OF_A1}",
            OTHER_ENTRIES, "transfer 3 leaves 10.00 in account:100 by its entries, 9.40 by its word",
            "account:100: the balance is 6.40, its entries sum to 7.00",
            "account:100: 3.60 count as spent on its last day, 3.00 were charged",
            "leg a1: the xDR says 0.60, 0.00 were posted",
            "leg a1: the xDR says 0.60 and 0.00 overrun, the account paid 0.00"),
        planted("entries doubled", f"UPDATE entry SET amount_micros = amount_micros * 2 WHERE {OF_A1}",
            OTHER_ENTRIES, "transfer 3 leaves 8.80 in account:100 by its entries, 9.40 by its word",
            "account:100: the balance is 6.40, its entries sum to 5.80",
            "account:100: 3.60 count as spent on its last day, 4.20 were charged",
            "leg a1: the xDR says 0.60, 1.20 were posted",
            "leg a1: the xDR says 0.60 and 0.00 overrun, the account paid 1.20"),
        planted("charged to another account", SWAPPED,
            OTHER_ENTRIES, "transfer 3 leaves 10.00 in account:100 by its entries, 9.40 by its word",
            "transfer 3 moves account:200 but is in the chain of another book",
            # By what was proven of them before:
            "account:100: the balance is 7.00, its entries sum to 6.40",
            "account:200: the balance is 4.33, its entries sum to 4.93",
            "account:100: 3.60 count as spent on its last day, 3.00 were charged",
            "leg a1: the xDR says 0.60 and 0.00 overrun, the account paid 0.00"),
        planted("an xDR's amount", "UPDATE xdr SET amount_micros = 1 WHERE leg_id = 'a1'", NOT_SEALED_A1,
            "leg a1: the xDR says 0.000001, its rate gives 0.60 for 60 s",
            "leg a1: the xDR says 0.000001, 0.60 were posted",
            "leg a1: the xDR says 0.000001 and 0.00 overrun, the account paid 0.60"),
        planted("an xDR's overrun", "UPDATE xdr SET overrun_micros = 0 WHERE leg_id = 'b1'",
            "leg b1: its xDR, the leg or its hold does not match its seal",
            "leg b1: the xDR says 3.01 and 0.00 overrun, the account paid 3.00"),
        planted("an xDR's duration", "UPDATE xdr SET duration_us = 61000000 WHERE leg_id = 'a1'", NOT_SEALED_A1,
            "leg a1 lasted 60000000 microseconds by its times, the xDR says 61000000",
            "leg a1: the xDR says 0.60, its rate gives 0.61 for 61 s",
            "leg a1: the xDR says 60 s, its rate bills 61 s"),
        planted("an xDR's seconds", "UPDATE xdr SET charged_s = 59 WHERE leg_id = 'a1'", NOT_SEALED_A1,
            "leg a1: the xDR says 59 s, its rate bills 60 s"),
        planted("an answer taken back", "UPDATE xdr SET answered_at_us = NULL WHERE leg_id = 'a1'", NOT_SEALED_A1,
            "leg a1 lasted 0 microseconds by its times, the xDR says 60000000",
            "leg a1: the xDR is answered at another time than the leg",
            "leg a1: the xDR says 0.60, its rate gives 0.00 for 0 s",
            "leg a1: the xDR says 60 s, its rate bills 0 s"),
        planted("an xDR's account", "UPDATE xdr SET account_id = 2 WHERE leg_id = 'a1'", NOT_SEALED_A1,
            "leg a1: the xDR is in the chain of account:100, its account spends from another book",
            "leg a1: the xDR is on another account than the leg"),
        planted("a cost", "UPDATE leg SET cost_rate_id = rate_id, cost_terms_id = terms_id WHERE id = 'a1'",
            NOT_SEALED_A1, "leg a1: the xDR says a cost of 0.00, the trunk's rate gives 0.60",
            "leg a1: the xDR has its cost in , the trunk's rate is in USD"),
        planted("an xDR deleted", "DELETE FROM xdr WHERE leg_id = 'a1'",
            "account:100: link 3 of its chain is missing",
            "leg a1 was charged but has no xDR",
            "leg a1 is settled but has no xDR"),
        planted("the xDR of an unanswered leg deleted", "DELETE FROM xdr WHERE leg_id = 'b2'",
            "account:100: link 6 of its chain is missing",
            "leg b2 is settled but has no xDR"),
    ],
)  # fmt: skip
def test_a_planted_inconsistency_is_found_and_nothing_else(
    busy_shop: Shop, change: str, sentences: tuple[str, ...]
) -> None:
    busy_shop.edit(*change.split(";"))
    assert sorted(found(busy_shop)) == sorted(sentences)


def test_a_book_below_its_limit_is_found_where_the_database_did_not_refuse_it(busy_shop: Shop) -> None:
    unguarded = {
        "sqlite": ["PRAGMA ignore_check_constraints = 1"],
        "postgresql": ["ALTER TABLE book DROP CONSTRAINT book_check", CREDIT_CHECK],
    }[busy_shop.stores.database.kind]
    busy_shop.sql(*unguarded, "UPDATE book SET credit_limit_micros = -9000000 WHERE id = 1")
    assert found(busy_shop) == ["account:100 is below its credit limit"]


def test_a_clock_that_was_put_back_over_midnight_raises_no_alarm(shop: Shop) -> None:
    """What counts towards a cap begins anew with each other day, also with an earlier one."""
    account = shop.account()
    request = shop.request(account)
    for n, days in enumerate((0, 1, -1, 0)):
        shop.clock.passes(days * 86_400)
        assert shop.leg(f"c{n}", account, request, hold="1.00")
        shop.stores.calls.settle(f"c{n}", talked(5))
    assert found(shop) == verify(shop.stores.database, shop.stores.tariffs, whole=True) == []
