"""replication_assets: databases replicated through an event store, as Dagster assets."""
