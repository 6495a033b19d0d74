"""What keeps a large and busy database quick: drafts, indexes for what is asked often, and for what is purged.

A draft is a change of many rows that is written in small transactions and counts with the last one. So rates may be
removed now that nobody can be charged by: those of a change that was never published, and those that a later version
of the same prefix replaces. What a leg was charged by stays: its foreign key sees to that.
"""

TABLES = """
CREATE TABLE draft (
    key TEXT NOT NULL PRIMARY KEY,
    token TEXT NOT NULL,
    written BIGINT NOT NULL CHECK (written >= 0),
    until_us BIGINT NOT NULL
);
ALTER TABLE request_event ADD COLUMN instance TEXT NOT NULL DEFAULT '';
UPDATE request_event SET instance = (SELECT instance FROM request WHERE request.id = request_event.request_id);
DROP INDEX request_event_due;
CREATE INDEX request_event_due ON request_event (instance, due_at_us) WHERE delivery = 'due';
CREATE INDEX request_event_at ON request_event (at_us);
ALTER TABLE throttle ADD COLUMN failed_at_us BIGINT NOT NULL DEFAULT 0;
CREATE INDEX throttle_failed ON throttle (failed_at_us);
CREATE INDEX alias_of_account ON alias (account_id);
CREATE INDEX rate_of_revision ON rate (tariff_id, revision, id);
CREATE INDEX leg_of_rate ON leg (rate_id);
CREATE INDEX leg_of_cost_rate ON leg (cost_rate_id) WHERE cost_rate_id IS NOT NULL;
DROP INDEX request_due;
CREATE INDEX request_in_state ON request (state, due_at_us);
CREATE INDEX request_created ON request (created_at_us);
CREATE INDEX xdr_newest ON xdr (account_id, side, id);
CREATE INDEX xdr_with_number ON xdr (ended_at_us, id) WHERE number_salt <> '';
CREATE INDEX idempotency_created ON idempotency (created_at_us);
CREATE INDEX email_reply_created ON email_reply (created_at_us);
CREATE INDEX email_token_expires ON email_token (expires_at_us)
"""

IS_NEEDED = """OLD.revision <= (SELECT revision FROM tariff WHERE tariff.id = OLD.tariff_id) AND NOT EXISTS (
    SELECT 1 FROM rate AS newer WHERE newer.tariff_id = OLD.tariff_id AND newer.prefix = OLD.prefix
    AND newer.revision <= (SELECT revision FROM tariff WHERE tariff.id = OLD.tariff_id)
    AND (newer.from_us > OLD.from_us OR (newer.from_us = OLD.from_us AND newer.id > OLD.id)))"""

SQLITE_GUARD = """
CREATE TRIGGER rate_no_delete BEFORE DELETE ON rate WHEN {needed}
BEGIN SELECT RAISE(ABORT, 'rate is append-only'); END
"""
POSTGRES_GUARD_FUNCTION = """
CREATE FUNCTION refuse_needed_rate() RETURNS trigger AS
$$ BEGIN
    IF {needed} THEN
        RAISE EXCEPTION USING MESSAGE = 'rate is append-only', ERRCODE = '23000';
    END IF;
    RETURN OLD;
END $$ LANGUAGE plpgsql
"""
POSTGRES_GUARD = """
CREATE TRIGGER rate_no_delete BEFORE DELETE ON rate FOR EACH ROW EXECUTE FUNCTION refuse_needed_rate()
"""


def up(migrator, db):
    """Create table and indexes, give each step of a web callback its instance, and open the guard a little."""
    for statement in TABLES.split(";"):
        if statement.strip():
            db.execute_sql(statement)
    if "sqlite" in type(db).__name__.lower():
        db.execute_sql("DROP TRIGGER rate_no_delete")
        db.execute_sql(SQLITE_GUARD.format(needed=IS_NEEDED))
    else:
        db.execute_sql("DROP TRIGGER rate_no_delete ON rate")
        db.execute_sql(POSTGRES_GUARD_FUNCTION.format(needed=IS_NEEDED))
        db.execute_sql(POSTGRES_GUARD)
