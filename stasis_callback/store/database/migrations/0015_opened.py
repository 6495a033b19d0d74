"""What the rates of a tariff sell without naming it: nothing, for existing tariffs."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE tariff_terms ADD COLUMN opened TEXT NOT NULL DEFAULT ''")
