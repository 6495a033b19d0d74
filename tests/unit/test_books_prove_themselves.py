"""Edits made by hand with a database shell, every table and column of the ledger: `ledger verify` finds each of them.

Each is made three times over: in books that were proven before and in books that never were, and looked for by the
usual run and by the whole one. If the seals are recalculated too, a checkpoint stored elsewhere detects it.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from databases import Databases
from shop import UK_RATE, UNANSWERED, SetClock, Shop, open_shop, talked

from stasis_callback.admin.accounts.upkeep import renamed
from stasis_callback.clock import iso
from stasis_callback.core.rating import Rate
from stasis_callback.core.words import Ending
from stasis_callback.store.audit import verify
from stasis_callback.store.audit.proofs import checkpoint, marks_of
from stasis_callback.store.calls.legs import Fare
from stasis_callback.store.database.tables import bound_database
from stasis_callback.store.money.chain import lines_hash
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.store.rates.trunks import Carrier
from stasis_callback.store.stores import open_stores

migration = importlib.import_module("stasis_callback.store.database.migrations.0009_books")


# --- the business ------------------------------------------------------------------------------------------------


def do_business(shop: Shop) -> None:
    """Two accounts; legs answered, unanswered, dearer than held, over a trunk, still open; each kind of transfer."""
    stores = shop.stores
    account = shop.account("100", credit_limit_micros=20_000_000)
    other = shop.account("200", funds="5.00", credit_limit_micros=1_000_000)
    stores.tariffs.add("wholesale", "USD")
    stores.tariffs.put_rates("wholesale", [NewRate(Rate(p, next_price_micros=60_000)) for p in ("44", "49")])
    stores.trunks.add_vendor("carrier", "USD")
    stores.trunks.add("carrier-1", vendor="carrier", tariff="wholesale")
    request, other_request = shop.request(account), shop.request(other)
    for leg, who, which, end in (
        ("a1", account, request, talked(60)),
        ("b1", account, request, talked(301)),
        ("b2", account, request, UNANSWERED),
        ("b3", account, request, None),
        ("x1", other, other_request, talked(7)),
        ("x2", other, other_request, talked(8)),
    ):
        assert shop.leg(leg, who, which, hold="2.00")
        if end is not None:
            stores.calls.settle(leg, end)
    [trunk] = stores.trunks.all()
    cost = stores.tariffs.match(stores.tariffs.named("wholesale").id, "442071234567")
    rate = stores.tariffs.match(account.tariff_id, "442071234567")
    assert cost
    assert rate
    carrier = Carrier(trunk, cost)
    assert stores.calls.open_leg("t1", request.id, "b", Fare(account, "442071234567", rate, carrier), 500_000)
    stores.calls.settle("t1", talked(20))
    stores.requests.answered(other_request)
    stores.requests.finish(other_request.id, Ending.COMPLETED)
    codes = stores.vouchers.generate("spring", 3, 2_000_000, "USD", length=12, alphabet="ABCDEFGHIJKLMNOP")
    stores.vouchers.redeem(codes[0], "100")
    stores.ledger.adjust(account.book_id, -250_000, key="k", reason="a fee", operator="anna")
    assert shop.missed_call(shop.account("300", funds="7.00")) == ""
    for customer in ("family", "club"):
        stores.accounts.add_customer(customer, "USD")
        stores.accounts.customer_book(customer)
    stores.accounts.add("400", customer="family", product="callback", kind="subordinate")
    stores.tariffs.add("coded", "USD")
    stores.accounts.set_product("callback", "coded", "77")
    called_by_a_former_tariff(shop)
    [charge] = [line for line in stores.ledger.statement(other.book_id, 99) if line.key == "settle:x2"]
    stores.ledger.reverse(charge.transfer, reason="a complaint", operator="anna")


def called_by_a_former_tariff(shop: Shop) -> None:
    """A leg that was charged by rates which are sold to nobody any more."""
    stores = shop.stores
    stores.tariffs.add("former", "USD")
    stores.tariffs.put_rates("former", [NewRate(UK_RATE)])
    account = shop.account("500")
    request = shop.request(account)
    rate = stores.tariffs.match(stores.tariffs.named("former").id, "442071234567")
    assert rate
    assert stores.calls.open_leg("f1", request.id, "b", Fare(account, "442071234567", rate), 500_000)
    stores.calls.settle("f1", talked(3))
    stores.requests.answered(request)
    stores.requests.finish(request.id, Ending.COMPLETED)


@pytest.fixture(scope="module")
def business(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a business to copy: its books are proven."""
    with open_shop(tmp_path_factory.mktemp("business")) as shop:
        do_business(shop)
        assert found(shop) == []
        shop.stores.database.close()
        yield shop.url
        shop.stores = open_stores(shop.url, "node1", shop.clock)


@pytest.fixture
def shop(business: str, tmp_path: Path) -> Iterator[Shop]:
    with copied(business, tmp_path) as shop:
        yield shop


@contextmanager
def copied(business: str, folder: Path) -> Iterator[Shop]:
    shop = Shop.__new__(Shop)
    shop.clock, shop.file = SetClock(), folder / "shop.db"
    if business.startswith("sqlite"):
        shutil.copyfile(business.removeprefix("sqlite:///"), shop.file)
        shop.url = f"sqlite:///{shop.file}"
    else:
        shop.url = Databases.clone(business.rsplit("/", 1)[1])
    shop.stores = open_stores(shop.url, "node1", shop.clock)
    try:
        yield shop
    finally:
        shop.stores.database.close()
        Databases.remove(shop.url)


def found(shop: Shop, **how: Any) -> list[str]:
    return verify(shop.stores.database, shop.stores.tariffs, **how)


# --- the edits ---------------------------------------------------------------------------------------------------


def key(name: str) -> str:
    return f"(SELECT id FROM transfer WHERE key = '{name}')"


