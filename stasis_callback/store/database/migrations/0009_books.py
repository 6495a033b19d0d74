"""Chains: each transfer and xDR is sealed behind the one before it of its book; how far that is proven.

The seals of the rows there are are made here, so what was changed by hand before this stays changed: from here on it
would be seen. Numbers in seals stand behind a salt; where that is taken away, with the number, a call record is
pseudonymous, and its seal still right: that is the one change that an xDR takes.
"""

from heapq import merge

from stasis_callback.store.money.chain import (
    Chain,
    hidden_number,
    seal,
    transfer_content,
    voucher_content,
    xdr_content,
)

CHANGES = """
ALTER TABLE book ADD COLUMN links BIGINT NOT NULL DEFAULT 0;
ALTER TABLE book ADD COLUMN head TEXT NOT NULL DEFAULT '';
ALTER TABLE transfer ADD COLUMN book_id BIGINT REFERENCES book (id);
ALTER TABLE transfer ADD COLUMN link BIGINT NOT NULL DEFAULT 0;
ALTER TABLE transfer ADD COLUMN balance_micros BIGINT NOT NULL DEFAULT 0;
ALTER TABLE transfer ADD COLUMN seal TEXT NOT NULL DEFAULT '';
ALTER TABLE xdr ADD COLUMN number_salt TEXT NOT NULL DEFAULT '';
ALTER TABLE xdr ADD COLUMN number_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE xdr ADD COLUMN book_id BIGINT REFERENCES book (id);
ALTER TABLE xdr ADD COLUMN link BIGINT NOT NULL DEFAULT 0;
ALTER TABLE xdr ADD COLUMN seal TEXT NOT NULL DEFAULT '';
ALTER TABLE voucher ADD COLUMN seal TEXT NOT NULL DEFAULT '';
CREATE TABLE proof (
    book_id BIGINT NOT NULL PRIMARY KEY REFERENCES book (id),
    link BIGINT NOT NULL,
    seal TEXT NOT NULL,
    balance_micros BIGINT NOT NULL,
    spent_day INTEGER NOT NULL,
    spent_micros BIGINT NOT NULL
);
CREATE TABLE proof_round (
    name TEXT NOT NULL PRIMARY KEY,
    position TEXT NOT NULL
);
CREATE TABLE repair (
    id {pk},
    subject TEXT NOT NULL,
    done TEXT NOT NULL,
    operator TEXT NOT NULL,
    reason TEXT NOT NULL,
    at_us BIGINT NOT NULL
)
"""
INDEXES = """
CREATE UNIQUE INDEX transfer_of_chain ON transfer (book_id, link);
CREATE UNIQUE INDEX xdr_of_chain ON xdr (book_id, link);
DROP INDEX entry_of_book
"""

# An xDR may lose its number and the salt, for their hash, and nothing else of it may change.
XDR_COLUMNS = (
    "id", "leg_id", "request_id", "side", "account_id", "prefix", "dialed_at_us", "answered_at_us", "ended_at_us",
    "duration_us", "charged_s", "amount_micros", "overrun_micros", "currency", "outcome", "cause", "source",
    "created_at_us", "trunk_id", "cost_micros", "cost_currency", "book_id", "link", "seal",
)  # fmt: skip
SQLITE_PLAIN_GUARD = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
"""
SQLITE_GUARD = f"""
CREATE TRIGGER xdr_no_update BEFORE UPDATE ON xdr
WHEN NOT (NEW.number_salt = '' AND OLD.number_salt <> ''
    AND {" AND ".join(f"NEW.{column} IS OLD.{column}" for column in XDR_COLUMNS)})
BEGIN SELECT RAISE(ABORT, 'xdr is append-only'); END
"""
POSTGRES_GUARD_FUNCTION = """
CREATE FUNCTION refuse_change_but_forgetting() RETURNS trigger AS
$$ BEGIN
    IF NEW.number_salt = '' AND OLD.number_salt <> ''
        AND to_jsonb(NEW) - ARRAY['number', 'number_salt', 'number_hash']
            = to_jsonb(OLD) - ARRAY['number', 'number_salt', 'number_hash']
    THEN RETURN NEW; END IF;
    RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only', ERRCODE = '23000';
