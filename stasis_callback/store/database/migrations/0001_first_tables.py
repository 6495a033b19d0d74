"""The first tables. Amounts are micros, times microseconds since the epoch (UTC); see `store/models.py`."""

TABLES = """
CREATE TABLE customer (
    id {pk},
    name TEXT NOT NULL UNIQUE,
    currency TEXT NOT NULL,
    created_at_us BIGINT NOT NULL
);
CREATE TABLE tariff (
    id {pk},
    name TEXT NOT NULL UNIQUE,
    currency TEXT NOT NULL,
    created_at_us BIGINT NOT NULL
);
CREATE TABLE rate (
    id {pk},
    tariff_id BIGINT NOT NULL REFERENCES tariff (id),
    prefix TEXT NOT NULL,
    description TEXT NOT NULL,
    connect_fee_micros BIGINT NOT NULL CHECK (connect_fee_micros >= 0),
    first_interval_s INTEGER NOT NULL CHECK (first_interval_s > 0),
    first_price_micros BIGINT NOT NULL CHECK (first_price_micros >= 0),
    next_interval_s INTEGER NOT NULL CHECK (next_interval_s > 0),
    next_price_micros BIGINT NOT NULL CHECK (next_price_micros >= 0),
    forbidden BOOLEAN NOT NULL,
    from_us BIGINT NOT NULL,
    until_us BIGINT
);
CREATE UNIQUE INDEX rate_in_force ON rate (tariff_id, prefix) WHERE until_us IS NULL;
CREATE TABLE product (
    id {pk},
    name TEXT NOT NULL UNIQUE,
    tariff_id BIGINT NOT NULL REFERENCES tariff (id),
    created_at_us BIGINT NOT NULL
);
CREATE TABLE product_code (
    id {pk},
    product_id BIGINT NOT NULL REFERENCES product (id),
    access_code TEXT NOT NULL,
    tariff_id BIGINT NOT NULL REFERENCES tariff (id),
    UNIQUE (product_id, access_code)
);
CREATE TABLE book (
    id {pk},
    name TEXT NOT NULL UNIQUE,
    currency TEXT NOT NULL,
    house BOOLEAN NOT NULL,
    balance_micros BIGINT NOT NULL,
    held_micros BIGINT NOT NULL CHECK (held_micros >= 0),
    credit_limit_micros BIGINT NOT NULL CHECK (credit_limit_micros >= 0),
    CHECK (balance_micros - held_micros + credit_limit_micros >= 0)
);
CREATE TABLE account (
    id {pk},
    number TEXT NOT NULL UNIQUE,
    customer_id BIGINT NOT NULL REFERENCES customer (id),
    product_id BIGINT NOT NULL REFERENCES product (id),
    book_id BIGINT NOT NULL REFERENCES book (id),
    status TEXT NOT NULL CHECK (status IN ('active', 'blocked', 'closed')),
    callback_number TEXT NOT NULL,
    language TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    expires_at_us BIGINT,
    created_at_us BIGINT NOT NULL
);
CREATE TABLE alias (
    number TEXT NOT NULL PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES account (id)
);
CREATE TABLE speed_dial (
    id {pk},
    account_id BIGINT NOT NULL REFERENCES account (id),
    key TEXT NOT NULL,
    number TEXT NOT NULL,
    UNIQUE (account_id, key)
);
CREATE TABLE throttle (
    key TEXT NOT NULL PRIMARY KEY,
    failures INTEGER NOT NULL,
    locked_until_us BIGINT NOT NULL
);
CREATE TABLE access_number (
    id {pk},
    number TEXT NOT NULL UNIQUE,
    enabled BOOLEAN NOT NULL,
    options TEXT NOT NULL,
    created_at_us BIGINT NOT NULL
);
CREATE TABLE request (
    id TEXT NOT NULL PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    triggered_by TEXT NOT NULL,
    ani TEXT NOT NULL,
    dnis TEXT NOT NULL,
    account_id BIGINT REFERENCES account (id),
    subscriber_id BIGINT REFERENCES account (id),
    leg_a_number TEXT NOT NULL,
    options TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    created_at_us BIGINT NOT NULL,
    due_at_us BIGINT NOT NULL,
    claimed_by TEXT NOT NULL,
    lease_until_us BIGINT NOT NULL,
    finished_at_us BIGINT
);
CREATE UNIQUE INDEX request_one_live_per_subscriber ON request (subscriber_id)
    WHERE state IN ('queued', 'dialing', 'talking');
CREATE UNIQUE INDEX request_one_live_per_number ON request (leg_a_number)
    WHERE state IN ('queued', 'dialing', 'talking');
CREATE INDEX request_due ON request (due_at_us) WHERE state = 'queued';
CREATE INDEX request_of_subscriber ON request (subscriber_id, created_at_us);
CREATE INDEX request_of_number ON request (leg_a_number, created_at_us);
CREATE TABLE leg (
    id TEXT NOT NULL PRIMARY KEY,
    request_id TEXT NOT NULL REFERENCES request (id),
    side TEXT NOT NULL CHECK (side IN ('a', 'b')),
    number TEXT NOT NULL,
    account_id BIGINT NOT NULL REFERENCES account (id),
    rate_id BIGINT NOT NULL REFERENCES rate (id),
    state TEXT NOT NULL,
    dialed_at_us BIGINT NOT NULL,
    answered_at_us BIGINT
);
CREATE INDEX leg_of_request ON leg (request_id);
CREATE INDEX leg_open ON leg (state) WHERE state <> 'settled';
CREATE TABLE hold (
    leg_id TEXT NOT NULL PRIMARY KEY REFERENCES leg (id),
    book_id BIGINT NOT NULL REFERENCES book (id),
    amount_micros BIGINT NOT NULL CHECK (amount_micros >= 0),
    state TEXT NOT NULL CHECK (state IN ('open', 'posted', 'voided')),
    created_at_us BIGINT NOT NULL,
    closed_at_us BIGINT
);
CREATE INDEX hold_open ON hold (book_id) WHERE state = 'open';
CREATE TABLE transfer (
    id {pk},
    key TEXT NOT NULL UNIQUE,
    input_hash TEXT NOT NULL,
    kind TEXT NOT NULL,
    note TEXT NOT NULL,
    reverses_id BIGINT UNIQUE REFERENCES transfer (id),
    created_at_us BIGINT NOT NULL
);
CREATE TABLE entry (
    id {pk},
    transfer_id BIGINT NOT NULL REFERENCES transfer (id),
    book_id BIGINT NOT NULL REFERENCES book (id),
    amount_micros BIGINT NOT NULL
);
CREATE INDEX entry_of_book ON entry (book_id);
CREATE INDEX entry_of_transfer ON entry (transfer_id);
CREATE TABLE xdr (
    id {pk},
    leg_id TEXT NOT NULL UNIQUE REFERENCES leg (id),
    request_id TEXT NOT NULL REFERENCES request (id),
    side TEXT NOT NULL,
    account_id BIGINT NOT NULL REFERENCES account (id),
    number TEXT NOT NULL,
    prefix TEXT NOT NULL,
    dialed_at_us BIGINT NOT NULL,
    answered_at_us BIGINT,
    ended_at_us BIGINT NOT NULL,
    duration_us BIGINT NOT NULL CHECK (duration_us >= 0),
    charged_s BIGINT NOT NULL CHECK (charged_s >= 0),
    amount_micros BIGINT NOT NULL CHECK (amount_micros >= 0),
    overrun_micros BIGINT NOT NULL CHECK (overrun_micros >= 0),
    currency TEXT NOT NULL,
    outcome TEXT NOT NULL,
    cause INTEGER NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('events', 'cel', 'estimated')),
    created_at_us BIGINT NOT NULL
);
CREATE INDEX xdr_of_account ON xdr (account_id, ended_at_us);
CREATE INDEX xdr_of_request ON xdr (request_id);
"""

# Entries, transfers and xDRs are never changed or removed: a correction is a new, linked transfer.
APPEND_ONLY = ("transfer", "entry", "xdr")

SQLITE_GUARD = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
"""
POSTGRES_GUARD_FUNCTION = """
CREATE FUNCTION refuse_change() RETURNS trigger AS
$$ BEGIN
    RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only', ERRCODE = '23000';
END $$ LANGUAGE plpgsql
"""
POSTGRES_GUARD = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table} EXECUTE FUNCTION refuse_change()
"""


def up(migrator, db):
    """Create every table, and the triggers that keep the journal append-only."""
    sqlite = "sqlite" in type(db).__name__.lower()
    pk = (
        "INTEGER PRIMARY KEY AUTOINCREMENT"
        if sqlite
        else "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"
    )
    for statement in TABLES.replace("{pk}", pk).split(";"):
        if statement.strip():
            db.execute_sql(statement)
    if not sqlite:
        db.execute_sql(POSTGRES_GUARD_FUNCTION)
    guard = SQLITE_GUARD if sqlite else POSTGRES_GUARD
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE") if sqlite else ("UPDATE", "DELETE", "TRUNCATE"):
            db.execute_sql(guard.format(table=table, verb=verb))