def book(name: str) -> str:
    return f"(SELECT id FROM book WHERE name = '{name}')"


FIRST, OTHER_FIRST = key("topup:first-100"), key("topup:first-200")
MINE, OTHERS, CASH, REVENUE = (
    book("account:100"),
    book("account:200"),
    book("house:cash:USD"),
    book("house:revenue:USD"),
)
FRESH, FAMILYS, CLUBS = book("account:300"), book("customer:family"), book("customer:club")
FRESH_FIRST = key("topup:first-300")
LATER = "1800000000000009"


def moves(name: str, micros: object) -> str:
    return f"UPDATE book SET balance_micros = balance_micros + {micros} WHERE name = 'account:{name}'"


def put_in(transfer: str) -> str:
    """A top-up of 3.00 written by hand."""
    return (
        f"INSERT INTO transfer (key, input_hash, kind, note, operator, created_at_us{transfer}; "
        f"INSERT INTO entry (transfer_id, book_id, amount_micros) SELECT id, {MINE}, 3000000 FROM transfer "
        f"WHERE key = 'topup:mine'; "
        f"INSERT INTO entry (transfer_id, book_id, amount_micros) SELECT id, {CASH}, -3000000 FROM transfer "
        f"WHERE key = 'topup:mine'; {moves('100', 3_000_000)}"
    )


def deleted(leg: str, paid: int, name: str) -> str:
    """Delete a leg with its transfer and hold, and correct the balance."""
    charge = key(f"settle:{leg}")
    return (
        f"DELETE FROM entry WHERE transfer_id = {charge}; DELETE FROM transfer WHERE key = 'settle:{leg}'; "
        f"DELETE FROM xdr WHERE leg_id = '{leg}'; DELETE FROM hold WHERE leg_id = '{leg}'; "
        f"DELETE FROM leg WHERE id = '{leg}'; {moves(name, paid)}; "
        f"UPDATE book SET spent_micros = spent_micros - {paid} WHERE name = 'account:{name}'"
    )


