"""`python -m bench.books`: what proving the books costs, and what it costs those who write beside it.

Makes a business of many settled legs (rows put in at once), then measures: the migration that seals them, `ledger
verify --whole`, the next usual run, the usual run after a thousand more legs; and, on SQLite, beside a process that
settles legs all the time: its slowest write, and how long the write-ahead log gets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from playhouse.migrations import Runner

from stasis_callback.clock import US_PER_S
from stasis_callback.store.chain import lines_hash
from stasis_callback.store.database import MIGRATIONS
from stasis_callback.store.engines import open_engine

BEFORE = "0008_email"
NOON_US = 1_800_000_000 * US_PER_S
NUMBER = "442071234567"
REVENUE, CASH = 1, 2
FUNDS = 10**12
COST = 61_000
BATCH = 5000

SETUP = (
    "INSERT INTO customer VALUES (1, 'people', 'USD', 0, NULL)",
    "INSERT INTO tariff (id, name, currency, created_at_us, revision) VALUES (1, 'retail', 'USD', 0, 1)",
    """INSERT INTO tariff_terms VALUES (1, 1, 0, 0, 0, 0, 1, 'up', '', 'UTC', 0)""",
    """INSERT INTO rate (id, tariff_id, prefix, description, connect_fee_micros, first_interval_s, first_price_micros,
        next_interval_s, next_price_micros, forbidden, from_us, discontinued, revision)
        VALUES (1, 1, '44', '', 0, 1, 60000, 1, 60000, {false}, 0, {false}, 1)""",
    "INSERT INTO product VALUES (1, 'callback', 1, 0)",
    "INSERT INTO book VALUES (1, 'house:revenue:USD', 'USD', {true}, 0, 0, 0, NULL, 0, 0)",
    "INSERT INTO book VALUES (2, 'house:cash:USD', 'USD', {true}, 0, 0, 0, NULL, 0, 0)",
)
ACCOUNT_COLUMNS = (
    "id, number, customer_id, product_id, book_id, status, callback_number, language, password_hash, "
    "created_at_us, simultaneous_calls"
)


def build(url: str, legs: int, accounts: int) -> None:
    """A business of before the chains, with so many settled legs, put in at once."""
    engine = open_engine(url)
    db = engine.peewee
    Runner(db, str(MIGRATIONS)).up(BEFORE)
    sqlite = engine.kind == "sqlite"
    words = {"false": "0" if sqlite else "FALSE", "true": "1" if sqlite else "TRUE"}

    def put(table: str, rows: Sequence[tuple[object, ...]], columns: str = "") -> None:
        places = ", ".join([db.param] * len(rows[0]))
        into = f"{table} ({columns})" if columns else table
        db.cursor().executemany(f"INSERT INTO {into} VALUES ({places})", rows)  # noqa: S608 - our own names

    with db.atomic():
        for statement in SETUP:
            db.execute_sql(statement.format(**words))
        books = range(3, 3 + accounts)
        each = legs // accounts
        day = NOON_US // US_PER_S // 86_400
        spent = each * COST
        put(
            "book",
            [(b, f"account:{b}", "USD", False, FUNDS - spent, 0, 0, None, day, spent) for b in books],
        )
        put("account", [(b, str(b), 1, 1, b, "active", "", "", "", 0, 1) for b in books], ACCOUNT_COLUMNS)
        _put_top_ups(put, books)
        numbered = [(n, 3 + n % accounts) for n in range(each * accounts)]
        for start in range(0, len(numbered), BATCH):
            _put_legs(put, numbered[start : start + BATCH], accounts)
    if not sqlite:
        for table in ("book", "account", "transfer", "entry", "rate", "tariff", "tariff_terms"):
            engine.go_on_after(table, has_counter=True)
    db.close_all()


def _put_top_ups(put: Callable[..., None], books: range) -> None:
    lines = {b: [(b, FUNDS), (CASH, -FUNDS)] for b in books}
    columns = "id, key, input_hash, kind, note, operator, reverses_id, created_at_us"
    put(
        "transfer",
        [(b, f"topup:{b}", lines_hash("topup", lines[b]), "topup", "", "", None, NOON_US) for b in books],
        columns,
    )
    entries = [(b, book, amount) for b in books for book, amount in lines[b]]
    put("entry", entries, "transfer_id, book_id, amount_micros")


def _put_legs(put: Callable[..., None], numbered: list[tuple[int, int]], accounts: int) -> None:
    requests, legs, holds, transfers, entries, xdrs = [], [], [], [], [], []
    for n, book in numbered:
        request, leg, at, number = f"{n:016x}", f"{n:016x}-b1", NOON_US + n, 3 + accounts + n
        end = at + 61 * US_PER_S
        requests.append(
            (
                request,
                f"key-{n}",
                "ani",
                "",
                "",
                book,
                book,
                NUMBER,
                "{}",
                "done",
                "completed",
                1,
                at,
                at,
                "",
                0,
                end,
            )
        )
        legs.append((leg, request, "b", NUMBER, book, 1, "settled", at, at, 1))
        holds.append((leg, book, COST, "posted", at, end))
        lines = [(book, -COST), (REVENUE, COST)]
        hashed = lines_hash("settle", lines)
        transfers.append((number, f"settle:{leg}", hashed, "settle", "", "", None, at))
        entries += [(number, *line) for line in lines]
        xdrs.append(
            (
                *(leg, request, "b", book, NUMBER, "44", at, at, end, end - at, 61, COST, 0, "USD"),
                *("answered", 16, "events", at),
            )
        )
    put(
        "request",
        requests,
        "id, key, triggered_by, ani, dnis, account_id, subscriber_id, leg_a_number, options, state, outcome, "
        "attempts, created_at_us, due_at_us, claimed_by, lease_until_us, finished_at_us",
    )
    put(
        "leg",
        legs,
        "id, request_id, side, number, account_id, rate_id, state, dialed_at_us, answered_at_us, terms_id",
    )
    put("hold", holds)
    put("transfer", transfers, "id, key, input_hash, kind, note, operator, reverses_id, created_at_us")
    put("entry", entries, "transfer_id, book_id, amount_micros")
    put(
        "xdr",
        xdrs,
        "leg_id, request_id, side, account_id, number, prefix, dialed_at_us, answered_at_us, ended_at_us, "
        "duration_us, charged_s, amount_micros, overrun_micros, currency, outcome, cause, source, created_at_us",
    )
