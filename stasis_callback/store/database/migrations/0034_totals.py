"""What call records add up to, for reports: by hour, day and 32 days (UTC), for each thing that reports ask for.

They begin empty, and without a row in `totals_until` no call record is in them: the service adds those of before.
And an index for the rates that are to come.
"""

OF = {
    "total": "",
    "total_of_trunk": "trunk_id BIGINT NOT NULL, side TEXT NOT NULL, outcome TEXT NOT NULL,",
    "total_of_prefix": "prefix TEXT NOT NULL, trunk_id BIGINT NOT NULL, side TEXT NOT NULL, outcome TEXT NOT NULL,",
    "total_of_customer":
        "customer_id BIGINT NOT NULL REFERENCES customer (id), prefix TEXT NOT NULL, trunk_id BIGINT NOT NULL,",
    "total_of_account": "account_id BIGINT NOT NULL REFERENCES account (id),",
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
UNTIL = """CREATE TABLE totals_until (
    id INTEGER NOT NULL PRIMARY KEY,
    xdr_id BIGINT NOT NULL
)"""


def up(migrator, db):
    """Create the tables. In SQLite a row lies where its key is, so that a range of time is read in one go."""
    kept = " WITHOUT ROWID" if "sqlite" in type(db).__name__.lower() else ""
    for name, of in OF.items():
        key = ["hours", "from_us", *(part.split()[0] for part in of.split(",") if part.strip())]
        db.execute_sql(TABLE.format(name=name, of=of, key=", ".join(key)) + kept)
    db.execute_sql(UNTIL)
    db.execute_sql("CREATE INDEX rate_begins ON rate (tariff_id, from_us)")