HASH = lines_hash("topup", [(1, 3_000_000)])
EDITS = {
    # transfers
    "the key of a charge": "UPDATE transfer SET key = 'settle:zz' WHERE key = 'settle:a1'",
    "the key of a top-up": "UPDATE transfer SET key = 'topup:other' WHERE key = 'topup:first-100'",
    "the hash of its content": "UPDATE transfer SET input_hash = 'f' WHERE key = 'settle:a1'",
    "the kind of a transfer": "UPDATE transfer SET kind = 'adjustment' WHERE key = 'topup:first-100'",
    "a kind that is none": "UPDATE transfer SET kind = 'gift' WHERE key = 'topup:first-100'",
    "the reason of an adjustment": "UPDATE transfer SET note = 'a present' WHERE key = 'adjust:k'",
    "the operator of an adjustment": "UPDATE transfer SET operator = 'bert' WHERE key = 'adjust:k'",
    "the time of a transfer": f"UPDATE transfer SET created_at_us = {LATER} WHERE key = 'topup:first-100'",
    "a reversal that takes nothing back": "UPDATE transfer SET reverses_id = NULL WHERE kind = 'reversal'",
    "a reversal of something else":
        f"UPDATE transfer SET reverses_id = {key('settle:x1')} WHERE kind = 'reversal'",
    "the chain of a transfer": f"UPDATE transfer SET book_id = {OTHERS}, link = 99 WHERE key = 'adjust:k'",
    "a transfer out of its chain": "UPDATE transfer SET book_id = NULL WHERE key = 'adjust:k'",
    "a transfer in the chain of the house": f"UPDATE transfer SET book_id = {CASH} WHERE key = 'adjust:k'",
    "the place of a transfer": "UPDATE transfer SET link = 99 WHERE key = 'topup:first-100'",
    "a place before the first": "UPDATE transfer SET link = -1 WHERE key = 'topup:first-100'",
    "two transfers in each other's place":
        "UPDATE transfer SET link = 99 WHERE key = 'settle:a1'; "
        "UPDATE transfer SET link = 2 WHERE key = 'settle:b1'; "
        "UPDATE transfer SET link = 4 WHERE key = 'settle:a1'",
    "what a transfer leaves": "UPDATE transfer SET balance_micros = 1 WHERE key = 'adjust:k'",
    "the seal of a transfer": "UPDATE transfer SET seal = 'f' WHERE key = 'adjust:k'",
    "a top-up taken out":
        f"DELETE FROM entry WHERE transfer_id = {FIRST}; DELETE FROM transfer WHERE key = 'topup:first-100'; "
        + moves("100", -10_000_000),
    "the last transfer taken out":
        "DELETE FROM entry WHERE transfer_id = (SELECT id FROM transfer WHERE kind = 'reversal'); "
        "DELETE FROM transfer WHERE kind = 'reversal'; " + moves("200", -80_000),
    "a top-up put in":
        put_in(f") VALUES ('topup:mine', '{HASH}', 'topup', '', 'anna', {LATER})"),
    "a top-up put in at the end of the chain":
        put_in(
            f", book_id, link, balance_micros, seal) SELECT 'topup:mine', '{HASH}', 'topup', '', 'anna', {LATER}, "
            "id, links + 1, balance_micros + 3000000, head FROM book WHERE name = 'account:100'"
        ) + "; UPDATE book SET links = links + 1 WHERE name = 'account:100'",
    "a transfer without entries put in":
        f"INSERT INTO transfer (key, input_hash, kind, note, operator, created_at_us) "
        f"VALUES ('topup:mine', '{HASH}', 'topup', '', 'anna', {LATER})",
    # entries
    "a transfer without entries":
        f"DELETE FROM entry WHERE transfer_id = {FIRST}; " + moves("100", -10_000_000),
    "a top-up doubled":
        f"UPDATE entry SET amount_micros = amount_micros * 2 WHERE transfer_id = {FIRST}; "
        + moves("100", 10_000_000),
    "a top-up moved to another account":
        f"UPDATE entry SET book_id = {OTHERS} WHERE transfer_id = {FIRST} AND amount_micros > 0; "
        + moves("200", 10_000_000) + "; " + moves("100", -10_000_000),
    "revenue booked to cash":
        f"UPDATE entry SET book_id = {CASH} WHERE transfer_id = {key('settle:a1')} AND amount_micros > 0",
    "cash booked to revenue":
        f"UPDATE entry SET book_id = {REVENUE} WHERE transfer_id = {FIRST} AND amount_micros < 0",
    "an overrun charged to the account":
        f"UPDATE entry SET book_id = {MINE} WHERE transfer_id = {key('settle:b1')} "
        f"AND book_id = {book('house:overrun:USD')}; " + moves("100", -1_010_000),
    "the amount of an entry":
        f"UPDATE entry SET amount_micros = 1 WHERE transfer_id = {FIRST} AND amount_micros > 0",
    "an entry deleted": f"DELETE FROM entry WHERE transfer_id = {FIRST} AND amount_micros < 0",
    "an entry twice": f"INSERT INTO entry (transfer_id, book_id, amount_micros) VALUES ({FIRST}, {CASH}, -1)",
    "entries of another transfer":
        f"UPDATE entry SET transfer_id = {key('settle:a1')} WHERE transfer_id = {key('settle:t1')}",
    # call records
    "the request of an xDR":
        "UPDATE xdr SET request_id = (SELECT request_id FROM leg WHERE id = 'x1') WHERE leg_id = 'a1'",
    "the leg of an xDR": "UPDATE xdr SET leg_id = 'b3' WHERE leg_id = 'a1'",
    "the side of an xDR": "UPDATE xdr SET side = 'a' WHERE leg_id = 'a1'",
    "the account of an xDR": "UPDATE xdr SET account_id = 2 WHERE leg_id = 'a1'",
    "the number of an xDR": "UPDATE xdr SET number = '442079999999' WHERE leg_id = 'a1'",
    "the number of xDR and leg":
        "UPDATE xdr SET number = '442079999999' WHERE leg_id = 'a1'; "
        "UPDATE leg SET number = '442079999999' WHERE id = 'a1'",
    "another number put where one was forgotten":
        "UPDATE xdr SET number = '442079999999', number_salt = '' WHERE leg_id = 'a1'; "
        "UPDATE leg SET number = '442079999999' WHERE id = 'a1'",
    "the salt of a number": "UPDATE xdr SET number_salt = 'f' WHERE leg_id = 'a1'",
    "the prefix of an xDR": "UPDATE xdr SET prefix = '4' WHERE leg_id = 'a1'",
    "when it was dialled": f"UPDATE xdr SET dialed_at_us = {LATER} WHERE leg_id = 'a1'",
    "when it was answered": f"UPDATE xdr SET answered_at_us = {LATER} WHERE leg_id = 'a1'",
    "when it ended": f"UPDATE xdr SET ended_at_us = {LATER} WHERE leg_id = 'b2'",
    "all its times, as long as before":
        "UPDATE xdr SET dialed_at_us = dialed_at_us + 5, answered_at_us = answered_at_us + 5, "
        "ended_at_us = ended_at_us + 5 WHERE leg_id = 'a1'; "
        "UPDATE leg SET dialed_at_us = dialed_at_us + 5, answered_at_us = answered_at_us + 5 WHERE id = 'a1'",
    "how long it lasted": "UPDATE xdr SET duration_us = duration_us + 1 WHERE leg_id = 'a1'",
    "its charged seconds": "UPDATE xdr SET charged_s = 59 WHERE leg_id = 'a1'",
    "its amount": "UPDATE xdr SET amount_micros = 1 WHERE leg_id = 'a1'",
    "its overrun": "UPDATE xdr SET overrun_micros = 0 WHERE leg_id = 'b1'",
    "its currency": "UPDATE xdr SET currency = 'EUR' WHERE leg_id = 'a1'",
    "its outcome": "UPDATE xdr SET outcome = 'no_answer' WHERE leg_id = 'b2'",
    "its cause": "UPDATE xdr SET cause = 16 WHERE leg_id = 'b2'",
    "how its times are known": "UPDATE xdr SET source = 'estimated' WHERE leg_id = 'a1'",
    "whether a clock was suspect": "UPDATE xdr SET clock_suspect = {true} WHERE leg_id = 'a1'",
    "when an xDR was written": f"UPDATE xdr SET created_at_us = {LATER} WHERE leg_id = 'a1'",
    "the trunk of an xDR": "UPDATE xdr SET trunk_id = NULL WHERE leg_id = 't1'",
    "the cost of an xDR": "UPDATE xdr SET cost_micros = 0 WHERE leg_id = 't1'",
    "the currency of the cost": "UPDATE xdr SET cost_currency = 'EUR' WHERE leg_id = 't1'",
    "the chain of an xDR": f"UPDATE xdr SET book_id = {OTHERS}, link = 99 WHERE leg_id = 'a1'",
    "an xDR out of its chain": "UPDATE xdr SET book_id = NULL WHERE leg_id = 'a1'",
    "the place of an xDR": "UPDATE xdr SET link = 99 WHERE leg_id = 'a1'",
    "the seal of an xDR": "UPDATE xdr SET seal = 'f' WHERE leg_id = 'a1'",
    "an xDR deleted": "DELETE FROM xdr WHERE leg_id = 'a1'",
    "an unanswered attempt deleted": deleted("b2", 0, "100"),
    "a charged leg deleted": deleted("a1", 600_000, "100"),
    "the last leg deleted": deleted("t1", 200_000, "100"),
    # legs
    "the request of a leg":
        "UPDATE leg SET request_id = (SELECT request_id FROM leg WHERE id = 'x1') WHERE id = 'a1'",
    "the side of a leg": "UPDATE leg SET side = 'a' WHERE id = 'a1'",
    "the number of a leg": "UPDATE leg SET number = '442079999999' WHERE id = 'a1'",
    "the account of a leg": "UPDATE leg SET account_id = 2 WHERE id = 'a1'",
    "the rate of a leg": "UPDATE leg SET rate_id = 2 WHERE id = 'b2'",
    "the terms of a leg": "UPDATE leg SET terms_id = 2 WHERE id = 'a1'",
    "the state of a leg": "UPDATE leg SET state = 'answered' WHERE id = 'a1'",
    "an open leg called settled": "UPDATE leg SET state = 'settled' WHERE id = 'b3'",
    "when a leg was dialled": "UPDATE leg SET dialed_at_us = 5 WHERE id = 'a1'",
    "when a leg was answered": "UPDATE leg SET answered_at_us = 5 WHERE id = 'a1'",
    "the trunk of a leg": "UPDATE leg SET trunk_id = NULL WHERE id = 't1'",
    "the cost rate of a leg": "UPDATE leg SET cost_rate_id = 1 WHERE id = 't1'",
    "the cost terms of a leg": "UPDATE leg SET cost_terms_id = 1 WHERE id = 't1'",
    # holds
    "the book of a hold": f"UPDATE hold SET book_id = {OTHERS} WHERE leg_id = 'a1'",
    "the amount of a posted hold": "UPDATE hold SET amount_micros = 600000 WHERE leg_id = 'a1'",
    "a posted hold called voided": "UPDATE hold SET state = 'voided' WHERE leg_id = 'a1'",
    "a voided hold called posted": "UPDATE hold SET state = 'posted' WHERE leg_id = 'b2'",
    "a closed hold opened": "UPDATE hold SET state = 'open' WHERE leg_id = 'a1'",
    "an open hold voided, its money given back":
        "UPDATE hold SET state = 'voided' WHERE leg_id = 'b3'; "
        "UPDATE book SET held_micros = held_micros - 2000000 WHERE name = 'account:100'",
    "when funds were held": "UPDATE hold SET created_at_us = 5 WHERE leg_id = 'a1'",
    "when a hold was closed": "UPDATE hold SET closed_at_us = 5 WHERE leg_id = 'a1'",
    "a closed hold deleted": "DELETE FROM hold WHERE leg_id = 'a1'",
    "an open hold deleted, its money given back":
        "DELETE FROM hold WHERE leg_id = 'b3'; "
        "UPDATE book SET held_micros = held_micros - 2000000 WHERE name = 'account:100'",
    # books and accounts
    "a balance": moves("100", 1),
    "what is held": "UPDATE book SET held_micros = held_micros - 1 WHERE name = 'account:100'",
    "what was spent": "UPDATE book SET spent_micros = 0 WHERE name = 'account:100'",
    "the day on which it was spent": "UPDATE book SET spent_day = spent_day + 1 WHERE name = 'account:100'",
    "the name of a book": "UPDATE book SET name = 'account:101' WHERE name = 'account:100'",
    "the currency of a book": "UPDATE book SET currency = 'EUR' WHERE name = 'account:100'",
    "the currency of a book of the house": "UPDATE book SET currency = 'EUR' WHERE name = 'house:cash:USD'",
    "the names of cash and revenue":
        "UPDATE book SET name = 'x' WHERE name = 'house:cash:USD'; "
        "UPDATE book SET name = 'house:cash:USD' WHERE name = 'house:revenue:USD'; "
        "UPDATE book SET name = 'house:revenue:USD' WHERE name = 'x'",
    "a subscriber's book called the house's": "UPDATE book SET house = {true} WHERE name = 'account:100'",
    "the house's book called a subscriber's": "UPDATE book SET house = {false} WHERE name = 'house:cash:USD'",
    "a balance of the house": "UPDATE book SET balance_micros = 1 WHERE name = 'house:cash:USD'",
    "the number of links": "UPDATE book SET links = links - 1 WHERE name = 'account:100'",
    "the head of a chain": "UPDATE book SET head = 'f' WHERE name = 'account:100'",
    "an account that spends another's money": f"UPDATE account SET book_id = {OTHERS} WHERE number = '100'",
    # vouchers
    "the worth of a redeemed voucher": "UPDATE voucher SET amount_micros = 1 WHERE state = 'redeemed'",
    "the worth of a new voucher": "UPDATE voucher SET amount_micros = 99000000 WHERE id = 2",
    "the currency of a voucher": "UPDATE voucher SET currency = 'EUR' WHERE id = 2",
    "the batch of a voucher": "UPDATE voucher SET batch = 'summer' WHERE id = 2",
    "the code of a voucher": "UPDATE voucher SET code_hash = 'f' WHERE id = 2",
    "when a voucher expires": "UPDATE voucher SET expires_at_us = 5 WHERE id = 2",
    "when a voucher was made": "UPDATE voucher SET created_at_us = 5 WHERE id = 2",
    "the owner of a voucher": "UPDATE voucher SET redeemed_by_id = 2 WHERE state = 'redeemed'",
    "when a voucher was redeemed": "UPDATE voucher SET redeemed_at_us = 5 WHERE state = 'redeemed'",
    "a redeemed voucher called new": "UPDATE voucher SET state = 'new' WHERE state = 'redeemed'",
    "the same, without its owner":
        "UPDATE voucher SET state = 'new', redeemed_by_id = NULL, redeemed_at_us = NULL WHERE state = 'redeemed'",
    "a new voucher called redeemed": "UPDATE voucher SET state = 'redeemed', redeemed_by_id = 1 WHERE id = 2",
    "an owner of a voucher that is not redeemed": "UPDATE voucher SET redeemed_by_id = 1 WHERE id = 2",
    "a redeemed voucher deleted": "DELETE FROM voucher WHERE state = 'redeemed'",
    "a voucher put in":
        "INSERT INTO voucher (code_hash, batch, amount_micros, currency, state, created_at_us) "
        "VALUES ('f', 'spring', 99000000, 'USD', 'new', 5)",
    "the seal of a voucher": "UPDATE voucher SET seal = 'f' WHERE id = 2",
    # what calls were rated by
    "a price": "UPDATE rate SET next_price_micros = 0 WHERE id = 1",
    "the terms of a tariff": "UPDATE tariff_terms SET minimum_micros = 99000000 WHERE id = 1",
    "a rate that makes no price": "UPDATE rate SET prefix = 'x' WHERE id = 1",
    "terms that make no price": "UPDATE tariff_terms SET time_zone = 'Mars/Olympus' WHERE id = 1",
    "a cost that makes no price": "UPDATE rate SET price_minutes = 7 WHERE id = 2",
    # calls as a whole
    "a whole call deleted":
        f"{deleted('x1', 70_000, '200')}; "
        f"DELETE FROM entry WHERE transfer_id IN (SELECT id FROM transfer WHERE kind = 'reversal'); "
        f"DELETE FROM transfer WHERE kind = 'reversal'; {moves('200', -80_000)}; {deleted('x2', 80_000, '200')}; "
        "UPDATE book SET spent_day = 0 WHERE name = 'account:200'; "
        "DELETE FROM request WHERE id NOT IN (SELECT request_id FROM leg)",
    # what belongs to what
    "an account and its book deleted":
        "DELETE FROM account WHERE number = '200'; DELETE FROM book WHERE name = 'account:200'",
    "an account deleted, its entries left":
        "DELETE FROM account WHERE number = '300'; DELETE FROM proof WHERE book_id = " + FRESH
        + "; DELETE FROM book WHERE name = 'account:300'",
    "an account deleted, its book left": "DELETE FROM account WHERE number = '300'",
    "a book deleted, its account left": "DELETE FROM book WHERE name = 'account:300'",
    "a customer deleted": "DELETE FROM customer WHERE name = 'people'",
    "the book of a customer deleted": "DELETE FROM book WHERE name = 'customer:family'",
    "an account without calls that spends another's money":
        f"UPDATE account SET book_id = {OTHERS} WHERE number = '300'",
    "an account that spends a customer's money":
        f"UPDATE account SET book_id = {FAMILYS} WHERE number = '300'",
    "an account called one that shares its customer's funds":
        "UPDATE account SET kind = 'subordinate' WHERE number = '300'",
    "an account that shares another customer's funds":
        f"UPDATE account SET book_id = {CLUBS} WHERE number = '400'",
    "a customer that has another's funds":
        f"UPDATE customer SET book_id = {FAMILYS} WHERE name = 'club'",
    "the funds of two customers exchanged":
        f"UPDATE customer SET book_id = CASE name WHEN 'club' THEN {FAMILYS} ELSE {CLUBS} END "
        f"WHERE name IN ('club', 'family'); UPDATE account SET book_id = {CLUBS} WHERE number = '400'",
    "the numbers of two accounts exchanged":
        "UPDATE account SET number = 'x' WHERE number = '100'; "
        "UPDATE account SET number = '100' WHERE number = '300'; "
        "UPDATE account SET number = '300' WHERE number = 'x'",
    "another number for an account": "UPDATE account SET number = '301' WHERE number = '300'",
    "an entry of a book that is none":
        f"UPDATE entry SET book_id = 999 WHERE transfer_id = {FIRST} AND amount_micros < 0",
    "the callback of a charged leg deleted":
        "DELETE FROM request WHERE id = (SELECT request_id FROM leg WHERE id = 'x1')",
    "the callback of an open leg deleted":
        "DELETE FROM request WHERE id = (SELECT request_id FROM leg WHERE id = 'b3')",
    # what counts towards a daily cap
    "what was spent, and its day": "UPDATE book SET spent_micros = 0, spent_day = 0 WHERE name = 'account:100'",
    "what was spent, and a later day":
        "UPDATE book SET spent_micros = 0, spent_day = spent_day + 1 WHERE name = 'account:100'",
    # holds
    "funds held for no leg":
        f"INSERT INTO hold (leg_id, book_id, amount_micros, state, created_at_us) "
        f"VALUES ('none', {FRESH}, 1000000, 'open', 5); "
        "UPDATE book SET held_micros = held_micros + 1000000 WHERE name = 'account:300'",
    "the leg of an open hold deleted": "DELETE FROM leg WHERE id = 'b3'",
    "the account of an open leg": "UPDATE leg SET account_id = 999 WHERE id = 'b3'",
    "the book of an open hold": "UPDATE hold SET book_id = 999 WHERE leg_id = 'b3'",
    # callbacks
    "a callback that is over put back": "UPDATE request SET state = 'queued' WHERE state = 'done'",
    "the same, without its end":
        "UPDATE request SET state = 'queued', finished_at_us = NULL WHERE state = 'done'",
    "a callback under way called over": "UPDATE request SET state = 'done' WHERE state = 'dialing'",
    "attempts that were never begun": "UPDATE request SET claims = 0, attempts = 1 WHERE state = 'dialing'",
    "fewer attempts than calls of leg A":
        "UPDATE leg SET side = 'a', id = request_id || '-a1' WHERE id = 'b3'; "
        "UPDATE hold SET leg_id = (SELECT id FROM leg WHERE side = 'a' AND state <> 'settled') WHERE leg_id = 'b3'; "
        "UPDATE request SET claims = 0, attempts = 0 WHERE state = 'dialing'",
    # currencies
    "the currency of a tariff": "UPDATE tariff SET currency = 'EUR' WHERE name = 'standard'",
    "the currency of a tariff that nobody has any more": "UPDATE tariff SET currency = 'EUR' WHERE name = 'former'",
    "the currency of a tariff for an access code": "UPDATE tariff SET currency = 'EUR' WHERE name = 'coded'",
    "the currency of a trunk's tariff": "UPDATE tariff SET currency = 'EUR' WHERE name = 'wholesale'",
    "the currency of a vendor": "UPDATE vendor SET currency = 'EUR' WHERE name = 'carrier'",
    "the currency of a customer": "UPDATE customer SET currency = 'EUR' WHERE name = 'people'",
    "the currency of a customer with funds": "UPDATE customer SET currency = 'EUR' WHERE name = 'club'",
    "the currency of a book without entries": "UPDATE book SET currency = 'EUR' WHERE name = 'customer:club'",
    "a callback ended while a leg is open":
        "UPDATE request SET finished_at_us = 5 WHERE id IN (SELECT request_id FROM leg WHERE id = 'b3')",
}  # fmt: skip


