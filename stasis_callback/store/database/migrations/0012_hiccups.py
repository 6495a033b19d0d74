"""Attempts that count only once Asterisk was asked, callbacks taken back while under way, and suspect clocks."""

STATEMENTS = (
    "ALTER TABLE request ADD COLUMN claims INTEGER NOT NULL DEFAULT 0",
    "UPDATE request SET claims = attempts",
    "ALTER TABLE request ADD COLUMN cancel_wanted BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE xdr ADD COLUMN clock_suspect BOOLEAN NOT NULL DEFAULT FALSE",
)


def up(migrator, db):
    """Add the columns; an existing request was claimed as often as it was attempted."""
    for statement in STATEMENTS:
        db.execute_sql(statement)
