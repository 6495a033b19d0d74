"""Indexes for the pages of long lists: each costs the same wherever it is, and whatever it is about.

Those by time also have what lists are filtered by, so that what is rare is looked for in the index alone.
"""

STATEMENTS = (
    "DROP INDEX request_created",
    "CREATE INDEX request_created ON request (created_at_us, triggered_by, state, outcome)",
    "CREATE INDEX request_of_ani ON request (ani)",
    "CREATE INDEX request_of_destination ON request (destination) WHERE destination <> ''",
    """CREATE INDEX request_of_payer ON request (account_id)
        WHERE subscriber_id IS NULL OR subscriber_id <> account_id""",
    "DROP INDEX xdr_ended",
    "CREATE INDEX xdr_ended ON xdr (ended_at_us, outcome, trunk_id)",
    "CREATE INDEX xdr_of_number ON xdr (number)",
    "CREATE INDEX transfer_created ON transfer (created_at_us, kind)",
    "CREATE INDEX account_of_customer ON account (customer_id, id)",
    "CREATE INDEX account_of_batch ON account (batch, id)",
    "CREATE INDEX audit_entry_at ON audit_entry (at_us)",
)


def up(migrator, db):
    """Create the indexes."""
    for statement in STATEMENTS:
        db.execute_sql(statement)