def edit(shop: Shop, change: str) -> None:
    """Make a change with full access to the database."""
    yes, no = ("1", "0") if shop.stores.database.kind == "sqlite" else ("TRUE", "FALSE")
    shop.edit(*change.replace("{true}", yes).replace("{false}", no).split("; "))


def test_books_that_nobody_touched_are_in_order(shop: Shop) -> None:
    assert found(shop) == found(shop, whole=True) == []
    assert found(shop, kept=kept_elsewhere(shop)) == []


def test_there_are_at_least_sixty_one_edits() -> None:
    assert len(EDITS) >= 61


@pytest.mark.parametrize("change", EDITS.values(), ids=list(EDITS))
def test_an_edit_by_hand_is_found(shop: Shop, change: str) -> None:
    edit(shop, change)
    assert found(shop) != [], "in books that were proven before"
    assert found(shop, whole=True) != []
    shop.sql("DELETE FROM proof", "DELETE FROM proof_round")
    assert found(shop) != [], "in books that were never proven"


def test_an_account_of_which_everything_was_deleted_is_missed_by_what_was_proven(shop: Shop) -> None:
    """Without the note of how far it was proven, only a checkpoint tells."""
    kept = kept_elsewhere(shop)
    [number] = [row["id"] for row in shop.rows()["Book"] if row["name"] == "account:300"]
    edit(
        shop,
        f"DELETE FROM entry WHERE transfer_id = {FRESH_FIRST}; DELETE FROM transfer WHERE key = 'topup:first-300'; "
        "DELETE FROM account WHERE number = '300'; DELETE FROM book WHERE name = 'account:300'",
    )
    gone = f"book {number} does not exist, but was proven up to link 1 of its chain"
    assert found(shop) == found(shop, whole=True) == [gone]
    shop.edit(f"DELETE FROM proof WHERE book_id = {number}")
    assert found(shop, whole=True) == []
    assert found(shop, kept=kept) == ["account:300 is in the checkpoint, not in the books"]


