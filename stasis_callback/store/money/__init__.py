"""Money: the ledger is the only code that moves it."""