END $$ LANGUAGE plpgsql
"""
POSTGRES_PLAIN_GUARD = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table} EXECUTE FUNCTION refuse_change()
"""
POSTGRES_GUARD = """
CREATE TRIGGER xdr_no_update BEFORE UPDATE ON xdr FOR EACH ROW EXECUTE FUNCTION refuse_change_but_forgetting()
"""

BATCH = 1000
VOUCHERS = """SELECT id, code_hash, batch, amount_micros, currency, expires_at_us, created_at_us
    FROM voucher WHERE id > ? ORDER BY id LIMIT ?"""
TRANSFERS = """SELECT t.id, t.created_at_us, t.key, t.input_hash, t.kind, t.note, t.operator, o.key, h.book_id
    FROM transfer t LEFT JOIN transfer o ON o.id = t.reverses_id
    LEFT JOIN hold h ON t.kind = 'settle' AND h.leg_id = substr(t.key, 8)
    WHERE t.id > ? ORDER BY t.id LIMIT ?"""
VOUCHER = "SELECT seal, redeemed_by_id, redeemed_at_us FROM voucher WHERE id = ?"
ENTRIES = """SELECT e.transfer_id, e.book_id, e.amount_micros, b.house FROM entry e JOIN book b ON b.id = e.book_id
    WHERE e.transfer_id BETWEEN ? AND ?"""
XDRS = """SELECT x.id, x.created_at_us, x.number, x.leg_id, x.request_id, x.side, x.account_id, x.prefix,
        x.dialed_at_us, x.answered_at_us, x.ended_at_us, x.duration_us, x.charged_s, x.amount_micros,
        x.overrun_micros, x.currency, x.outcome, x.cause, x.source, x.created_at_us, x.trunk_id,
        x.cost_micros, x.cost_currency, l.rate_id, l.terms_id, l.cost_rate_id, l.cost_terms_id,
        h.book_id, h.amount_micros, h.state, h.created_at_us, h.closed_at_us
    FROM xdr x JOIN leg l ON l.id = x.leg_id JOIN hold h ON h.leg_id = x.leg_id
    WHERE x.id > ? ORDER BY x.id LIMIT ?"""
SEAL_TRANSFER = "UPDATE transfer SET book_id = ?, link = ?, balance_micros = ?, seal = ? WHERE id = ?"
SEAL_XDR = "UPDATE xdr SET number_salt = ?, book_id = ?, link = ?, seal = ? WHERE id = ?"
SEAL_VOUCHER = "UPDATE voucher SET seal = ? WHERE id = ?"
SEAL_BOOK = "UPDATE book SET links = ?, head = ? WHERE id = ?"


def up(migrator, db):
    """Add the columns, seal every row, and let xDRs lose their numbers."""
    sqlite = "sqlite" in type(db).__name__.lower()
    pk = (
        "INTEGER PRIMARY KEY AUTOINCREMENT"
        if sqlite
        else "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"
    )
    for statement in CHANGES.replace("{pk}", pk).split(";"):
        db.execute_sql(statement)
    if sqlite:
        db.execute_sql("DROP TRIGGER xdr_no_update")
        db.execute_sql("DROP TRIGGER transfer_no_update")
    else:
        db.execute_sql("DROP TRIGGER xdr_no_update ON xdr")
        db.execute_sql("ALTER TABLE transfer DISABLE TRIGGER transfer_no_update")
    _seal_vouchers(db)
    _seal_chains(db)
    for statement in INDEXES.split(";"):
        db.execute_sql(statement)
    if sqlite:
        db.execute_sql(SQLITE_PLAIN_GUARD.format(table="transfer", verb="UPDATE"))
        db.execute_sql(SQLITE_GUARD)
    else:
        db.execute_sql("ALTER TABLE transfer ENABLE TRIGGER transfer_no_update")
        db.execute_sql(POSTGRES_GUARD_FUNCTION)
        db.execute_sql(POSTGRES_GUARD)
    plain = SQLITE_PLAIN_GUARD if sqlite else POSTGRES_PLAIN_GUARD
    for verb in ("UPDATE", "DELETE") if sqlite else ("UPDATE", "DELETE", "TRUNCATE"):
        db.execute_sql(plain.format(table="repair", verb=verb))