def test_a_customer_that_was_renamed_has_the_funds_of_its_former_name(shop: Shop) -> None:
    """Twice, and another customer has the first name since; the audit log knows the names."""
    stores = shop.stores
    stores.database.operator = "anna"
    for old, new in (("family", "family two"), ("family two", "family three")):
        renamed(stores, "customer", old, new)
    stores.accounts.add_customer("family", "USD")
    stores.accounts.customer_book("family")
    renamed(stores, "customer", "family", "another family")
    assert found(shop) == found(shop, whole=True) == []


# --- values that are no numbers -----------------------------------------------------------------------------------

ODD = {
    "a balance": (moves("100", "0.25"), "account:100: balance_micros is"),
    "what is held": ("UPDATE book SET held_micros = 2000000.5 WHERE name = 'account:100'", "account:100: held"),
    "a credit limit": ("UPDATE book SET credit_limit_micros = 0.5 WHERE name = 'account:100'", "account:100: credit"),
    "a daily cap": ("UPDATE book SET daily_cap_micros = 'no' WHERE name = 'account:100'", "account:100: daily_cap_"),
    "what was spent": ("UPDATE book SET spent_micros = 'all' WHERE name = 'account:100'", "account:100: spent_m"),
    "the day it was spent": ("UPDATE book SET spent_day = 1.5 WHERE name = 'account:100'", "account:100: spent_day"),
    "the number of links": ("UPDATE book SET links = 'x' WHERE name = 'account:100'", "account:100: links is 'x'"),
    "endless links": ("UPDATE book SET links = 9e999 WHERE name = 'account:100'", "account:100: links is inf"),
    "an amount": ("UPDATE entry SET amount_micros = 0.25 WHERE id = 1", "the amount of entry 1 is no whole number"),
    "an amount in words": ("UPDATE entry SET amount_micros = 'ten' WHERE id = 1", "the amount of entry 1 is no"),
    "what a transfer leaves":
        ("UPDATE transfer SET balance_micros = 'x' WHERE key = 'adjust:k'", "has a damaged value"),
    "the time of a transfer": ("UPDATE transfer SET created_at_us = 0.5 WHERE key = 'settle:a1'", "its seal"),
    "the place of a transfer": ("UPDATE transfer SET link = 2.5 WHERE key = 'settle:a1'", "of its chain"),
    "the key of a transfer": ("UPDATE transfer SET key = x'ff' WHERE key = 'settle:a1'", "a damaged value"),
    "the seal of a transfer": ("UPDATE transfer SET seal = x'ff' WHERE key = 'settle:a1'", "does not match its seal"),
    "an amount of an xDR": ("UPDATE xdr SET amount_micros = 'x' WHERE leg_id = 'a1'", "leg a1: its"),
    "the cost of an xDR": ("UPDATE xdr SET cost_micros = 0.5 WHERE leg_id = 't1'", "leg t1: its"),
    "when an xDR ended": ("UPDATE xdr SET ended_at_us = 'x' WHERE leg_id = 'a1'", "leg a1: its"),
    "a posted hold": ("UPDATE hold SET amount_micros = 'x' WHERE leg_id = 'a1'", "leg a1: its"),
    "an open hold": ("UPDATE hold SET amount_micros = 0.25 WHERE leg_id = 'b3'", "the amount held for leg b3 is no"),
    "a price": ("UPDATE rate SET next_price_micros = 'x' WHERE id = 1", "leg a1: the rate it was charged by is"),
    "the terms of a tariff": ("UPDATE tariff_terms SET minimum_micros = 'x' WHERE id = 1", "leg a1: the rate it was"),
    "the worth of a voucher": ("UPDATE voucher SET amount_micros = x'ff' WHERE id = 2", "voucher 2 does not match"),
    "what was proven": ("UPDATE proof SET balance_micros = 0.5", "account:100: what was proven of it is no whole"),
    "how far totals go": ("INSERT INTO totals_until VALUES (1, 'x')", ""),
    "a total": ("INSERT INTO total VALUES (24, 1799971200000000, 0.25, 1, 1, 1, 1, 'USD', 'USD', 1, 'x'); "
                "INSERT INTO totals_until VALUES (1, 99)", "the totals in total differ"),
}  # fmt: skip


