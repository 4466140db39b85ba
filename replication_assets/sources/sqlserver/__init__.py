"""The adapter for SQL Server. Its sources are `ports.ChangeSource`s.

`types` says what becomes of every type, `statements` holds all SQL text, `sessions` is the one place
that knows the driver. `cdc`, `tracking` and `triggers` are the ways to capture; loads are the same for all.
"""
