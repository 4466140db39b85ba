"""Use cases without Dagster: each is one function over the ports."""