@pytest.mark.sqlite
@pytest.mark.parametrize(("change", "sentence"), ODD.values(), ids=list(ODD))
def test_a_value_that_is_no_whole_number_is_named_and_the_rest_is_verified(
    shop: Shop, change: str, sentence: str
) -> None:
    """SQLite takes a fraction, a text or bytes in any column."""
    edit(shop, f"{change}; UPDATE voucher SET batch = 'summer' WHERE id = 3")
    for how in ({}, {"whole": True}):
        said = found(shop, **how)
        assert [one for one in said if sentence in one], said
        assert "voucher 3 does not match its seal" in said


# --- what keeps tables append-only --------------------------------------------------------------------------------


def test_a_trigger_that_is_missing_changed_or_strange_is_said(shop: Shop) -> None:
    refuse = {
        "sqlite": ["DROP TRIGGER entry_no_delete", "DROP TRIGGER xdr_no_update",
            "CREATE TRIGGER xdr_no_update BEFORE UPDATE ON xdr BEGIN SELECT 1; END",
            "CREATE TRIGGER mine AFTER UPDATE ON book BEGIN SELECT 1; END"],
        "postgresql": ["DROP TRIGGER entry_no_delete ON entry", "DROP TRIGGER xdr_no_update ON xdr",
            "CREATE TRIGGER xdr_no_update BEFORE UPDATE ON xdr EXECUTE FUNCTION refuse_change()",
            "CREATE TRIGGER mine AFTER UPDATE ON book EXECUTE FUNCTION refuse_change()"],
    }  # fmt: skip
    shop.sql(*refuse[shop.stores.database.kind])
    wrong = [
        "table book has a trigger that no migration made: mine",
        "trigger entry_no_delete of table entry is missing",
        "trigger xdr_no_update of table xdr is not as the migrations made it",
    ]
    assert sorted(found(shop)) == sorted(found(shop, whole=True)) == wrong
    assert sorted(shop.stores.database.wrong_guards()) == wrong


