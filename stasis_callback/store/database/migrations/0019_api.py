"""What an API key may have beside its scopes, the requester's own reference of a callback, and who is told of it."""

STATEMENTS = (
    "ALTER TABLE api_key ADD COLUMN limit_requests TEXT NOT NULL DEFAULT '6000/3600'",
    "ALTER TABLE api_key ADD COLUMN limit_logins TEXT NOT NULL DEFAULT '1000/900'",
    "ALTER TABLE api_key ADD COLUMN addresses TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE api_key ADD COLUMN expires_at_us BIGINT",
    "ALTER TABLE request ADD COLUMN reference TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE request ADD COLUMN told TEXT NOT NULL DEFAULT ''",
    "UPDATE request SET told = instance WHERE triggered_by = 'web'",
    "CREATE INDEX request_reference ON request (reference) WHERE reference <> ''",
)


def up(migrator, db):
    """Add the columns; existing keys never expire and may be used from any address."""
    for statement in STATEMENTS:
        db.execute_sql(statement)
