"""In which days budgets have counted what a leg has reserved."""


def up(migrator, db):
    """Add the columns. Legs of now count for the day in which they were dialled."""
    db.execute_sql("ALTER TABLE leg ADD COLUMN reserved_before_s BIGINT")
    db.execute_sql("ALTER TABLE leg ADD COLUMN reserved_before_micros BIGINT")
    db.execute_sql("ALTER TABLE leg ADD COLUMN reserved_day BIGINT")
