"""What the rates of a tariff sell without naming it: nothing, of the tariffs of before."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE tariff_terms ADD COLUMN opened TEXT NOT NULL DEFAULT ''")
