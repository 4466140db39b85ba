"""The event store: an append-only log of events per source table, as Delta tables."""

from replication_assets.event_store.store import DeltaEventStore

__all__ = ["DeltaEventStore"]
