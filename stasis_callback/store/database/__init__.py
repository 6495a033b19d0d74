"""The database itself: opening, units and patience, migrations, and what every room needs of it."""
