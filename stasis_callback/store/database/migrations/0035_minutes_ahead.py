"""What budgets have counted of a leg's minutes before its end."""


def up(migrator, db):
    """Add the column. Legs of now have counted none."""
    db.execute_sql("ALTER TABLE leg ADD COLUMN reserved_s BIGINT")
