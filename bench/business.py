"""A large business, put into an empty database by the database itself: minutes for a million calls, not hours.

The rows are what a year of callbacks leaves, but for seals: nobody verifies these books. What is frequent and what is
rare stand beside each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from stasis_callback.clock import US_PER_S, Clock, iso
from stasis_callback.core.rating import Rate
from stasis_callback.store.database.statements import one, run
from stasis_callback.store.rates.tariffs import NewRate
from stasis_callback.store.stores import Stores

YEAR_US = 365 * 86_400 * US_PER_S
PATIENCE_S = 3600.0
"""How long a million rows may take to be put in, on a machine that does other things."""
ACCESS, ACCOUNT, FRIEND = "420800123456", "420770000007", "442071000007"
BUSY = "internal"
"""The account that pays for leg A of every fifth callback, as that of an access number with a PIN does."""
IDS = 1000
"""Where the ids of the rows begin: below are those that the product has made."""

SERIES = "WITH RECURSIVE series (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM series WHERE n + 1 < {count})"
STATEMENTS = {
    "book": """INSERT INTO book (id, name, currency, house, balance_micros, held_micros, credit_limit_micros)
        {series} SELECT {ids} + n, 'account:' || CAST({subscriber} AS TEXT), 'USD', FALSE, 5000000, 0, 0 FROM
        series""",
    "customer": """INSERT INTO customer (id, name, currency, created_at_us)
        {series} SELECT {ids} + n, 'customer ' || CAST(n AS TEXT), 'USD', {begin} FROM series""",
    # Eight of ten are the large customer's, a hundred the small one's, the others each their own.
    "account": """INSERT INTO account (id, number, customer_id, product_id, book_id, status, callback_number,
        language,
        password_hash, created_at_us, batch)
        {series} SELECT {ids} + n, CAST({subscriber} AS TEXT), CASE WHEN n % 10 < 8 THEN {large} WHEN n <
        1000 AND
        n % 10 = 8 THEN {small} ELSE {ids} + n / 10 END, {product}, {ids} + n,
        CASE WHEN n % ({accounts} / 3 + 1) = 5 THEN 'closed' ELSE 'active' END, '', '', '', {begin},
        CASE WHEN n % 2 = 0 THEN 'batch' || CAST(n / 1000 AS TEXT) ELSE '' END FROM series""",
    "alias": """INSERT INTO alias (number, account_id)
        {series} SELECT 'alias' || CAST(n AS TEXT), {ids} + n FROM series WHERE n % 2 = 0""",
    "voucher": """INSERT INTO voucher (code_hash, batch, amount_micros, currency, state, created_at_us)
        {series} SELECT 'hash' || CAST(n AS TEXT), CASE WHEN n % 2 = 0 THEN 'spring' ELSE 'batch' ||
        CAST(n / 1000 AS TEXT) END, 5000000, 'USD', 'new', {begin} FROM series""",
    "request": """INSERT INTO request (id, key, triggered_by, ani, dnis, account_id, subscriber_id,
        leg_a_number, options,
        state, outcome, attempts, created_at_us, due_at_us, claimed_by, lease_until_us, finished_at_us,
        destination)
        {series} SELECT {request}, {request}, CASE WHEN n % {rare} = 1 THEN 'email' WHEN n % 10 = 4 THEN
        'web' ELSE
        'ani' END, {caller}, '{access}', {payer}, {of_caller}, {caller}, '{{}}', CASE WHEN n % 10 = 3
        THEN 'refused'
        ELSE 'done' END, CASE WHEN n % {rare} = 2 THEN 'too_late' WHEN n % 10 = 3 THEN 'no_funds' WHEN n % 10
        < 6 THEN
        'completed' ELSE 'no_answer' END, 1, {at}, {at}, 'node1', 0, {at} + 60000000, {friend} FROM series""",
    "leg": """INSERT INTO leg (id, request_id, side, number, account_id, rate_id, state, dialed_at_us, terms_id)
        {series}, sides (side, place) AS (SELECT 'a', 0 UNION ALL SELECT 'b', 1) SELECT {request} || '-' ||
        side || '1',
        {request}, side, CASE WHEN side = 'a' THEN {caller} ELSE {friend} END,
        CASE WHEN side = 'a' THEN {payer} ELSE {of_caller} END, {rate}, 'settled', {at} + place,
        {terms} FROM series, sides""",
    "hold": """INSERT INTO hold (leg_id, book_id, amount_micros, state, created_at_us, closed_at_us)
        SELECT id, account_id, 60000, 'voided', dialed_at_us, dialed_at_us FROM leg""",
    "xdr": """INSERT INTO xdr (leg_id, request_id, side, account_id, number, prefix, dialed_at_us,
        answered_at_us,
        ended_at_us, duration_us, charged_s, amount_micros, overrun_micros, currency, outcome, cause, source,
        created_at_us, trunk_id, cost_micros, cost_currency)
        {series}, sides (side, place) AS (SELECT 'a', 0 UNION ALL SELECT 'b', 1) SELECT {request} || '-' ||
        side || '1',
        {request}, side, CASE WHEN side = 'a' THEN {payer} ELSE {of_caller} END,
        CASE WHEN side = 'a' THEN {caller} ELSE {friend} END, CASE WHEN side =
        'a' THEN
        '420' ELSE '44' END, {at} + place, CASE WHEN n % 10 < 6 THEN {at} + 1000000 END, {at} + 60000000 +
        place,
        CASE WHEN n % 10 < 6 THEN 59000000 ELSE 0 END, CASE WHEN n % 10 < 6 THEN 60 ELSE 0 END, CASE WHEN n %
        10 < 6
        THEN 60000 ELSE 0 END, 0, 'USD', CASE WHEN n % {rare} = 2 THEN 'unallocated' WHEN n % 10 < 6 THEN
        'answered' WHEN
        n % 10 < 8 THEN 'busy' ELSE 'no_answer' END, 16, 'events', {at}, CASE WHEN n % {rare} = 2 THEN
        {seldom} ELSE
        {frequent} END, 30000, 'USD' FROM series, sides""",
    "transfer": """INSERT INTO transfer (id, key, input_hash, kind, note, created_at_us, book_id, link,
        balance_micros)
        {series} SELECT {ids} + n, 'settle:' || {request}, '', CASE WHEN n % {rare} = 2 THEN 'adjustment'
        WHEN n % 100 = 7
        THEN 'topup' ELSE 'settle' END, '', {at}, {payer_book},
        CASE WHEN n % 5 = 1 THEN n ELSE n / {accounts} + 1 END, 5000000 FROM series""",
    "entry": """INSERT INTO entry (transfer_id, book_id, amount_micros)
        {series}, sides (place) AS (SELECT 0 UNION ALL SELECT 1) SELECT {ids} + n, CASE WHEN place = 0 THEN
        {payer_book}
        ELSE {house} END, 60000 * (place * 2 - 1) FROM series, sides""",
    # Every hundredth comes into force next year.
    "rate": """INSERT INTO rate (tariff_id, revision, prefix, description, connect_fee_micros, first_interval_s,
        first_price_micros, next_interval_s, next_price_micros, forbidden, discontinued, from_us)
        {series} SELECT tariff_id, revision, CAST(2000000 + n AS TEXT), 'destination ' || CAST(n AS TEXT),
        connect_fee_micros, first_interval_s, first_price_micros, next_interval_s, next_price_micros, forbidden,
        discontinued, CASE WHEN n % 100 = 3 THEN from_us + {year} ELSE from_us END FROM series, rate
        WHERE tariff_id = {wholesale}""",
    "audit_entry": """INSERT INTO audit_entry (at_us, operator, noun, name, before, after)
        {series} SELECT {at} , 'jana', CASE WHEN n % 2 = 0 THEN 'account' ELSE 'rate' END, {caller},
        '{{"status": "active"}}', '{{"status": "blocked"}}' FROM series""",
}  # fmt: skip
"""By table. Counts: of accounts where the series is one of accounts, else of callbacks."""
OF_ACCOUNTS = ("book", "account", "alias", "voucher")
RATES = 5
"""So many rates as accounts has the tariff `wholesale`."""


@dataclass(frozen=True)
class Size:
    """How much of everything, over a year that ends now."""

    accounts: int
    xdrs: int
    begin_us: int

    @property
    def requests(self) -> int:
        """Callbacks, of two legs each."""
        return self.xdrs // 2

    @property
    def day(self) -> str:
        """A day in the middle of the year."""
        return iso(self.begin_us + YEAR_US // 2)[:10]

    def day_of(self, after: int) -> str:
        """The day so many days after the first, which began before everything else."""
        return iso(self.begin_us + after * YEAR_US // 365)[:10]

    def request(self, share: float = 0.0) -> str:
        """The callback after this share of the year."""
        return str(10**15 + int((self.requests - 1) * share))

    def account(self, share: float) -> str:
        """The account after this share of them."""
        return str(420770000000 + int((self.accounts - 1) * share))

    def transfer(self, share: float) -> str:
        """The transfer after this share of the year."""
        return str(IDS + int((self.requests - 1) * share))


def fill(stores: Stores, accounts: int, xdrs: int) -> Size:
    """Fill an empty database."""
    size = Size(accounts, xdrs, Clock().now_us() - YEAR_US)
    _set_up(stores)
    words: dict[str, object] = {
        "ids": IDS, "accounts": accounts, "begin": size.begin_us, "access": ACCESS, "subscriber":
        "(420770000000 + n)",
        "year": YEAR_US, "rare": max(size.requests // 3, 3), "request": "CAST(1000000000000000 + n AS TEXT)",
        "at": f"({size.begin_us} + CAST(n AS BIGINT) * {YEAR_US // size.requests})",
        "caller": f"CAST(420770000000 + n % {accounts} AS TEXT)", "of_caller": f"({IDS} + n % {accounts})",
    }  # fmt: skip
    words["friend"] = (
        f"CASE WHEN n % {words['rare']} = 0 THEN '68112345' ELSE CAST(442071000000 + n % 900001 AS TEXT) END"
    )
    with stores.database.reading():
        for word, table, name in _NAMED:
            words[word] = one(f"SELECT id FROM {table} WHERE name = ?", name)[0]  # noqa: S608
        words["busy"], words["busy_book"] = one("SELECT id, book_id FROM account WHERE number = ?", BUSY)
        for word, of_busy in (("payer", "busy"), ("payer_book", "busy_book")):
            words[word] = f"(CASE WHEN n % 5 = 1 THEN {words[of_busy]} ELSE {words['of_caller']} END)"
        words["rate"], words["terms"] = (
            one(f"SELECT MIN(id) FROM {table}")[0]  # noqa: S608
            for table in ("rate", "tariff_terms")
        )
        words["house"] = one("SELECT MIN(id) FROM book WHERE house")[0]
    for table, statement in STATEMENTS.items():
        count = accounts if table in OF_ACCOUNTS else size.requests
        count = {
            "customer": accounts // 10 + 1,
            "audit_entry": max(xdrs // 10, 1),
            "rate": RATES * accounts,
        }.get(table, count)
        with stores.database.patience(PATIENCE_S), stores.database.transaction():
            if stores.database.kind == "postgresql":
                run(
                    "SET LOCAL statement_timeout = 0"
                )  # a million rows take longer than any statement of the product
            filled = statement.format(series=SERIES.format(count=count), **words)
            run(filled if stores.database.kind == "sqlite" else filled.replace("%", "%%"))
    settle_down(stores)
    return size


def settle_down(stores: Stores) -> None:
    """What PostgreSQL does by itself, later."""
    if stores.database.kind == "postgresql":
        with stores.database.patience(PATIENCE_S), stores.database.reading():
            run("SET statement_timeout = 0")
            run("VACUUM ANALYZE")
            run("RESET statement_timeout")


def found_size(stores: Stores, accounts: int) -> Size | None:
    """What there is in a database that was filled before; None where it is empty."""
    with stores.database.reading():
        begin_us, xdrs = one("SELECT MIN(created_at_us) FROM request")[0], one("SELECT COUNT(*) FROM xdr")[0]
    return Size(accounts, int(xdrs), int(begin_us)) if xdrs else None


_NAMED = (
    ("large", "customer", "large"), ("small", "customer", "small"), ("product", "product", "callback"),
    ("frequent", "trunk", "frequent"), ("seldom", "trunk", "seldom"), ("wholesale", "tariff", "wholesale"),
)  # fmt: skip


def _set_up(stores: Stores) -> None:
    """What there are few of, by the product's own functions."""
    stores.tariffs.add("retail", "USD")
    rates = [NewRate(Rate(prefix, first_price_micros=60_000)) for prefix in ("420", "44", "681")]
    stores.tariffs.put_rates("retail", rates)
    stores.tariffs.add("carrier", "USD")
    stores.tariffs.put_rates("carrier", [NewRate(Rate("44", first_price_micros=30_000))])
    stores.tariffs.add("wholesale", "USD")
    stores.tariffs.put_rates("wholesale", [NewRate(Rate("1", first_price_micros=30_000))])
    stores.accounts.add_product("callback", "retail")
    for name in ("large", "small", "idle", BUSY):
        stores.accounts.add_customer(name, "USD")
    stores.trunks.add_vendor("carrier", "USD")
    for name in ("frequent", "seldom"):
        stores.trunks.add(name, vendor="carrier", tariff="carrier")
    account = stores.accounts.add("idle", customer="idle", product="callback")
    stores.ledger.top_up(account.book_id, 1_000_000, key="idle")  # which makes the house's books
    stores.accounts.add(BUSY, customer=BUSY, product="callback")
    stores.access_numbers.add(ACCESS, {})
    stores.web_instances.add("shop", {"type": "extended"})