@pytest.mark.postgres
def test_a_trigger_or_a_foreign_key_that_is_switched_off_is_said(shop: Shop) -> None:
    shop.sql(
        "ALTER TABLE transfer DISABLE TRIGGER transfer_no_update", "ALTER TABLE alias DISABLE TRIGGER ALL",
        "CREATE OR REPLACE FUNCTION refuse_needed_rate() RETURNS trigger AS "
        "$$ BEGIN RETURN OLD; END $$ LANGUAGE plpgsql",
    )  # fmt: skip
    assert set(found(shop)) == {
        "a foreign key of table alias is switched off",
        "trigger rate_no_delete of table rate is not as the migrations made it",
        "trigger transfer_no_update of table transfer is switched off",
    }


def test_what_a_newer_version_has_added_is_not_strange(shop: Shop) -> None:
    shop.sql("INSERT INTO schema_migration (name, applied) VALUES ('9999_more', '2027-01-01')")
    made = {
        "sqlite": "CREATE TRIGGER mine AFTER UPDATE ON book BEGIN SELECT 1; END",
        "postgresql": "CREATE TRIGGER mine AFTER UPDATE ON book EXECUTE FUNCTION refuse_change()",
    }
    shop.sql(made[shop.stores.database.kind])
    assert shop.stores.database.wrong_guards() == []


def test_what_was_found_once_is_found_again(shop: Shop) -> None:
    """An edit does not become right because it was looked at."""
    edit(shop, EDITS["the operator of an adjustment"])
    assert found(shop) == found(shop, whole=True) == found(shop) == found(shop, whole=True) != []


# --- edits with recalculated seals --------------------------------------------------------------------------------


def kept_elsewhere(shop: Shop) -> dict[str, Any]:
    """The marks of a checkpoint, written to a file and read again."""
    return marks_of(json.dumps(checkpoint(shop.stores.database, iso(shop.clock.now_us()))))


def forge(shop: Shop) -> None:
    """Mend every hash, seal and head, and what was noted as proven: nothing in the database tells any more."""
    with shop.unguarded(), shop.stores.database.transaction():
        db = bound_database.obj
        db.execute_sql("UPDATE transfer SET link = -id")
        db.execute_sql("UPDATE xdr SET link = -id")
        for number, kind in db.execute_sql("SELECT id, kind FROM transfer").fetchall():
            of_it = f"SELECT book_id, amount_micros FROM entry WHERE transfer_id = {number}"
            hashed = lines_hash(kind, db.execute_sql(of_it).fetchall())
            db.execute_sql(f"UPDATE transfer SET input_hash = '{hashed}' WHERE id = {number}")
        migration._seal_vouchers(db)
        migration._seal_chains(db)
        db.execute_sql("DELETE FROM proof")
        db.execute_sql("DELETE FROM proof_round")


