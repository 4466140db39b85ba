"""The expression language of computed columns: SQLite with `$column` and headers, as AWS DMS has it."""
