"""Requests that bring their destination with them, the instance they came through, and limits on how often."""

STATEMENTS = (
    "ALTER TABLE request ADD COLUMN destination TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE request ADD COLUMN instance TEXT NOT NULL DEFAULT ''",
    """CREATE TABLE allowance (
        key TEXT NOT NULL PRIMARY KEY,
        count INTEGER NOT NULL CHECK (count >= 0),
        until_us BIGINT NOT NULL
    )""",
    "CREATE INDEX allowance_until ON allowance (until_us)",
)


def up(migrator, db):
    """Add the columns with values for the requests there are, and the table."""
    for statement in STATEMENTS:
        db.execute_sql(statement)
