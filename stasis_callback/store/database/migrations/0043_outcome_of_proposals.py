"""What came out of a change that a second operator agreed to. "" in older rows: nobody knows."""


def up(migrator, db):
    """Add the columns. Versions before fill neither."""
    db.execute_sql("ALTER TABLE console_proposal ADD COLUMN outcome TEXT NOT NULL DEFAULT ''")
    db.execute_sql("ALTER TABLE console_proposal ADD COLUMN said TEXT NOT NULL DEFAULT ''")
