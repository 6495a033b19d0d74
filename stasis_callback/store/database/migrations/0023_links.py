"""The signed link that a callback came by, and numbers that are not called for others."""

STATEMENTS = (
    "ALTER TABLE request ADD COLUMN link TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX request_link ON request (link) WHERE link <> ''",
    """CREATE TABLE opt_out (
        number TEXT NOT NULL PRIMARY KEY,
        note TEXT NOT NULL,
        created_at_us BIGINT NOT NULL
    )""",
)


def up(migrator, db):
    """Add the column and the table."""
    for statement in STATEMENTS:
        db.execute_sql(statement)
