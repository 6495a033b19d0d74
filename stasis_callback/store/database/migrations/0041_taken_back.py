"""Whether a rate takes a scheduled one back is stored. NULL in older rows: there it is concluded."""


def up(migrator, db):
    """Add the column."""
    db.execute_sql("ALTER TABLE rate ADD COLUMN takes_back BOOLEAN")
