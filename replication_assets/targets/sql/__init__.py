"""The adapter for SQL databases: `SqlEnvironment` over one `SqlDialect` per engine."""
