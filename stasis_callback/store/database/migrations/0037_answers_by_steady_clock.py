"""When a leg was answered, and its node last lived, by a clock that nobody sets: for whoever takes the leg over."""


def up(migrator, db):
    """Add the columns. Of legs of now only the wall clock's time is known."""
    db.execute_sql("ALTER TABLE leg ADD COLUMN answered_mark TEXT")
    db.execute_sql("ALTER TABLE request ADD COLUMN alive_mark TEXT NOT NULL DEFAULT ''")
