"""SQLite: a database file that is loaded, and captured by triggers.

Nothing but Python's own `sqlite3` is needed. All SQL of the engine is in this package: `triggers`
and `change_log` write the log, `stream` reads it, `load` reads rows.
"""
