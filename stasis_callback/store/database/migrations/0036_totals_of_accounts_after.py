"""Totals of accounts tell calls apart by class (prefix, trunk, side, outcome): reports by account can be filtered.

They take the place of those by account alone, and are made anew with all others: the service adds what there was.
"""

CLASSES = """CREATE TABLE call_class (
    id INTEGER NOT NULL PRIMARY KEY,
    prefix TEXT NOT NULL,
    trunk_id BIGINT NOT NULL,
    side TEXT NOT NULL,
    outcome TEXT NOT NULL,
    currency TEXT NOT NULL,
    cost_currency TEXT NOT NULL,
    UNIQUE (prefix, trunk_id, side, outcome, currency, cost_currency)
)"""
TABLE = """CREATE TABLE total_of_account (
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


def up(migrator, db):
    """Make the table anew. In SQLite a row lies where its key is, so that a range of time is read in one go."""
    kept = " WITHOUT ROWID" if "sqlite" in type(db).__name__.lower() else ""
    db.execute_sql("DROP TABLE total_of_account")
    db.execute_sql(CLASSES)
    db.execute_sql(TABLE + kept)
    db.execute_sql("UPDATE totals_until SET xdr_id = -1")
