"""Everything that lasts: the database, its tables, and the only code that changes money (`ledger.py`)."""
