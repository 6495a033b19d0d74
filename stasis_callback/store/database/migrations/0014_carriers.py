"""What answers mean on a trunk, how long it may be silent, and how trunks do on each node."""

STATEMENTS = (
    "ALTER TABLE trunk ADD COLUMN answers TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE trunk ADD COLUMN no_progress_s INTEGER NOT NULL DEFAULT 5",
    "ALTER TABLE node ADD COLUMN trunks TEXT NOT NULL DEFAULT ''",
)


def up(migrator, db):
    """Add the columns."""
    for statement in STATEMENTS:
        db.execute_sql(statement)
