"""Tariffs that were removed, and copies that are still being written: rates and terms stay, nobody finds them."""


def up(migrator, db):
    """Add the column."""
    db.execute_sql("ALTER TABLE tariff ADD COLUMN removed_at_us BIGINT")
