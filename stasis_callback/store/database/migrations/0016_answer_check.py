"""`answer_check` takes the place of `press_one`, in the options of everything that calls back."""

TABLES = ("access_number", "web_instance", "email_instance", "request")
WORDS = (
    ('"press_one": "on"', '"answer_check": "press_one"'),
    ('"press_one": "off"', '"answer_check": "off"'),
)


def up(migrator, db):
    """Rewrite the stored options: JSON, as `json.dumps` writes it."""
    for table in TABLES:
        for old, new in WORDS:
            db.execute_sql(f"UPDATE {table} SET options = REPLACE(options, '{old}', '{new}')")