FORGED = (
    "the operator of an adjustment", "the reason of an adjustment", "the time of a transfer", "a top-up doubled",
    "the number of xDR and leg", "all its times, as long as before", "its outcome", "how its times are known",
    "when funds were held", "its cause", "a whole call deleted", "a charged leg deleted",
    "an unanswered attempt deleted",
)  # fmt: skip


@pytest.mark.parametrize("change", [EDITS[name] for name in FORGED], ids=FORGED)
def test_an_edit_with_every_seal_mended_needs_a_checkpoint_that_was_kept(shop: Shop, change: str) -> None:
    kept = kept_elsewhere(shop)
    edit(shop, change)
    forge(shop)
    assert found(shop, whole=True) == []
    assert found(shop, kept=kept) != []


def test_the_end_of_a_chain_taken_off_is_found_by_what_was_proven_and_by_what_was_kept(shop: Shop) -> None:
    """The newest link is removed, and the seal before it written into the book; nothing else is changed."""
    kept = kept_elsewhere(shop)
    reversal = "(SELECT id FROM transfer WHERE kind = 'reversal')"
    edit(
        shop,
        f"DELETE FROM entry WHERE transfer_id = {reversal}; DELETE FROM transfer WHERE kind = 'reversal'; "
        f"{moves('200', -80_000)}; UPDATE book SET links = links - 1, head = "
        "(SELECT seal FROM xdr WHERE leg_id = 'x2') WHERE name = 'account:200'",
    )
    ends = "account:200: its chain ends at link 5, it was {} up to 6"
    assert found(shop) == found(shop, whole=True) == [ends.format("proven")]
    shop.sql("DELETE FROM proof", "DELETE FROM proof_round")
    assert found(shop, whole=True) == []
    shop.sql("DELETE FROM proof", "DELETE FROM proof_round")
    assert found(shop, kept=kept) == [ends.format("kept")]


def test_a_backup_from_before_a_checkpoint_does_not_follow_from_it(
    shop: Shop, business: str, tmp_path: Path
) -> None:
    shop.stores.ledger.top_up(shop.stores.accounts.named("100").book_id, 5_000_000, key="later")
    assert found(shop) == []
    kept = kept_elsewhere(shop)
    shop.stores.database.close()
    (tmp_path / "backup").mkdir()
    with copied(business, tmp_path / "backup") as backup:
        assert found(backup) == []
        assert found(backup, kept=kept) == ["account:100: its chain ends at link 10, it was kept up to 11"]


def test_books_that_grew_follow_from_an_older_checkpoint(shop: Shop) -> None:
    kept = kept_elsewhere(shop)
    shop.stores.calls.settle("b3", talked(30))
    shop.stores.ledger.top_up(shop.stores.accounts.named("200").book_id, 5_000_000, key="later")
    assert found(shop, kept=kept) == []


def test_an_account_that_is_gone_is_missed(shop: Shop) -> None:
    kept = kept_elsewhere(shop)
    [mark] = {name: mark for name, mark in kept.items() if name == "account:100"}.values()
    assert found(shop, kept={**kept, "account:999": mark}) == [
        "account:999 is in the checkpoint, not in the books"
    ]


# --- what is not found, and docs/decisions/0017-books-that-prove-themselves.md says why ----------------------------

NOT_FOUND = {
    "what is held for a call under way, in hold and book alike":
        "UPDATE hold SET amount_micros = amount_micros + 1 WHERE leg_id = 'b3'; "
        "UPDATE book SET held_micros = held_micros + 1 WHERE name = 'account:100'",
    "the rate of a leg under way": "UPDATE leg SET rate_id = 2 WHERE id = 'b3'",
    "a credit limit": "UPDATE book SET credit_limit_micros = 90000000 WHERE name = 'account:100'",
    "a daily cap": "UPDATE book SET daily_cap_micros = 1 WHERE name = 'account:100'",
    "whether an account is blocked": "UPDATE account SET status = 'blocked' WHERE number = '100'",
    "whether an unused voucher is blocked": "UPDATE voucher SET state = 'blocked' WHERE id = 2",
    "an unused voucher deleted": "DELETE FROM voucher WHERE id = 2",
    "a price that no call was rated by": "UPDATE rate SET first_price_micros = 1 WHERE prefix = '49'",
    "who pays for a callback that waits, and whom it calls":
        "UPDATE request SET account_id = 3, subscriber_id = 3, leg_a_number = '1' WHERE state = 'queued'",
    "a callback put in":
        "INSERT INTO request (id, key, triggered_by, ani, dnis, account_id, subscriber_id, leg_a_number, options, "
        "state, outcome, attempts, created_at_us, due_at_us, claimed_by, lease_until_us, destination, instance) "
        "VALUES ('mine', 'mine', 'ani', '1', '', 1, 1, '1', '{}', 'queued', '', 0, 5, 5, '', 0, '', '')",
    "a callback that is over put back as one that no attempt has reached":
        "UPDATE request SET state = 'queued', finished_at_us = NULL, outcome = '' WHERE state = 'done'",
    "what a callback was asked with": "UPDATE request SET ani = '1', outcome = 'busy'",
}  # fmt: skip


@pytest.mark.parametrize("change", NOT_FOUND.values(), ids=list(NOT_FOUND))
def test_what_is_no_entry_yet_or_may_be_changed_by_a_command_is_not_found(shop: Shop, change: str) -> None:
    edit(shop, change)
    assert found(shop, whole=True) == []
