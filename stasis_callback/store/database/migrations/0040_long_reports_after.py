"""Totals tell the first digits of numbers apart, and accounts can be ranked by what they paid in a long time.

Totals of customers and of accounts, with their classes, are made anew with the others: the service adds what there
was, some hundred call records at once, and reports read the call records until it has.
"""

CLASSES = """CREATE TABLE call_class (
    id INTEGER NOT NULL PRIMARY KEY,
    prefix TEXT NOT NULL,
    first_digits TEXT NOT NULL,
    trunk_id BIGINT NOT NULL,
    side TEXT NOT NULL,
    outcome TEXT NOT NULL,
    currency TEXT NOT NULL,
    cost_currency TEXT NOT NULL,
    UNIQUE (prefix, first_digits, trunk_id, side, outcome, currency, cost_currency)
)"""
ACCOUNTS = """CREATE TABLE total_of_account (
    hours INTEGER NOT NULL,
    class_id INTEGER NOT NULL,
    from_us BIGINT NOT NULL,
    account_id BIGINT NOT NULL REFERENCES account (id),
    attempts INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    duration_us BIGINT NOT NULL,
    charged_s BIGINT NOT NULL,
    amount_micros BIGINT NOT NULL,
    overrun_micros BIGINT NOT NULL,
    cost_micros BIGINT NOT NULL,
    PRIMARY KEY (hours, from_us, account_id, class_id)
)"""
OTHERS = {
    "total_of_digits": "first_digits TEXT NOT NULL, prefix TEXT NOT NULL, trunk_id BIGINT NOT NULL, "
        "side TEXT NOT NULL, outcome TEXT NOT NULL,",
    "total_of_customer": "customer_id BIGINT NOT NULL REFERENCES customer (id), prefix TEXT NOT NULL, "
        "first_digits TEXT NOT NULL, trunk_id BIGINT NOT NULL,",
}  # fmt: skip
TABLE = """CREATE TABLE {name} (
    hours INTEGER NOT NULL,
    from_us BIGINT NOT NULL,
    {of}
    currency TEXT NOT NULL,
    cost_currency TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    answered BIGINT NOT NULL,
    duration_us BIGINT NOT NULL,
    charged_s BIGINT NOT NULL,
    amount_micros BIGINT NOT NULL,
    overrun_micros BIGINT NOT NULL,
    cost_micros BIGINT NOT NULL,
    PRIMARY KEY ({key}, currency, cost_currency)
)"""
REVENUE = f"""CREATE TABLE account_revenue (
    from_us BIGINT NOT NULL,
    account_id BIGINT NOT NULL REFERENCES account (id),
    {"".join(f"block_{n} BIGINT, " for n in range(24))}
    PRIMARY KEY (from_us, account_id)
)"""


def up(migrator, db):
    """Make the tables anew. In SQLite a row lies where its key is, so that a range of time is read in one go."""
    kept = " WITHOUT ROWID" if "sqlite" in type(db).__name__.lower() else ""
    for name in ("total_of_account", "call_class", "total_of_customer"):
        db.execute_sql(f"DROP TABLE {name}")
    db.execute_sql(CLASSES)
    db.execute_sql(ACCOUNTS + kept)
    db.execute_sql(REVENUE + kept)
    for name, of in OTHERS.items():
        key = ["hours", "from_us", *(part.split()[0] for part in of.split(",") if part.strip())]
        db.execute_sql(TABLE.format(name=name, of=of, key=", ".join(key)) + kept)
    db.execute_sql("UPDATE totals_until SET xdr_id = -1")