def _run(db, statement, *values):
    return db.execute_sql(statement.replace("?", db.param), values).fetchall()


def _write(db, statement, rows):
    if rows:
        db.cursor().executemany(statement.replace("?", db.param), rows)


def _batches(db, statement):
    """The rows of a statement, by their ids."""
    last_id = 0
    while rows := _run(db, statement, last_id, BATCH):
        yield rows
        last_id = rows[-1][0]


def _seal_vouchers(db):
    for rows in _batches(db, VOUCHERS):
        _write(db, SEAL_VOUCHER, [(seal("", voucher_content(*row[1:])), row[0]) for row in rows])


def _transfers(db):
    """Every transfer as (time, 0, book it is about, row, its lines)."""
    for rows in _batches(db, TRANSFERS):
        lines, subscriber = {}, {}
        for transfer_id, book_id, amount, house in _run(db, ENTRIES, rows[0][0], rows[-1][0]):
            lines.setdefault(transfer_id, []).append((book_id, amount))
            if not house:
                subscriber[transfer_id] = book_id
        for row in rows:
            # A leg that the house paid for alone has no entry of the subscriber's; its hold says whose it was.
            yield row[1], 0, subscriber.get(row[0], row[-1]), row, lines.get(row[0], [])


def _xdrs(db):
    for rows in _batches(db, XDRS):
        for row in rows:
            yield row[1], 1, row[-5], row, []


def _seal_chains(db):
    """Chain transfers and xDRs by book, in the order in which they were written.

    One that is about no subscriber's book stays without a seal: `ledger verify` says so.
    """
    books = "SELECT id, name, currency FROM book WHERE NOT house"
    chains = {row[0]: Chain(*row, links=0, head="", balance_micros=0) for row in _run(db, books)}
    transfers, xdrs = [], []
    for _, is_xdr, book_id, row, lines in merge(_transfers(db), _xdrs(db), key=lambda found: found[:2]):
        chain = chains.get(book_id)
        if chain is None:
            continue
        if is_xdr:
            salt, hashed = hidden_number(row[2])
            link, sealed = chain.append(xdr_content((*row[3:7], hashed, *row[7:23]), row[23:27], row[27:]))
            xdrs.append((salt, book_id, link, sealed, row[0]))
        else:
            link, sealed = chain.append(_said(db, chain, row, lines))
            transfers.append((book_id, link, chain.balance_micros, sealed, row[0]))
        if len(transfers) + len(xdrs) >= BATCH:
            _write(db, SEAL_TRANSFER, transfers)
            _write(db, SEAL_XDR, xdrs)
            transfers, xdrs = [], []
    _write(db, SEAL_TRANSFER, transfers)
    _write(db, SEAL_XDR, xdrs)
    _write(db, SEAL_BOOK, [(c.links, c.head, c.book_id) for c in chains.values() if c.links])


def _said(db, chain, row, lines):
    _, created_at_us, key, input_hash, kind, note, operator, reverses, _ = row
    chain.balance_micros += sum(amount for book_id, amount in lines if book_id == chain.book_id)
    return transfer_content(
        key=key,
        input_hash=input_hash,
        kind=kind,
        note=note,
        operator=operator,
        reverses=reverses,
        created_at_us=created_at_us,
        balance_micros=chain.balance_micros,
        about=_voucher(db, key) if kind == "voucher" else (),
    )


def _voucher(db, key):
    """Which voucher was paid in, and who had it."""
    number = key.removeprefix("voucher:")
    found = _run(db, VOUCHER, int(number)) if number.isdigit() else []
    return found[0] if found else ()
