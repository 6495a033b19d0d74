"""What is no longer sold or bought from, but has a past: customers, products, tariffs and vendors are retired."""


def up(migrator, db):
    """Add the columns."""
    for table in ("customer", "product", "tariff", "vendor"):
        db.execute_sql(f"ALTER TABLE {table} ADD COLUMN retired_at_us BIGINT")
