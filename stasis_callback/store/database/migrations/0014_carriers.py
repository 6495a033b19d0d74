"""What answers mean on a trunk, when it came into use and was removed, how trunks do on each node; silent talks."""

STATEMENTS = (
    "ALTER TABLE trunk ADD COLUMN answers TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE trunk ADD COLUMN no_progress_s INTEGER NOT NULL DEFAULT 5",
    "ALTER TABLE trunk ADD COLUMN enabled_at_us BIGINT",
    "UPDATE trunk SET enabled_at_us = created_at_us",
    "ALTER TABLE trunk ADD COLUMN removed_at_us BIGINT",
    "ALTER TABLE xdr ADD COLUMN no_media BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE node ADD COLUMN trunks TEXT NOT NULL DEFAULT ''",
)


def up(migrator, db):
    """Add the columns; existing trunks carry calls, or did."""
    for statement in STATEMENTS:
        db.execute_sql(statement)
