"""The expression language of transformation rules: SQLite's, with `$column` and header variables."""
