"""Terms get a disconnect fee, a maximum charge, and what decides whether a call is off-peak."""

COLUMNS = (
    "off_peak_by TEXT NOT NULL DEFAULT 'interval' CHECK (off_peak_by IN ('interval', 'answer'))",
    "disconnect_fee_micros BIGINT NOT NULL DEFAULT 0 CHECK (disconnect_fee_micros >= 0)",
    "disconnect_fee_after_s INTEGER NOT NULL DEFAULT 0 CHECK (disconnect_fee_after_s >= 0)",
    "maximum_micros BIGINT NOT NULL DEFAULT 0 CHECK (maximum_micros >= 0)",
)


def up(migrator, db):
    """Add the columns: terms of before have none of these."""
    for column in COLUMNS:
        db.execute_sql(f"ALTER TABLE tariff_terms ADD COLUMN {column}")
