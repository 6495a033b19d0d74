"""How a trunk writes numbers, in both directions: `number_rules` were for what goes out only."""


def up(migrator, db):
    """Add the column; {} is E.164 digits, which existing trunks had to deliver."""
    db.execute_sql("ALTER TABLE trunk ADD COLUMN number_form TEXT NOT NULL DEFAULT '{}'")
