"""What the journals of all nodes say of their legs, where any node can read it."""

STATEMENTS = (
    """CREATE TABLE channel_life (
        id TEXT NOT NULL PRIMARY KEY,
        started_at_us BIGINT,
        answered_at_us BIGINT,
        ended_at_us BIGINT,
        cause INTEGER,
        noted_at_us BIGINT NOT NULL
    )""",
    "CREATE INDEX channel_life_noted ON channel_life (noted_at_us)",
    """CREATE TABLE forwarded (
        node TEXT NOT NULL PRIMARY KEY,
        position TEXT NOT NULL,
        asterisk_started_at TEXT NOT NULL,
        looked_at_us BIGINT NOT NULL
    )""",
)


def up(migrator, db):
    """Create the tables."""
    for statement in STATEMENTS:
        db.execute_sql(statement)
